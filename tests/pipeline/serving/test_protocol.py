"""The scoring protocol: any body is answered, and requests that are answered together are answered as alone."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.serving.protocol import MAX_BODY_BYTES, Invocation, Reply, answer_together, read_invocation

KNOWN = {"beam": 5, "scores": False}


class Fake:
    """Answers with what it was asked; refuses a line and a beam."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    @property
    def parameters(self) -> dict[str, Any]:
        return KNOWN

    def predict(self, lines: list[str], parameters: Mapping[str, Any] | None = None) -> list[Any]:
        self.calls.append(len(lines))
        if "bad" in lines:
            raise ValueError(f"line {lines.index('bad') + 1} is\n bad")
        if "worse" in lines:
            raise TypeError("a defect of the model")
        return [f"{line} {dict(parameters or {})}" for line in lines]


def body(**content: Any) -> bytes:
    return json.dumps(content).encode()


@pytest.mark.parametrize(
    ("content", "status", "message"),
    [
        (b"", 400, "the body is not JSON"),
        (b"\xff\xfe", 400, "the body is not JSON"),
        (b"[" * 100_000, 400, "the body is not JSON"),
        (b"[]", 400, 'the body must be an object such as {"inputs": ["Ein Hund."]}'),
        (body(dataframe_split={}), 400, "the body must be an object"),
        (body(inputs=["x"], parms={}), 400, "parms: no such key; there are inputs and params"),
        (body(inputs="x"), 400, "inputs must be a list of texts, not str"),
        (body(inputs=["x", 3]), 400, "line 2 is 3 (int), not text"),
        (body(inputs=["x"], params=[1]), 400, "params must be an object, not list"),
        (
            body(inputs=["x"], params={"beem": 1}),
            400,
            "params.beem: there is no such parameter; there are beam, scores",
        ),
        (b" " * (MAX_BODY_BYTES + 1), 413, "send fewer lines at once"),
    ],
)
def test_what_is_not_of_the_protocol_is_refused_in_one_line(content: bytes, status: int, message: str) -> None:
    reply = read_invocation(content, KNOWN)
    assert isinstance(reply, Reply)
    assert reply.status == status
    assert message in reply.content["message"]
    assert "\n" not in reply.content["message"]


def test_what_is_asked() -> None:
    assert read_invocation(body(inputs=["a", ""]), KNOWN) == Invocation(["a", ""], {})
    assert read_invocation(body(inputs=[], params=None), KNOWN) == Invocation([], {})
    assert read_invocation(body(inputs=["a"], params={"beam": 2}), KNOWN) == Invocation(["a"], {"beam": 2})


@given(
    st.binary(max_size=60)
    | st.recursive(st.none() | st.text() | st.floats(), st.lists).map(lambda v: json.dumps({"inputs": v}).encode())
)
def test_any_body_is_read_or_refused(content: bytes) -> None:
    found = read_invocation(content, KNOWN)
    if isinstance(found, Reply):
        assert 400 <= found.status < 500
        json.loads(found.body())
    else:
        assert all(isinstance(line, str) for line in found.lines)


def test_requests_with_the_same_parameters_are_one_call_and_answered_as_alone() -> None:
    invocations = [
        Invocation(["a", "b"], {}),
        Invocation(["c"], {"beam": 2}),
        Invocation([], {}),
        Invocation(["d"], {}),
        Invocation(["e"], {"beam": 2}),
    ]
    model = Fake()
    together = answer_together(model, invocations)
    assert model.calls == [3, 2]
    assert together == [reply for alone in invocations for reply in answer_together(Fake(), [alone])]


def test_a_request_that_is_refused_does_not_spoil_the_others() -> None:
    invocations = [Invocation(["a"], {}), Invocation(["b", "bad"], {}), Invocation(["c"], {})]
    replies = answer_together(Fake(), invocations)
    assert [reply.status for reply in replies] == [200, 400, 200]
    assert replies[1].content == {"error_code": "INVALID_PARAMETER_VALUE", "message": "line 2 is bad"}
    assert replies[2].content == {"predictions": ["c {}"]}


def test_a_model_that_fails_at_a_request_does_not_spoil_the_others() -> None:
    replies = answer_together(Fake(), [Invocation(["a"], {}), Invocation(["worse"], {}), Invocation(["c"], {})])
    assert [reply.status for reply in replies] == [200, 500, 200]
    assert replies[1].content["error_code"] == "INTERNAL_ERROR"
