"""Registrations that are killed between any two requests to MLflow, and champions that cannot be run any more."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import pytest
from mlflow.tracking import MlflowClient

from pipeline.corpus.corpus import Corpus
from pipeline.errors import ExternalError
from pipeline.registry.runs import tracking_uri
from tests.pipeline.registry.conftest import Register


class Killed(BaseException):
    """The process ends here: nothing of ours handles it."""


def killed_after(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, when: Callable[..., bool]) -> None:
    """Let a function do its work, and have the process end before the next."""
    function = getattr(owner, name)

    def then_die(*arguments: Any, **options: Any) -> Any:
        function(*arguments, **options)
        if when(*arguments):
            raise Killed

    monkeypatch.setattr(owner, name, then_die)


def version(number: str) -> Any:
    return MlflowClient(tracking_uri()).get_model_version("tiny", number)


def champion() -> str:
    return str(MlflowClient(tracking_uri()).get_model_version_by_alias("tiny", "champion").version)


@pytest.mark.parametrize("at", ["nmt.promotion", "nmt.previous_champion", "alias", "nmt.decision"])
def test_a_promotion_that_is_killed_is_completed_and_the_way_back_is_kept(
    register: Register, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    register(1, 30.0)
    with monkeypatch.context() as patch:
        if at == "alias":
            killed_after(patch, MlflowClient, "set_registered_model_alias", lambda *_: True)
        else:
            killed_after(patch, MlflowClient, "set_model_version_tag", lambda *given: given[3] == at)
        with pytest.raises(Killed):
            register(2, 31.0)
    again = register(2, 31.0)
    assert (again.version, again.reused) == ("2", True)
    assert again.decision == "champion: BLEU 31.00, version 1 has 30.00"
    assert champion() == "2"
    tags = version("2").tags
    assert tags["nmt.decision"] == again.decision
    assert tags["nmt.previous_champion"] == "1"


@pytest.mark.parametrize(
    ("owner", "step"), [(mlflow.pyfunc, "log_model"), (MlflowClient, "log_model_artifacts")], ids=["whole", "in part"]
)
def test_a_model_that_was_logged_without_a_version_is_no_orphan(
    owner: Any, step: str, register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A whole one gets its version; one that was logged in part is removed, and logged again."""
    with monkeypatch.context() as patch:
        killed_after(patch, owner, step, lambda *_: True)
        with pytest.raises(Killed):
            register(1, 30.0)
    register(1, 30.0)
    client = MlflowClient(tracking_uri())
    run = client.get_run(version("1").run_id)
    (logged,) = client.search_logged_models([run.info.experiment_id])
    assert (logged.status, logged.model_uri) == ("READY", version("1").source)


@pytest.fixture
def other_data(corpus: Corpus) -> Corpus:
    """What the champion was not measured on."""
    return replace(corpus, figures={**corpus.figures, "sha256": {**corpus.figures["sha256"], "validation": "other"}})


@pytest.mark.parametrize("damage", ["missing", "cut short"])
def test_a_champion_that_cannot_be_run_any_more_gives_way(
    register: Register, other_data: Corpus, nmt_home: Path, damage: str
) -> None:
    register(1, 30.0)
    (weights,) = (nmt_home / "mlartifacts").rglob("model.safetensors")
    if damage == "missing":
        shutil.rmtree(next(path for path in weights.parents if path.name.startswith("m-")))
    else:
        weights.write_bytes(weights.read_bytes()[:100])
    assert register(2, 0.1, data=other_data).decision.endswith("but this is near 0")
    decision = register(3, 5.0, data=other_data).decision
    assert decision.startswith("champion: BLEU 5.00, version 1 could not be run on the same data (")
    assert champion() == "3"
    assert version("3").tags["nmt.previous_champion"] == "1"


def test_a_champion_that_cannot_be_run_now_is_decided_on_later(
    register: Register, other_data: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(1, 30.0)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(mlflow.pyfunc, "load_model", full)
        with pytest.raises(ExternalError, match=r"version 1 of tiny, its champion, could not be run .* to decide"):
            register(2, 40.0, data=other_data)
    assert "nmt.decision" not in version("2").tags
    assert register(2, 40.0, data=other_data).decision.startswith("champion: BLEU 40.00, version 1 has ")
