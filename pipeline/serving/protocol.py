"""Requests and replies in MLflow's scoring protocol: plain functions, without a server.

POST /invocations {"inputs": ["Ein Hund.", ...], "params": {"beam": 3}}
200 {"predictions": ["A dog.", ...]}                         in the order of the inputs
400 {"error_code": "INVALID_PARAMETER_VALUE", "message": "beam=0 must be at least 1"}
"""

import json
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

MAX_BODY_BYTES = 16 * 2**20
INPUTS, PARAMS = "inputs", "params"
BAD_VALUE, BAD_REQUEST, INTERNAL = "INVALID_PARAMETER_VALUE", "BAD_REQUEST", "INTERNAL_ERROR"
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


def read_invocation(body: bytes, known: Mapping[str, Any]) -> Invocation | Reply:
    """Return what a request's body asks for, or the refusal of a body that does not follow the protocol."""
    if len(body) > MAX_BODY_BYTES:
        return refusal(413, f"{len(body):,} bytes are more than {MAX_BODY_BYTES:,}; send fewer lines at once")
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        return refusal(400, f"the body is not JSON ({error})")
    if not isinstance(content, dict) or INPUTS not in content:
        return refusal(400, f'the body must be an object such as {{"{INPUTS}": ["Ein Hund."]}}')
    others = [name for name in content if name not in (INPUTS, PARAMS)]
    if others:
        return refusal(400, f"{others[0]:.40}: no such key; there are {INPUTS} and {PARAMS}")
    lines, parameters = content[INPUTS], content.get(PARAMS) or {}
    if not isinstance(lines, list):
        return refusal(400, f"{INPUTS} must be a list of texts, not {type(lines).__name__}", BAD_VALUE)
    for number, line in enumerate(lines, start=1):
        if not isinstance(line, str):
            return refusal(400, f"line {number} is {line!r:.40} ({type(line).__name__}), not text", BAD_VALUE)
    if not isinstance(parameters, dict):
        return refusal(400, f"{PARAMS} must be an object, not {type(parameters).__name__}", BAD_VALUE)
    unknown = [name for name in parameters if name not in known]
    if unknown:
        there = ", ".join(known) or "none"
        return refusal(400, f"{PARAMS}.{unknown[0]:.40}: there is no such parameter; there are {there}", BAD_VALUE)
    return Invocation(lines, parameters)


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
