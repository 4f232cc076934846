import torch

from model.attention import Memory
from model.decoder import Bridge, DecoderState, InputFeedingDecoder


def literal_step(
    decoder: InputFeedingDecoder, embedded: torch.Tensor, state: DecoderState, memory: Memory
) -> DecoderState:
    """Luong et al. 2015, written out: torch's own LSTM cell on [y; a], then attention, then tanh(W [c; h])."""
    size = state.hidden_BH.shape[1]
    cell = torch.nn.LSTMCell(embedded.shape[1] + size, size).double()
    with torch.no_grad():
        from_attentional, from_hidden = decoder.from_state.weight[:, :size], decoder.from_state.weight[:, size:]
        cell.weight_ih.copy_(torch.cat([decoder.from_embedding.weight, from_attentional], dim=1))
        cell.weight_hh.copy_(from_hidden)
        cell.bias_ih.copy_(decoder.from_embedding.bias)
        cell.bias_hh.zero_()
    hidden, memory_cell = cell(torch.cat([embedded, state.attentional_BH], dim=1), (state.hidden_BH, state.cell_BH))
    scores = (memory.keys_BSH @ hidden.unsqueeze(2)).squeeze(2) + memory.padding_BS
    context = (scores.softmax(1).unsqueeze(2) * memory.annotations_BSA).sum(1)
    return DecoderState(hidden, memory_cell, torch.tanh(decoder.combine(torch.cat([context, hidden], dim=1))))


def test_unroll_equals_the_equations_step_by_step() -> None:
    torch.manual_seed(3)
    decoder = InputFeedingDecoder(embedding_size=5, decoder_size=4, annotation_size=6).double()
    state = Bridge(6, 4).double()(torch.randn(2, 6).double())
    memory = decoder.attention.memory(torch.randn(2, 7, 6).double(), torch.tensor([7, 3]))
    embedded = torch.randn(2, 5, 5).double()
    unrolled = decoder(embedded, state, memory)
    for step in range(5):
        state = literal_step(decoder, embedded[:, step], state, memory)
        torch.testing.assert_close(unrolled[:, step], state.attentional_BH)


def test_bridge_starts_without_anything_to_feed() -> None:
    state = Bridge(6, 4)(torch.randn(3, 6))
    assert not state.attentional_BH.any()
    assert state.hidden_BH.abs().max() < 1
