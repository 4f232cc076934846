"""What is taken from `datasets` and `huggingface_hub` without a promise is there, in the versions it was read in."""

import inspect
from importlib.metadata import version
from pathlib import Path

import datasets
import datasets.builder
import huggingface_hub.constants
import huggingface_hub.repocard
from huggingface_hub.hf_api import RepoFile

from pipeline.corpus.hub import datasets_internals, internals
from pipeline.corpus.hub.datasets_internals import address_of, commit_of, files_of
from pipeline.corpus.hub.internals import REMARKS, cache_folder
from pipeline.rows.files import SAVED

CHECK = "compare every part in pipeline/corpus/hub/*internals.py with the sources, run the slow tests, and set VERSION"


def test_the_libraries_are_the_versions_that_were_read() -> None:
    assert version("huggingface-hub") == internals.VERSION, CHECK
    assert version("datasets") == datasets_internals.VERSION, CHECK


def test_the_cache_has_a_folder_for_each_data_set() -> None:
    assert cache_folder("owner/name") == Path(huggingface_hub.constants.HF_HUB_CACHE) / "datasets--owner--name"


def test_an_address_is_one_that_the_hub_takes() -> None:
    assert address_of("owner/name") == f"{datasets.config.HF_ENDPOINT and 'hf://datasets/'}owner/name"
    assert address_of("owner/name", "abc") == "hf://datasets/owner/name@abc/"


def test_a_builder_lists_its_files(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text('{"de": "Hund", "en": "dog"}\n')
    builder = datasets.load_dataset_builder(str(tmp_path), cache_dir=str(tmp_path / "cache"))
    assert [Path(file).name for file in files_of(builder)] == ["train.jsonl"], CHECK
    assert commit_of(builder) == builder.hash
    assert "hash" in inspect.signature(datasets.builder.DatasetBuilder.__init__).parameters, CHECK


def test_remarks_on_cards_go_to_that_logger() -> None:
    assert huggingface_hub.repocard.logger.name == REMARKS, CHECK


def test_both_know_whether_progress_bars_are_decided() -> None:
    assert hasattr(huggingface_hub.constants, "HF_HUB_DISABLE_PROGRESS_BARS"), CHECK
    assert hasattr(datasets.config, "HF_DATASETS_DISABLE_PROGRESS_BARS"), CHECK


def test_a_file_of_the_hub_has_the_hashes_that_downloads_are_checked_by() -> None:
    lfs = {"size": 1, "oid": "b" * 64, "sha256": "b" * 64, "pointerSize": 1}
    file = RepoFile(path="x", size=1, oid="a" * 40, lfs=lfs)  # type: ignore[no-untyped-call]
    assert file.blob_id == "a" * 40, CHECK
    assert file.lfs is not None
    assert file.lfs.sha256 == "b" * 64, CHECK


def test_saved_data_sets_have_the_files_that_they_are_known_by(tmp_path: Path) -> None:
    one = datasets.Dataset.from_dict({"de": ["Hund"]})
    one.save_to_disk(str(tmp_path / "one"))
    datasets.DatasetDict({"train": one}).save_to_disk(str(tmp_path / "several"))
    for folder, name in zip(("one", "several"), SAVED, strict=True):
        assert (tmp_path / folder / name).is_file(), CHECK
    assert (tmp_path / "one" / "state.json").is_file(), CHECK
    assert list((tmp_path / "one").glob("*.arrow")), CHECK
