"""The command line `nmt`: one clear line and exit code 2 for what is wrong, 130 for Ctrl-C."""

import json
import logging
import os
import shutil
import sys
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from flows.presets import load_config, preset_names
from flows.view import CURRENT_VIEW, LogView, TerminalView
from pipeline.config import field_help, parse_overrides
from pipeline.errors import InputError, WorldError

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


@contextmanager
def one_line_errors() -> Iterator[None]:
    """End the process with one line for what is no bug; let a bug have its traceback.

    Around each command, and not around all: Typer ends the process for Ctrl-C in its own way, without a word.
    """
    try:
        yield
    except (InputError, WorldError) as error:
        _fail(str(error))
    except BrokenPipeError:
        # The reader of our output has left, as `head` does: not worth a word.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        _fail(f"{place}{error.strerror or error}; nothing half-written was kept: mend it and give the command again")
    except KeyboardInterrupt:
        print("nmt: stopped; give the same command again to go on", file=sys.stderr)  # noqa: T201
        sys.exit(130)


def _fail(message: str) -> None:
    print(f"nmt: {message}", file=sys.stderr)  # noqa: T201
    sys.exit(2)


@contextmanager
def _display() -> Iterator[None]:
    """Show a run on standard error: live on a terminal, one line an event elsewhere."""
    console = Console(stderr=True)
    view: LogView
    shown: AbstractContextManager[None]
    if console.is_terminal:
        view = terminal = TerminalView(console)
        shown = terminal.shown()
    else:
        view, shown = LogView(lambda line: print(line, file=sys.stderr, flush=True)), nullcontext()  # noqa: T201
    token = CURRENT_VIEW.set(view)
    try:
        with shown:
            yield
    finally:
        CURRENT_VIEW.reset(token)


@contextmanager
def _reachable_prefect() -> Iterator[None]:
    """Turn a Prefect server that does not answer into a WorldError."""
    try:
        yield
    except RuntimeError as error:
        if not str(error).startswith("Failed to reach API"):
            raise
        raise WorldError(f"PREFECT_API_URL: {error}; start that server or unset the variable") from None


def _quieten_libraries() -> None:
    """Keep the libraries' own logs off the console: errors arrive as exceptions, progress by our view."""
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    for name in ("alembic", "ray", "mlflow"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.simplefilter("ignore")


@app.command()
@one_line_errors()
def train(
    preset: Preset = "captions",
    overrides: Override = None,
    as_json: Annotated[bool, typer.Option("--json", help="end with one line of JSON on standard output")] = False,
) -> None:
    """Train the model of a preset, score it and register it; what has not changed is taken from the store."""
    values = parse_overrides(overrides or [])
    load_config(preset, values)  # Refused before the servers start, let alone a download.
    _quieten_libraries()
    from flows.server import start_temporary_server
    from flows.train import train as train_flow

    with _display(), _reachable_prefect():
        start_temporary_server()
        result = train_flow(preset=preset, overrides=values)
    if as_json:
        print(json.dumps(result, ensure_ascii=False))  # noqa: T201
    else:
        _print_result(result)


def _print_result(result: dict[str, Any]) -> None:
    console = Console(highlight=False)
    scores = Table()
    for heading in ("split", "sentences", "BLEU", "chrF", "perplexity"):
        scores.add_column(heading, justify="left" if heading == "split" else "right")
    for split in ("validation", "test"):
        figures = result["scores"][split]
        scores.add_row(
            split,
            f"{figures['sentences']:,}",
            *(f"{figures[key]:.2f}" for key in ("bleu", "chrf", "perplexity")),
        )
    console.print(scores)
    for metric, signature in result["scores"]["signatures"].items():
        console.print(f"{metric}: {signature}", markup=False, soft_wrap=True)
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
def translate(
    source: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="lines to translate; else stdin")] = None,
    model: Annotated[
        str, typer.Option("--model", "-m", help="registered model (its champion) or URI such as models:/captions/3")
    ] = "captions",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="file to write; else standard output")] = None,
) -> None:
    """Translate lines with a registered model: as many lines out as in, in order."""
    if source is not None and not source.is_file():
        raise InputError(f"{source}: there is no such file")
    if output is not None and not output.absolute().parent.is_dir():
        raise InputError(f"--output {output}: there is no folder {output.absolute().parent}")
    _quieten_libraries()
    from flows.translate import translate_file

    translate_file(model, source, output)


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
    from infra.ui import serve_ui

    serve_ui(host, port)


def main() -> None:
    """Run the command line and end the process."""
    app()
