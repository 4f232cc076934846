"""The command `nmt`, also `python -m flows.commands`: from its first moment on, Ctrl-C gets one line."""

import sys

import pipeline.gc_tuning  # noqa: F401 (first)


def main() -> None:
    """Run the command line and end the process."""
    try:
        from flows.commands.app import app
    except KeyboardInterrupt:
        print("nmt: stopped", file=sys.stderr)  # noqa: T201
        sys.exit(130)
    app()


if __name__ == "__main__":
    main()
