"""Greedy and beam search with what a step does between its products done by kernels, for float32 on a CPU.

Finds what greedy.py and beam.py do, the reference; a greedy search is one with a beam of 1. Hypotheses are not copied
as they grow: every step keeps their last tokens and the rows of the step before that they go on from, and what is
returned is read back from its end.

Shapes: B sentences, N hypotheses (Y of each sentence side by side), J candidates of a sentence to go on with, Z
hypotheses of a sentence that have ended, L steps, S source positions, V vocabulary, C tokens that no translation has.
"""

from typing import Any

import torch
from torch import Tensor

from ..attention import SourceMemory
from ..decoder import DecoderState
from ..kernels.load import Kernels, array, kernels_for_search
from ..seq2seq import Seq2Seq
from .hypotheses import Hypothesis, SearchRequest
from .steps import make_steps


def compiled_search(request: SearchRequest, memory: SourceMemory, state: DecoderState) -> list[list[Hypothesis]] | None:
    """Return up to `n_best` hypotheses per sentence, best first; None where there are no kernels, or few sentences."""
    kernels = kernels_for_search(memory.padding_bias_BS, len(request.limits_B))
    if kernels is None or not isinstance(request.model, Seq2Seq):
        return None
    return _Search(request, memory, state, kernels).run()


class _Search:
    """The hypotheses of a batch."""

    def __init__(self, request: SearchRequest, memory: SourceMemory, state: DecoderState, kernels: Kernels) -> None:
        self._request, self._kernels, self._memory = request, kernels, memory
        self._steps = make_steps(request.model, memory, state, kernels)
        tokens, sentences, most = request.model.tokens, len(request.limits_B), int(request.limits_B.max())
        self._beam = beam = request.config.beam
        self._sentences_B = array(torch.arange(sentences))
        self._tokens_LN = array(torch.full((most + 1, sentences * beam), tokens.start))
        self._parents_LN = self._tokens_LN * 0
        self._parents_LN[0] = self._sentences_B.repeat(beam)
        self._logp_N = array(torch.full((sentences * beam,), -torch.inf))
        self._logp_N[::beam] = 0.0  # All hypotheses start alike: only the first may go on.
        shape = sentences, 2 * beam
        whole = [torch.empty(shape, dtype=torch.int64) for _ in ("rows", "tokens")]
        self._candidates = tuple(map(array, (torch.empty(shape), *whole)))
        # Before the last step fewer than Y have ended, and it ends at most 2Y.
        self._ended_B = self._sentences_B * 0
        self._scores_BZ = array(torch.zeros(sentences, 3 * beam, dtype=torch.float64))
        self._places_BZ3 = array(torch.zeros(sentences, 3 * beam, 3, dtype=torch.int64))
        penalties = [request.config.penalty(length) for length in range(most + 1)]
        self._penalties_L = array(torch.tensor(penalties, dtype=torch.float64))
        self._lengths_B, self._limits_B = array(request.lengths_B), array(request.limits_B)
        self._bias_V = array(request.model.output.bias)
        self._never_C = array(torch.tensor([tokens.padding, tokens.start, *request.never]))
        self._attended_NS = array(torch.zeros_like(request.attended(memory.padding_bias_BS)))
        self._weights: list[Any] = []
        """The attention weights (N, S) of each step, if asked for."""

    def run(self) -> list[list[Hypothesis]]:
        """Take all steps; return the hypotheses."""
        sentences = len(self._sentences_B)
        for length in range(1, len(self._tokens_LN)):
            sentences = self._step(length, sentences)
            if not sentences:
                break
        return [self._best(sentence) for sentence in range(len(self._ended_B))]

    def _step(self, length: int, sentences: int) -> int:
        """Extend the hypotheses of the sentences that are left to `length` tokens; return how many are left then."""
        config, count, before = self._request.config, sentences * self._beam, length - 1
        parents_N, tokens_N = self._parents_LN[before, :count], self._tokens_LN[before, :count]
        logits_NV, weights_NS = self._steps.step(parents_N, tokens_N, self._sentences_B[:sentences])
        self._keep(weights_NS, parents_N)
        end, early = self._request.model.tokens.end, before < config.min_length
        self._kernels.best_tokens(
            *(array(logits_NV), self._bias_V, self._never_C, end, early, config.no_repeat_ngram),
            *(self._tokens_LN, self._parents_LN, before, self._logp_N, *self._candidates, count),
        )
        left: int = self._kernels.advance(
            *(*self._candidates, end, length, config.n_best, self._penalties_L, config.coverage_penalty),
            *(self._attended_NS, self._lengths_B, self._limits_B, self._sentences_B, self._logp_N),
            *(self._tokens_LN[length], self._parents_LN[length]),
            *(self._ended_B, self._scores_BZ, self._places_BZ3, sentences),
        )
        return left

    def _keep(self, weights_NS: Tensor, parents_N: Any) -> None:
        """Keep the attention weights, and add them up, as far as they are needed."""
        if self._request.attention:
            self._weights.append(array(weights_NS))
        if self._request.config.coverage_penalty:
            self._attended_NS = self._attended_NS[parents_N] + array(weights_NS)

    def _best(self, sentence: int) -> list[Hypothesis]:
        """Return the hypotheses of a sentence with the highest scores."""
        scores = self._scores_BZ[sentence, : self._ended_B[sentence]].tolist()
        ranked = sorted(range(len(scores)), key=lambda z: -scores[z])[: self._request.config.n_best]
        return [self._read_back(sentence, scores[z], *self._places_BZ3[sentence, z].tolist()) for z in ranked]

    def _read_back(self, sentence: int, score: float, row: int, length: int, last: int) -> Hypothesis:
        """Return the hypothesis of `length` tokens that ended in a row with its last token, or -1 for `end`."""
        tokens, attention, source = [] if last < 0 else [last], [], int(self._lengths_B[sentence])
        for step in range(length - 1, -1, -1):
            if self._weights:
                attention.append(self._weights[step][row, :source].tolist())
            if step:
                tokens.append(int(self._tokens_LN[step, row]))
                row = self._parents_LN[step, row]
        return Hypothesis(tokens[::-1], score, attention[::-1], ended=last < 0)
