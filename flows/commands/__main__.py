"""The command `nmt`, also `python -m flows.commands`: from its first moment on, Ctrl-C gets one line."""

import os
import sys
import threading

import pipeline.gc_tuning  # noqa: F401 (first)
from flows.commands.streams import whole_output

LAST_SECONDS = 20.0


def main() -> None:
    """Run the command line and end the process."""
    # The processes that it starts must not import the user's model.py, only because it is in the current folder.
    os.environ.setdefault("PYTHONSAFEPATH", "1")
    try:
        with whole_output():
            try:
                from flows.commands.app import app
            except KeyboardInterrupt:
                print("nmt: stopped", file=sys.stderr)  # noqa: T201
                sys.exit(130)
            app()
    except SystemExit as ending:
        _end_within(LAST_SECONDS, ending.code if isinstance(ending.code, int) else bool(ending.code))
        raise


def _end_within(seconds: float, code: int) -> None:
    """End the process with its exit code, by force after so many seconds.

    Prefect's threads send what is left of their logs and events when the process ends, and try for minutes if its
    server is gone. All that the command was asked for is done and written by then.
    """
    timer = threading.Timer(seconds, os._exit, (int(code),))
    timer.daemon = True
    timer.start()


if __name__ == "__main__":
    main()
