"""Search over many sentences: sentences a second, and whether batches find what one sentence at a time does."""

import statistics
import time
from collections.abc import Sequence

from pipeline.inference.translator import Translator

BATCHES = (1, 128, 256)
PASSES = 3


def _pass(translator: Translator, sentences: Sequence[str], batch: int) -> tuple[float, list[str]]:
    translator = translator.configured({})
    translator.batch_sentences = batch
    began = time.perf_counter()
    found = translator.translate(sentences)
    return len(sentences) / (time.perf_counter() - began), found


def measure(translator: Translator, sentences: Sequence[str]) -> dict[str, float]:
    """Return sentences a second by beam and batch, and how many translations differ from those found one by one."""
    figures: dict[str, float] = {}
    for beam, name in ((1, "greedy"), (5, "beam 5")):
        searcher = translator.configured({"beam": beam})
        reference: list[str] = []
        for batch in BATCHES:
            passes = [_pass(searcher, sentences, batch) for _ in range(1 if batch == 1 else PASSES)]
            found = passes[-1][1]
            reference = reference or found
            figures[f"{name}, batches of {batch}, sentences/s"] = statistics.median(rate for rate, _ in passes)
            figures[f"{name}, batches of {batch}, translations that differ"] = float(
                sum(one != other for one, other in zip(found, reference, strict=True))
            )
    return figures
