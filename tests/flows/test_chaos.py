"""A training whose processes are killed one after the other: the short form of `make chaos`."""

from pathlib import Path

import pytest

from tests.benchmarks.chaos import KINDS, make_chaos

SEED = 20
"""Of the moments. `make chaos` draws others each time."""
STEPS = 400


@pytest.mark.timeout(900)
def test_six_kills_and_a_stop_leave_the_same_model_and_nothing_else(tmp_path: Path) -> None:
    quiet = make_chaos(tmp_path / "undisturbed", STEPS)
    quiet.undisturbed()
    disturbed = make_chaos(tmp_path / "disturbed", STEPS, SEED)
    disturbed.stopped(1)
    disturbed.disturbed(len(KINDS), longest=3.0)
    assert {kill.kind for kill in disturbed.kills} == {*KINDS}
    disturbed.check(quiet.trained())
