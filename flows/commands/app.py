"""The command line `nmt`: one clear line and exit code 2 for what is wrong, 130 for Ctrl-C."""

import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from flows.commands import models, stack
from flows.commands.console import one_line_errors, running_flow
from flows.fresh import STAGES, STAGES_OF_ABLATION
from flows.presets import load_config, preset_names
from pipeline.ablation.systems import plan_ablation
from pipeline.errors import InputError
from pipeline.overrides import field_help, parse_overrides
from pipeline.store.stages import StageName

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Train attention seq2seq translation models and register them in MLflow.",
)
Preset = Annotated[str, typer.Option("--preset", "-p", help="a name that `nmt presets` lists, or a .yaml file")]
Override = Annotated[
    list[str] | None, typer.Option("--set", "-s", metavar="FIELD=VALUE", help="such as training.epochs=3; repeatable")
]

Fresh = Annotated[bool, typer.Option("--fresh", help="make every stage anew, whatever the store has")]
FROM = "make this stage and those after it anew: "


@app.command()
@one_line_errors()
def train(
    preset: Preset = "captions",
    overrides: Override = None,
    fresh: Fresh = False,
    fresh_from: Annotated[str | None, typer.Option(metavar="STAGE", help=FROM + ", ".join(STAGES))] = None,
    as_json: Annotated[bool, typer.Option("--json", help="end with one line of JSON on standard output")] = False,
) -> None:
    """Train the model of a preset, score it and register it; what has not changed is taken from the store."""
    values = parse_overrides(overrides or [])
    load_config(preset, values)  # Refused before the servers start, let alone a download.
    first = _first_fresh(fresh, fresh_from, STAGES)
    with running_flow("flows.train") as flow:
        result = flow.train(preset=preset, overrides=values, fresh=first)
    if as_json:
        print(json.dumps(result, ensure_ascii=False))  # noqa: T201
    else:
        _print_result(result)


def _first_fresh(everything: bool, first: str | None, stages: Mapping[str, StageName]) -> str | None:
    if first is not None and first not in stages:
        raise InputError(f"--fresh-from {first}: there is no such stage; choose one of {', '.join(stages)}")
    return "all" if everything else first


def _print_result(result: dict[str, Any]) -> None:
    # Imported where they are needed: both take seconds, and a mistake on the command line is reported at once.
    from pipeline.evaluation.tables import score_table
    from pipeline.metrics.metrics import headline_metrics

    console = Console(highlight=False)
    headings, rows = score_table(result["scores"])
    scores = Table()
    for heading in headings:
        scores.add_column(heading, justify="left" if heading == "split" else "right")
    for row in rows:
        scores.add_row(*row)
    console.print(scores)
    for metric in headline_metrics():
        console.print(f"{metric.title}: {result['scores']['signatures'][metric.key]}", markup=False, soft_wrap=True)
    console.print()
    with Path(result["translations"]).open(encoding="utf8", newline="\n") as lines:
        for _, line in zip(range(3), lines, strict=False):
            row = json.loads(line)
            for key in ("source", "translation", "reference"):
                console.print(f"{key:<12} {row[key]}", markup=False, soft_wrap=True)
            console.print()
    console.print(f"model {result['model_uri']} ({result['decision']})", markup=False, soft_wrap=True)
    console.print(f"in {result['tracking_uri']}", markup=False, soft_wrap=True)
    nmt = "nmt" if shutil.which("nmt") else sys.argv[0]  # As `make run` calls it, it is not on the path.
    model = result["model_uri"].split("/")[1]
    console.print("\nnext:")
    for command in (
        f"echo 'Ein Hund läuft durch den Park.' | {nmt} translate --model {model}",
        f"{nmt} ui",
        f"{nmt} train --preset {result['preset']} --set training.epochs=8",
        f"{nmt} presets --fields",
    ):
        console.print(f"  {command}", markup=False, soft_wrap=True)


@app.command()
@one_line_errors()
def ablate(
    preset: Preset = "captions",
    overrides: Override = None,
    fresh: Fresh = False,
    fresh_from: Annotated[str | None, typer.Option(metavar="STAGE", help=FROM + ", ".join(STAGES_OF_ABLATION))] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="trainings of every system; else the preset's")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="end with one line of JSON on standard output")] = False,
) -> None:
    """Train and compare a ladder of systems, from the bare network to input feeding, and the scores of attention."""
    values = parse_overrides(overrides or []) | ({} if seeds is None else {"ablation.seeds": seeds})
    plan_ablation(load_config(preset, values))  # All systems are refused before the servers start, or none.
    first = _first_fresh(fresh, fresh_from, STAGES_OF_ABLATION)
    with running_flow("flows.ablation") as flow:
        result = flow.ablation(preset=preset, overrides=values, fresh=first)
    if as_json:
        print(json.dumps(result, ensure_ascii=False))  # noqa: T201
        return
    # Raw, so that it can be pasted into an issue or a README.
    print(result["markdown"])  # noqa: T201
    print(f"report {result['report']}")  # noqa: T201
    print(f"{len(result['pictures'])} pictures beside it, such as {Path(result['pictures'][0]).name}")  # noqa: T201
    print(f"MLflow run {result['run_id']} in {result['tracking_uri']}")  # noqa: T201


models.add_to(app)


@app.command()
@one_line_errors()
def presets(
    fields: Annotated[bool, typer.Option("--fields", help="list every field, its default and its meaning")] = False,
) -> None:
    """List the presets, or the fields that `--set` takes."""
    table = Table(*(("field", "default", "meaning") if fields else ("preset", "meaning")))
    rows = field_help() if fields else ((name, load_config(name, {}).description) for name in preset_names())
    for row in rows:
        table.add_row(*row)
    Console().print(table)


@app.command()
@one_line_errors()
def ui(
    host: Annotated[str, typer.Option(help="address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="port to listen on")] = 5000,
) -> None:
    """Open the experiments and registered models in MLflow's UI."""
    from infra.stack import use_running_stack
    from infra.ui import serve_ui

    use_running_stack()
    serve_ui(host, port)


stack.add_to(app)
