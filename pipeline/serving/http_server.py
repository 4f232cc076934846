"""The door of `nmt serve`: an HTTP server in this process that lets in what a model can answer [starlette, uvicorn].

Ray Serve's own proxy takes in a body of any size whether or not a replica reads it, lets a client choose its time
limit, and answers /-/routes to anybody: it is not started, and requests reach the replicas through a handle.
"""

import asyncio
import hashlib
import hmac
import ipaddress
import os
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import uvicorn
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from pipeline.errors import InputError
from pipeline.serving.limits import excess
from pipeline.serving.protocol import MAX_BODY_BYTES, Invocation, Reply, read_invocation, refusal, too_large

MOST_REQUESTS, MOST_CONNECTIONS = 512, 600
HELD_BYTES = 128 * 2**20
"""Bodies that are being read may take this much together."""
HEAD_SECONDS, BODY_SECONDS, LINGER_SECONDS = 10, 20, 2
"""How long a client may take for its headers and for its body; how long the rest of a refused body is still read."""
SENT_BYTES = 2**16
JSON = "application/json"
UNAVAILABLE = "TEMPORARILY_UNAVAILABLE"
Answer = Callable[[Invocation], Awaitable[Reply]]


@dataclass(frozen=True)
class Door:
    """Who is let in, and for how long."""

    hosts: frozenset[str]
    """The names, in lower case, by which this service is reached; addresses always are."""
    token: str | None
    seconds: float
    """How long a request may take, from its headers to its answer."""


class Front:
    """The endpoints of MLflow's protocol as an ASGI application."""

    def __init__(self, answer: Answer, usual: Mapping[str, Any], about: Mapping[str, str], door: Door) -> None:
        """Take what answers an invocation, the model's parameters with their defaults, and what /version says."""
        self._answer, self._usual, self._about, self._door = answer, usual, about, door
        self._token = None if door.token is None else _digest(door.token.encode())
        self._open = self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request. Its task ends without an answer where the client has left."""
        request = Request(scope, receive)
        path, method = scope["path"].rstrip("/"), request.method
        with suppress(ClientDisconnect):
            reply = self._stranger(request)
            if reply is None and method == "GET" and path in {"/ping", "/health"}:
                await Response("\n", media_type=JSON)(scope, receive, send)
                return
            reply = reply or await self._reply(path, method, request)
            await self._send(reply, request, send)

    def _stranger(self, request: Request) -> Reply | None:
        """Return the refusal of a request by a page of another site: under a name of its own, or from its origin."""
        given = request.headers.get("host", "")
        host = _hostname(given)
        if not (_is_address(host) or host in self._door.hosts):
            known = "NMT_ALLOWED_HOSTS names those of a proxy"
            return refusal(403, f"Host {given:.80}: this service is not reached by that name; {known}", "FORBIDDEN")
        origin = request.headers.get("origin")
        if origin is not None and origin.rpartition("://")[2].lower() != given.lower():
            return refusal(403, f"Origin {origin:.80}: pages of other sites are not answered", "FORBIDDEN")
        return None

    async def _reply(self, path: str, method: str, request: Request) -> Reply:
        if not self._is_known(request.headers.get("authorization", "")):
            return refusal(401, "a token is needed: send the header Authorization: Bearer <token>", "UNAUTHENTICATED")
        if method == "GET" and path == "/version":
            return Reply(200, dict(self._about))
        if path != "/invocations":
            return refusal(404, f"{path or '/':.80}: there are /invocations, /ping, /health and /version", "NOT_FOUND")
        if method != "POST":
            return refusal(405, f"{method} /invocations: use POST", "METHOD_NOT_ALLOWED")
        if self._open >= MOST_REQUESTS:
            return refusal(503, f"{self._open} requests are waiting, and no more may; repeat it later", UNAVAILABLE)
        self._open += 1
        try:
            async with asyncio.timeout(self._door.seconds):
                return await self._invocation(request)
        except TimeoutError:
            limit = f"the {self._door.seconds:g} seconds that a request may take (--request-seconds)"
            return refusal(503, f"not answered within {limit}; send fewer lines, or repeat it later", UNAVAILABLE)
        finally:
            self._open -= 1

    def _is_known(self, header: str) -> bool:
        given = _digest(header.removeprefix("Bearer ").encode())
        return self._token is None or hmac.compare_digest(given, self._token)

    async def _invocation(self, request: Request) -> Reply:
        body = await self._body(request)
        if isinstance(body, Reply):
            return body
        invocation = read_invocation(body, self._usual, request.headers.get("content-type"))
        del body
        if isinstance(invocation, Reply):
            return invocation
        return excess(invocation, self._usual) or await _unless_gone(self._answer(invocation), request)

    async def _body(self, request: Request) -> bytes | Reply:
        """Return a request's body, or its refusal as soon as it is known to be too large, or too slow."""
        length = request.headers.get("content-length", "0")
        if length.isdecimal() and int(length) > MAX_BODY_BYTES:
            return too_large(int(length))
        body = bytearray()
        try:
            async with asyncio.timeout(BODY_SECONDS):
                async for part in request.stream():
                    body += part
                    self._held += len(part)
                    if len(body) > MAX_BODY_BYTES:
                        return too_large(len(body))
                    if self._held > HELD_BYTES:
                        return refusal(503, "too many bodies are on their way; repeat it later", UNAVAILABLE)
        except TimeoutError:
            return refusal(408, f"{len(body):,} bytes of the body came in {BODY_SECONDS} seconds; send it faster")
        finally:
            self._held -= len(body)
        request.state.is_read = True
        return bytes(body)

    async def _send(self, reply: Reply, request: Request, send: Send) -> None:
        """Send a reply in parts, so that a client that does not read them holds no more than one of them."""
        body = reply.body()
        headers = [(b"content-type", JSON.encode()), (b"content-length", str(len(body)).encode())]
        unread = request.method == "POST" and not getattr(request.state, "is_read", False)
        if unread:
            headers.append((b"connection", b"close"))
        with suppress(TimeoutError):
            async with asyncio.timeout(self._door.seconds):
                await send({"type": "http.response.start", "status": reply.status, "headers": headers})
                for start in range(0, len(body), SENT_BYTES):
                    part = body[start : start + SENT_BYTES]
                    await send({"type": "http.response.body", "body": part, "more_body": True})
                if unread:
                    await _read_on(request)
                await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _unless_gone(answer: Awaitable[Reply], request: Request) -> Reply:
    """Return an answer; raise ClientDisconnect, and drop it, if the client leaves before."""
    task, gone = asyncio.ensure_future(answer), asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ClientDisconnect
    finally:
        task.cancel()
        gone.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _read_on(request: Request) -> None:
    """Read what a client still sends for a moment: closing on unread bytes would take the answer from it."""
    with suppress(TimeoutError):
        async with asyncio.timeout(LINGER_SECONDS):
            while (message := await request.receive())["type"] == "http.request" and message.get("more_body"):
                pass


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()


def _hostname(netloc: str) -> str:
    """Return the name or address in a Host header, in lower case; "" for what is none."""
    try:
        parts = urlsplit(f"//{netloc}")
    except ValueError:
        return ""
    return (parts.hostname or "").rstrip(".") if parts.netloc == netloc and "@" not in netloc else ""


def _is_address(host: str) -> bool:
    try:
        return bool(ipaddress.ip_address(host))
    except ValueError:
        return False


class _Connection(H11Protocol):
    """A connection that is closed if its client takes too long for the headers of a request, or if there are many."""

    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            transport.abort()
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._timer is not None:
            self._timer.cancel()

    def _watch(self) -> None:
        if self._has_request():
            if self._timer is not None:
                self._timer.cancel()
            self._timer = None
        elif self._timer is None:
            self._timer = self.loop.call_later(HEAD_SECONDS, self._expire)

    def _has_request(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _expire(self) -> None:
        self._timer = None
        if not self._has_request():
            self.transport.abort()


@contextmanager
def listening(front: Front, host: str, port: int) -> Iterator[str]:
    """Serve an application in a thread for as long as the context lasts; yield its address.

    Raises InputError if the port cannot be listened on.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=MOST_CONNECTIONS)
    except OSError as error:
        raise InputError(f"--port {port}: {os.strerror(error.errno or 0)}; choose another") from None
    config = uvicorn.Config(
        front,
        http=_Connection,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=5,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
