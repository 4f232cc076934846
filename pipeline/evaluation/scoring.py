"""Stages that score registered models: translations of an evaluation set, and their scores."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from pipeline.config import BleuTokenizer, EvaluationConfig
from pipeline.evaluation.evaluation_set import EvaluationSet
from pipeline.evaluation.score_report import score_report, verdict
from pipeline.metrics.bootstrap import References, bootstrap, bootstrap_signature
from pipeline.metrics.faults import fault_figures
from pipeline.metrics.lengths import count_words, length_buckets
from pipeline.metrics.metrics import definitions, headline_metrics, metrics_with
from pipeline.metrics.tokenizers import bleu_tokenizer
from pipeline.store.stages import Settings, Stage
from pipeline.store.store import Figures, Reuse, Store

TRANSLATIONS, REPORT = "translations.jsonl", "report.md"
AT_ONCE = 512


class Predictor(Protocol):
    """A loaded model."""

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters of `predict` and their defaults."""

    def predict(self, lines: list[str], parameters: Mapping[str, Any] | None = None) -> list[Any]:
        """Return the translation of each line, in order, or what the parameters ask for."""


class Scorable(Protocol):
    """A registered model, wherever it is stored."""

    @property
    def uri(self) -> str:
        """The address of this one version."""

    @property
    def fingerprint(self) -> str:
        """Changes with anything that its translations depend on."""

    def load(self, device: str) -> Predictor:
        """Load it onto a device (auto, cpu or gpu), ready to translate."""


@dataclass(frozen=True)
class Translated:
    """A model's translations of an evaluation set."""

    model: Scorable
    path: Path
    fingerprint: str
    truncated: int | None
    """How many translations their limit cut off; None if the version does not say."""
    reused: Reuse

    @property
    def file(self) -> Path:
        """One JSON object per line, with source, reference and translation."""
        return self.path / TRANSLATIONS

    def read(self) -> Iterator[str]:
        """Yield the translations in order."""
        with self.file.open(encoding="utf8", newline="\n") as lines:
            for line in lines:
                yield json.loads(line)["translation"]


@dataclass(frozen=True)
class Scores:
    """The scores of one model, or of two on the same sentences."""

    path: Path
    fingerprint: str
    figures: Figures
    """`systems` (each `model`, `scores`, its faults, `lengths`), `verdict` (of two), `signatures`, `set`."""
    reused: Reuse

    @property
    def report(self) -> str:
        """The figures as Markdown."""
        return (self.path / REPORT).read_text("utf8")


def translate_set(
    model: Scorable,
    pairs: EvaluationSet,
    store: Store,
    progress: Callable[[int], None] | None = None,
    device: str = "auto",
) -> Translated:
    """Translate an evaluation set with a registered model and its default search.

    Leaves translations.jsonl with the keys source, reference, translation. `progress` is called with the sentences
    translated since the last call. The device changes the speed and is no part of what the result depends on. Raises
    InputError for a GPU that cannot be used.
    """
    stage = Stage("set-translations", Settings({}), {"model": model.fingerprint, "pairs": pairs.fingerprint})

    def build(folder: Path) -> Figures:
        loaded, remaining = model.load(device), pairs.read()
        truncated: int | None = 0
        with (folder / TRANSLATIONS).open("w", encoding="utf8", newline="\n") as file:
            while batch := list(islice(remaining, AT_ONCE)):
                sources = [source for source, _ in batch]
                translations, cut_off = _translate(loaded, sources)
                truncated = None if truncated is None or cut_off is None else truncated + cut_off
                for (source, reference), translation in zip(batch, translations, strict=True):
                    row = {"source": source, "reference": reference, "translation": translation}
                    file.write(json.dumps(row, ensure_ascii=False) + "\n")
                if progress is not None:
                    progress(len(batch))
        return {"model": model.uri, "set": pairs.name, "truncated": truncated}

    artifact = store.produce(stage, build)
    return Translated(model, artifact.path, artifact.fingerprint, artifact.figures["truncated"], artifact.reused)


def _translate(model: Predictor, sources: list[str]) -> tuple[list[str], int | None]:
    """Return the translations, and how many of them were truncated: None of a version that does not tell."""
    if "scores" not in model.parameters:
        return model.predict(sources), None
    best = [next(iter(answer["hypotheses"]), None) for answer in model.predict(sources, {"scores": True})]
    translations = ["" if found is None else found["text"] for found in best]
    told = [found["truncated"] for found in best if found is not None and "truncated" in found]
    return translations, sum(told) if len(told) == len(best) - best.count(None) else None


def score_translations(
    systems: Sequence[Translated], pairs: EvaluationSet, config: EvaluationConfig, store: Store
) -> Scores:
    """Score the translations of one model, or compare those of two: the second is tested against the first.

    All metrics with 95 % bootstrap intervals of `bootstrap_samples` resampled sets (a paired test, where there are
    two); the headline metrics by the length of the source too. Leaves report.md.
    """
    samples, tokenizer = config.bootstrap_samples, bleu_tokenizer(config, pairs.languages.target)
    metrics = metrics_with(tokenizer)
    stage = Stage(
        "scores",
        Settings({"bootstrap_samples": samples, "metrics": definitions(metrics)}),
        {f"translations {number}": system.fingerprint for number, system in enumerate(systems)},
    )

    def build(folder: Path) -> Figures:
        sources, by_sentence = [source for source, _ in pairs.read()], list(pairs.references())
        references = [list(texts) for texts in zip(*by_sentence, strict=True)]
        texts = [list(system.read()) for system in systems]
        scores = bootstrap(texts, references, samples, metrics)
        figures: dict[str, Any] = {
            "set": {"name": pairs.name, "pairs": pairs.pairs, "sha256": pairs.fingerprint, "origin": pairs.origin},
            "signatures": {metric.score_key: bootstrap_signature(metric, samples, references) for metric in metrics},
            "systems": [
                {
                    "model": system.model.uri,
                    "scores": {metric.score_key: asdict(found[metric.key]) for metric in metrics},
                    **fault_figures(sources, by_sentence, translations, system.truncated),
                    "lengths": _by_length(sources, references, translations, tokenizer),
                }
                for system, found, translations in zip(systems, scores, texts, strict=True)
            ],
        }
        if len(systems) > 1:
            figures["verdict"] = verdict(figures["systems"])
        (folder / REPORT).write_text(score_report(figures), "utf8")
        return figures

    artifact = store.produce(stage, build)
    return Scores(artifact.path, artifact.fingerprint, artifact.figures, artifact.reused)


def _by_length(
    sources: Sequence[str], references: References, translations: Sequence[str], tokenizer: BleuTokenizer
) -> list[dict[str, float | int]]:
    lengths = [count_words(source) for source in sources]
    found = []
    for bucket in length_buckets(lengths):
        inside = [number for number, length in enumerate(lengths) if bucket.first <= length <= bucket.last]
        if not inside:
            continue
        share = [translations[number] for number in inside]
        their = [[texts[number] for number in inside] for texts in references]
        scores = {metric.score_key: metric.score(share, *their) for metric in headline_metrics(tokenizer)}
        found.append(asdict(bucket) | scores)
    return found
