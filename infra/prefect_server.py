"""The stack's Prefect server: `python -m infra.prefect_server HOST PORT NAME...`.

It is what `prefect server start` runs, but answers requests to the given host names only: a web page whose name is made
to point at this machine (DNS rebinding) is not among them.
"""

import sys

import uvicorn

from infra.prefect_internals import make_server

KEEP_ALIVE_SECONDS = 5
"""As `prefect server start`."""


def main() -> None:
    """Serve until SIGTERM."""
    host, port, *names = sys.argv[1:]
    uvicorn.run(
        make_server(names), host=host, port=int(port), log_level="warning", timeout_keep_alive=KEEP_ALIVE_SECONDS
    )


if __name__ == "__main__":
    main()
