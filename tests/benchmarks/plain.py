"""The same network as tutorials write it, to compare with: packed sequences, autograd through a loop, whole logits."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from model.config import ModelConfig
from model.seq2seq import SPECIAL_TOKENS, Batch


class PlainSeq2Seq(nn.Module):
    """One bidirectional LSTM layer, an LSTM cell with general attention and input feeding, tied embeddings.

    Shapes as in model/seq2seq.py.
    """

    def __init__(self, config: ModelConfig, vocabulary: int) -> None:
        super().__init__()
        size, annotation = config.decoder_size, config.annotation_size
        self.dropout = config.dropout
        self.embedding = nn.Embedding(vocabulary, config.embedding_size)
        self.encoder = nn.LSTM(config.embedding_size, config.encoder_size, batch_first=True, bidirectional=True)
        self.bridge_hidden, self.bridge_cell = nn.Linear(annotation, size), nn.Linear(annotation, size)
        self.cell = nn.LSTMCell(config.embedding_size + size, size)
        self.keys = nn.Linear(annotation, size, bias=False)
        self.combine = nn.Linear(annotation + size, size, bias=False)
        self.output = nn.Linear(size, vocabulary)
        self.output.weight = self.embedding.weight

    def forward(self, batch: Batch) -> Tensor:
        """Return the summed cross-entropy of the words."""
        embedded_BSE = F.dropout(self.embedding(batch.source_BS), self.dropout, self.training)
        lengths_B = batch.source_lengths_B.cpu()
        packed = pack_padded_sequence(embedded_BSE, lengths_B, batch_first=True, enforce_sorted=False)
        outputs, (hidden_2BD, _) = self.encoder(packed)
        annotations_BSA, _ = pad_packed_sequence(outputs, batch_first=True)
        keys_BSH = self.keys(annotations_BSA)
        is_padding_BS = batch.source_BS == SPECIAL_TOKENS.padding
        summary_BA = torch.cat(tuple(hidden_2BD), dim=-1)
        state = (torch.tanh(self.bridge_hidden(summary_BA)), torch.tanh(self.bridge_cell(summary_BA)))
        fed_BH = torch.zeros_like(state[0])
        embedded_BTE = F.dropout(self.embedding(batch.target_BT[:, :-1]), self.dropout, self.training)
        readouts = []
        for embedded_BE in embedded_BTE.unbind(1):
            state = self.cell(torch.cat([embedded_BE, fed_BH], dim=-1), state)
            scores_BS = torch.bmm(keys_BSH, state[0].unsqueeze(-1)).squeeze(-1)
            weights_BS = scores_BS.masked_fill(is_padding_BS, -torch.inf).softmax(dim=-1)
            context_BA = torch.bmm(weights_BS.unsqueeze(1), annotations_BSA).squeeze(1)
            fed_BH = torch.tanh(self.combine(torch.cat([context_BA, state[0]], dim=-1)))
            readouts.append(fed_BH)
        readouts_BTH = F.dropout(torch.stack(readouts, dim=1), self.dropout, self.training)
        logits_BTV = self.output(readouts_BTH)
        return F.cross_entropy(
            logits_BTV.flatten(0, 1),
            batch.target_BT[:, 1:].flatten(),
            ignore_index=SPECIAL_TOKENS.padding,
            reduction="sum",
        )
