"""How much a request may ask for, and the slices that it is translated in, so that none keeps others waiting.

Work is counted in characters times hypotheses: a model of the usual size on one core does some 40,000 in a second. Long
segments cost more, since each step attends to all of them. Characters stand for tokens, of which there are fewer.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from pipeline.inference.predictions import MOST
from pipeline.serving.protocol import TOO_LARGE, Invocation, Reply, refusal

MOST_LINES, MOST_CHARACTERS = 4096, 2**19
MOST_WORK, MOST_LINE_WORK = 2**21, 2**17
MOST_WEIGHTS = 2**22
"""Attention weights of an answer, each a number of JSON."""
SLICE_WORK, BATCH_WORK = 2**13, 2**15
"""What one request gets at a time while others wait, and what is translated at once: less than a second's work."""
PER_LINE, USUAL_LENGTH, LONGEST = 10, 128, 10_000
"""The work of a line beside its characters; segments up to this length cost no more each step; the longest segment."""


def excess(invocation: Invocation, usual: Mapping[str, Any]) -> Reply | None:
    """Return the refusal of a request that asks for too much; None if it does not. `usual` are the model's defaults."""
    lines = invocation.lines
    if len(lines) > MOST_LINES:
        return _refusal(f"{len(lines):,} lines are more than {MOST_LINES:,}; send fewer lines at once")
    characters = sum(map(len, lines))
    if characters > MOST_CHARACTERS:
        return _refusal(f"{characters:,} characters are more than {MOST_CHARACTERS:,}; send fewer lines at once")
    cost = _Cost(invocation.parameters, usual)
    for number, line in enumerate(lines, start=1):
        if cost.work(line) > MOST_LINE_WORK:
            return _refusal(
                f"{cost}: line {number} with {len(line):,} characters would take {cost.work(line):,} units of work, "
                f"more than {MOST_LINE_WORK:,}; lower them, or send it in parts"
            )
    for name, most, total in (
        ("units of work", MOST_WORK, sum(map(cost.work, lines))),
        ("attention weights", MOST_WEIGHTS, sum(map(cost.weights, lines))),
    ):
        if total > most:
            return _refusal(
                f"{cost}: the lines would take {total:,} {name}, more than {most:,}; lower them, or send fewer"
            )
    return None


def slices(invocation: Invocation, usual: Mapping[str, Any]) -> Iterator[tuple[Invocation, int]]:
    """Yield a request in parts, each with its work: one line, or several with no more than `SLICE_WORK`."""
    cost = _Cost(invocation.parameters, usual)
    part, work = list[str](), 0
    for line in invocation.lines:
        own = cost.work(line)
        if part and work + own > SLICE_WORK:
            yield replace(invocation, lines=part), work
            part, work = [], 0
        part.append(line)
        work += own
    yield replace(invocation, lines=part), work


class _Cost:
    """What a line costs with the parameters of a request; what is wrong with those, the model will say."""

    def __init__(self, given: Mapping[str, Any], usual: Mapping[str, Any]) -> None:
        def number(name: str, most: int) -> int:
            value = usual.get(name, 1) if given.get(name) is None else given[name]
            return int(min(max(value, 1), most)) if isinstance(value, int | float) and not math.isnan(value) else 1

        self._given = given
        self._n_best = number("n_best", MOST["n_best"])
        self._width = max(self._n_best, number("beam", MOST["beam"]))
        self._segment = number("max_source_length", LONGEST)
        self._attention = bool(given.get("attention", usual.get("attention", False)))

    def __str__(self) -> str:
        names = ("beam", "n_best", "max_source_length", "attention")
        return ", ".join(f"{name}={self._given[name]!r:.20}" for name in names if name in self._given) or "the lines"

    def work(self, line: str) -> int:
        """Return the work of a line."""
        length = min(len(line), self._segment)
        return self._width * (len(line) + PER_LINE) * max(USUAL_LENGTH, length) // USUAL_LENGTH

    def weights(self, line: str) -> int:
        """Return how many attention weights its answer may have: a row for each target token."""
        length = min(len(line), self._segment) + 1
        return self._n_best * length * (2 * length + PER_LINE) if self._attention else 0


def _refusal(message: str) -> Reply:
    return refusal(413, message, TOO_LARGE)
