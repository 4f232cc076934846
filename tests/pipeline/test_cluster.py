"""The environment that a cluster of our own gives its processes."""

import os

import pytest

from pipeline.cluster import OWN_CLUSTER, _environment

NAME = "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S"


def test_it_is_there_within_and_taken_back_after(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(NAME, raising=False)
    with _environment(OWN_CLUSTER):
        assert os.environ[NAME] == OWN_CLUSTER[NAME]
    assert NAME not in os.environ


def test_what_the_user_has_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, "7")
    with _environment(OWN_CLUSTER):
        assert os.environ[NAME] == "7"
    assert os.environ[NAME] == "7"
