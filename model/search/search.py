"""Search, batched over sentences: greedy, with a beam, or sampling.

Shapes: B sentences, S source positions.

A sentence's translation does not depend on the rest of the batch. Its limit comes from its own length and its random
numbers from its own tokens; a hypothesis that has ended keeps its score, and a sentence that is done leaves the batch.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..products import fastest_products
from ..seq2seq import Seq2Seq
from .beam import beam_search
from .compiled import compiled_search
from .config import SearchConfig
from .greedy import greedy_search, sample
from .hypotheses import Hypothesis, SearchRequest


@torch.inference_mode()
def search(
    model: Seq2Seq,
    source_BS: Tensor,
    lengths_B: Tensor,
    config: SearchConfig,
    attention: bool = False,
    never: Sequence[int] = (),
) -> list[list[Hypothesis]]:
    """Translate a padded batch; return up to `n_best` hypotheses per sentence, best first.

    `attention` keeps the weights of every step; no translation has a token in `never`. Raises ValueError for a coverage
    penalty without attention.
    """
    with fastest_products(source_BS.device):
        return _search(model, source_BS, lengths_B, config, attention, never)


def _search(
    model: Seq2Seq, source_BS: Tensor, lengths_B: Tensor, config: SearchConfig, attention: bool, never: Sequence[int]
) -> list[list[Hypothesis]]:
    memory, state = model.encode(source_BS, lengths_B)
    if config.coverage_penalty and not memory.padding_bias_BS.shape[1]:
        raise ValueError(
            f"coverage_penalty={config.coverage_penalty} needs attention weights, and this model has no attention; "
            "set coverage_penalty=0"
        )
    request = SearchRequest(model, config, lengths_B, config.limits(lengths_B), attention, tuple(never))
    if config.temperature is not None:
        rows = zip(source_BS.tolist(), lengths_B.tolist(), strict=True)
        return sample(request, memory, state, [row[:length] for row, length in rows])
    if (found := compiled_search(request, memory, state)) is not None:
        return found
    if config.beam == 1:
        return [[hypothesis] for hypothesis in greedy_search(request, memory, state)]
    return beam_search(request, memory, state)
