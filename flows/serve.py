"""`nmt serve`: a registered model answers requests until it is told to stop."""

import os
import signal
import sys
import threading
from dataclasses import replace
from ipaddress import ip_address

from infra.processes import busy
from pipeline.errors import InputError
from pipeline.pulled import pull_model
from pipeline.serving import Serving, serving
from pipeline.store import Store

TOKEN = "NMT_SERVE_TOKEN"  # noqa: S105 - its name


def serve_until_stopped(model: str, options: Serving) -> None:
    """Serve a model until Ctrl-C or SIGTERM.

    Raises InputError for an address other than loopback without a token, a busy port, an unknown model or replicas
    that the cluster does not have.
    """
    options = replace(options, token=os.environ.get(TOKEN) or None)
    if options.token is None and not _is_loopback(options.host):
        raise InputError(
            f"--host {options.host}: others can reach it; set {TOKEN} in the environment to what they must know"
        )
    reason = busy(options.host, options.port)
    if reason:
        raise InputError(f"--port {options.port}: {reason}; choose another")
    stopped = threading.Event()
    pulled = pull_model(model, Store())
    _say(f"starting {pulled.uri}")
    with serving(pulled, options, Store()) as address:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stopped.set())
        _say(f"{pulled.uri} answers at {address}/invocations; Ctrl-C ends it")
        stopped.wait()
        _say("stopping")


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201
