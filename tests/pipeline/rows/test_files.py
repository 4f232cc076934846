"""Files and folders by the names that users give them, here and in S3."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pyarrow import fs

from pipeline.errors import InputError
from pipeline.rows.columns import Column
from pipeline.rows.files import find_files, is_plain, refuse_column_of_text
from pipeline.rows.readers import read_texts
from pipeline.store.storage import folder_and_name
from tests.pipeline.rows.contents import CONTENTS, DE, ROWS, TEXTS, csv_bytes, text_bytes, zipped
from tests.s3_server import S3Server, s3_server


def test_a_folder_is_its_files_in_order(tmp_path: Path) -> None:
    for name, text in (("b.txt", "two\n"), ("a.txt", "one\n"), (".hidden", "x\n"), ("_SUCCESS", "")):
        (tmp_path / name).write_text(text)
    assert list(read_texts(find_files(str(tmp_path)), DE)) == ["one", "two"]
    (tmp_path / "c.jsonl").write_text("{}\n")
    with pytest.raises(InputError, match=r"the folder has files of several formats \(a.txt, b.txt, c.jsonl\)"):
        find_files(str(tmp_path))


def test_nothing_to_read(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.parquet.gz").write_bytes(b"")
    for name in ("nothing.txt", "empty"):
        with pytest.raises(InputError, match=rf"{name}: there is no such file, and no folder with files in it"):
            find_files(str(tmp_path / name))
    with pytest.raises(InputError, match=r"a.parquet.gz: Parquet compresses itself; decompress it"):
        find_files(str(tmp_path / "a.parquet.gz"))


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("a.txt", True),
        ("a.de", True),
        ("a", True),
        ("a.tsv", False),
        ("a.de.gz", False),
        ("a.xz", False),
        ("a.zip", False),
        ("s3://b/a.txt", False),
    ],
)
def test_plain_text_is_what_needs_no_reader(name: str, plain: bool) -> None:
    assert is_plain(name) == plain


def test_the_file_in_a_zip(tmp_path: Path) -> None:
    (tmp_path / "one.zip").write_bytes(zipped({"a/texts.txt": text_bytes()}))
    assert list(read_texts(find_files(str(tmp_path / "one.zip"), DE), DE)) == TEXTS
    (tmp_path / "table.zip").write_bytes(zipped({"README": b"x", "flat.csv": csv_bytes(), "__MACOSX/flat.csv": b"x"}))
    assert list(read_texts(find_files(str(tmp_path / "table.zip"), DE), DE)) == [row["de"] for row in ROWS]
    sides = {"README": b"x", "T.de-en_GB.de": text_bytes(), "T.de-en_GB.en_GB": b"x\n"}
    (tmp_path / "sides.zip").write_bytes(zipped(sides))
    assert list(read_texts(find_files(str(tmp_path / "sides.zip"), DE), DE)) == TEXTS
    for language in ("en", "EN-gb"):
        column = Column("--column", language)
        assert list(read_texts(find_files(str(tmp_path / "sides.zip"), column), column)) == ["x"]
    with pytest.raises(InputError, match=r"sides.zip: the zip has no .* nor a text .fr; it holds README, T.de"):
        find_files(str(tmp_path / "sides.zip"), Column("--column", "fr"))


def test_a_column_of_plain_text_does_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x\n")
    with pytest.raises(InputError, match=r"--column de: .*a.txt is plain text, which has no columns; leave the option"):
        refuse_column_of_text(find_files(str(tmp_path / "a.txt"), DE), DE)
    (tmp_path / "a.csv").write_text("de\nx\n")
    refuse_column_of_text(find_files(str(tmp_path / "a.csv"), DE), DE)


def test_a_saved_data_set_is_no_folder_of_rows(tmp_path: Path) -> None:
    for name in ("data-00000-of-00001.arrow", "dataset_info.json", "state.json"):
        (tmp_path / name).write_text("x")
    with pytest.raises(InputError, match=r"a folder of save_to_disk is read in training alone; write it with to_parq"):
        find_files(str(tmp_path))


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def bucket(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    for variable, value in s3.environment.items():
        monkeypatch.setenv(variable, value)
    return f"s3://{s3.bucket}"


@pytest.mark.parametrize("name", CONTENTS)
def test_in_s3_as_on_disk(bucket: str, name: str) -> None:
    folder, file = folder_and_name(f"{bucket}/in/{name}/{name}")
    folder.write(file, CONTENTS[name]())
    for address in (f"{bucket}/in/{name}/{name}", f"{bucket}/in/{name}"):
        assert list(read_texts(find_files(address), DE)) == TEXTS


@pytest.mark.usefixtures("bucket")
def test_a_bucket_that_is_not_there() -> None:
    with pytest.raises(InputError, match=r"s3://nowhere/a.txt: there is no such file"):
        find_files("s3://nowhere/a.txt")
    with pytest.raises(InputError, match=r"gs://bucket/a.txt: use a path, or s3://bucket/name"):
        find_files("gs://bucket/a.txt")
    assert isinstance(folder_and_name("s3://bucket/a")[0].filesystem, fs.S3FileSystem)
