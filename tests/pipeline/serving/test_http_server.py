"""The door of `nmt serve` against clients that are slow, large, gone, or other people's pages."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from typing import Any

import httpx
import pytest

from pipeline.errors import InputError
from pipeline.serving import http_server
from pipeline.serving.http_server import Door, Front, listening
from pipeline.serving.protocol import MAX_BODY_BYTES, Invocation, Reply

TOKEN = "a-token-of-the-tests"  # noqa: S105
KNOWN = {"beam": 5, "n_best": 1, "max_source_length": 100, "attention": False, "scores": False}


class Model:
    """Answers with the lines that it was asked for; `wait` waits until its client is gone."""

    def __init__(self) -> None:
        self.cancelled: list[str] = []
        self.asked = threading.Event()

    async def __call__(self, invocation: Invocation) -> Reply:
        self.asked.set()
        if invocation.lines[:1] == ["wait"]:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                self.cancelled.append("wait")
                raise
        return Reply(200, {"predictions": invocation.lines})


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def url(model: Model, request: pytest.FixtureRequest) -> Iterator[str]:
    """A service; a test may set the parameters of its `Door`."""
    options = {"hosts": frozenset({"localhost", "mt.example"}), "token": None, "seconds": 30.0}
    door = Door(**options | getattr(request, "param", {}))
    with listening(Front(model, KNOWN, {"model": "models:/x/1"}, door), "127.0.0.1", 0) as address:
        yield address


def ask(url: str, *lines: str, **headers: str) -> httpx.Response:
    body = json.dumps({"inputs": lines}).encode()
    return httpx.post(f"{url}/invocations", content=body, headers=headers, timeout=30)


def connect(url: str) -> socket.socket:
    host, _, port = url.removeprefix("http://").rpartition(":")
    return socket.create_connection((host, int(port)), timeout=30)


def request_of(url: str, *headers: str, body: bytes = b"") -> bytes:
    lines = ("POST /invocations HTTP/1.1", f"Host: {url.removeprefix('http://')}", *headers, "", "")
    return "\r\n".join(lines).encode() + body


def answer_on(connection: socket.socket) -> tuple[int, str]:
    """Return the status and the message of an answer."""
    content = b""
    while part := connection.recv(2**16):
        content += part
    head, _, body = content.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)["message"]


def until(true: Callable[[], Any]) -> None:
    for _ in range(600):
        if true():
            return
        time.sleep(0.05)
    pytest.fail("it did not happen")


def test_what_is_let_in_is_answered(url: str) -> None:
    assert ask(url, "Hund", "Katze").json() == {"predictions": ["Hund", "Katze"]}
    assert httpx.get(f"{url}/version").json() == {"model": "models:/x/1"}
    assert httpx.get(f"{url}/ping").text == httpx.get(f"{url}/health/").text == "\n"
    for path in ("/-/routes", "/-/healthz", "/"):
        assert httpx.get(url + path).status_code == 404


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "localhost"}, 200),
        ({"host": "LocalHost.:80"}, 200),
        ({"host": "mt.example:8000"}, 200),
        ({"host": "[::1]:8000"}, 200),
        ({"host": "192.0.2.7"}, 200),
        ({"host": "attacker.example"}, 403),
        ({"host": "attacker.example:8000"}, 403),
        ({"host": "localhost@attacker.example"}, 403),
        ({"host": "localhost.attacker.example"}, 403),
        ({"host": "[::1"}, 403),
        ({"host": ""}, 403),
        ({"host": "localhost", "origin": "http://localhost"}, 200),
        ({"host": "localhost", "origin": "http://attacker.example"}, 403),
        ({"host": "localhost", "origin": "http://localhost:3000"}, 403),
        ({"host": "localhost", "origin": "null"}, 403),
        ({"host": "localhost", "origin": "http://["}, 403),
        ({"host": "localhost/attacker.example"}, 403),
        ({"host": "localhost", "content-type": "text/plain"}, 415),
    ],
)
def test_pages_of_other_sites_are_not_answered(url: str, headers: dict[str, str], status: int) -> None:
    answer = ask(url, "Hund", **headers)
    assert answer.status_code == status, answer.text
    if status == 403:
        assert answer.json()["error_code"] == "FORBIDDEN"
        assert httpx.get(f"{url}/ping", headers=headers).status_code == 403


@pytest.mark.parametrize("url", [{"token": TOKEN}], indirect=True)
def test_without_the_token_nothing_is_told(url: str) -> None:
    for header in ("", "Bearer", f"Bearer {TOKEN[:-1]}", f"Bearer x{TOKEN}", f"Basic {TOKEN}"):
        assert ask(url, "Hund", authorization=header).status_code == 401
    for path in ("/invocations", "/version", "/-/routes", "/-/healthz", "/docs"):
        assert httpx.get(url + path).status_code == 401
    assert ask(url, "Hund", authorization=f"Bearer {TOKEN}").status_code == 200


def test_a_large_body_is_refused_before_it_is_there(url: str) -> None:
    with closing(connect(url)) as client:
        client.sendall(request_of(url, "Content-Length: 600000000"))
        assert answer_on(client) == (413, "600,000,000 bytes are more than 4,194,304; send fewer lines at once")
    sent = 0
    with closing(connect(url)) as client:
        client.sendall(request_of(url, "Transfer-Encoding: chunked"))
        part = b"%x\r\n" % 2**20 + b" " * 2**20 + b"\r\n"
        while sent < 2 * MAX_BODY_BYTES:
            client.sendall(part)
            sent += 2**20
        status, message = answer_on(client)
        assert status == 413
        assert message.endswith("bytes are more than 4,194,304; send fewer lines at once")


def test_more_than_may_be_asked_for_is_refused(url: str) -> None:
    def refused(lines: list[str], **parameters: Any) -> str:
        body = json.dumps({"inputs": lines, "params": parameters})
        answer = httpx.post(f"{url}/invocations", content=body, timeout=30)
        assert (answer.status_code, answer.json()["error_code"]) == (413, "REQUEST_LIMIT_EXCEEDED")
        return str(answer.json()["message"])

    assert refused(["x"] * 40_000) == "40,000 lines are more than 4,096; send fewer lines at once"
    attack = {"beam": 100, "n_best": 100, "attention": True, "max_source_length": 10_000}
    assert refused(["Ein Hund. " * 130], **attack).startswith(
        "beam=100, n_best=100, max_source_length=10000, attention=T"
    )


def test_slow_bodies_hold_nobody(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "BODY_SECONDS", 1)
    clients = [connect(url) for _ in range(200)]
    for client in clients:
        client.sendall(request_of(url, "Content-Length: 100", body=b'{"inputs'))
    assert ask(url, "Hund").status_code == 200, "while all of them wait"
    for client in clients:
        assert answer_on(client) == (408, "8 bytes of the body came in 1 seconds; send it faster")
        client.close()


def test_slow_headers_and_too_many_connections(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "HEAD_SECONDS", 0.5)
    monkeypatch.setattr(http_server, "MOST_CONNECTIONS", 20)
    clients = [connect(url) for _ in range(30)]
    for client in clients[:20]:
        client.sendall(b"POST /invocations HTTP/1.1\r\nX-Slow: ")
    for client in clients:
        with suppress(ConnectionResetError):
            assert client.recv(10) == b"", "it is closed without an answer"
        client.close()
    until(lambda: ask(url, "Hund").status_code == 200)


def test_no_more_requests_than_can_be_kept(url: str, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "MOST_REQUESTS", 1)
    with closing(connect(url)) as client:
        client.sendall(request_of(url, "Content-Length: 20", body=b'{"inputs": ["wait"]}'))
        assert model.asked.wait(30)
        refused = ask(url, "Hund")
        assert (refused.status_code, refused.json()["message"]) == (
            503,
            "1 requests are waiting, and no more may; repeat it later",
        )
    until(lambda: ask(url, "Hund").status_code == 200)


def test_a_client_that_is_gone_is_forgotten(url: str, model: Model) -> None:
    with closing(connect(url)) as client:
        client.sendall(request_of(url, "Content-Length: 20", body=b'{"inputs": ["wait"]}'))
        assert model.asked.wait(30)
        assert not model.cancelled
    until(lambda: model.cancelled == ["wait"])


@pytest.mark.parametrize("url", [{"seconds": 0.5}], indirect=True)
def test_a_request_has_its_time(url: str, model: Model) -> None:
    answer = ask(url, "wait")
    assert answer.status_code == 503
    limit = "the 0.5 seconds that a request may take (--request-seconds)"
    assert answer.json()["message"] == f"not answered within {limit}; send fewer lines, or repeat it later"
    until(lambda: model.cancelled == ["wait"])


def test_many_at_once_on_one_connection_each(url: str) -> None:
    with httpx.Client(base_url=url) as client, ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda n: client.post("/invocations", json={"inputs": [str(n)]}).json(), range(200)))
    assert answers == [{"predictions": [str(number)]} for number in range(200)]


def test_the_address_of_ipv6_and_a_port_that_is_taken(model: Model) -> None:
    front = Front(model, KNOWN, {}, Door(frozenset({"localhost"}), None, 30))
    with listening(front, "::1", 0) as address:
        assert address.startswith("http://[::1]:")
        assert ask(address, "Hund").status_code == 200
        port = int(address.rpartition(":")[2])
        with (
            pytest.raises(InputError, match=f"--port {port}: Address already in use; choose another"),
            listening(front, "::1", port),
        ):
            pass
