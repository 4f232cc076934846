"""The command line `nmt`: one clear line and exit code 2 for what is wrong, 130 for Ctrl-C."""

import json
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from flows.commands import models, stack
from flows.commands.console import one_line_errors, running_flow
from flows.commands.home import clean, inspect, runs, store, verify
from flows.commands.streams import print_json
from flows.commands.tables import print_columns
from flows.presets import load_config, preset_names
from pipeline.ablation.systems import plan_ablation
from pipeline.errors import InputError
from pipeline.overrides import field_help, parse_overrides
from pipeline.stopping import seconds_of
from pipeline.store.stages import ABLATION_STAGES, TRAINING_STAGES, StageName

TRAIN, HOME, SERVERS = "Train and compare", "What is stored", "Servers"
app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["--help", "-h"]},
    help="Train attention seq2seq translation models, register and use them.",
)
CHANGES = ("training.epochs=8", "model.dropout=0.2", "training.seed=2")
"""What a user may try next."""
Preset = Annotated[
    str, typer.Option("--preset", "-p", metavar="PRESET", help="Use this one of `nmt presets`, or a .yaml file.")
]
Override = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", metavar="FIELD=VALUE", help="Override a field, such as training.epochs=3; repeatable."),
]
Fresh = Annotated[bool, typer.Option("--fresh", help="Make every stage again, even if the store has it.")]
FROM = "Make this stage and those after it again: "
TimeLimit = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="Stop after this time, such as 2h or 90min, with a checkpoint and exit code 75; also on SIGTERM.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as one line of JSON.")]


@app.command(rich_help_panel=TRAIN)
@one_line_errors()
def train(
    preset: Preset = "captions",
    overrides: Override = None,
    fresh: Fresh = False,
    fresh_from: Annotated[
        str | None, typer.Option(metavar="STAGE", help=FROM + ", ".join(TRAINING_STAGES) + ".")
    ] = None,
    time_limit: TimeLimit = None,
    as_json: AsJson = False,
) -> None:
    """Train the model of a preset, score it and register it.

    Stages whose inputs have not changed are reused. A run that was stopped continues when you run it again.
    """
    values = parse_overrides(overrides or [])
    load_config(preset, values)  # Before the servers start, let alone a download.
    first = _first_fresh(fresh, fresh_from, TRAINING_STAGES)
    seconds_of(time_limit)
    with running_flow("flows.train") as flow:
        result = flow.train(preset=preset, overrides=values, fresh=first, time_limit=time_limit)
    if as_json:
        print_json(result)
    else:
        _print_result(result, preset, overrides or [])


def _first_fresh(everything: bool, first: str | None, stages: Mapping[str, StageName]) -> str | None:
    if first is not None and first not in stages:
        raise InputError(f"--fresh-from {first}: there is no such stage; choose one of {', '.join(stages)}")
    return "all" if everything else first


def _print_result(result: dict[str, Any], preset: str, overrides: Sequence[str]) -> None:
    # Imported where they are needed: both take seconds, and a mistake on the command line is reported at once.
    from pipeline.evaluation.tables import robustness_table, score_table
    from pipeline.metrics.metrics import headline_metrics

    console = Console(highlight=False)
    for found in (score_table(result["scores"]), robustness_table(result["scores"])):
        if found is not None:
            headings, rows = found
            scores = Table()
            for number, heading in enumerate(headings):
                scores.add_column(heading, justify="right" if number else "left")
            for row in rows:
                scores.add_row(*row)
            console.print(scores)
    for metric in headline_metrics():
        console.print(f"{metric.title}: {result['scores']['signatures'][metric.key]}", markup=False, soft_wrap=True)
    console.print()
    with Path(result["translations"]).open(encoding="utf8", newline="\n") as lines:
        samples = [json.loads(line) for _, line in zip(range(3), lines, strict=False)]
    for row in samples:
        for key in ("source", "translation", "reference"):
            console.print(f"{key:<12} {row[key]}", markup=False, soft_wrap=True)
        console.print()
    console.print(f"model {result['model_uri']} ({result['decision']})", markup=False, soft_wrap=True)
    console.print(f"in {result['tracking_uri']}", markup=False, soft_wrap=True)
    nmt = "nmt" if shutil.which("nmt") else sys.argv[0]  # As `make run` calls it, it is not on the path.
    model = result["model_uri"].split("/")[1]
    kept = [argument for override in overrides for argument in ("--set", override)]
    changed = {override.partition("=")[0] for override in overrides}
    another = next((change for change in CHANGES if change.partition("=")[0] not in changed), CHANGES[-1])
    again = shlex.join(["--preset", preset, *kept, "--set", another])
    console.print("\nnext:")
    for command in (
        f"echo {shlex.quote(samples[0]['source'])} | {nmt} translate --model {shlex.quote(model)}",
        f"{nmt} ui",
        f"{nmt} train {again}",
        f"{nmt} presets --fields",
    ):
        console.print(f"  {command}", markup=False, soft_wrap=True)


@app.command(rich_help_panel=TRAIN)
@one_line_errors()
def ablate(
    preset: Preset = "captions",
    overrides: Override = None,
    fresh: Fresh = False,
    fresh_from: Annotated[
        str | None, typer.Option(metavar="STAGE", help=FROM + ", ".join(ABLATION_STAGES) + ".")
    ] = None,
    time_limit: TimeLimit = None,
    seeds: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Train every system with N seeds, whatever the preset says.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train a ladder of architectures and compare them.

    The ladder goes from the bare network to the preset's own; the scores of attention follow, side by side. All are
    trained on the same data with the same budget and seeds. Trained systems are reused.
    """
    values = parse_overrides(overrides or []) | ({} if seeds is None else {"ablation.seeds": seeds})
    plan_ablation(load_config(preset, values))  # All systems are checked before the servers start.
    first = _first_fresh(fresh, fresh_from, ABLATION_STAGES)
    seconds_of(time_limit)
    with running_flow("flows.ablation") as flow:
        result = flow.ablation(preset=preset, overrides=values, fresh=first, time_limit=time_limit)
    if as_json:
        print_json(result)
        return
    # Raw, so that it can be pasted into an issue or a README.
    print(result["markdown"])  # noqa: T201
    print(f"report {result['report']}, with {len(result['pictures'])} pictures beside it")  # noqa: T201
    print(f"MLflow run {result['run_id']} in {result['tracking_uri']}")  # noqa: T201


@app.command(rich_help_panel=TRAIN)
@one_line_errors()
def presets(
    fields: Annotated[
        bool, typer.Option("--fields", help="List every field, its default and its meaning instead.")
    ] = False,
) -> None:
    """List the presets, or the fields that `--set` takes."""
    if fields:
        print_columns(("field", "default", "meaning"), list(field_help()))
    else:
        print_columns(("preset", "meaning"), [(name, load_config(name, {}).description) for name in preset_names()])


inspect.add_to(app, TRAIN)
models.add_to(app, "Use models")


@app.command(rich_help_panel=SERVERS)
@one_line_errors()
def ui(
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Listen on this address.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="PORT", min=1, max=65535, help="Listen on this port.")] = 5000,
) -> None:
    """Open experiments and registered models in MLflow, until Ctrl-C."""
    from infra.running_stack import use_running_stack
    from infra.ui import serve_ui
    from pipeline.store.writable import check_home

    check_home()
    use_running_stack()
    serve_ui(host, port)


for home_command in (runs, verify, store, clean):
    home_command.add_to(app, HOME)
stack.add_to(app, SERVERS)
