"""The tables of an ablation as Markdown, and how they were measured."""

from collections.abc import Sequence
from datetime import timedelta

from pipeline.ablation.comparison import Measured, Outcome, Spread, other_metrics
from pipeline.ablation.systems import AblationPlan, Table
from pipeline.config import RunConfig
from pipeline.corpus.corpus import Corpus
from pipeline.data_config import corpus_name
from pipeline.evaluation.tables import NOTHING, SIGNIFICANT, markdown_table
from pipeline.metrics.bootstrap import bootstrap_signature
from pipeline.metrics.metrics import BLEU, Metric, metric_titled
from pipeline.metrics.tokenizers import bleu_tokenizer
from pipeline.store.store import versions

TESTED = ("system", "parameters", "perplexity", BLEU.title, "95 % interval", f"Δ {BLEU.title}", "p")
COSTS = ("epochs", "training", "tokens/s")


def comparison_table(table: Table, measured: Sequence[Measured]) -> str:
    """Return a table of an ablation as Markdown, with its title and caption."""
    headings = [*TESTED, *(metric.title for metric in other_metrics()), *COSTS]
    rows = [_cells(row) for row in measured]
    return f"## {table.title}\n\n{markdown_table(headings, rows)}\n\n{table.caption}\n"


def _cells(row: Measured) -> list[str]:
    star = "*" if row.p is not None and row.p < SIGNIFICANT else ""
    return [
        row.label,
        f"{row.parameters:,}",
        _spread(row.perplexity),
        _spread(row.bleu),
        f"{row.interval[0]:.2f} – {row.interval[1]:.2f}",
        NOTHING if row.difference is None else f"{row.difference:+.2f}{star}",
        NOTHING if row.p is None else f"{row.p:.3f}",
        *(_spread(row.others[metric.key]) for metric in other_metrics()),
        f"{row.epochs.mean:g}" if row.epochs.mean.is_integer() else f"{row.epochs.mean:.1f}",
        str(timedelta(seconds=round(row.training_seconds.mean))),
        f"{row.target_tokens_per_second.mean:,.0f}",
    ]


def _spread(value: Spread) -> str:
    return f"{value.mean:.2f}" + ("" if value.deviation is None else f" ± {value.deviation:.2f}")


def bleu_of(plan: AblationPlan, corpus: Corpus) -> Metric:
    """Return BLEU for the target's language, or as configured."""
    return BLEU.with_tokenizer(bleu_tokenizer(plan.systems[0].config.evaluation, corpus.languages.target))


def conditions(plan: AblationPlan, outcomes: Sequence[Outcome], corpus: Corpus) -> str:
    """Return what a reader needs to judge the tables and to reproduce them, as a Markdown list."""
    config = plan.systems[0].config
    bleu = bleu_of(plan, corpus)
    machines = sorted({outcome.trained.machine for outcome in outcomes})
    tokenizer = outcomes[0].trained.tokenizer
    packages = ", ".join(f"{name} {version}" for name, version in versions().items())
    return "\n".join(
        [
            f"- Data: {corpus_name(config.corpus)}, test set of {corpus.figures['pairs']['test']:,} sentences; corpus "
            f"`{corpus.fingerprint[:16]}`, tokenizer `{tokenizer.fingerprint[:16]}` "
            f"({tokenizer.figures['target_pieces']:,} pieces).",
            f"- Budget: at most {' or '.join(map(str, config.training.limits))}, less after {config.training.patience} "
            f"validations without a better {_selecting(config)}. The best one is scored, with beam "
            f"{config.evaluation.beam}. {_seeds(config)}",
            f"- {bleu.title}: `{bleu.signature}`. Interval and p: sacreBLEU's (paired) bootstrap, "
            f"`{bootstrap_signature(bleu, config.ablation.bootstrap_samples)}`; * marks p < {SIGNIFICANT}.",
            *(f"- {metric.title}: `{metric.signature}`." for metric in other_metrics()),
            "- Perplexity: of the references' pieces under teacher forcing.",
            f"- Training: time in optimizer steps, and target tokens per second, on {' or '.join(machines)}.",
            f"- Versions: {packages}.",
        ]
    )


def _selecting(config: RunConfig) -> str:
    by = config.training.select_by
    return by if by == "loss" else metric_titled(by).title


def _seeds(config: RunConfig) -> str:
    first, number = config.training.seed, config.ablation.seeds
    if number == 1:
        return f"Seed {first}."
    return (
        f"Seeds {first} to {first + number - 1}: mean ± sample deviation. Each seed is tested on its own: the bounds "
        "of the interval are means over seeds, p is the largest."
    )
