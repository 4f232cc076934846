"""The section of the noise."""

import pytest

from pipeline.errors import InputError
from pipeline.noise_config import NoiseConfig
from pipeline.overrides import build_config


def test_the_line_of_the_batches_names_what_there_is() -> None:
    assert NoiseConfig(typo_words=0.5).clause == ""
    noise = NoiseConfig(upper_case=0.05, joined=1 / 3, subword_sampling="both")
    assert noise.clause == "; noise in training: upper_case 0.05, joined 0.333, subword_sampling both"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"noise.typos": 1.5}, r"noise\.typos=1\.5: .*less than or equal to 1"),
        ({"noise.upper_case": 0.7, "noise.title_case": 0.6}, r"upper_case=0\.7 and title_case=0\.6 .* lower one"),
        ({"noise.subword_sampling": "sources"}, r"noise\.subword_sampling=sources"),
    ],
)
def test_what_cannot_be_is_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        build_config({}, given)
