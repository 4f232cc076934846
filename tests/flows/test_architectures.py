"""The notes' systems by name: each trains through the whole flow, is registered, pulled, and translates."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.presets import load_config
from flows.train import train
from pipeline.cluster.connection import ray_cluster
from pipeline.registry.pull import LoadedModel, pull_model
from pipeline.store.store import Store
from tests.conftest import TINY

SYSTEMS = (
    *("seq2seq", "seq2seq-reversed", "peeky", "bahdanau-gru"),
    *("luong-dot", "luong-general", "luong-concat", "luong-general-feed"),
)


@pytest.fixture(scope="module", autouse=True)
def _servers(prefect_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One home, one Prefect server and one Ray cluster for all."""
    with pytest.MonkeyPatch.context() as patch, temporary_settings({PREFECT_API_URL: prefect_server}):
        for name in ("MLFLOW_TRACKING_URI", "RAY_ADDRESS"):
            patch.delenv(name, raising=False)
        patch.setenv("NMT_HOME", str(tmp_path_factory.mktemp("systems")))
        with ray_cluster():
            yield


@pytest.mark.slow
@pytest.mark.parametrize("system", SYSTEMS)
def test_trains_is_registered_pulled_and_translates(system: str) -> None:
    model = load_config(system, {}).model
    sizes = {"model.encoder_size": 16 if model.bidirectional else 32}
    result = train(system, TINY | sizes | {"training.epochs": 1, "training.num_workers": 1})
    assert result["model_uri"] == f"models:/{system}/1"
    assert result["scores"]["test"]["perplexity"] < 250, "better than a guess among the pieces"
    assert Path(result["translations"]).is_file()
    translations = LoadedModel(pull_model(system, Store()).path).predict(
        ["Ein Hund schläft.", "", "Zwei Frauen lachen im Park."]
    )
    assert len(translations) == 3
    assert translations[1] == ""
