"""A training whose processes are killed one after the other: the short form of `make chaos`."""

from pathlib import Path

import pytest

from tests.benchmarks.chaos import KINDS, make_chaos

SEED = 20
"""Of the moments. `make chaos` draws others each time."""
STEPS = 400


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kills", [2, pytest.param(len(KINDS), marks=pytest.mark.slow)])
def test_kills_and_a_stop_leave_the_same_model_and_nothing_else(tmp_path: Path, kills: int) -> None:
    quiet = make_chaos(tmp_path / "undisturbed", STEPS)
    quiet.undisturbed()
    disturbed = make_chaos(tmp_path / "disturbed", STEPS, SEED)
    disturbed.stopped(1)
    disturbed.disturbed(kills, longest=3.0)
    assert len({kill.kind for kill in disturbed.kills}) == kills
    disturbed.check(quiet.trained())
