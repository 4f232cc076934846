"""`nmt translate` with workers: whole files in order, killed in the middle and started again."""

import gzip
import json
import os
import signal
import time
from pathlib import Path

import pyarrow
import pyarrow.parquet as pq
import pytest

from pipeline.bulk_translation import CHUNK_TEXTS
from pipeline.captions import generate_pairs
from tests.flows.conftest import FinishedRun

SENTENCES = [source for source, _ in generate_pairs(3 * CHUNK_TEXTS + 10, seed=8)]


@pytest.fixture(scope="module")
def expected(finished_run: FinishedRun, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The translations of the first sentences in one process."""
    path = tmp_path_factory.mktemp("expected") / "a.txt"
    path.write_text("".join(f"{line}\n" for line in SENTENCES[:100]))
    run = finished_run.nmt.run("translate", str(path), "--beam", "1")
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()


def test_killed_in_the_middle_and_started_again(finished_run: FinishedRun, tmp_path: Path, expected: list[str]) -> None:
    source, output = tmp_path / "a.txt", tmp_path / "out.txt"
    source.write_text("".join(f"{line}\n" for line in SENTENCES))
    arguments = ("translate", str(source), "--output", str(output), "--beam", "1", "--workers", "1")
    answers = finished_run.nmt.folder / ".nmt" / "translations"
    process = finished_run.nmt.start(*arguments)
    for _ in range(1800):
        if list(answers.glob("*/*.answers.json")) or process.poll() is not None:
            break
        time.sleep(0.1)
    assert process.poll() is None, process.communicate()[1]
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not output.exists(), "nothing half-written"
    done = {path.name: path.stat().st_mtime_ns for path in answers.glob("*/*.answers.json")}
    assert 1 <= len(done) < 4
    again = finished_run.nmt.run(*arguments)
    assert again.returncode == 0, again.stderr
    assert {path.name: path.stat().st_mtime_ns for path in answers.glob("*/*.answers.json")}.items() >= done.items()
    lines = output.read_text().split("\n")[:-1]
    assert len(lines) == len(SENTENCES)
    assert lines[:100] == expected
    once_more = finished_run.nmt.run(*arguments)
    assert "0 to translate" in once_more.stderr
    assert output.read_text().split("\n")[:-1] == lines


def test_json_lines_and_parquet_with_a_column(finished_run: FinishedRun, tmp_path: Path, expected: list[str]) -> None:
    rows = [{"id": number, "de": line} for number, line in enumerate(SENTENCES[:100])]
    with gzip.open(tmp_path / "a.jsonl.gz", "wt", encoding="utf8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    options = ("--column", "de", "--beam", "1")
    nmt = finished_run.nmt
    packed = nmt.run("translate", str(tmp_path / "a.jsonl.gz"), "-o", str(tmp_path / "out.parquet"), *options)
    assert packed.returncode == 0, packed.stderr
    found = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert found == [{"source": s, "translation": t} for s, t in zip(SENTENCES, expected, strict=False)]
    pq.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "a.parquet")
    scored = nmt.run("translate", str(tmp_path / "a.parquet"), "-o", str(tmp_path / "out.jsonl"), "--json", *options)
    assert scored.returncode == 0, scored.stderr
    objects = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [{"id": row["id"], "de": row["de"]} for row in objects] == rows
    assert [row["hypotheses"][0]["text"] for row in objects] == expected


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("nothing.jsonl", ["-o", "x.jsonl"], "nothing.jsonl: there is no such file, and no folder with files in it"),
        ("rows.jsonl", [], "rows.jsonl: is translated by workers into a file; name one with --output"),
        ("rows.jsonl", ["-o", "no/x.jsonl"], "--output no/x.jsonl: there is no folder"),
        ("rows.jsonl", ["-o", "x.jsonl"], "--column source: rows.jsonl line 1 has no such column; it has de"),
        ("rows.jsonl", ["-o", "x.jsonl", "--column", "de", "--beam", "0"], "--beam 0: beam=0 must be at least 1"),
        ("rows.jsonl", ["-o", "x.txt", "--json"], "--output x.txt: text is one line a line; name a .jsonl"),
        ("rows.jsonl", ["-o", "x.jsonl", "--column", "de", "--workers", "999"], "--workers 999: each takes a CPU, and"),
        (
            "rows.jsonl",
            ["-o", "x.jsonl", "--column", "de", "--max-source-length", "3", "--long-lines", "refuse"],
            "line 2 has ",
        ),
    ],
)
def test_mistakes_are_one_line(finished_run: FinishedRun, source: str, options: list[str], message: str) -> None:
    rows = finished_run.nmt.folder / "rows.jsonl"
    rows.write_text('{"de": "Ja."}\n{"de": "Ein Hund schläft im Park und ein Mann liest."}\n')
    run = finished_run.nmt.run("translate", source, *options)
    assert run.returncode == 2, run.stderr
    last = run.stderr.splitlines()[-1]
    assert last.startswith("nmt: ")
    assert message in last
    assert "Traceback" not in run.stderr
    assert not [path for path in finished_run.nmt.folder.iterdir() if path.name.startswith(("x.", ".x."))]
