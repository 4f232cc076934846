"""Parquet: every type that holds texts is read, rows of other formats get columns that fit them."""

from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet as pq
import pytest

from pipeline.errors import ExternalError, InputError
from pipeline.rows.columns import Column
from pipeline.rows.files import find_files
from pipeline.rows.parquet import batch_of, readable_parquet, schema_of, write_parquet
from pipeline.rows.readers import read_rows, read_texts
from tests.pipeline.rows.contents import DE, NESTED, TEXTS, parquet_bytes, target

SIDES = [{"de": text, "en": "x"} for text in TEXTS]
COLUMNS: dict[str, tuple[str, Any]] = {
    "string": ("de", pyarrow.array(TEXTS)),
    "large": ("de", pyarrow.array(TEXTS, pyarrow.large_string())),
    "view": ("de", pyarrow.array(TEXTS, pyarrow.string_view())),
    "dictionary": ("de", pyarrow.array(TEXTS).dictionary_encode()),
    "large dictionary": ("de", pyarrow.array(TEXTS, pyarrow.large_string()).dictionary_encode()),
    "a name with a dot": ("t.de", pyarrow.array(TEXTS)),
    "nested": ("t.de", pyarrow.array(SIDES)),
    "nested twice": ("t.u.de", pyarrow.array([{"u": row} for row in SIDES])),
}


@pytest.mark.parametrize(("name", "values"), COLUMNS.values(), ids=COLUMNS)
@pytest.mark.parametrize("options", [{}, {"store_schema": False, "compression": "gzip"}, {"use_dictionary": False}])
def test_every_type_of_text_is_read(tmp_path: Path, name: str, values: Any, options: dict[str, Any]) -> None:
    head = name if pyarrow.types.is_struct(values.type) is False else "t"
    table = pyarrow.table({"n": range(len(TEXTS)), head: values})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=3, **options)
    assert list(read_texts(find_files(str(tmp_path / "a.parquet")), Column("--column", name))) == TEXTS


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("fr", "--column fr: .*a.parquet has no column fr; its columns are n, en, t.de; set --column to one of them"),
        ("n", r"--column n: .*a.parquet row 1 holds 1 \(int\), not text"),
        ("en", "--column en: .*a.parquet row 2 holds null, not text"),
    ],
)
def test_columns_that_hold_no_texts(tmp_path: Path, column: str, message: str) -> None:
    pq.write_table(pyarrow.table({"n": [1, 2], "en": ["a", None], "t": [{"de": "x"}] * 2}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match=message):
        list(read_texts(find_files(str(tmp_path / "a.parquet")), Column("--column", column)))


def test_broken_files(tmp_path: Path) -> None:
    whole = parquet_bytes(NESTED)
    offsets = pyarrow.py_buffer(b"\0\0\0\0\2\0\0\0")
    latin = pyarrow.Array.from_buffers(pyarrow.string(), 1, [None, offsets, pyarrow.py_buffer(b"a\xff")])
    pq.write_table(pyarrow.table({"de": latin}), tmp_path / "latin.parquet")
    pq.write_table(pyarrow.Table.from_arrays([["x"], ["y"]], ["de", "de"]), tmp_path / "twice.parquet")
    (tmp_path / "none.parquet").write_bytes(b"PAR1 no")
    (tmp_path / "cut.parquet").write_bytes(whole[:-50])
    (tmp_path / "holes.parquet").write_bytes(whole[:4] + b"\xff" * 400 + whole[404:])
    for name, message in (
        ("none", "not a readable Parquet file (ArrowInvalid: "),
        ("cut", "not a readable Parquet file ("),
        ("holes", "not a readable Parquet file ("),
        ("latin", "not a readable Parquet file (UnicodeDecodeError: "),
        ("twice", "it has several columns de; rename all but one"),
    ):
        path = tmp_path / f"{name}.parquet"
        with pytest.raises(InputError) as refused:
            list(read_texts(find_files(str(path)), DE))
        assert str(refused.value).startswith(f"{path}: {message}")
        assert "\n" not in str(refused.value)


def test_errors_of_the_disk_and_of_s3_are_no_broken_files() -> None:
    for name, error, expected in (
        ("a.parquet", OSError(5, "Input/output error"), OSError),
        ("s3://bucket/a.parquet", OSError("AWS Error NETWORK_CONNECTION during GetObject: curlCode: 7"), ExternalError),
    ):
        with pytest.raises(expected), readable_parquet(target(name)):
            raise error


def test_rows_get_columns_that_fit_all_of_their_values(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"n": 1, "a": None},
        {"n": 2.5, "a": {"x": "y"}},
        {"n": None, "a": {"z": [True]}, "late": "text"},
    ]
    schema = schema_of([rows[:1], rows[1:2], rows[2:]])
    write_parquet(schema, iter([batch_of(rows[:1], schema), batch_of(rows[1:], schema)]), tmp_path / "a.parquet")
    found = [row for _, row in read_rows(find_files(str(tmp_path / "a.parquet"))[0])]
    assert found == [
        {"n": 1.0, "a": None, "late": None},
        {"n": 2.5, "a": {"x": "y", "z": None}, "late": None},
        {"n": None, "a": {"x": None, "z": [True]}, "late": "text"},
    ]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((1, "x"), "its rows cannot be written as Parquet (Unable to merge: Field a has incompatible types"),
        ((2**70,), "its column a cannot be written as Parquet (Python int too large"),
        (("\ud800",), "its column a cannot be written as Parquet ('utf-8' codec can't encode"),
        (([1, "x"],), "its column a cannot be written as Parquet (Could not convert 'x'"),
        (({},), "its rows cannot be written as Parquet (Cannot write struct type 'a' with no child"),
    ],
)
def test_values_that_make_no_column(tmp_path: Path, values: tuple[Any, ...], message: str) -> None:
    with pytest.raises(InputError) as refused:
        write_parquet(schema_of([[{"a": value}] for value in values]), iter([]), tmp_path / "a.parquet")
    assert str(refused.value).startswith(message)
    assert str(refused.value).endswith("; name a .jsonl file")
