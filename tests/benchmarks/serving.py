"""`make bench-serving`: requests and latency of a registered model behind MLflow's server and behind `nmt serve`.

Each client asks for one sentence, waits for the answer and asks for the next. Every answer is compared with the offline
translation of the same sentence. The clients run in a process of their own, on the same machine.

    python -m tests.benchmarks.serving --model captions --seconds 60 --clients 1 16
"""

import argparse
import http.client
import json
import os
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.corpus.captions import generate_pairs
from pipeline.evaluation.tables import markdown_table
from pipeline.registry.pull import LoadedModel, pull_model
from pipeline.registry.runs import tracking_uri
from pipeline.store.store import Store
from tests.conftest import free_port, server

BIN = Path(sys.executable).parent
HEADINGS = ("server", "clients", "sentences/s", "p50 ms", "p95 ms", "p99 ms", "errors", "other translations")


def client(port: int, lines: Sequence[str], expected: Sequence[str], end: float) -> list[tuple[float, str]]:
    """Ask for one sentence after the other until `end`; return the seconds of each, and what became of it."""
    found = []
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    place = threading.get_ident() % len(lines)
    while time.monotonic() < end:
        place = (place + 1) % len(lines)
        began = time.monotonic()
        try:
            body = json.dumps({"inputs": [lines[place]]})
            connection.request("POST", "/invocations", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            content = json.loads(answer.read())
            right = content.get("predictions") == [expected[place]]
            outcome = "error" if answer.status != 200 else "right" if right else "other"
        except (OSError, http.client.HTTPException):
            outcome = "error"
            connection.close()
        found.append((time.monotonic() - began, outcome))
    return found


def load(port: int, clients: int, seconds: float, lines: Sequence[str], expected: Sequence[str]) -> dict[str, Any]:
    """Run so many clients at once; return rate, latencies and errors."""
    end = time.monotonic() + seconds
    with ThreadPoolExecutor(clients) as pool:
        shares = list(pool.map(lambda _: client(port, lines, expected, end), range(clients)))
    found = [one for share in shares for one in share]
    times = np.array([taken for taken, _ in found]) * 1000
    outcomes = [outcome for _, outcome in found]
    return {
        "sentences/s": round(len(found) / seconds, 1),
        **{f"p{share} ms": round(float(np.percentile(times, share)), 1) for share in (50, 95, 99)},
        "errors": outcomes.count("error"),
        "other translations": outcomes.count("other"),
    }


def servers(model: str) -> dict[str, tuple[list[str], dict[str, str]]]:
    """Return what is measured: a command without its port, and its environment."""
    mlflow = [str(BIN / "mlflow"), "models", "serve", "-m", f"models:/{model}@champion", "--env-manager", "local"]
    nmt = [str(BIN / "nmt"), "serve", "--model", model]
    return {
        "mlflow models serve": (mlflow, {"MLFLOW_TRACKING_URI": tracking_uri(), "OMP_NUM_THREADS": "1"}),
        "nmt serve --max-replicas 1 --batch 1": ([*nmt, "--max-replicas", "1", "--batch", "1"], {}),
        "nmt serve --max-replicas 1": ([*nmt, "--max-replicas", "1"], {}),
        "nmt serve": (nmt, {}),
    }


def measure(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure every server with every number of clients."""
    lines = [source for source, _ in generate_pairs(2000, seed=77)]
    expected = LoadedModel(pull_model(arguments.model, Store()).path).predict(lines)
    rows = []
    with ProcessPoolExecutor(1, get_context("spawn")) as outside:
        for name, (command, environment) in servers(arguments.model).items():
            if arguments.only and name not in arguments.only:
                continue
            port = free_port()
            path = {"PATH": f"{BIN}:{os.environ['PATH']}"}
            with server([*command, "--port", str(port)], {**os.environ, **environment, **path}, port):
                _wait_until_it_answers(port)
                for clients in arguments.clients:
                    outside.submit(load, port, clients, arguments.warm, lines, expected).result()
                    found = outside.submit(load, port, clients, arguments.seconds, lines, expected).result()
                    rows.append({"server": name, "clients": clients, **found})
                    print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    return rows


def _wait_until_it_answers(port: int) -> None:
    for _ in range(600):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/ping")
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        time.sleep(0.2)
    raise RuntimeError(f"no server answers on {port}")


def main() -> None:
    """Print a table, and a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="captions")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--warm", type=float, default=15.0, help="seconds before, for replicas to be added")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--only", nargs="+", default=[], help="names of the servers, all else")
    arguments = parser.parse_args()
    rows = measure(arguments)
    print(markdown_table(HEADINGS, [[str(row[heading]) for heading in HEADINGS] for row in rows]))
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    machine = {"machine": platform.processor() or platform.machine(), "cpus": os.cpu_count()}
    print(json.dumps({"rows": rows, **machine, "commit": commit.stdout.strip()}))


if __name__ == "__main__":
    main()
