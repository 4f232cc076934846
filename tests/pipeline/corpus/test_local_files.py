"""Which files hold which split, and what is said where none does."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.corpus.local_files import find_evaluation_parts, find_parts
from pipeline.data_config import CorpusConfig
from pipeline.errors import InputError
from tests.corpus_files import SPLITS, write_folder
from tests.pipeline.rows.contents import zipped


def found(path: Path, **fields: Any) -> dict[str, list[tuple[str, ...]]]:
    parts = find_parts(CorpusConfig(path=str(path), **fields))
    return {split: [tuple(file.name for file in part.files) for part in files] for split, files in parts.items()}


def message_of(path: Path, **fields: Any) -> str:
    with pytest.raises(InputError) as refused:
        found(path, **fields)
    assert "\n" not in str(refused.value)
    return str(refused.value).replace(f"{path.parent}/", "")


def touch(folder: Path, *names: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_text("x")
    return folder


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (
            ["train.jsonl", "dev.jsonl", "test.jsonl", "README.md", "training-notes.txt"],
            {"train": [("train.jsonl",)], "validation": [("dev.jsonl",)], "test": [("test.jsonl",)]},
        ),
        (["Train.CSV.gz", "valid.csv"], {"train": [("Train.CSV.gz",)], "validation": [("valid.csv",)]}),
        (["train-2.parquet", "train-1.parquet"], {"train": [("train-1.parquet",), ("train-2.parquet",)]}),
        (
            ["train.de", "train.en.gz", "test.2016.de.xz", "test.2016.en.zst"],
            {"train": [("train.de", "train.en.gz")], "test": [("test.2016.de.xz", "test.2016.en.zst")]},
        ),
        (["train.tmx.gz", "dev.tmx"], {"train": [("train.tmx.gz",)], "validation": [("dev.tmx",)]}),
    ],
)
def test_a_folder_by_the_names_in_it(tmp_path: Path, names: list[str], expected: dict[str, Any]) -> None:
    assert found(touch(tmp_path / "x", *names)) == expected


def test_one_file_and_two_aligned_ones(tmp_path: Path) -> None:
    folder = touch(tmp_path / "x", "a.tsv", "a.txt", "b.txt")
    assert found(folder / "a.tsv") == {"train": [("a.tsv",)]}
    assert found(folder / "a.txt", target_path=str(folder / "b.txt")) == {"train": [("a.txt", "b.txt")]}


def test_pairs_to_score_need_no_other_split(tmp_path: Path) -> None:
    folder = touch(tmp_path / "x", "test.tsv")
    config = CorpusConfig(path=str(folder))
    assert [part.path.name for part in find_evaluation_parts(config, "test")] == ["test.tsv"]
    with pytest.raises(InputError, match=r"the folder has no file of the validation split; looked for val\*, dev\*"):
        find_evaluation_parts(config, "validation")


def test_folders_without_what_is_needed(tmp_path: Path) -> None:
    folder = touch(tmp_path / "x", "test.jsonl")
    expected = (
        "corpus.path=x: the folder has no training file; looked for train* (also val*, dev*, test*) ending in .jsonl"
    )
    assert message_of(folder).startswith(expected)
    assert ".zst), .parquet, or in both .de and .en (aligned text)" in message_of(folder)
    touch(folder, "train.csv", "train.jsonl")
    assert "split exists in several formats (train.csv, train.jsonl); keep one" in message_of(folder)
    assert message_of(tmp_path / "nowhere").startswith("corpus.path=nowhere: there is no such file or folder")


def test_a_zip_archive(tmp_path: Path) -> None:
    files = {"README": b"x", "LICENSE": b"x", "T.de-pt_BR.de": b"Hund\n", "T.de-pt_BR.pt_BR": "cão\n".encode()}
    (tmp_path / "de-pt.txt.zip").write_bytes(zipped(files))
    (part,) = find_parts(CorpusConfig(path=str(tmp_path / "de-pt.txt.zip"), target_column="pt"))["train"]
    assert (part.format, part.members) == ("text", ("T.de-pt_BR.de", "T.de-pt_BR.pt_BR"))
    assert part.files == (tmp_path / "de-pt.txt.zip",), "hashed once"
    expected = (
        "de-pt.txt.zip: the zip has no text files .de and .en, and no single file with columns; it holds LICENSE,"
    )
    assert message_of(tmp_path / "de-pt.txt.zip").startswith(expected)
    (tmp_path / "table.zip").write_bytes(zipped({"a.csv": b"de,en\nx,y\n"}))
    assert [part.format for part in find_parts(CorpusConfig(path=str(tmp_path / "table.zip")))["train"]] == ["csv"]
    for name, side in (("de.zip", b"Hund\n"), ("en.zip", b"dog\n")):
        (tmp_path / name).write_bytes(zipped({"text": side}))
    two = CorpusConfig(path=str(tmp_path / "de.zip"), target_path=str(tmp_path / "en.zip"))
    assert [file.own_name for file in find_parts(two)["train"][0].row_files] == ["text", "text"]


def test_a_saved_data_set(tmp_path: Path) -> None:
    """As save_to_disk writes it: one data set, or one per split."""
    names = ("dataset_info.json", "state.json", "data-00000-of-00001.arrow")
    folder = touch(tmp_path / "one", *names)
    assert found(folder) == {"train": [("data-00000-of-00001.arrow",)]}
    assert [part.format for part in find_evaluation_parts(CorpusConfig(path=str(folder)), "test")] == ["saved"]
    splits = touch(tmp_path / "splits", "dataset_dict.json")
    for split in ("train", "validation"):
        touch(splits / split, *names)
    assert sorted(found(splits)) == ["train", "validation"]
    config = CorpusConfig(path=str(splits))
    assert [part.path.name for part in find_evaluation_parts(config, "validation")] == ["validation"]


def test_a_side_that_is_missing(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "x", "text", SPLITS)
    (folder / "test.en").unlink()
    assert message_of(folder).startswith("corpus.path=x: test.de lacks its other side test.en; add it")
    (folder / "test.de").rename(folder / "test.en")
    assert message_of(folder).startswith("corpus.path=x: test.en lacks its other side test.de; add it")
    file = folder / "train.de"
    assert "name the target side's file in corpus.target_path" in message_of(file)
    assert "corpus.target_path=nowhere: there is no such file" in message_of(file, target_path="nowhere")
    assert "is a folder and corpus.target_path=y is set" in message_of(folder, target_path="y")


def test_files_that_cannot_be_a_corpus(tmp_path: Path) -> None:
    folder = touch(tmp_path / "x", "train.foo", "train.xlsx", "train.tar.gz")
    expected = "corpus.path=train.foo: a file is one of .jsonl, .json (one object per line), .csv"
    assert message_of(folder / "train.foo").startswith(expected)
    assert message_of(folder / "train.xlsx") == "corpus.path=train.xlsx: a document; save its text as a plain .txt"
    assert message_of(folder / "train.tar.gz").startswith("corpus.path=train.tar.gz: an archive; unpack it and name")
    (folder / "train.jsonl").write_text("")
    assert message_of(folder) == "x/train.jsonl: the file is empty; add sentence pairs, or remove it"
