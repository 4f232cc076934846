"""The parameters of a prediction, and what is answered to any text."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.search.config import SearchConfig
from pipeline.inference.predictions import PARAMETERS, defaults, predict
from pipeline.inference.translator import LinePolicy
from tests.pipeline.conftest import Make

LINES = ["Ein Hund schläft.", "", "Zwei Frauen lachen im Park."]


def test_every_parameter_has_a_default_that_mlflow_has_a_type_for() -> None:
    values = defaults(SearchConfig(), LinePolicy())
    assert list(values) == list(PARAMETERS)
    assert {type(value) for value in values.values()} == {int, float, bool, str}
    assert values["beam"] == SearchConfig().beam


def test_defaults_are_those_of_the_version() -> None:
    values = defaults(SearchConfig(beam=2, max_length=7, temperature=0.5), LinePolicy(max_source_length=9))
    chosen = {name: values[name] for name in ("beam", "max_length", "temperature", "top_k", "max_source_length")}
    assert chosen == {"beam": 2, "max_length": 7, "temperature": 0.5, "top_k": 0, "max_source_length": 9}


def test_setting_the_defaults_changes_nothing(make: Make) -> None:
    translator = make(beam=3)
    expected = translator.translate(LINES)
    assert predict(translator, LINES, {}) == expected
    assert predict(translator, LINES, defaults(translator.config, translator.line_policy)) == expected


def test_a_parameter_that_is_none_counts_as_not_set(make: Make) -> None:
    translator = make(beam=3)
    assert predict(translator, LINES, dict.fromkeys(PARAMETERS)) == predict(translator, LINES, {})


VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**70), 2**70)
    | st.sampled_from([10**400, "a\nb", "x" * 300])
    | st.integers(-3, 9)
    | st.floats()
    | st.text(max_size=5)
)


@settings(max_examples=500, deadline=None)
@given(st.dictionaries(st.sampled_from(list(PARAMETERS)), VALUES | st.lists(VALUES, max_size=2), max_size=3))
def test_any_parameters_are_answered_or_refused_in_a_line(make: Make, parameters: dict[str, Any]) -> None:
    try:
        answers = predict(make(beam=2, max_length=4), LINES, {"max_length": 4} | parameters)
    except ValueError as error:
        assert "\n" not in str(error)  # noqa: PT017
        assert len(str(error)) < 200  # noqa: PT017
    else:
        assert len(answers) == len(LINES)


def test_scores_and_several_are_objects(make: Make) -> None:
    translator = make(beam=3)
    plain = predict(translator, LINES, {})
    scored = predict(translator, LINES, {"scores": True})
    assert [[found["text"] for found in row["hypotheses"]] for row in scored] == [[plain[0]], [], [plain[2]]]
    several = predict(translator, LINES, {"n_best": 3})
    assert [len(row["hypotheses"]) for row in several] == [3, 0, 3]
    assert set(several[0]) == {"hypotheses"}
    assert set(several[0]["hypotheses"][0]) == {"text", "score", "truncated"}
    (shown,) = predict(translator, LINES[:1], {"attention": True})
    best = shown["hypotheses"][0]
    assert [len(row) for row in best["attention"]] == [len(shown["source_pieces"])] * len(best["target_pieces"])


@pytest.mark.parametrize(
    ("lines", "parameters", "message"),
    [
        (LINES, {"beem": 3}, "beem: there is no such parameter; there are beam, length_penalty"),
        (LINES, {"beam": 0}, "beam=0 must be at least 1"),
        (LINES, {"beam": "many"}, "beam='many' must be a whole number"),
        (LINES, {"beam": True}, "beam=True must be a whole number"),
        (LINES, {"beam": 2.5}, "beam=2.5 must be a whole number"),
        (LINES, {"max_length": 2**63}, "max_length=9223372036854775808 must be between -2147483648 and"),
        (LINES, {"temperature": 10**400}, "temperature=10000"),
        (LINES, {"temperature": float("nan")}, "temperature=nan must be a finite number"),
        (LINES, {"scores": 1}, "scores=1 must be true or false"),
        (LINES, {"beam": 101}, "beam=101 must be at most 100"),
        (LINES, {"n_best": 9}, "n_best=9 is more than the beam=5 can hold"),
        (LINES, {"temperature": -1.0}, "temperature=-1.0 must be above 0"),
        (LINES, {"long_lines": "x"}, "long_lines='x' must be one of split, refuse"),
        (["Ein Hund.", 3], {}, "line 2 is 3 (int), not text"),
        (["Ein Hund.", "\ud800"], {}, "line 2 holds half of a surrogate pair"),
    ],
)
def test_what_is_wrong_is_named(make: Make, lines: list[Any], parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011
        predict(make(), lines, parameters)
    assert message in str(error.value)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=60), max_size=4), st.integers(2, 9))
def test_any_text_is_answered_by_a_line(make: Make, lines: list[str], most: int) -> None:
    found = predict(make(beam=2, max_length=4), lines, {"max_source_length": most})
    assert len(found) == len(lines)
    for line, text in zip(lines, found, strict=True):
        assert "\n" not in text
        assert not text or line.strip()


@pytest.mark.parametrize(
    "line",
    [
        "a" * 100_000,
        "\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627 \u202e abc",
        "\U0001f469\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea",
        "\ufdfa" * 300,  # One character that becomes eighteen.
        "e" + "\u0301" * 500,
        "漢字かな交じり文" * 50,
        "\u0000\u0007\u001b[31mEin\u0085Hund",
    ],
    ids=["no blank", "right to left", "emoji", "ligature", "accents", "other script", "control"],
)
def test_strange_lines_are_answered(make: Make, line: str) -> None:
    (text,) = predict(make(beam=2, max_length=3), [line], {})
    assert isinstance(text, str)
