import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from model.encoder import BidirectionalEncoder, reversal_index


def test_reversal_turns_each_sentence_round_and_leaves_padding() -> None:
    assert reversal_index(torch.tensor([4, 2, 1]), 4).tolist() == [[3, 2, 1, 0], [1, 0, 2, 3], [0, 1, 2, 3]]


def test_equals_torchs_packed_bidirectional_lstm() -> None:
    torch.manual_seed(2)
    encoder = BidirectionalEncoder(embedding_size=5, direction_size=4).double()
    reference = torch.nn.LSTM(5, 4, batch_first=True, bidirectional=True).double()
    with torch.no_grad():
        for name, parameter in encoder.forwards.named_parameters():
            reference.get_parameter(name).copy_(parameter)
        for name, parameter in encoder.backwards.named_parameters():
            reference.get_parameter(f"{name}_reverse").copy_(parameter)
    embedded, lengths = torch.randn(3, 6, 5).double(), torch.tensor([6, 2, 4])
    packed, (last, _) = reference(pack_padded_sequence(embedded, lengths, batch_first=True, enforce_sorted=False))
    expected, _ = pad_packed_sequence(packed, batch_first=True)
    annotations, summary = encoder(embedded, lengths)
    for row, length in enumerate(lengths):
        torch.testing.assert_close(annotations[row, :length], expected[row, :length])
    torch.testing.assert_close(summary, torch.cat([last[0], last[1]], dim=-1))
