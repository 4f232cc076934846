"""What every command needs around it: errors in one line, progress on standard error, libraries that keep quiet."""

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib import import_module
from pathlib import Path
from typing import Any

from rich.console import Console

from flows.commands.streams import discard_output, fail
from flows.commands.terminal_view import TerminalView
from flows.progress import CURRENT_VIEW, LogView
from pipeline.errors import ExternalError, InputError
from pipeline.stopping import StoppedError

STOPPED = 75
"""The exit code of a run that was told to stop, and continues when it is run again: EX_TEMPFAIL of sysexits.h."""


@contextmanager
def one_line_errors() -> Iterator[None]:
    """End the process with one line for an error that is no bug; let a bug have its traceback.

    Around each command rather than around all, since Typer ends the process on Ctrl-C silently.
    """
    try:
        yield
    except (InputError, ExternalError) as error:
        fail(str(error))
    except BrokenPipeError:
        discard_output()  # Its reader has left, as `head` does: no error.
        sys.exit(141)
    except OSError as error:
        file = f"{error.filename}: " if error.filename else ""
        fail(f"{file}{error.strerror or error}; no partial output was kept; fix this and run the command again")
    except StoppedError as error:
        print(f"nmt: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(STOPPED)
    except KeyboardInterrupt:
        print("nmt: stopped; run the same command again to continue", file=sys.stderr)  # noqa: T201
        sys.exit(130)


class _OwnWords(logging.Handler):
    """Shows what our own code says among the lines of the run: warnings, and how far a stage is."""

    def __init__(self, view: LogView) -> None:
        super().__init__(logging.INFO)
        self._view = view

    def emit(self, record: logging.LogRecord) -> None:
        show = self._view.warned if record.levelno >= logging.WARNING else self._view.told
        show(record.getMessage())


@contextmanager
def _display() -> Iterator[None]:
    """Show a run on standard error: live on a terminal, elsewhere one line per event."""
    console = Console(stderr=True)
    view: LogView
    shown: AbstractContextManager[None]
    if console.is_terminal:
        view = terminal = TerminalView(console)
        shown = terminal.shown()
    else:
        view, shown = LogView(lambda line: print(line, file=sys.stderr, flush=True)), nullcontext()  # noqa: T201
    token, own_words, ours = CURRENT_VIEW.set(view), _OwnWords(view), logging.getLogger("pipeline")
    level = ours.level
    ours.addHandler(own_words)
    ours.setLevel(logging.INFO)
    try:
        with shown:
            yield
    finally:
        ours.removeHandler(own_words)
        ours.setLevel(level)
        CURRENT_VIEW.reset(token)


def quieten_libraries() -> None:
    """Keep the libraries' own logs off the console: errors arrive as exceptions, progress by our view."""
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    os.environ.setdefault("PREFECT_LOGGING_INTERNAL_LEVEL", "CRITICAL")  # Has a handler of its own.
    logging.raiseExceptions = False  # What a handler fails to log, such as Prefect's without its server.
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    for name in ("alembic", "ray", "mlflow"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.simplefilter("ignore")


@contextmanager
def running_flow(module: str) -> Iterator[Any]:
    """Yield the module of a flow, with a temporary Prefect server if none is named, and show its progress.

    Prefect is imported in here, so that mistakes found before a flow runs are reported at once.
    """
    quieten_libraries()
    from infra.running_stack import use_running_stack
    from pipeline.store.storage import check_storage
    from pipeline.store.writable import check_home

    check_storage()
    check_home()
    use_running_stack()
    _use_writable_prefect_home()
    from flows.server import reachable_prefect, start_temporary_server

    with _display(), reachable_prefect():
        until_it_answers = start_temporary_server()
        found = import_module(module)
        until_it_answers()
        yield found


def _use_writable_prefect_home() -> None:
    """Have Prefect keep its files in `$NMT_HOME` if its own folder cannot be written, as in many a container.

    Prefect reads the variable when it is imported, and makes the folder only in one that exists.
    """
    from pipeline.store.storage import home
    from pipeline.store.whole_files import make_private
    from pipeline.store.writable import obstacle

    given = os.environ.get("PREFECT_HOME")
    folder = Path(given or "~/.prefect").expanduser().absolute()
    reason = obstacle(folder)
    if given and reason:
        raise InputError(f"PREFECT_HOME={given}: {reason}; name a folder that can be written")
    if reason:
        folder = home() / "prefect"
        os.environ["PREFECT_HOME"] = str(folder)
    make_private(folder)
