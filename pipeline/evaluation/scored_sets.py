"""What an evaluation translates and scores: validation and test, further test sets, and copies with other sources.

In figures a copy is called test+typos, and the share of one of several sources test/news.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.config import EvaluationConfig
from pipeline.corpus.corpus import Corpus
from pipeline.corpus.pairs import Pair
from pipeline.corpus.splits import Split
from pipeline.evaluation.evaluation_set import EvaluationSet
from pipeline.metrics.perturbations import COMPARED, perturb
from pipeline.store.store import Figures

SCORED_SPLITS: tuple[Split, ...] = ("validation", "test")
SIGNATURES = "signatures"
"""What else is in the figures of an evaluation."""
COPY, SHARE = "+", "/"


@dataclass(frozen=True)
class ScoredSet:
    """Sentences to translate, and their references."""

    name: str
    sources: list[str]
    references: list[str]
    parts: Mapping[str, range] = field(default_factory=dict)
    """Which pairs are of which source, by its name, if the corpus has several."""
    changed: int | None = None
    """Of a copy, how many sources are not those of the set."""
    compared: Callable[[str], str] = str
    """As what translations and references are compared."""


def scored_sets(corpus: Corpus, test_sets: Sequence[EvaluationSet], config: EvaluationConfig) -> Iterator[ScoredSet]:
    """Yield the sets in the order of their figures, one in memory at a time; a set's copies come after it."""
    for split in SCORED_SPLITS:
        whole = _set(split, corpus.pairs(split), _parts(corpus, split))
        yield whole
        if split == "test":
            yield from _copies(whole, config)
    for each in test_sets:
        whole = _set(each.name, each.read(), {})
        yield whole
        yield from _copies(whole, config)


def sentences_to_translate(corpus: Corpus, test_sets: Sequence[EvaluationSet], config: EvaluationConfig) -> int:
    """Return how many sentences are in all sets together."""
    pairs = corpus.figures["pairs"]
    tests = int(pairs["test"]) + sum(each.pairs for each in test_sets)
    return int(pairs["validation"]) + tests * (1 + len(config.perturbations))


def _set(name: str, pairs: Iterable[Pair], parts: Mapping[str, range]) -> ScoredSet:
    sources, references = map(list, zip(*pairs, strict=True))
    return ScoredSet(name, sources, references, parts)


def _parts(corpus: Corpus, split: Split) -> dict[str, range]:
    if len(corpus.parts) == 1:
        return {}
    parts, start = dict[str, range](), 0
    for part in corpus.parts:
        parts[part.name] = range(start, start + part.pairs[split])
        start += part.pairs[split]
    return parts


def _copies(whole: ScoredSet, config: EvaluationConfig) -> Iterator[ScoredSet]:
    for kind in config.perturbations:
        sources = perturb(whole.sources, kind, config)
        changed = sum(source != before for source, before in zip(sources, whole.sources, strict=True))
        name, compared = f"{whole.name}{COPY}{kind}", COMPARED.get(kind, str)
        yield ScoredSet(name, sources, whole.references, changed=changed, compared=compared)


def set_names(figures: Figures) -> list[str]:
    """Return the names of all sets, copies and shares in an evaluation's figures.

    >>> set_names({"validation": {}, "test": {}, "test/news": {}, "test+typos": {}, "signatures": {}})
    ['validation', 'test', 'test/news', 'test+typos']
    """
    return [name for name in figures if name != SIGNATURES]


def further_names(figures: Figures) -> list[str]:
    """Return the names of the sets and copies, beside validation and test, that have a file of translations.

    >>> further_names({"validation": {}, "test": {}, "test/news": {}, "test+typos": {}, "signatures": {}})
    ['test+typos']
    """
    return [name for name in set_names(figures) if name not in SCORED_SPLITS and SHARE not in name]


def base_of(name: str) -> str:
    """Return the set that a copy or a share is of, or the set itself."""
    return name.partition(COPY)[0].partition(SHARE)[0]


def plain_name(name: str) -> str:
    """Return a set's name in MLflow and in the names of files.

    >>> plain_name("test+upper_case"), plain_name("test/news")
    ('test_upper_case', 'test/news')
    """
    return name.replace(COPY, "_")
