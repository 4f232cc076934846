"""What a request may ask for: bounded in lines, characters, work and the size of its answer, whatever its values."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.serving.limits import (
    BATCH_WORK,
    MOST_CHARACTERS,
    MOST_LINE_WORK,
    MOST_LINES,
    SLICE_WORK,
    excess,
    slices,
)
from pipeline.serving.protocol import Invocation

USUAL = {"beam": 5, "n_best": 1, "max_source_length": 100, "attention": False}
SENTENCE = "Ein Hund läuft durch den Park und bellt dabei laut."


@pytest.mark.parametrize(
    ("lines", "parameters"),
    [
        ([SENTENCE] * 1000, {}),
        ([SENTENCE] * 64, {"beam": 10, "n_best": 10, "scores": True}),
        ([SENTENCE] * 64, {"attention": True}),
        ([SENTENCE] * 10, {"beam": 100}),
        ([SENTENCE * 100], {}),
        (["a" * 100_000], {"beam": 1}),
        ([], {}),
    ],
)
def test_usual_requests_are_within_the_limits(lines: list[str], parameters: dict[str, Any]) -> None:
    assert excess(Invocation(lines, parameters), USUAL) is None


@pytest.mark.parametrize(
    ("lines", "parameters", "message"),
    [
        (["x"] * (MOST_LINES + 1), {}, "4,097 lines are more than 4,096; send fewer lines at once"),
        (["x" * 300] * 2000, {}, "600,000 characters are more than 524,288; send fewer lines at once"),
        (
            [SENTENCE, "x" * 2000],
            {"beam": 100},
            "beam=100: line 2 with 2,000 characters would take 201,000 units of work",
        ),
        (
            ["x" * 1400],
            {"beam": 100, "n_best": 100, "attention": True, "max_source_length": 10_000},
            "beam=100, n_best=100, max_source_length=10000, attention=True: line 1 with 1,400 characters would take",
        ),
        ([SENTENCE] * 1000, {"n_best": 100}, "n_best=100: the lines would take 6,100,000 units of work, more than 2,0"),
        ([SENTENCE] * 100, {"n_best": 50, "attention": True}, "n_best=50, attention=True: the lines would take"),
    ],
)
def test_what_would_take_the_service_from_others_is_refused(
    lines: list[str], parameters: dict[str, Any], message: str
) -> None:
    refused = excess(Invocation(lines, parameters), USUAL)
    assert refused is not None
    assert refused.status == 413
    assert refused.content["message"].startswith(message)
    assert "; " in refused.content["message"], "it says what to do"


values = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.lists(st.none(), max_size=2)


@given(
    st.lists(st.text(max_size=40), max_size=40),
    st.dictionaries(st.sampled_from(["beam", "n_best", "max_source_length", "attention"]), values),
)
def test_any_request_is_counted_and_cut(lines: list[str], parameters: dict[str, Any]) -> None:
    invocation = Invocation(lines, parameters)
    excess(invocation, USUAL)
    parts = list(slices(invocation, USUAL))
    assert [line for part, _ in parts for line in part.lines] == lines
    assert all(work <= SLICE_WORK or len(part.lines) == 1 for part, work in parts)
    assert all(part.parameters == parameters for part, _ in parts)


def test_no_slice_and_no_batch_takes_long() -> None:
    assert SLICE_WORK <= BATCH_WORK <= MOST_LINE_WORK
    assert MOST_CHARACTERS > MOST_LINE_WORK, "several lines are meant to be sent at once"
