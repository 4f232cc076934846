"""The equations of the network, written out on the vectors of one position: slow, literal, independent of `model/`.

A vector is a 1-D tensor, a scalar a 0-D one; there is no batch, no padding and no mask. Letters are the papers'.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

State = tuple[Tensor, ...]
"""(h,) of a GRU, (h, c) of an LSTM."""


@dataclass(frozen=True)
class Gates:
    """Weights of a recurrent layer, the rows of all gates stacked: W x + b from the input, U h + d from the state."""

    W: Tensor
    b: Tensor
    U: Tensor
    d: Tensor


Step = Callable[[Tensor, State, Gates], State]


def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + exp(-x))."""
    return 1 / (1 + torch.exp(-x))


def softmax(scores: Sequence[Tensor]) -> list[Tensor]:
    """exp(x_s) / sum over s' of exp(x_s')."""
    total = sum((torch.exp(score) for score in scores), torch.zeros((), dtype=torch.float64))
    return [torch.exp(score) / total for score in scores]


def lstm_step(x: Tensor, state: State, p: Gates) -> State:
    """Hochreiter and Schmidhuber 1997, Gers et al. 2000; gates in the order i, f, g, o.

    i = sigmoid(W_i x + U_i h + b_i), f and o likewise;  g = tanh(W_g x + U_g h + b_g)
    c' = f c + i g;  h' = o tanh(c')
    """
    h, c = state
    n = len(h)

    def affine(gate: int) -> Tensor:
        rows = slice(gate * n, (gate + 1) * n)
        return p.W[rows] @ x + p.b[rows] + p.U[rows] @ h + p.d[rows]

    i, f, g, o = sigmoid(affine(0)), sigmoid(affine(1)), torch.tanh(affine(2)), sigmoid(affine(3))
    c = f * c + i * g
    return o * torch.tanh(c), c


def gru_step(x: Tensor, state: State, p: Gates) -> State:
    """Cho et al. 2014, eqs. 5 to 8, with the reset gate after the product; gates in the order r, z, n.

    r = sigmoid(W_r x + U_r h + b_r), z likewise;  n = tanh(W_n x + b_n + r (U_n h + d_n));  h' = z h + (1 - z) n
    """
    (h,) = state
    n = len(h)
    from_input = [p.W[k * n : (k + 1) * n] @ x + p.b[k * n : (k + 1) * n] for k in range(3)]
    from_state = [p.U[k * n : (k + 1) * n] @ h + p.d[k * n : (k + 1) * n] for k in range(3)]
    r, z = sigmoid(from_input[0] + from_state[0]), sigmoid(from_input[1] + from_state[1])
    candidate = torch.tanh(from_input[2] + r * from_state[2])
    return (z * h + (1 - z) * candidate,)


def encode_direction(
    words: Sequence[Tensor], first: State, step: Step, p: Gates, backwards: bool
) -> tuple[list[Tensor], State]:
    """h_j = f(x_j, h_{j-1}) for j = 1..S, or backwards h_j = f(x_j, h_{j+1}) for j = S..1 (Bahdanau 2015, eq. 7).

    Return h_1..h_S in the order of the source, and the state after the word that is read last.
    """
    state, hidden = first, dict[int, Tensor]()
    for j in reversed(range(len(words))) if backwards else range(len(words)):
        state = step(words[j], state, p)
        hidden[j] = state[0]
    return [hidden[j] for j in range(len(words))], state


def bridge_concat(parts: Sequence[Tensor]) -> Tensor:
    """[forwards; backwards]."""
    return torch.cat(list(parts))


def bridge_mean(parts: Sequence[Tensor]) -> Tensor:
    """(forwards + backwards) / 2."""
    return sum(parts[1:], parts[0]) / len(parts)


def bridge_max(parts: Sequence[Tensor]) -> Tensor:
    """Unit by unit, the larger of forwards and backwards."""
    return torch.stack([max(units) for units in zip(*parts, strict=True)])


def bridge_projection(parts: Sequence[Tensor], W: Tensor, b: Tensor) -> Tensor:
    """W [forwards; backwards] + b, of which a hidden state is the tanh (after Bahdanau et al. 2015, A.2.2)."""
    return W @ torch.cat(list(parts)) + b


def score_dot(h: Tensor, a: Tensor, covered: Tensor) -> Tensor:
    """Luong et al. 2015, eq. 8, dot: h' a; with coverage h' (a + w c)."""
    return h @ (a + covered)


def score_scaled_dot(h: Tensor, a: Tensor, covered: Tensor) -> Tensor:
    """Vaswani et al. 2017, eq. 1: h' a / sqrt(number of units); with coverage h' (a + w c) / sqrt(...)."""
    return h @ (a + covered) / math.sqrt(len(h))


def score_general(h: Tensor, a: Tensor, W: Tensor, covered: Tensor) -> Tensor:
    """Luong et al. 2015, eq. 8, general: h' W a; with coverage h' (W a + w c)."""
    return h @ (W @ a + covered)


def score_concat(h: Tensor, a: Tensor, W: Tensor, v: Tensor, covered: Tensor) -> Tensor:
    """Luong et al. 2015, eq. 8, concat: v' tanh(W [h; a]); with coverage See et al. 2017, eq. 11."""
    return v @ torch.tanh(W @ torch.cat([h, a]) + covered)


def score_mlp(
    h: Tensor, a: Tensor, first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor], v: Tensor, covered: Tensor
) -> Tensor:
    """v' tanh(W2 tanh(W1 [h; a] + b1 + w c) + b2)."""
    (W1, b1), (W2, b2) = first, second
    return v @ torch.tanh(W2 @ torch.tanh(W1 @ torch.cat([h, a]) + b1 + covered) + b2)


def global_weights(scores: Sequence[Tensor]) -> Tensor:
    """Luong et al. 2015, eq. 7: a(s) = exp(score_s) / sum exp(score_s')."""
    return torch.stack(softmax(scores))


def local_p(scores: Sequence[Tensor], h: Tensor, W: Tensor, v: Tensor, D: int) -> Tensor:
    """Luong et al. 2015, eqs. 9 and 10, with the words numbered 0..S-1.

    p = S sigmoid(v' tanh(W h));  a(s) = align(s) exp(-(s - p)^2 / (2 (D / 2)^2)), align a softmax over [p - D, p + D]
    """
    S = len(scores)
    p = S * sigmoid(v @ torch.tanh(W @ h))
    inside = [s for s in range(S) if p - D <= s <= p + D]
    align = dict(zip(inside, softmax([scores[s] for s in inside]), strict=True))
    none = torch.zeros((), dtype=torch.float64)
    return torch.stack(
        [align[s] * torch.exp(-((s - p) ** 2) / (2 * (D / 2) ** 2)) if s in align else none for s in range(S)]
    )


def context_vector(weights: Tensor, annotations: Sequence[Tensor]) -> Tensor:
    """c = sum over s of a(s) h_s (Bahdanau et al. 2015, eq. 5)."""
    return sum((a * h for a, h in zip(weights, annotations, strict=True)), torch.zeros_like(annotations[0]))


def attentional_vector(c: Tensor, h: Tensor, W: Tensor) -> Tensor:
    """Luong et al. 2015, eq. 5: tanh(W [c; h])."""
    return torch.tanh(W @ torch.cat([c, h]))


def maxout(t: Tensor) -> Tensor:
    """Bahdanau et al. 2015, A.2.2: t_j = max(t~_{2j-1}, t~_{2j})."""
    return torch.stack([max(t[2 * j], t[2 * j + 1]) for j in range(len(t) // 2)])


def log_probabilities(readout: Tensor, W: Tensor, b: Tensor) -> Tensor:
    """log(exp(z_y) / sum exp(z_y')) with z = W readout + b."""
    z = W @ readout + b
    return torch.log(torch.exp(z) / torch.exp(z).sum())
