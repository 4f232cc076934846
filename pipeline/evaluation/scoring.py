"""Stages that score registered models: their translations of an evaluation set, and what these are worth."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from pipeline.evaluation.evaluation_set import EvaluationSet
from pipeline.evaluation.tables import SIGNIFICANT, markdown_table
from pipeline.metrics.lengths import length_buckets, words
from pipeline.metrics.metrics import HIGHER_IS_BETTER, bootstrap, bootstrap_signatures, corpus_bleu, corpus_chrf
from pipeline.store.stages import Settings, Stage
from pipeline.store.store import Figures, Reuse, Store

TRANSLATIONS, REPORT = "translations.jsonl", "report.md"
AT_ONCE = 512


class Predictor(Protocol):
    """A model that is loaded."""

    def predict(self, lines: list[str]) -> list[Any]:
        """Return the translation of each line, in order."""


class Scorable(Protocol):
    """A registered model, wherever it is kept."""

    @property
    def uri(self) -> str:
        """What names this version, and no other."""

    @property
    def fingerprint(self) -> str:
        """Changes with anything that its translations depend on."""

    def load(self) -> Predictor:
        """Load it, ready to translate."""


@dataclass(frozen=True)
class Translated:
    """A model's translations of an evaluation set."""

    model: Scorable
    path: Path
    fingerprint: str
    reused: Reuse

    @property
    def file(self) -> Path:
        """An object with source, reference and translation a line."""
        return self.path / TRANSLATIONS

    def read(self) -> Iterator[str]:
        """Yield the translations in order."""
        with self.file.open(encoding="utf8", newline="\n") as lines:
            for line in lines:
                yield json.loads(line)["translation"]


@dataclass(frozen=True)
class Scores:
    """What the translations of one model are worth, or of two, on the same sentences."""

    path: Path
    fingerprint: str
    figures: Figures
    """`systems`: of each model its URI, scores by metric and `lengths`; `verdict` of two; `signatures`, `set`."""
    reused: Reuse

    @property
    def report(self) -> str:
        """The same as Markdown."""
        return (self.path / REPORT).read_text("utf8")


def translate_set(
    model: Scorable, pairs: EvaluationSet, store: Store, progress: Callable[[int], None] | None = None
) -> Translated:
    """Translate an evaluation set with a registered model, as that searches by default.

    Leaves translations.jsonl with the keys source, reference, translation. `progress` is called with the sentences
    translated since the last call.
    """
    stage = Stage("set-translations", Settings({}), {"model": model.fingerprint, "pairs": pairs.fingerprint})

    def build(folder: Path) -> Figures:
        loaded, remaining = model.load(), pairs.read()
        with (folder / TRANSLATIONS).open("w", encoding="utf8", newline="\n") as file:
            while batch := list(islice(remaining, AT_ONCE)):
                translations = loaded.predict([source for source, _ in batch])
                for (source, reference), translation in zip(batch, translations, strict=True):
                    row = {"source": source, "reference": reference, "translation": translation}
                    file.write(json.dumps(row, ensure_ascii=False) + "\n")
                if progress is not None:
                    progress(len(batch))
        return {"model": model.uri, "set": pairs.name}

    artifact = store.produce(stage, build)
    return Translated(model, artifact.path, artifact.fingerprint, artifact.reused)


def score_translations(systems: Sequence[Translated], pairs: EvaluationSet, samples: int, store: Store) -> Scores:
    """Score the translations of one model, or compare those of two: the second is tested against the first.

    BLEU, chrF and TER with 95 % bootstrap intervals of `samples` resampled sets (a paired test, where there are two);
    BLEU and chrF by the length of the source. Leaves report.md.
    """
    stage = Stage(
        "scores",
        Settings({"bootstrap_samples": samples}),
        {f"translations {number}": system.fingerprint for number, system in enumerate(systems)},
    )

    def build(folder: Path) -> Figures:
        sources, references = map(list, zip(*pairs.read(), strict=True))
        texts = [list(system.read()) for system in systems]
        metrics = tuple(HIGHER_IS_BETTER)
        scores = bootstrap(texts, references, samples, metrics)
        figures: dict[str, Any] = {
            "set": {"name": pairs.name, "pairs": pairs.pairs, "sha256": pairs.fingerprint, "origin": pairs.origin},
            "signatures": bootstrap_signatures(samples, metrics),
            "systems": [
                {
                    "model": system.model.uri,
                    "scores": {metric: asdict(score) for metric, score in found.items()},
                    "lengths": _by_length(sources, references, translations),
                }
                for system, found, translations in zip(systems, scores, texts, strict=True)
            ],
        }
        if len(systems) > 1:
            figures["verdict"] = verdict(figures["systems"])
        (folder / REPORT).write_text(_report(figures), "utf8")
        return figures

    artifact = store.produce(stage, build)
    return Scores(artifact.path, artifact.fingerprint, artifact.figures, artifact.reused)


def _by_length(
    sources: Sequence[str], references: Sequence[str], translations: Sequence[str]
) -> list[dict[str, float | int]]:
    lengths = [words(source) for source in sources]
    found = []
    for bucket in length_buckets(lengths):
        inside = [place for place, length in enumerate(lengths) if bucket.first <= length <= bucket.last]
        if not inside:
            continue
        share = [translations[place] for place in inside], [references[place] for place in inside]
        found.append(asdict(bucket) | {"BLEU": corpus_bleu(*share), "chrF": corpus_chrf(*share)})
    return found


def difference(systems: Sequence[Mapping[str, Any]], metric: str) -> float:
    """Return how much the second system's score is above the first's."""
    first, second = (float(system["scores"][metric]["score"]) for system in systems)
    return second - first


def verdict(systems: Sequence[Mapping[str, Any]]) -> str:
    """Say which of two models is better, by how much BLEU, and whether that is beyond chance.

    >>> verdict([{"model": "models:/a/1", "scores": {"BLEU": {"score": 30.0, "p": None}}},
    ...          {"model": "models:/a/2", "scores": {"BLEU": {"score": 31.5, "p": 0.004}}}])
    'models:/a/2 is better than models:/a/1 by 1.50 BLEU, beyond chance (p = 0.004)'
    """
    first, second = systems
    gain, p = difference(systems, "BLEU"), second["scores"]["BLEU"]["p"]
    if gain == 0.0:
        return f"{second['model']} and {first['model']} have the same BLEU"
    better, worse = (second, first) if gain > 0 else (first, second)
    beyond = "beyond chance" if p < SIGNIFICANT else "which may be chance"
    return f"{better['model']} is better than {worse['model']} by {abs(gain):.2f} BLEU, {beyond} (p = {p:.3f})"


def _report(figures: Mapping[str, Any]) -> str:
    systems, name = figures["systems"], figures["set"]["name"]
    rows = [
        [
            system["model"],
            *(
                text
                for metric in HIGHER_IS_BETTER
                for score in [system["scores"][metric]]
                for text in (
                    f"{score['score']:.2f}{'*' if score['p'] is not None and score['p'] < SIGNIFICANT else ''}",
                    f"{score['low']:.2f} – {score['high']:.2f}",
                    *([] if len(systems) == 1 else ["—" if score["p"] is None else f"{score['p']:.3f}"]),
                )
            ),
        ]
        for system in systems
    ]
    headings = [
        text for metric in HIGHER_IS_BETTER for text in (metric, "95 % interval", *(["p"] if len(systems) > 1 else []))
    ]
    lengths = [
        [
            _span(bucket),
            f"{bucket['sentences']:,}",
            *(f"{system['lengths'][place][metric]:.2f}" for system in systems for metric in ("BLEU", "chrF")),
        ]
        for place, bucket in enumerate(systems[0]["lengths"])
    ]
    by_model = [f"{metric} of {_short(system['model'])}" for system in systems for metric in ("BLEU", "chrF")]
    lines = [
        f"## {name}: {figures['set']['pairs']:,} pairs",
        *([f"**{figures['verdict']}**"] if "verdict" in figures else []),
        markdown_table(["model", *headings], rows),
        "BLEU and chrF: higher is better; TER: lower. Intervals and tests by bootstrap resampling"
        + (f"; * marks p < {SIGNIFICANT} against the first row." if len(systems) > 1 else "."),
        markdown_table(["words of the source", "sentences", *by_model], lengths),
        "\n".join(f"- {metric}: `{signature}`" for metric, signature in figures["signatures"].items()),
        f"SHA-256 of the pairs: `{figures['set']['sha256']}`",
    ]
    return "\n\n".join(lines) + "\n"


def _span(bucket: Mapping[str, Any]) -> str:
    return str(bucket["first"]) if bucket["first"] == bucket["last"] else f"{bucket['first']} – {bucket['last']}"


def _short(uri: str) -> str:
    return uri.removeprefix("models:/")
