"""A registered model behind MLflow's server and behind ours: the same answers as offline, to everything, at once."""

import concurrent.futures
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from flows.commands.app import app
from pipeline.corpus.captions import generate_pairs
from pipeline.serving.protocol import MAX_BODY_BYTES
from tests.conftest import free_port
from tests.flows.conftest import FinishedRun

SENTENCES = [source for source, _ in generate_pairs(48, seed=9)]
TOKEN = "the-token-of-the-tests"  # noqa: S105


@pytest.fixture(scope="module")
def offline(finished_run: FinishedRun) -> list[str]:
    run = finished_run.nmt.run("translate", text="".join(f"{line}\n" for line in SENTENCES))
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()


@pytest.fixture(scope="module", params=["nmt", pytest.param("mlflow", marks=pytest.mark.slow)])
def url(request: pytest.FixtureRequest, finished_run: FinishedRun) -> Iterator[str]:
    """Either server, with the champion."""
    port = free_port()
    bin_folder = Path(sys.executable).parent
    if request.param == "mlflow":
        program = [str(bin_folder / "mlflow"), "models", "serve", "-m", "models:/captions@champion"]
        command = [*program, "--env-manager", "local", "--port", str(port)]
        environment = {"MLFLOW_TRACKING_URI": finished_run.tracking_uri, "OMP_NUM_THREADS": "1"}
    else:
        command = [str(bin_folder / "nmt"), "serve", "--port", str(port), "--max-replicas", "1"]
        environment = {"NMT_HOME": str(finished_run.nmt.folder / ".nmt"), "NMT_SERVE_TOKEN": TOKEN}
    path = {"PATH": f"{bin_folder}:{os.environ['PATH']}"}  # MLflow starts uvicorn by its name.
    log = finished_run.nmt.folder / f"serve-{port}.log"
    with log.open("w") as messages:
        process = subprocess.Popen(
            command,
            env=finished_run.nmt.environment | environment | path,
            stderr=messages,
            stdout=messages,
            start_new_session=True,
            # A shell that starts the tests in the background has them, and all their children, ignore Ctrl-C.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        address = f"http://127.0.0.1:{port}"
        for _ in range(1800):
            assert process.poll() is None, log.read_text()
            if _alive(address) and (request.param == "mlflow" or "answers at" in log.read_text()):
                break
            time.sleep(0.1)
        yield address
        os.killpg(process.pid, signal.SIGINT)  # As a terminal does.
        process.wait(60)
    if request.param == "nmt":
        assert process.returncode == 0, log.read_text()
        lines = [
            line for line in log.read_text().splitlines() if not line.startswith(("ERROR", "Traceback", " ", "ray."))
        ]
        assert lines[-2].endswith("Ctrl-C stops it"), log.read_text()  # Ray's own metrics may come too late.
        assert lines[-1] == "stopping", log.read_text()
    for _ in range(100):
        table = subprocess.run(["ps", "-eo", "pgid=,stat=,args="], capture_output=True, text=True, check=True).stdout
        rows = [row.split(maxsplit=2) for row in table.splitlines()]
        left = [row for row in rows if row[0] == str(process.pid) and not row[1].startswith("Z")]
        if not left:
            break
        time.sleep(0.1)
    assert not left, "Ctrl-C ends all of it"


def _alive(address: str) -> bool:
    try:
        return httpx.get(f"{address}/ping").status_code == 200
    except httpx.HTTPError:
        return False


def ask(url: str, content: Any, **options: Any) -> httpx.Response:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"} | options.pop("headers", {})
    return httpx.post(f"{url}/invocations", content=body, headers=headers, timeout=60, **options)


def test_health_and_version(url: str) -> None:
    for path in ("/ping", "/health"):
        answer = httpx.get(url + path)
        assert (answer.status_code, answer.text) == (200, "\n")
    assert httpx.get(f"{url}/version", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200


def test_it_listens_on_loopback_alone_at_all_of_its_ports(url: str) -> None:
    """Also at those of Ray Serve's replicas, which would unpickle whatever anybody sends them."""
    found = [
        (str(c.laddr[0]), int(c.laddr[1]), os.getpgid(c.pid))
        for c in psutil.net_connections("inet")
        if c.status == psutil.CONN_LISTEN and len(c.laddr) == 2 and c.pid
    ]
    group = next(group for _, port, group in found if port == int(url.rpartition(":")[2]))
    assert {address for address, _, each in found if each == group} <= {"127.0.0.1", "::ffff:127.0.0.1", "::1"}


def test_many_clients_at_once_are_answered_as_offline(url: str, offline: list[str]) -> None:
    requests = [(place, min(len(SENTENCES), place + 1 + place % 4)) for place in range(len(SENTENCES))]
    with concurrent.futures.ThreadPoolExecutor(16) as clients:
        answers = list(clients.map(lambda places: ask(url, {"inputs": SENTENCES[slice(*places)]}), requests))
    assert [answer.status_code for answer in answers] == [200] * len(answers)
    for (first, last), answer in zip(requests, answers, strict=True):
        assert answer.json()["predictions"] == offline[first:last]


def test_parameters_and_objects(url: str, offline: list[str]) -> None:
    plain = ask(url, {"inputs": [SENTENCES[0], ""], "params": {"scores": True}}).json()["predictions"]
    assert [[found["text"] for found in row["hypotheses"]] for row in plain] == [[offline[0]], []]
    several = ask(url, {"inputs": SENTENCES[:2], "params": {"beam": 4, "n_best": 3, "length_penalty": 0.5}}).json()
    for row in several["predictions"]:
        scores = [found["score"] for found in row["hypotheses"]]
        assert len(scores) == 3
        assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"inputs": ["x"], "params": {"beam": 0}}, "beam=0 must be at least 1"),
        ({"inputs": ["x"], "params": {"beam": 10**6}}, "beam=1000000 must be at most 100"),
        ({"inputs": ["x"], "params": {"beam": "many"}}, "beam"),
        ({"inputs": ["x"], "params": {"scores": 1.5}}, "scores"),
        ({"inputs": ["x" * 9000], "params": {"long_lines": "refuse"}}, "max_source_length"),
        ({"inputs": [1, None]}, ""),
        ({"inputs": [["x"]]}, ""),
        ({"inputs": ["\ud800"]}, "surrogate"),
        ({"sentences": ["x"]}, "inputs"),
        (b'{"inputs": ["x"]', "JSON"),
        (b"\xff", ""),
        (b"", ""),
    ],
)
def test_a_bad_request_is_refused_with_a_reason(url: str, content: Any, message: str) -> None:
    answer = ask(url, content)
    assert 400 <= answer.status_code < 500, answer.text
    assert message in answer.json()["message"]
    assert "Traceback" not in answer.json()["message"]


@pytest.mark.parametrize(
    "line",
    ["", "   ", "\u0000\u001b[31m", "\u202eשלום مرحبا", "👩‍👩‍👧 🇩🇪", "漢字かな交じり文", "\ufdfa" * 50, "a" * 100_000],
    ids=["empty", "blank", "control", "right to left", "emoji", "other script", "ligature", "no blank"],
)
def test_strange_lines_are_answered(url: str, line: str) -> None:
    answer = ask(url, {"inputs": [line, SENTENCES[0]], "params": {"beam": 1, "max_length": 5}})
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["predictions"]) == 2


VALUES = st.none() | st.booleans() | st.integers(-3, 200) | st.floats() | st.text(max_size=5)
PARAMETERS = st.sampled_from(["beam", "n_best", "top_k", "temperature", "max_length", "min_length", "seed", "scores"])


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.text(max_size=20) | VALUES, max_size=3), st.dictionaries(PARAMETERS, VALUES, max_size=3))
def test_any_request_is_answered_or_refused(url: str, inputs: list[Any], parameters: dict[str, Any]) -> None:
    answer = ask(url, {"inputs": inputs, "params": parameters})
    assert answer.status_code == 200 or 400 <= answer.status_code < 500, (inputs, parameters, answer.text)


def is_mlflow(url: str) -> bool:
    return httpx.get(f"{url}/version").status_code == 200  # It knows no accounts.


@pytest.mark.parametrize(
    "content",
    [
        {"inputs": SENTENCES[0]},
        {"instances": SENTENCES[:1]},
        {"dataframe_records": [{"de": SENTENCES[0]}]},
        {"dataframe_split": {"columns": ["de"], "data": [SENTENCES[:1]]}},
    ],
)
def test_ours_takes_all_that_the_protocol_knows(url: str, offline: list[str], content: dict[str, Any]) -> None:
    answer = ask(url, content)
    if is_mlflow(url):
        assert answer.status_code == 400, "it follows the model's signature"
    else:
        assert answer.json() == {"predictions": offline[:1]}


def test_how_the_two_differ(url: str, offline: list[str]) -> None:
    """As the README says."""
    unknown = ask(url, {"inputs": SENTENCES[:1], "params": {"beem": 3}})
    headers = {"Authorization": f"Bearer {TOKEN}"}
    untyped = httpx.post(f"{url}/invocations", content=json.dumps({"inputs": SENTENCES[:1]}), headers=headers)
    assert "content-type" not in untyped.request.headers
    table = ask(url, b"de\nEin Hund.\n", headers={"Content-Type": "application/xml"})
    assert table.status_code == 415
    if is_mlflow(url):
        assert unknown.json() == {"predictions": offline[:1]}
        assert untyped.status_code == 500
    else:
        assert unknown.json()["message"].startswith("params.beem: there is no such parameter; there are beam,")
        assert untyped.json() == {"predictions": offline[:1]}


def test_a_body_that_is_too_large(url: str) -> None:
    if not is_mlflow(url):
        answer = ask(url, b" " * (MAX_BODY_BYTES + 1))
        assert (answer.status_code, answer.json()["error_code"]) == (413, "REQUEST_LIMIT_EXCEEDED")


def test_ours_asks_for_the_token(url: str) -> None:
    if is_mlflow(url):
        pytest.skip("MLflow's scoring server knows no accounts")
    for path in ("/-/routes", "/-/healthz"):  # Ray Serve's own.
        assert httpx.get(url + path).status_code == 401
    for header in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN[:-1]}):
        answer = httpx.post(f"{url}/invocations", json={"inputs": ["x"]}, headers=header)
        assert (answer.status_code, answer.json()["error_code"]) == (401, "UNAUTHENTICATED")
    assert httpx.get(f"{url}/other", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 404
    assert httpx.get(f"{url}/invocations", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 405


def test_what_would_take_ours_from_others(url: str, offline: list[str]) -> None:
    """A request that asks for too much is refused, and one that takes long lets others pass; a model is behind it."""
    if is_mlflow(url):
        pytest.skip("MLflow's scoring server has no limits")
    attack = {"beam": 100, "n_best": 100, "attention": True, "max_source_length": 10_000}
    refused = ask(url, {"inputs": ["Ein Hund läuft durch den Park. " * 45], "params": attack})
    assert (refused.status_code, refused.json()["error_code"]) == (413, "REQUEST_LIMIT_EXCEEDED")
    lines = ["Ein Hund läuft."] * 4000
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        large = pool.submit(ask, url, {"inputs": lines})
        while not large.done():
            small = ask(url, {"inputs": SENTENCES[:1]})
            assert small.json()["predictions"] == offline[:1]
            if not large.done():
                break
        else:
            pytest.fail("the large request kept the small one waiting to its end")
    assert len(large.result().json()["predictions"]) == len(lines)
    client = socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])))
    body = json.dumps({"inputs": lines, "params": {"seed": 7}}).encode()
    head = (
        f"POST /invocations HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {len(body)}"
    )
    client.sendall(f"{head}\r\n\r\n".encode() + body)
    client.close()
    assert ask(url, {"inputs": SENTENCES[:1]}).json()["predictions"] == offline[:1]


@pytest.mark.parametrize(
    ("token", "message"),
    [
        ("short", "a token of 5 characters can be guessed; use 16 or more, such as those of `openssl rand -hex 32`"),
        ("sechzehn_Zeichen_mit_ä", "not all clients can send it in a header; use letters and digits of ASCII"),
        ("sixteen letters, blank", "not all clients can send it in a header; use letters and digits of ASCII"),
    ],
)
def test_tokens_that_are_none(monkeypatch: pytest.MonkeyPatch, token: str, message: str) -> None:
    monkeypatch.setenv("NMT_SERVE_TOKEN", token)
    run = CliRunner().invoke(app, ["serve", "--port", str(free_port())])
    assert (run.exit_code, run.stderr) == (2, f"nmt: NMT_SERVE_TOKEN: {message}\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--host", "0.0.0.0"], "--host 0.0.0.0: others can reach it; set NMT_SERVE_TOKEN in the environment"),  # noqa: S104
        (["--model", "captoins"], "--model captoins: no model of that name"),
    ],
)
def test_what_cannot_be_served(finished_run: FinishedRun, arguments: list[str], message: str) -> None:
    run = finished_run.nmt.run("serve", "--port", str(free_port()), *arguments)
    assert run.returncode == 2, run.stderr
    assert message in run.stderr.splitlines()[-1]
    assert "Traceback" not in run.stderr
