"""Looking whether a server answers tells it no secret but its own."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from infra.options import StackOptions
from infra.probes import answers
from infra.secrets import PREFECT_SERVER_AUTH
from infra.services import MLFLOW, PREFECT, RAY, WORKER, services

AUTH = "engineer:of-prefect"
TOKEN = "of-ray-0123456789"  # noqa: S105


@pytest.fixture
def heard() -> Iterator[tuple[int, list[str | None]]]:
    """The port of a server that answers everything, and the secrets that it is sent."""
    secrets: list[str | None] = []

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            secrets.append(self.headers["Authorization"])
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"[]")

        do_GET = do_POST = answer

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port, secrets
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("name", "sent"), [(PREFECT, None), (MLFLOW, None), (RAY, f"Bearer {TOKEN}"), (WORKER, "Basic ")]
)
def test_each_server_is_sent_its_own_secret_at_most(
    name: str,
    sent: str | None,
    heard: tuple[int, list[str | None]],
    tmp_path: Path,
    nmt_home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert nmt_home
    monkeypatch.setenv(PREFECT_SERVER_AUTH, AUTH)
    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
    port, secrets = heard
    options = StackOptions(prefect_port=port, mlflow_port=port, dashboard_port=port)
    services(options, tmp_path)[name].ready()
    (secret,) = secrets
    assert secret == sent or (sent == "Basic " and str(secret).startswith(sent))


def test_what_does_not_answer_is_no_error() -> None:
    assert not answers("http://127.0.0.1:9/")
