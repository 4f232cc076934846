"""The command `nmt`, also `python -m flows.commands`: from its first moment on, Ctrl-C gets one line."""

import os
import sys

import pipeline.gc_tuning  # noqa: F401 (first)
from flows.commands.streams import whole_output


def main() -> None:
    """Run the command line and end the process."""
    # The processes that it starts must not import the user's model.py, only because it is in the current folder.
    os.environ.setdefault("PYTHONSAFEPATH", "1")
    with whole_output():
        try:
            from flows.commands.app import app
        except KeyboardInterrupt:
            print("nmt: stopped", file=sys.stderr)  # noqa: T201
            sys.exit(130)
        app()


if __name__ == "__main__":
    main()
