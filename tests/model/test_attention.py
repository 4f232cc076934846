import torch

from model.attention import GeneralAttention


def test_weights_are_the_softmax_of_luongs_general_score_over_the_words() -> None:
    torch.manual_seed(1)
    attention = GeneralAttention(decoder_size=4, annotation_size=6).double()
    annotations, hidden = torch.randn(2, 5, 6).double(), torch.randn(2, 4).double()
    lengths = torch.tensor([5, 3])
    context, weights = attention(hidden, attention.memory(annotations, lengths))
    w = attention.project.weight  # (H, A)
    for b in range(2):
        scores = torch.stack([hidden[b] @ w @ annotations[b, s] for s in range(lengths[b])])
        expected = scores.exp() / scores.exp().sum()
        torch.testing.assert_close(weights[b, : lengths[b]], expected)
        torch.testing.assert_close(context[b], sum(expected[s] * annotations[b, s] for s in range(lengths[b])))


def test_padding_gets_no_weight_at_all() -> None:
    attention = GeneralAttention(decoder_size=3, annotation_size=2)
    memory = attention.memory(torch.randn(1, 4, 2), torch.tensor([2]))
    _, weights = attention(torch.randn(1, 3), memory)
    assert weights[0, 2:].tolist() == [0.0, 0.0]
    torch.testing.assert_close(weights.sum(), torch.tensor(1.0))
