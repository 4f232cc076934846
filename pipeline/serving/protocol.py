"""What a server is asked and answers, in MLflow's scoring protocol: plain functions, and no server.

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

MOST_BYTES = 16 * 2**20
INPUTS, PARAMS = "inputs", "params"
BAD_VALUE, BAD_REQUEST, INTERNAL = "INVALID_PARAMETER_VALUE", "BAD_REQUEST", "INTERNAL_ERROR"
logger = logging.getLogger(__name__)


class Model(Protocol):
    """What answers: a pulled model."""

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters that it takes, and their values where none are given."""

    def predict(self, lines: list[str], parameters: Mapping[str, Any] | None = None) -> list[Any]:
        """Return an answer a line; raise ValueError for what it refuses."""


@dataclass(frozen=True)
class Ask:
    """What one request wants."""

    lines: list[str]
    parameters: dict[str, Any]

    @property
    def group(self) -> str:
        """The same for requests that can be answered together."""
        return json.dumps(self.parameters, sort_keys=True)


@dataclass(frozen=True)
class Reply:
    """What one request is told."""

    status: int
    content: dict[str, Any]

    def body(self) -> bytes:
        """Return it as JSON."""
        return json.dumps(self.content, ensure_ascii=False).encode("utf8", "backslashreplace")


def refusal(status: int, message: str, code: str = BAD_REQUEST) -> Reply:
    """Return a reply that says, in one line, what is wrong."""
    return Reply(status, {"error_code": code, "message": " ".join(message.split())})


def read_ask(body: bytes, known: Mapping[str, Any]) -> Ask | Reply:
    """Return what a request's body asks for, or the refusal of one that is not of the protocol."""
    if len(body) > MOST_BYTES:
        return refusal(413, f"{len(body):,} bytes are more than {MOST_BYTES:,}; send fewer lines at once")
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
    return Ask(lines, parameters)


def answer_together(model: Model, asks: Sequence[Ask]) -> list[Reply]:
    """Answer requests, those with the same parameters in one call; each is told what it would be told alone."""
    replies: dict[int, Reply] = {}
    groups: dict[str, list[int]] = defaultdict(list)
    for place, ask in enumerate(asks):
        groups[ask.group].append(place)
    for places in groups.values():
        together = Ask([line for place in places for line in asks[place].lines], asks[places[0]].parameters)
        try:
            answers = model.predict(together.lines, together.parameters) if together.lines else []
        except Exception:  # One of them is at fault: let it alone be told so.
            replies |= {place: _answer(model, asks[place]) for place in places}
            continue
        remaining = iter(answers)
        for place in places:
            replies[place] = Reply(200, {"predictions": [next(remaining) for _ in asks[place].lines]})
    return [replies[place] for place in range(len(asks))]


def _answer(model: Model, ask: Ask) -> Reply:
    try:
        return Reply(200, {"predictions": model.predict(ask.lines, ask.parameters) if ask.lines else []})
    except ValueError as error:
        return refusal(400, str(error), BAD_VALUE)
    except Exception:
        logger.exception("a request has failed")
        return refusal(500, "the model has failed; its server's log says how", INTERNAL)
