"""The store's artifacts, who needs each, and what goes: nothing that somebody needs, or may be about to use."""

import os
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from mlflow.tracking import MlflowClient

from pipeline.errors import ExternalError
from pipeline.registry.pull import pull_model
from pipeline.registry.runs import tracking_uri
from pipeline.store.storage import home
from pipeline.store.store import Store
from pipeline.upkeep.collection import collect, remove
from pipeline.upkeep.inventory import Stored, list_store
from pipeline.upkeep.lineage import CHAIN
from tests.untrained_chain import Made, edit_manifest, make_version, restored

LONG_AGO = "2020-01-01T00:00:00+00:00"


@pytest.fixture(scope="module", autouse=True)
def forgotten(made: Made, other: Made) -> Made:
    """A third version of other rows, which is deleted in MLflow; all artifacts are old."""
    third = make_version(corpus__seed=3, training__seed=3)
    pull_model("models:/captions/1", Store())
    pull_model("models:/captions/3", Store())
    MlflowClient(tracking_uri()).delete_model_version("captions", "3")
    make_old(home() / "store")
    return third


def make_old(store: Path) -> None:
    for folder in store.glob("*/*"):
        if folder.is_dir():
            if (folder / "manifest.json").is_file():
                edit_manifest(folder, "created", value=LONG_AGO)
            os.utime(folder, (0, 0))


@pytest.fixture
def store() -> Iterator[Path]:
    """The store, which is as it was after the test."""
    root = home() / "store"
    with restored(root):
        yield root
    for folder in root.glob("*/*"):
        if folder.is_dir():
            os.utime(folder, (0, 0))


def users(found: Iterable[Stored]) -> dict[str, tuple[str, ...]]:
    return {artifact.address: (*artifact.used_by, *artifact.needed_by) for artifact in found}


def addresses(found: Iterable[Stored]) -> set[str]:
    return {artifact.address for artifact in found}


def of(made: Made, *stages: str) -> set[str]:
    return {f"{stage}/{made.folders[stage].name}" for stage in stages or CHAIN}


def test_versions_need_what_they_were_made_from(made: Made, other: Made, forgotten: Made) -> None:
    found = users(list_store())
    shared = of(made, "corpus", "tokenizer", "encoded")
    assert {found[address] for address in shared} == {("captions/1", "captions/2")}
    assert {found[address] for address in of(made) - shared} == {("captions/1",)}
    assert {found[address] for address in of(other) - shared} == {("captions/2",)}
    assert {found[address] for address in of(forgotten)} == {()}
    copies = [each for each in list_store() if each.stage == "model"]
    assert {each.origin: each.users for each in copies} == {
        "models:/captions/1": "captions/1",
        "models:/captions/3": "nobody",
    }


def test_an_artifact_says_what_it_was_made_from(made: Made) -> None:
    found = {artifact.address: artifact for artifact in list_store()}
    origins = {stage: found[address].origin for stage in CHAIN for address in of(made, stage)}
    assert origins == {
        "corpus": "captions, 300 pairs",
        "tokenizer": "captions, unigram 250",
        "encoded": f"captions, {made.folders['tokenizer'].name[:8]}",
        "training": f"captions, {made.folders['encoded'].name[:8]}, seed 1",
        "evaluation": f"captions, {made.folders['training'].name[:8]}",
    }
    assert found[f"encoded/{made.folders['encoded'].name}"].bytes == sum(
        file.stat().st_size for file in made.folders["encoded"].iterdir()
    )
    assert [each.stage for each in list_store()] == sorted(
        (each.stage for each in list_store()), key=[*reversed(CHAIN), "model"].index
    )


def test_what_nobody_needs_goes_and_nothing_else(store: Path, made: Made, forgotten: Made) -> None:
    (store / "corpus" / f"{'a' * 64}.damaged-20261201").mkdir()
    before = list_store()
    found = collect(before)
    copy = {each.address for each in before if each.origin == "models:/captions/3"}
    assert addresses(found.removable) == of(forgotten) | copy
    assert addresses(remove(found.removable)) == addresses(found.removable)
    assert addresses(list_store()) == addresses(before) - addresses(found.removable)
    assert not list(store.rglob("*-gone"))
    assert (store / "corpus" / f"{'a' * 64}.damaged-20261201").is_dir(), "that is `nmt clean`'s"


def test_all_lets_go_what_versions_were_made_from(made: Made) -> None:
    assert addresses(collect(list_store(), everything=True).removable) == addresses(list_store())


@pytest.mark.parametrize("everything", [False, True])
def test_what_was_made_in_the_last_hour_is_left(store: Path, forgotten: Made, everything: bool) -> None:
    os.utime(forgotten.folders["encoded"])
    edit_manifest(forgotten.folders["corpus"], "created", value=time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime()))
    found = collect(list_store(), everything)
    assert addresses(found.young) == of(forgotten, "encoded", "corpus")
    assert not addresses(found.removable) & addresses(found.young)


def test_a_manifest_that_cannot_be_read_serves_nobody(store: Path, made: Made) -> None:
    folder = made.folders["evaluation"]
    (folder / "manifest.json").write_text("{")
    os.utime(folder, (0, 0))
    found = {artifact.address: artifact for artifact in list_store()}
    (address,) = of(made, "evaluation")
    assert found[address].damaged
    assert found[address].users == "nobody: its manifest is damaged"
    assert address in addresses(collect(found.values()).removable)
    assert {found[each].needed_by for each in of(made, "training")} == {("captions/1",)}, "they are still needed"


@pytest.mark.parametrize("everything", [False, True])
def test_a_training_that_can_go_on_keeps_its_data(store: Path, forgotten: Made, everything: bool) -> None:
    """Its own output is not there yet; MLflow knows what it reads."""
    name = forgotten.folders["training"].name
    shutil.rmtree(forgotten.folders["training"])
    run = home() / "ray" / f"training-{name[:16]}"
    run.mkdir(parents=True)
    try:
        found = collect(list_store(), everything)
    finally:
        run.rmdir()
    assert addresses(found.used) == of(forgotten, "corpus", "tokenizer", "encoded")
    assert {artifact.users for artifact in found.used} == {f"unfinished training {name[:8]}"}
    assert of(forgotten, "evaluation") <= addresses(found.removable)


def test_a_training_of_which_mlflow_knows_nothing_keeps_all_data(store: Path) -> None:
    records = home() / "ray" / f"training-{'e' * 16}.jsonl"
    records.parent.mkdir(exist_ok=True)
    records.write_text("")
    try:
        found = collect(list_store(), everything=True)
    finally:
        records.unlink()
    assert {artifact.stage for artifact in found.used} == {"corpus", "tokenizer", "encoded"}
    assert {artifact.stage for artifact in found.removable} == {"training", "evaluation", "model"}


@pytest.mark.parametrize(
    ("stage", "kept"),
    [
        ("corpus", set()),
        ("tokenizer", {"corpus"}),
        ("encoded", {"corpus", "tokenizer"}),
        ("training", {"corpus", "tokenizer", "encoded"}),
        ("evaluation", {"corpus", "tokenizer", "encoded", "training"}),
    ],
)
def test_a_stage_being_made_keeps_what_it_may_read(store: Path, stage: str, kept: set[str]) -> None:
    with FileLock(store / stage / f".{'b' * 64}.lock"):
        found = collect(list_store(), everything=True)
    assert {artifact.stage for artifact in found.used} == kept
    assert not [artifact for artifact in found.removable if artifact.stage in kept]


def test_what_is_held_is_left_even_if_it_is_held_only_now(store: Path, forgotten: Made) -> None:
    found = collect(list_store())
    held = forgotten.folders["training"]
    with FileLock(held.with_name(f".{held.name}.lock")):
        assert of(forgotten, "training") == {
            address for address, by in users(list_store()).items() if by == ("being made",)
        }
        gone = remove(found.removable)
    assert held.is_dir()
    assert addresses(found.removable) - addresses(gone) == of(forgotten, "training")


def test_a_registration_keeps_all_that_one_may_read(store: Path) -> None:
    with FileLock(home() / "registry.lock"):
        assert {artifact.stage for artifact in collect(list_store(), everything=True).removable} == {"model"}


def test_without_a_server_nobody_knows(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(ExternalError, match="no server answers there"):
        list_store()


def test_what_is_in_the_storage_is_told_and_stays(
    store: Path, forgotten: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NMT_STORAGE", str(tmp_path / "storage"))
    there = tmp_path / "storage" / "store"
    shutil.copytree(store, there, ignore=shutil.ignore_patterns(".*", "model"))
    shutil.rmtree(forgotten.folders["training"])
    found = {artifact.address: artifact for artifact in list_store()}
    assert {artifact.shared for artifact in found.values() if artifact.stage != "model"} == {True}
    (alone,) = (artifact for artifact in found.values() if artifact.path is None)
    assert {alone.address} == of(forgotten, "training")
    assert alone.bytes == sum(file.stat().st_size for file in (there / alone.address).rglob("*") if file.is_file())
    size = sum(1 for _ in there.rglob("*"))
    remove(collect(found.values()).removable)
    assert sum(1 for _ in there.rglob("*")) == size
    assert not forgotten.folders["corpus"].exists()
