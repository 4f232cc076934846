"""Requests and replies in MLflow's scoring protocol: plain functions, without a server.

POST /invocations {"inputs": ["Ein Hund.", ...], "params": {"beam": 3}}        see texts.py for other formats
200 {"predictions": ["A dog.", ...]}                         in the order of the inputs
400 {"error_code": "INVALID_PARAMETER_VALUE", "message": "beam=0 must be at least 1"}
"""

import json
import logging
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pipeline.errors import InputError
from pipeline.rows.readers import parse_json
from pipeline.serving.texts import FORMATS, INPUTS, read_texts

MAX_BODY_BYTES = 4 * 2**20
PARAMS = "params"
JSON = "application/json"
BAD_VALUE, BAD_REQUEST, INTERNAL = "INVALID_PARAMETER_VALUE", "BAD_REQUEST", "INTERNAL_ERROR"
TOO_LARGE = "REQUEST_LIMIT_EXCEEDED"
logger = logging.getLogger(__name__)


class Model(Protocol):
    """A model that can answer: a pulled one."""

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters that it accepts, with their defaults."""

    def predict(self, lines: list[str], parameters: Mapping[str, Any] | None = None) -> list[Any]:
        """Return one answer per line; raise ValueError for lines or parameters that it refuses."""


@dataclass(frozen=True)
class Invocation:
    """What one request to /invocations asks for."""

    lines: list[str]
    parameters: dict[str, Any]

    @property
    def group(self) -> str:
        """Equal for requests that can be answered together."""
        return json.dumps(self.parameters, sort_keys=True)


@dataclass(frozen=True)
class Reply:
    """The reply to a request."""

    status: int
    content: dict[str, Any]

    def body(self) -> bytes:
        """Return it as JSON."""
        return json.dumps(self.content, ensure_ascii=False).encode("utf8", "backslashreplace")


def refusal(status: int, message: str, code: str = BAD_REQUEST) -> Reply:
    """Return a reply that says what is wrong, in one line."""
    return Reply(status, {"error_code": code, "message": " ".join(message.split())})


def in_whole(reply: Reply, before: int) -> Reply:
    """Return the refusal of a slice with the number that its line has among all, of which `before` came earlier."""
    message = in_lines(str(reply.content.get("message", "")), before)
    return Reply(reply.status, reply.content | {"message": message})


def in_lines(message: str, before: int) -> str:
    """Return a model's message with the number of its line among all.

    >>> in_lines("line 2 has 120 tokens", 64)
    'line 66 has 120 tokens'
    """
    return re.sub(r"\bline (\d+)\b", lambda found: f"line {int(found[1]) + before}", message, count=1)


def too_large(size: int) -> Reply:
    """Return the refusal of a body of this many bytes, or more."""
    return refusal(413, f"{size:,} bytes are more than {MAX_BODY_BYTES:,}; send fewer lines at once", TOO_LARGE)


def read_invocation(body: bytes, known: Mapping[str, Any], content_type: str | None = None) -> Invocation | Reply:
    """Return what a request asks for, or the refusal of one that does not follow the protocol.

    `known` are the parameters of the model. Without a `content_type` the body is taken for JSON.
    """
    if len(body) > MAX_BODY_BYTES:
        return too_large(len(body))
    if content_type and not _is_json(content_type):
        return refusal(415, f"Content-Type {content_type:.80}: send {JSON}, in UTF-8")
    try:
        content = parse_json(body.decode())
    except UnicodeDecodeError as error:
        return refusal(400, f"the body is not UTF-8 ({error.reason} at byte {error.start})")
    except ValueError as error:
        return refusal(400, f"the body is not JSON ({error})")
    try:
        return _read(content, known)
    except InputError as error:
        return refusal(400, str(error), BAD_VALUE)


def _read(content: Any, known: Mapping[str, Any]) -> Invocation | Reply:
    if not isinstance(content, dict):
        return refusal(400, f'the body must be an object such as {{"{INPUTS}": ["Ein Hund."]}}')
    given = [name for name in FORMATS if name in content]
    others = [name for name in content if name not in (*FORMATS, PARAMS)]
    if others:
        return refusal(400, f"{others[0]:.40}: no such key; there are {', '.join(FORMATS)} and {PARAMS}")
    if len(given) != 1:
        return refusal(400, f"{' and '.join(given) or 'the body'}: send one of {', '.join(FORMATS)}")
    return Invocation(read_texts(given[0], content[given[0]]), _read_parameters(content.get(PARAMS), known))


def _is_json(content_type: str) -> bool:
    kind, *options = (part.strip().lower() for part in content_type.split(";"))
    charsets = [option.partition("=")[2].strip('"') for option in options if option.startswith("charset=")]
    return kind == JSON and all(charset in {"utf-8", "utf8"} for charset in charsets)


def _read_parameters(given: Any, known: Mapping[str, Any]) -> dict[str, Any]:
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise InputError(f"{PARAMS} must be an object, not {type(given).__name__}")
    unknown = [name for name in given if name not in known]
    if unknown:
        there = ", ".join(known) or "none"
        raise InputError(f"{PARAMS}.{unknown[0]:.40}: there is no such parameter; there are {there}")
    return given


def answer_together(model: Model, invocations: Sequence[Invocation]) -> list[Reply]:
    """Answer requests, those with the same parameters in one call; each gets the reply that it would get alone."""
    replies: dict[int, Reply] = {}
    groups: dict[str, list[int]] = defaultdict(list)
    for index, invocation in enumerate(invocations):
        groups[invocation.group].append(index)
    for indices in groups.values():
        lines = [line for index in indices for line in invocations[index].lines]
        try:
            answers = model.predict(lines, invocations[indices[0]].parameters) if lines else []
        except Exception:  # One of them is at fault: only that one gets the error.
            replies |= {index: _answer(model, invocations[index]) for index in indices}
            continue
        remaining = iter(answers)
        for index in indices:
            replies[index] = Reply(200, {"predictions": [next(remaining) for _ in invocations[index].lines]})
    return [replies[index] for index in range(len(invocations))]


def _answer(model: Model, invocation: Invocation) -> Reply:
    try:
        return Reply(
            200, {"predictions": model.predict(invocation.lines, invocation.parameters) if invocation.lines else []}
        )
    except ValueError as error:
        return refusal(400, str(error), BAD_VALUE)
    except Exception:
        logger.exception("a request has failed")
        return refusal(500, "the model has failed; the server's log says how", INTERNAL)
