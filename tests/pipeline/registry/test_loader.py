"""A version of somebody else's is refused before anything that it holds is unpickled."""

import gc
from pathlib import Path
from typing import Any

import mlflow
import pytest
import yaml
from mlflow.pyfunc.model import PythonModel
from mlflow.tracking import MlflowClient
from typer.testing import CliRunner

from flows.commands.app import app
from pipeline.errors import InputError
from pipeline.registry.loader import check_loader
from pipeline.registry.pull import LoadedModel, pull_model
from pipeline.registry.runs import open_experiment, tracking_uri
from pipeline.store.store import Store
from tests.pipeline.registry.conftest import Register


class Trap(PythonModel):
    """Makes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self.mark,)

    def predict(self, model_input: list[str], params: dict[str, Any] | None = None) -> list[str]:  # type: ignore[override]
        return model_input


@pytest.fixture
def mark(nmt_home: Path, tmp_path: Path) -> Path:
    """Register a pickle as version 1 and champion of `tiny`; return the file that it makes if it is loaded."""
    mark = tmp_path / "unpickled"
    mlflow.set_tracking_uri(tracking_uri())
    client, experiment = open_experiment("nmt")
    with mlflow.start_run(experiment_id=experiment):
        info = mlflow.pyfunc.log_model(name="model", python_model=Trap(mark), pip_requirements=[])
    client.create_registered_model("tiny")
    client.create_model_version("tiny", info.model_uri, model_id=info.model_id)
    client.set_registered_model_alias("tiny", "champion", "1")
    return mark


def test_a_pickle_is_refused_by_whatever_loads_it(mark: Path, nmt_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    message = r"models:/tiny/1: it holds a pickle \(python_model.pkl\), which can run anything; only versions that are"
    with pytest.raises(InputError, match=message):
        pull_model("tiny", Store())
    (pulled,) = nmt_home.glob("store/model/*/model")
    with pytest.raises(InputError, match="it holds a pickle"):
        LoadedModel(pulled)
    run = CliRunner().invoke(app, ["translate", "--model", "tiny"], input="Ein Hund.\n")
    assert (run.exit_code, run.stdout, run.stderr.count("\n")) == (2, "", 1)
    assert run.stderr.startswith("nmt: models:/tiny/1: it holds a pickle")
    assert not mark.exists()
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "true")
    with pytest.raises(AttributeError):
        mlflow.pyfunc.load_model(str(pulled))
    assert mark.exists(), "a test of something"


def test_a_pickle_as_champion_is_not_run_by_a_training(mark: Path, register: Register) -> None:
    found = register(1, 50.0)
    reason = "version 1 could not be run on the same data (models:/tiny/1: it holds a pickle"
    assert found.decision.startswith(f"champion: BLEU 50.00, {reason}")
    assert not mark.exists()
    assert MlflowClient(tracking_uri()).get_model_version_by_alias("tiny", "champion").version in ("2", 2)


OURS = {"loader_module": "mlflow.pyfunc.loaders.code_model", "model_code_path": "/made/elsewhere/pyfunc.py"}


@pytest.mark.parametrize(
    ("flavors", "message"),
    [
        ({"python_function": {"loader_module": "mlflow.sklearn"}}, "it is loaded by mlflow.sklearn, which may read"),
        ({"python_function": {"loader_module": "os"}}, "it is loaded by os, which may read pickles"),
        ({"python_function": OURS | {"python_model": "a.pkl"}}, r"it holds a pickle \(a.pkl\)"),
        ({"python_function": OURS | {"model_code_path": "other.py"}}, "it is loaded by mlflow.pyfunc.loaders.code_m"),
        ({"python_function": OURS | {"data": "inner"}}, "it is loaded by mlflow.pyfunc.loaders.code_model"),
        ({"python_function": {}}, "it is loaded by None"),
        ({"sklearn": {"pickled_model": "model.pkl"}}, "its MLmodel names no model of the flavor python_function"),
        ([], "its MLmodel names no model of the flavor python_function"),
    ],
)
def test_other_loaders_are_refused_by_name(tmp_path: Path, flavors: Any, message: str) -> None:
    (tmp_path / "MLmodel").write_text(yaml.safe_dump({"flavors": flavors}))
    (tmp_path / "pyfunc.py").write_text("raise SystemExit('this must not run')")
    with pytest.raises(InputError, match=f"models:/x/1: {message}"):
        check_loader(tmp_path, "models:/x/1")


@pytest.mark.parametrize("content", ["", "[" * 5000, "a: [", "&a [*a]", "\0", "flavors: 3"])
def test_a_file_that_says_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / "MLmodel").write_text(content)
    gc.collect()
    gc.disable()  # What other tests have left would be collected where the deepest of these leaves no stack for it.
    try:
        with pytest.raises(InputError, match="x: its MLmodel names no model of the flavor python_function; only vers"):
            check_loader(tmp_path, "x")
    finally:
        gc.enable()


def test_ours_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "MLmodel").write_text(yaml.safe_dump({"flavors": {"python_function": OURS}}))
    (tmp_path / "pyfunc.py").write_text("")
    check_loader(tmp_path, "x")
