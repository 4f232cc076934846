"""From the evaluation's configuration to that of the search and to the policy for single lines."""

from model.search.config import SearchConfig
from pipeline.config import EvaluationConfig
from pipeline.inference.translator import LinePolicy


def search_config(config: EvaluationConfig) -> SearchConfig:
    """Return how a model searches when it is evaluated, and by default once it is registered."""
    return SearchConfig(
        beam=config.beam,
        length_penalty=config.length_penalty,
        coverage_penalty=config.coverage_penalty,
        min_length=config.min_length,
        max_length=config.max_length,
        no_repeat_ngram=config.no_repeat_ngram,
        temperature=config.sampling_temperature,
        top_k=config.sampling_top_k,
        seed=config.sampling_seed,
    )


def line_policy(config: EvaluationConfig) -> LinePolicy:
    """Return how unknown tokens and long sentences are handled."""
    return LinePolicy(replace_unknown=config.replace_unknown, max_source_length=config.max_source_length)
