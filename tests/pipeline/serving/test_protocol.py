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
        (b"\xff\xfe", 400, "the body is not UTF-8 (invalid start byte at byte 0)"),
        (b"[" * 100_000, 400, "the body is not JSON"),
        (body(inputs=[[]] * 100_001), 400, "the body is not JSON (more than 100,000 brackets)"),
        (b'{"inputs": ["x"], "inputs": ["y"]}', 400, "the body is not JSON (it has 'inputs' several times)"),
        (b"[]", 400, 'the body must be an object such as {"inputs": ["Ein Hund."]}'),
        (b'"Ein Hund."', 400, 'the body must be an object such as {"inputs": ["Ein Hund."]}'),
        (b'{"inputs": ["\xe4"]}', 400, "the body is not UTF-8 (invalid continuation byte at byte 13)"),
        (b'{"inputs": ' + b"[" * 900 + b"]" * 900 + b"}", 400, ""),
        (body(), 400, "the body: send one of inputs, instances, dataframe_records, dataframe_split"),
        (body(inputs=["x"], instances=["x"]), 400, "inputs and instances: send one of inputs, instances"),
        (body(inputs=["x"], parms={}), 400, "parms: no such key; there are inputs, instances, dataframe_records, da"),
        (body(inputs=None), 400, "inputs must be a list of texts, not NoneType"),
        (body(inputs=7), 400, "inputs must be a list of texts, not int"),
        (body(inputs=["x", 3]), 400, "inputs: line 2 is 3 (int), not text"),
        (body(inputs=["x", None]), 400, "inputs: line 2 is None (NoneType), not text"),
        (body(instances=[["x"]]), 400, "instances: line 1 is ['x'] (list), not text"),
        (
            body(inputs={"de": ["x"], "en": ["y"]}),
            400,
            "inputs: send one column, with the texts, instead of 2 (de",
        ),
        (body(inputs={}), 400, "inputs: send one column, with the texts, instead of 0 ()"),
        (body(dataframe_records=[{"de": "x"}, {"id": 3}]), 400, "dataframe_records: send one column, with the texts"),
        (body(dataframe_records=[{"de": "x"}, {}]), 400, "dataframe_records: line 2 is None (NoneType), not text"),
        (body(dataframe_split={}), 400, 'dataframe_split must be an object such as {"columns": ["de"], "data"'),
        (body(dataframe_split={"data": [["x"]], "rows": []}), 400, "dataframe_split.rows: no such key; there are col"),
        (body(dataframe_split={"data": "x"}), 400, "dataframe_split.data must be a list, not str"),
        (body(dataframe_split={"columns": ["id", "de"], "data": []}), 400, "dataframe_split.columns: send one column"),
        (body(dataframe_split={"data": [["x"], [1, "y"]]}), 400, "dataframe_split.data: row 2 has 2 values; send one"),
        (body(dataframe_split={"columns": ["de"], "data": [[7]]}), 400, "dataframe_split: line 1 is 7 (int), not text"),
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


@pytest.mark.parametrize(
    "content",
    [
        {"inputs": ["a", "b"]},
        {"instances": ["a", "b"]},
        {"inputs": {"de": ["a", "b"]}},
        {"instances": [{"de": "a"}, {"de": "b"}]},
        {"dataframe_records": [{"de": "a"}, {"de": "b"}]},
        {"dataframe_split": {"columns": ["de"], "data": [["a"], ["b"]]}},
        {"dataframe_split": {"columns": ["de"], "index": [0, 1], "data": ["a", "b"]}},
    ],
)
def test_every_format_of_the_protocol_asks_for_the_same(content: dict[str, Any]) -> None:
    assert read_invocation(body(**content), KNOWN) == Invocation(["a", "b"], {})
    with_parameters = read_invocation(body(**content, params={"beam": 2}), KNOWN)
    assert with_parameters == Invocation(["a", "b"], {"beam": 2})


@pytest.mark.parametrize("content", [{"inputs": []}, {"dataframe_records": []}, {"dataframe_split": {"data": []}}])
def test_no_text_is_a_request_too(content: dict[str, Any]) -> None:
    assert read_invocation(body(**content), KNOWN) == Invocation([], {})


@pytest.mark.parametrize("key", ["inputs", "instances"])
def test_a_single_text_is_a_list_of_one(key: str) -> None:
    assert read_invocation(body(**{key: "Ein Hund."}), KNOWN) == Invocation(["Ein Hund."], {})


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        (None, 200),
        ("", 200),
        ("application/json", 200),
        ('Application/JSON; charset="UTF-8"', 200),
        ("application/json; charset=latin-1", 415),
        ("text/csv", 415),
        ("application/x-www-form-urlencoded", 415),
    ],
)
def test_the_type_of_the_body(content_type: str | None, status: int) -> None:
    found = read_invocation(body(inputs=["a"]), KNOWN, content_type)
    assert (found.status if isinstance(found, Reply) else 200) == status
    if isinstance(found, Reply):
        assert found.content["message"] == f"Content-Type {content_type}: send application/json, in UTF-8"


def test_what_is_asked() -> None:
    assert read_invocation(body(inputs=["a", ""]), KNOWN) == Invocation(["a", ""], {})
    assert read_invocation(body(inputs=[], params=None), KNOWN) == Invocation([], {})
    assert read_invocation(body(inputs=["a"], params={"beam": 2}), KNOWN) == Invocation(["a"], {"beam": 2})


@given(
    st.binary(max_size=60)
    | st.tuples(
        st.sampled_from(["inputs", "instances", "dataframe_records", "dataframe_split"]),
        st.recursive(
            st.none() | st.text() | st.floats(),
            lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["columns", "data", "de"]), inner),
        ),
    ).map(lambda field: json.dumps(dict([field])).encode())
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
