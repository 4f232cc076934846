"""How to search: `SearchConfig`, and the score that ranks hypotheses.

Shapes: B sentences, N hypotheses, S source positions.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class SearchConfig:
    """How to search: greedily, with a beam or, if `temperature` is set, by sampling."""

    beam: int = 5
    """Hypotheses kept per sentence; 1 is greedy search."""
    length_penalty: float = 1.0
    """Alpha of Wu et al. 2016; 0 ranks by the sum of log-probabilities, which favours short translations."""
    coverage_penalty: float = 0.0
    """Beta of Wu et al. 2016: how much a translation loses for source tokens that it left unattended."""
    n_best: int = 1
    """Hypotheses returned per sentence, best first: at most `beam` or, when sampling, any number of draws."""
    min_length: int = 0
    """Fewest tokens of a translation, without `end`; the limits below take precedence."""
    no_repeat_ngram: int = 0
    """No sequence of this many tokens occurs twice in a translation (Paulus et al. 2018, section 2.5); 0: any may."""
    max_length: int | None = None
    limit_ratio: float = 2.0
    limit_extra: int = 10
    """A translation has at most limit_ratio * source tokens + limit_extra tokens, and at most max_length."""
    temperature: float | None = None
    """Sample each token from the probabilities to the power of 1 / temperature instead of searching."""
    top_k: int | None = None
    """Sample only from this many most probable tokens."""
    seed: int = 1
    """A sentence's draws depend on this and on its source tokens, not on the rest of the batch."""

    def __post_init__(self) -> None:
        for complaint in self._complaints():
            raise ValueError(complaint)

    def _complaints(self) -> Iterator[str]:
        least_of = {"beam": 1, "n_best": 1, "min_length": 0, "max_length": 1, "no_repeat_ngram": 0, "top_k": 1}
        for name, least in least_of.items():
            value = getattr(self, name)
            if value is not None and value < least:
                yield f"{name}={value} must be at least {least}"
        for name in ("length_penalty", "coverage_penalty"):
            if not 0.0 <= getattr(self, name) <= 10.0:
                yield f"{name}={getattr(self, name)} must be between 0 and 10"
        if self.temperature is not None and not 0.0 < self.temperature < math.inf:
            yield f"temperature={self.temperature} must be above 0 and finite"
        if self.temperature is None and self.top_k is not None:
            yield f"top_k={self.top_k} is for sampling, which needs a temperature; set one, such as 1"
        if self.temperature is None and self.n_best > self.beam:
            yield f"n_best={self.n_best} is more than the beam={self.beam} can hold; raise beam or lower n_best"
        if self.max_length is not None and self.min_length > self.max_length:
            yield (
                f"min_length={self.min_length} is more than max_length={self.max_length}; "
                "lower min_length or raise max_length"
            )

    def penalty(self, length: int) -> float:
        """lp(Y) = (5 + |Y|)^alpha / 6^alpha (Wu et al. 2016, "Google's NMT System", eq. 14).

        >>> [SearchConfig(length_penalty=1.0).penalty(length) for length in (1, 7, 13)]
        [1.0, 2.0, 3.0]
        """
        return float(((5.0 + length) / 6.0) ** self.length_penalty)

    def coverage(self, attended_NS: Tensor, lengths_N: Tensor) -> Tensor:
        """cp(X; Y) = beta * sum_i log(min(sum_j a_ij, 1)), never above 0 (Wu et al. 2016, eq. 14).

        Takes sum_j a_ij for every source position i over the target tokens j, `end` included on both sides. A position
        whose weights were all rounded to 0 counts as the smallest positive number, so that cp stays finite.
        """
        positions_S = torch.arange(attended_NS.shape[1], device=attended_NS.device)
        log_NS = attended_NS.clamp(torch.finfo(attended_NS.dtype).tiny, 1.0).log()
        return self.coverage_penalty * log_NS.masked_fill(positions_S >= lengths_N.unsqueeze(1), 0.0).sum(1)

    def scores(self, logp_N: Tensor, steps: list[int], attended_NS: Tensor, lengths_N: Tensor) -> list[float]:
        """s(Y, X) = log P(Y | X) / lp(Y) + cp(X; Y), for hypotheses of `steps` tokens (Wu et al. 2016, eq. 14)."""
        coverages = self.coverage(attended_NS, lengths_N).tolist()
        rows = zip(logp_N.tolist(), steps, coverages, strict=True)
        return [logp / self.penalty(length) + coverage for logp, length, coverage in rows]

    def limits(self, lengths_B: Tensor) -> Tensor:
        """Return the most tokens, with `end`, that the translation of each sentence may have."""
        limits_B = (self.limit_ratio * lengths_B + self.limit_extra).long()
        return limits_B if self.max_length is None else limits_B.clamp(max=self.max_length)
