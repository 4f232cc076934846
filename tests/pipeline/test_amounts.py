"""Amounts in the units of a training, as fields of a configuration."""

import pytest

from pipeline.config import RunConfig
from pipeline.errors import InputError
from pipeline.overrides import build_config, parse_overrides


def configured(*assignments: str) -> RunConfig:
    return build_config({}, parse_overrides(list(assignments)))


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("training.until=12 epochs", ["12 epochs"]),
        ("training.until=100k updates", ["100000 updates"]),
        ("training.until=[2G tokens, 6 hours]", ["2000000000 tokens", "6 hours"]),
        ("training.until=1 epoch, 90min", ["1 epoch", "90 minutes"]),
        ("training.until=0.25epochs", ["0.25 epochs"]),
        ("training.epochs=3", ["3 epochs"]),
    ],
)
def test_what_ends_a_training_is_read(text: str, limits: list[str]) -> None:
    assert [*map(str, configured(text).training.limits)] == limits


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("training.until=12", "training.until=12: not an amount; write a number and one of epochs, updates, tokens"),
        ("training.until=12 apples", "training.until=12 apples: not an amount"),
        ("training.until=0 epochs", "training.until=0 epochs: not an amount"),
        ("training.until=[]", "training.until=[]: "),
        (
            "training.until=1.5 updates",
            "training.until=1.5 updates: there are no parts of updates; write a whole number",
        ),
        ("training.validate_every=2 hours", "hours do not fit here; choose one of epochs, updates, tokens, minutes"),
        ("training.save_every=often", "training.save_every=often: not an amount"),
    ],
)
def test_what_is_none_is_refused_with_the_field_and_the_remedy(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        configured(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
