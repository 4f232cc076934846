"""The perplexity of reference translations under teacher forcing."""

import math
from collections.abc import Sequence

import numpy as np
import torch

from model.seq2seq import Seq2Seq
from model.steadiness import same_with_any_threads
from pipeline.batches.collate import Ragged, collate
from pipeline.inference.devices import gpu_precision


def teacher_forced_nll(
    model: Seq2Seq, source: Ragged, target: Ragged, rows: Sequence[int], batch_sentences: int = 128
) -> tuple[float, int]:
    """Return the summed negative log-likelihood of the pairs `rows` in nats, and their number of target tokens."""
    device = next(model.parameters()).device
    order = sorted(rows, key=lambda row: (source.lengths[row], target.lengths[row]))
    total, tokens = 0.0, 0
    with torch.inference_mode(), gpu_precision():
        for start in range(0, len(order), batch_sentences):
            indices = np.array(order[start : start + batch_sentences], dtype=np.int64)
            with same_with_any_threads(indices.size, device):
                loss = model(collate(source, target, indices, model.tokens, device))
            total += float(loss.nll)
            tokens += int(loss.tokens)
    return total, tokens


def perplexity(nll: float, tokens: int) -> float:
    """Return the exponential of the mean negative log-likelihood per target token, `end` included.

    >>> round(perplexity(nll=2 * math.log(8.0), tokens=2), 6)
    8.0
    """
    return math.exp(min(nll / tokens, 700.0))
