"""Files of translations: every format from every format, the rows whole, nothing half-written."""

import csv
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import InputError
from pipeline.rows.answers import check_output, write_answers
from pipeline.rows.columns import Column
from pipeline.rows.files import find_files
from pipeline.rows.readers import read_rows, read_texts
from pipeline.store.storage import folder_and_name
from tests.pipeline.rows.contents import CONTENTS, DEEP, FLAT, NESTED, ROWS, TEXT, TEXTS, target
from tests.s3_server import s3_server

ANSWERS = [text.upper() for text in TEXTS]
OBJECTS = [{"hypotheses": [{"text": text, "score": -0.5}] if text.strip() else []} for text in ANSWERS]
OUTPUTS = ["out.txt", "out.txt.gz", "out.jsonl", "out.jsonl.gz", "out.csv", "out.csv.gz", "out.tsv", "out.parquet"]


def write(source: Path, output: str, answers: list[Any]) -> Path:
    """Write answers as the flow does; return the file."""
    files, result = find_files(str(source)), target(str(source.parent / output))
    check_output(files, result, objects=not isinstance(answers[0], str), attention=False)
    write_answers(files, answers, result)
    return source.parent / output


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [row for _, row in read_rows(find_files(str(path))[0])]


@pytest.mark.parametrize("source", CONTENTS)
@pytest.mark.parametrize("output", OUTPUTS)
def test_every_format_can_be_written_from_every_format(tmp_path: Path, source: str, output: str) -> None:
    (tmp_path / source).write_bytes(CONTENTS[source]())
    if source in DEEP and ("csv" in output or "tsv" in output):
        with pytest.raises(InputError, match=r"(line|row) 1 holds {'a': .* in its column more, .* name a .jsonl file"):
            write(tmp_path / source, output, ANSWERS)
        assert [path.name for path in tmp_path.iterdir()] == [source], "nothing else is left"
        return
    path = write(tmp_path / source, output, ANSWERS)
    assert {path.name for path in tmp_path.iterdir()} == {source, output}, "nothing else is left"
    assert list(read_texts(find_files(str(path)), Column("--column", "translation"))) == ANSWERS
    if "txt" in output:
        return
    rows = ROWS if source in FLAT else NESTED if source in DEEP else [{"source": text} for text in TEXTS]
    assert rows_of(path) == [row | {"translation": answer} for row, answer in zip(rows, ANSWERS, strict=True)]


@pytest.mark.parametrize("output", ["a.jsonl", "a.parquet"])
@pytest.mark.parametrize("source", ["texts.txt", "flat.csv", "deep.parquet"])
def test_hypotheses_are_written_with_their_scores(tmp_path: Path, source: str, output: str) -> None:
    (tmp_path / source).write_bytes(CONTENTS[source]())
    rows = {"texts.txt": [{"source": text} for text in TEXTS], "flat.csv": ROWS, "deep.parquet": NESTED}[source]
    found = rows_of(write(tmp_path / source, output, OBJECTS))
    assert found == [row | objects for row, objects in zip(rows, OBJECTS, strict=True)]


def test_parquet_keeps_the_types_of_its_columns(tmp_path: Path) -> None:
    table = pyarrow.table(
        {
            "de": pyarrow.array(TEXTS).dictionary_encode(),
            "day": pyarrow.array([0] * len(TEXTS), pyarrow.date32()),
            "n": pyarrow.array(range(len(TEXTS)), pyarrow.int8()),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=3)
    found = pq.read_table(write(tmp_path / "a.parquet", "out.parquet", ANSWERS))
    assert found.schema == table.schema.append(pyarrow.field("translation", pyarrow.string()))
    assert found.drop_columns(["translation"]) == table
    pq.write_table(table.slice(0, 0), tmp_path / "empty.parquet")
    write_answers(find_files(str(tmp_path / "empty.parquet")), [], target(str(tmp_path / "out.parquet")))
    assert pq.read_schema(tmp_path / "out.parquet") == found.schema


def test_rows_that_are_no_table(tmp_path: Path) -> None:
    """What the first row does not show is found when it is written: the answers are kept, another name is enough."""
    first = {"de": "x", "n": 1}
    for second, output, message in (
        ({"de": "y", "n": "one"}, "out.parquet", "its column n cannot be written as Parquet"),
        ({"de": "y"}, "out.csv", "a.jsonl line 2 has other columns than row 1; name a .jsonl file"),
        ({"de": "y", "n": [1]}, "out.tsv", r"a.jsonl line 2 holds \[1\] in its column n, which does not fit a cell"),
        ({"de": "y", "translation": "z"}, "out.jsonl", "a.jsonl line 2: it already has a column translation; rename"),
    ):
        (tmp_path / "a.jsonl").write_text(f"{json.dumps(first)}\n{json.dumps(second)}\n")
        with pytest.raises(InputError, match=message):
            write(tmp_path / "a.jsonl", output, ["X", "Y"])
        assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]
    (tmp_path / "a.jsonl").write_text('{"de": "x", "n": 1, "b": true}\n{"n": null, "b": 2.5, "de": "y"}\n')
    assert (
        write(tmp_path / "a.jsonl", "out.csv", ["X", "Y"]).read_text() == "de,n,b,translation\nx,1,true,X\ny,,2.5,Y\n"
    )


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ("csv", "b.csv line 2 has other columns than row 1; name a .jsonl file"),
        ("parquet", "b.parquet: its columns are not those of .*a.parquet; translate it by itself"),
    ],
)
def test_a_folder_of_files_with_other_columns(tmp_path: Path, form: str, message: str) -> None:
    folder = tmp_path / form
    folder.mkdir()
    for name, column in (("a", "de"), ("b", "fr")):
        (folder / f"{name}.csv").write_text(f"{column}\nx\n")
        pq.write_table(pyarrow.table({column: ["x"]}), folder / f"{name}.parquet")
        for other in {"csv", "parquet"} - {form}:
            (folder / f"{name}.{other}").unlink()
    with pytest.raises(InputError, match=message):
        write_answers(find_files(str(folder)), ["X", "Y"], target(str(tmp_path / f"out.{form}")))


def test_rows_without_names_are_all_kept(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("Ein Hund.\tA dog.\nZwei.\tTwo.\n")
    column = Column("--column", "1")
    files = find_files(str(tmp_path / "a.tsv"), column)
    for output in ("out.jsonl", "out.csv", "out.parquet"):
        result = target(str(tmp_path / output))
        check_output(files, result, objects=False, attention=False, column=column)
        write_answers(files, ["X", "Y"], result, column)
        assert rows_of(tmp_path / output) == [
            {"1": "Ein Hund.", "2": "A dog.", "translation": "X"},
            {"1": "Zwei.", "2": "Two.", "translation": "Y"},
        ]


def test_units_of_tmx_keep_their_languages(tmp_path: Path) -> None:
    unit = '<tu><tuv xml:lang="de-DE"><seg>Hund</seg></tuv><tuv xml:lang="en-GB"><seg>dog</seg></tuv></tu>'
    (tmp_path / "a.tmx").write_text(f"<tmx><body>{unit}</body></tmx>")
    row = {"de-DE": "Hund", "en-GB": "dog", "translation": "X"}
    for output in ("out.jsonl", "out.tsv", "out.parquet"):
        assert rows_of(write(tmp_path / "a.tmx", output, ["X"])) == [row]


cells = st.text(st.characters(codec="utf-8"), max_size=8)


@settings(max_examples=100, deadline=None)
@given(rows=st.lists(st.lists(cells, min_size=2, max_size=2), min_size=1, max_size=4))
def test_tables_are_read_as_they_were_written(rows: list[list[str]], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("tables")
    (folder / "a.jsonl").write_text("".join(json.dumps({"de": de, "en": en}) + "\n" for de, en in rows))
    answers = [en for _, en in rows]
    expected = [{"de": de, "en": en, "translation": en} for de, en in rows]
    assert rows_of(write(folder / "a.jsonl", "out.csv", answers)) == expected
    assert rows_of(write(folder / "a.jsonl", "out.parquet", answers)) == expected
    # TSV has no quotes: what would end a cell is a blank.
    flat = [
        {name: "".join(" " if c in "\t\r\n" else c for c in text) for name, text in row.items()} for row in expected
    ]
    assert rows_of(write(folder / "a.jsonl", "out.tsv", answers)) == flat


def test_half_of_a_surrogate_pair_beside_the_text(tmp_path: Path) -> None:
    """JSON can hold it in a column that is not translated, UTF-8 cannot."""
    (tmp_path / "a.jsonl").write_text('{"de": "x", "other": "\\ud800"}\n')
    assert write(tmp_path / "a.jsonl", "out.jsonl", ["X"]).read_text() == (
        '{"de": "x", "other": "\\ud800", "translation": "X"}\n'
    )


def test_outputs_that_cannot_be(tmp_path: Path) -> None:
    for name in (*TEXT, *FLAT, *DEEP):
        (tmp_path / name).write_bytes(CONTENTS[name]())
    pq.write_table(
        pyarrow.table({"de": pyarrow.array([], pyarrow.string()), "translation": []}), tmp_path / "b.parquet"
    )
    (tmp_path / "c.tsv").write_text("de\thypotheses\nx\ty\n")
    for source, name, objects, attention, message in (
        ("deep.parquet", "deep.parquet", False, False, "that is the file to translate; name another"),
        ("deep.parquet", "x.parquet.gz", False, False, "Parquet compresses itself"),
        ("flat.csv", "x.jsonl.xz", False, False, "--output .*x.jsonl.xz: xz is not written; end the name in .gz"),
        ("flat.csv", "x.tmx", False, False, "--output .*x.tmx: tmx is not an output format; name a .jsonl file"),
        ("flat.csv", "x.zip", False, False, "--output .*x.zip: zip is not an output format; name a .jsonl file"),
        ("flat.csv", "x.tar.gz", False, False, "--output .*x.tar.gz: such a file is not written; name"),
        ("deep.parquet", "x.txt", True, False, "text has one translation per line; name a .jsonl file"),
        ("flat.csv", "x.csv", True, False, "csv has one translation per line; name a .jsonl file"),
        ("deep.parquet", "x.parquet", True, True, "Parquet output has no attention weights"),
        ("b.parquet", "x.parquet", False, False, "b.parquet: it already has a column translation; rename it, or write"),
        (
            "c.tsv",
            "x.tsv",
            False,
            False,
            "c.tsv line 2: it already has a column hypotheses; rename it, or write plain text",
        ),
    ):
        with pytest.raises(InputError, match=message):
            check_output(find_files(str(tmp_path / source)), target(str(tmp_path / name)), objects, attention)
    check_output(find_files(str(tmp_path / "c.tsv")), target(str(tmp_path / "x.txt")), objects=False, attention=False)


@pytest.mark.parametrize("output", ["out.txt", "out.jsonl", "out.csv", "out.parquet"])
def test_an_older_file_stays_until_the_new_one_is_whole(tmp_path: Path, output: str) -> None:
    (tmp_path / "a.txt").write_text("one\ntwo\n")
    (tmp_path / output).write_text("old")

    def fails() -> Iterator[str]:
        yield "eins"
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write_answers(find_files(str(tmp_path / "a.txt")), fails(), target(str(tmp_path / output)))
    assert (tmp_path / output).read_text() == "old"
    assert {path.name for path in tmp_path.iterdir()} == {"a.txt", output}


def test_into_s3_and_out_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with s3_server(tmp_path) as s3:
        for variable, value in s3.environment.items():
            monkeypatch.setenv(variable, value)
        for name, output in (("texts.txt", "a.txt"), ("flat.csv.gz", "a.csv.gz"), ("deep.parquet", "a.parquet")):
            folder, file = folder_and_name(f"s3://{s3.bucket}/in/{name}")
            folder.write(file, CONTENTS[name]())
            files, result = find_files(f"s3://{s3.bucket}/in/{name}"), f"s3://{s3.bucket}/out/{output}"
            check_output(files, target(result), objects=False, attention=False)
            write_answers(files, ANSWERS, target(result))
            assert list(read_texts(find_files(result), Column("--column", "translation"))) == ANSWERS


def test_gzip_is_gzip(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(CONTENTS["flat.csv"]())
    path = write(tmp_path / "a.csv", "out.csv.gz", ANSWERS)
    with gzip.open(path, "rt", encoding="utf8", newline="") as stream:
        assert next(csv.reader(stream)) == ["id", "de", "translation"]
