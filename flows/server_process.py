"""The process of Prefect's temporary server: `python -m flows.server_process PARENT SOCKET`.

PARENT is the process that it ends with; SOCKET is the file descriptor of a listening socket inherited from it.
"""

import os
import socket
import sys
import threading
import time

CHECK_SECONDS = 1.0


def main() -> None:
    """Serve Prefect's API until the parent ends, no matter how."""
    parent, descriptor = map(int, sys.argv[1:])
    # Before the imports, which take seconds.
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    import uvicorn

    from infra.prefect_database import with_own_database
    from infra.prefect_internals import make_server

    config = uvicorn.Config(
        lambda: with_own_database(lambda: make_server(["127.0.0.1"], temporary=True)),
        factory=True,
        log_level="error",
        lifespan="on",
    )
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=descriptor)])


def _end_with(parent: int) -> None:
    """End this process once its parent has died, which every Unix shows by giving it another one.

    A pipe held open by the parent would show it too, unless some other child of the parent has inherited it.
    """
    while os.getppid() == parent:
        time.sleep(CHECK_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    main()
