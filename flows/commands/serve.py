"""`nmt serve`: a registered model answers requests until it is stopped."""

import os
import signal
import sys
import threading
from typing import Any

from infra.options import is_loopback, own_hosts
from infra.processes import busy
from pipeline.errors import InputError

TOKEN = "NMT_SERVE_TOKEN"  # noqa: S105 - its name
TOKEN_CHARACTERS = 16


def serve_until_stopped(model: str, host: str, port: int, **options: Any) -> None:
    """Serve a model until Ctrl-C or SIGTERM, with the options of `pipeline.cluster.serving.Serving`.

    Raises InputError for an address other than loopback without a token, a token that is too easy to guess, a busy
    port, an unknown model or replicas that the cluster does not have.
    """
    token = _token()
    if token is None and not is_loopback(host):
        raise InputError(
            f"--host {host}: others can reach it; set {TOKEN} in the environment to the token they must send"
        )
    reason = busy(host, port)
    if reason:
        raise InputError(f"--port {port}: {reason}; choose another")
    from infra.running_stack import use_running_stack
    from pipeline.store.writable import check_home

    check_home()
    use_running_stack()
    # After the checks above, since these imports take seconds; and after the stack, since Ray reads as it is imported
    # whether to send a token.
    from pipeline.cluster.serving import Serving, serving
    from pipeline.registry.pull import pull_model
    from pipeline.store.store import Store

    stopped = threading.Event()
    hosts = frozenset(name.lower() for name in own_hosts(host))
    pulled = pull_model(model, Store())
    _say(f"starting {pulled.uri}")
    with serving(pulled, Serving(host, port, token=token, hosts=hosts, **options), Store()) as address:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stopped.set())
        _say(f"{pulled.uri} answers at {address}/invocations; Ctrl-C stops it")
        stopped.wait()
        _say("stopping")


def _token() -> str | None:
    """Return the token that requests must bring; None if there is none."""
    token = os.environ.get(TOKEN) or None
    if token is not None and len(token) < TOKEN_CHARACTERS:
        raise InputError(
            f"{TOKEN}: a token of {len(token)} characters can be guessed; use {TOKEN_CHARACTERS} or more, such as "
            "those of `openssl rand -hex 32`"
        )
    if token is not None and not (token.isascii() and token.isprintable() and " " not in token):
        raise InputError(f"{TOKEN}: not all clients can send it in a header; use letters and digits of ASCII")
    return token


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201
