"""From the configuration of the evaluation to that of the search, and of what is done with lines around it."""

from model.search.config import SearchConfig
from pipeline.config import EvaluationConfig
from pipeline.inference.translator import LinePolicy


def search_config(config: EvaluationConfig) -> SearchConfig:
    """Return how a model is searched when it is scored, and by default when it is used."""
    return SearchConfig(
        beam=config.beam,
        length_penalty=config.length_penalty,
        coverage_penalty=config.coverage_penalty,
        min_length=config.min_length,
        max_length=config.max_length,
        temperature=config.sampling_temperature,
        top_k=config.sampling_top_k,
        seed=config.sampling_seed,
    )


def line_policy(config: EvaluationConfig) -> LinePolicy:
    """Return what is done with unknown tokens and long sentences."""
    return LinePolicy(replace_unknown=config.replace_unknown, max_source_length=config.max_source_length)
