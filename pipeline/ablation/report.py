"""The stage that reports an ablation: tables, BLEU by the length of the source, and maps of attention."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from pipeline.ablation.comparison import Outcome, bleu_by_length, choose_sentences, measure, of_system
from pipeline.ablation.pictures import Curve, draw_attention, draw_bleu_by_length
from pipeline.ablation.systems import AblationPlan, Table
from pipeline.ablation.tables import bleu_of, comparison_table, conditions
from pipeline.corpus.corpus import Corpus
from pipeline.evaluation.evaluation import open_translator
from pipeline.metrics.bootstrap import bootstrap_signature
from pipeline.metrics.lengths import Bucket, count_words, length_buckets
from pipeline.metrics.metrics import Metric
from pipeline.store.stages import Settings, Stage
from pipeline.store.store import Figures, Reuse, Store

TABLES, REPORT, FIGURES = "tables.md", "report.md", "figures.json"
DIGITS = 4


@dataclass(frozen=True)
class AblationReport:
    """The report of an ablation in the store."""

    path: Path
    fingerprint: str
    figures: Figures
    """`tables` (by name, lists of rows) and `pictures` (files in the folder)."""
    reused: Reuse

    @property
    def report(self) -> Path:
        """Tables and pictures, as Markdown."""
        return self.path / REPORT

    @property
    def pictures(self) -> list[Path]:
        """BLEU by the length of the source and the maps of attention, as PNG."""
        return [self.path / name for name in self.figures["pictures"]]

    def tables(self) -> str:
        """Return the tables and how they were measured, as Markdown without pictures."""
        return (self.path / TABLES).read_text("utf8")


def report_ablation(plan: AblationPlan, outcomes: Sequence[Outcome], corpus: Corpus, store: Store) -> AblationReport:
    """Compare the systems on the test set.

    Reads the translations of every evaluation and the best checkpoints of the systems with attention. Leaves tables.md,
    report.md (tables and pictures), figures.json (all numbers, attention weights included),
    bleu-by-length-<table>.png and attention/<sentence>-<system>.png.
    """
    ablation = plan.systems[0].config.ablation
    bleu = bleu_of(plan, corpus)
    stage = Stage(
        "ablation",
        Settings(
            {
                "tables": {name: asdict(table) for name, table in plan.tables.items()},
                "bootstrap": bootstrap_signature(bleu, ablation.bootstrap_samples),
                "sentences": ablation.sentences,
            }
        ),
        {f"{outcome.system}, seed {outcome.seed}": outcome.evaluation.fingerprint for outcome in outcomes},
    )

    def build(folder: Path) -> Figures:
        measured = {
            name: measure(table, outcomes, ablation.bootstrap_samples, bleu) for name, table in plan.tables.items()
        }
        lengths = _draw_lengths(plan, outcomes, bleu, folder)
        maps = list(_draw_maps(plan, outcomes, corpus, folder))
        tables = "\n".join(comparison_table(plan.tables[name], rows) for name, rows in measured.items())
        tables += f"\n{conditions(plan, outcomes, corpus)}\n"
        (folder / TABLES).write_text(tables, "utf8")
        (folder / REPORT).write_text(_report(plan, tables, lengths, maps), "utf8")
        figures = {"tables": {name: [row.figures() for row in rows] for name, rows in measured.items()}}
        everything = figures | {"bleu_by_length": lengths, "attention": maps}
        (folder / FIGURES).write_text(json.dumps(_rounded(everything), ensure_ascii=False) + "\n", "utf8")
        pictures = [entry["picture"] for entry in (*lengths.values(), *maps)]
        return dict(_rounded(figures)) | {"pictures": pictures}

    artifact = store.produce(stage, build)
    return AblationReport(artifact.path, artifact.fingerprint, artifact.figures, artifact.reused)


def _draw_lengths(
    plan: AblationPlan, outcomes: Sequence[Outcome], bleu: Metric, folder: Path
) -> dict[str, dict[str, Any]]:
    sources = [row["source"] for row in outcomes[0].evaluation.translations("test")]
    buckets = length_buckets([count_words(source) for source in sources])
    scores = {
        name: {row.label: bleu_by_length(row.system, outcomes, buckets, bleu) for row in table.rows}
        for name, table in plan.tables.items()
    }
    return {name: _draw_length(name, table, plan, buckets, scores[name], folder) for name, table in plan.tables.items()}


def _draw_length(
    name: str,
    table: Table,
    plan: AblationPlan,
    buckets: Sequence[Bucket],
    bleu: Mapping[str, list[float]],
    folder: Path,
) -> dict[str, Any]:
    attend = {system.name for system in plan.systems if system.config.model.attention != "none"}
    curves = [Curve(row.label, bleu[row.label], row.system in attend) for row in table.rows]
    picture = f"bleu-by-length-{name}.png"
    draw_bleu_by_length(folder / picture, f"BLEU by the length of the source ({table.title})", buckets, curves)
    return {"picture": picture, "buckets": [asdict(bucket) for bucket in buckets], "bleu": bleu}


def _draw_maps(
    plan: AblationPlan, outcomes: Sequence[Outcome], corpus: Corpus, folder: Path
) -> Iterator[dict[str, Any]]:
    """Draw the chosen sentences for every system with attention, by the best checkpoint of its first seed."""
    pairs = list(corpus.pairs("test"))
    chosen = choose_sentences([source for source, _ in pairs], plan.systems[0].config.ablation.sentences)
    (folder / "attention").mkdir()
    for system in plan.systems:
        if system.config.model.attention == "none":
            continue
        trained = of_system(system.name, outcomes)[0].trained
        translator = open_translator(*trained.load(torch.device("cpu")), system.config.evaluation)
        found = translator.hypotheses([pairs[index][0] for index in chosen])
        for number, (index, translations) in enumerate(zip(chosen, found, strict=True), start=1):
            best = translations[0]
            picture = f"attention/{number}-{slug(system.name)}.png"
            draw_attention(
                folder / picture,
                f"{system.config.name}: {system.name}",
                best.source_pieces,
                best.target_pieces,
                best.attention,
            )
            yield {
                "picture": picture,
                "system": system.name,
                "line": index + 1,
                "source": pairs[index][0],
                "reference": pairs[index][1],
                "translation": best.text,
                "source_pieces": best.source_pieces,
                "target_pieces": best.target_pieces,
                "weights": best.attention,
            }


def slug(name: str) -> str:
    """Return a name that fits files and MLflow's metrics: letters, digits and dashes.

    >>> slug("+ input feeding")
    'input-feeding'
    """
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _report(
    plan: AblationPlan, tables: str, lengths: Mapping[str, Mapping[str, Any]], maps: Sequence[Mapping[str, Any]]
) -> str:
    parts = [f"# Ablation of {plan.systems[0].config.name}\n", tables, "## BLEU by the length of the source\n"]
    parts += [f"![{plan.tables[name].title}]({entry['picture']})\n" for name, entry in lengths.items()]
    parts.append("Hollow marks: systems without attention. In brackets: the number of sentences behind a point.\n")
    parts.append("## Attention\n")
    for line in dict.fromkeys(entry["line"] for entry in maps):
        of_line = [entry for entry in maps if entry["line"] == line]
        parts.append(f"### Sentence {line} of the test set\n")
        parts.append(f"- source: {of_line[0]['source']}\n- reference: {of_line[0]['reference']}")
        parts += [f"- {entry['system']}: {entry['translation']}" for entry in of_line]
        parts += ["", *(f"![{entry['system']}]({entry['picture']})" for entry in of_line), ""]
    return "\n".join(parts)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, DIGITS)
    if isinstance(value, Mapping):
        return {key: _rounded(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(entry) for entry in value]
    return value
