"""The deployments' file: Prefect ignores what it does not know, so a misspelt key would never be noticed there."""

import importlib
import inspect
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.cli.deploy._models import ConcurrencyLimitSpec, DeploymentConfig, PrefectYamlModel, WorkPoolConfig
from pydantic import BaseModel

from flows.presets import load_config
from infra.options import StackOptions

FILE = Path(__file__).parents[2] / "infra/prefect.yaml"
CONTENT: dict[str, Any] = yaml.safe_load(FILE.read_text("utf8"))
DEPLOYMENTS: list[dict[str, Any]] = CONTENT["deployments"]


def unknown_keys(content: dict[str, Any]) -> list[str]:
    """Return the keys of a deployments' file that Prefect would ignore."""

    def unknown(mapping: dict[str, Any], model: type[BaseModel], place: str) -> list[str]:
        names = set(model.model_fields) | {field.alias for field in model.model_fields.values()}
        return [f"{place}{key}" for key in mapping if key not in names]

    found = unknown(content, PrefectYamlModel, "")
    for number, deployment in enumerate(content["deployments"]):
        place = f"deployments[{number}]."
        found += unknown(deployment, DeploymentConfig, place)
        found += unknown(deployment.get("work_pool", {}), WorkPoolConfig, f"{place}work_pool.")
        limit = deployment.get("concurrency_limit")
        found += unknown(limit, ConcurrencyLimitSpec, f"{place}concurrency_limit.") if isinstance(limit, dict) else []
    return found


def test_every_key_is_known_to_prefect() -> None:
    assert unknown_keys(CONTENT) == []
    PrefectYamlModel.model_validate(CONTENT)  # Schedules are strict, and checked in here.


def test_a_misspelt_key_would_be_found() -> None:
    wrong = {**CONTENT, "deployment": [], "deployments": [{**DEPLOYMENTS[0], "shedules": [], "work_pool": {"nam": 1}}]}
    assert unknown_keys(wrong) == ["deployment", "deployments[0].shedules", "deployments[0].work_pool.nam"]


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda d: f"{d['entrypoint']}/{d['name']}")
def test_a_deployment_can_be_run(deployment: dict[str, Any]) -> None:
    module, _, name = deployment["entrypoint"].rpartition(".")
    flow = getattr(importlib.import_module(module), name)
    takes = set(inspect.signature(flow.fn).parameters)
    by_hand = {"source", "output", "workers"} if flow.name == "translate" else set()
    assert set(deployment["parameters"]) == takes - by_hand
    if deployment["parameters"].get("preset"):  # An evaluation takes the model's own.
        assert load_config(deployment["parameters"]["preset"], deployment["parameters"]["overrides"])
    assert flow.name in deployment["tags"]
    assert deployment["description"].strip()
    assert deployment["work_pool"]["name"] == StackOptions().pool


def test_the_deployments_are_those_that_the_readme_names() -> None:
    named = {
        (importlib.import_module(d["entrypoint"].rpartition(".")[0]).__name__.rpartition(".")[2], d["name"])
        for d in DEPLOYMENTS
    }
    assert named == {
        ("train", "multi30k-de-en"),
        ("train", "captions"),
        ("ablation", "multi30k-de-en"),
        ("evaluate", "model"),
        ("translate", "file"),
    }
    schedules = {d["name"]: d.get("schedules", []) for d in DEPLOYMENTS if d["entrypoint"].startswith("flows.train")}
    assert [schedule["cron"] for schedule in schedules["multi30k-de-en"]] == ["0 3 * * 0"], "every Sunday"
    assert schedules["captions"] == []
