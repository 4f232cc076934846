"""Files through the flow `translate`: whole and in order, killed in the middle and started again."""

import gzip
import json
import os
import signal
import time
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet as pq
import pytest

from flows.translate import translate
from pipeline.cluster.serving import Serving, serving
from pipeline.corpus.captions import generate_pairs
from pipeline.errors import InputError
from pipeline.registry.pull import LoadedModel, pull_model
from pipeline.serving.bulk_translation import CHUNK_TEXTS
from pipeline.serving.model_process import ModelProcess
from pipeline.serving.protocol import Invocation
from pipeline.store.store import Store
from tests.flows.conftest import FinishedRun

SENTENCES = [source for source, _ in generate_pairs(3 * CHUNK_TEXTS + 10, seed=8)]
GREEDY = {"beam": 1, "temperature": 0.0, "top_k": 0}
"""What `--beam 1` means."""


@pytest.fixture(scope="module")
def expected(in_its_home: FinishedRun) -> list[str]:
    """The translations of the first sentences by the model itself."""
    assert in_its_home
    return LoadedModel(pull_model("captions", Store()).path).predict(SENTENCES[:100], GREEDY)


@pytest.mark.slow
def test_killed_in_the_middle_and_started_again(
    in_its_home: FinishedRun, prefect_server: str, tmp_path: Path, expected: list[str]
) -> None:
    source, output = tmp_path / "a.txt", tmp_path / "out.txt"
    source.write_text("".join(f"{line}\n" for line in SENTENCES))
    answers = in_its_home.home / "translations"
    nmt = replace(in_its_home.nmt, environment=in_its_home.nmt.environment | {"PREFECT_API_URL": prefect_server})
    process = nmt.start("translate", str(source), "--output", str(output), "--beam", "1", "--workers", "1")
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
    again = translate(str(source), str(output), parameters=GREEDY, workers=1)
    assert again["texts"] == len(SENTENCES)
    assert 0 < again["translated"] < len(SENTENCES), "what was done is not done again"
    assert {path.name: path.stat().st_mtime_ns for path in answers.glob("*/*.answers.json")}.items() >= done.items()
    lines = output.read_text().split("\n")[:-1]
    assert len(lines) == len(SENTENCES)
    assert lines[:100] == expected
    assert translate(str(source), str(output), parameters=GREEDY)["translated"] == 0
    assert output.read_text().split("\n")[:-1] == lines


@pytest.mark.usefixtures("in_its_home")
def test_json_lines_and_parquet_with_a_column(tmp_path: Path, expected: list[str]) -> None:
    rows = [{"id": number, "de": line} for number, line in enumerate(SENTENCES[:100])]
    with gzip.open(tmp_path / "a.jsonl.gz", "wt", encoding="utf8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    translate(str(tmp_path / "a.jsonl.gz"), str(tmp_path / "out.parquet"), column="de", parameters=GREEDY)
    found = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert found == [row | {"translation": text} for row, text in zip(rows, expected, strict=True)]
    pq.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "a.parquet")
    scored = GREEDY | {"scores": True}
    translate(str(tmp_path / "a.parquet"), str(tmp_path / "out.jsonl"), column="de", parameters=scored)
    objects = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [{"id": row["id"], "de": row["de"]} for row in objects] == rows
    assert [row["hypotheses"][0]["text"] for row in objects] == expected


@pytest.mark.parametrize(
    ("source", "output", "options", "message"),
    [
        ("no.jsonl", "x.jsonl", {}, "no.jsonl: there is no such file, and no folder with files in it"),
        ("rows.jsonl", "no/x.jsonl", {}, "--output no/x.jsonl: there is no folder"),
        (
            "rows.jsonl",
            "in/../rows.jsonl",
            {},
            "--output in/../rows.jsonl: that is the file to translate; name another",
        ),
        ("in", "other/x.jsonl", {}, "--output other/x.jsonl: it is in the folder to translate; name a file in another"),
        ("rows.jsonl", "x.jsonl", {"column": "en"}, "rows.jsonl line 1 has no column en; its columns are de"),
        ("rows.jsonl", "x.jsonl", {"parameters": {"beam": 0}}, "--beam 0: beam=0 must be at least 1"),
        ("rows.jsonl", "x.txt", {"parameters": {"scores": True}}, "--output x.txt: text has one translation per line"),
        ("rows.jsonl", "x.jsonl", {"workers": 999}, "--workers 999: each takes a CPU, and the cluster has"),
        ("rows.jsonl", "x.jsonl", {"model": "captoins"}, "--model captoins: no model of that name"),
        (
            "rows.jsonl",
            "x.jsonl",
            {"parameters": {"max_source_length": 8, "long_lines": "refuse"}},
            "line 2 has [0-9]+ tokens, more than max_source_length=8",
        ),
    ],
)
@pytest.mark.usefixtures("in_its_home")
def test_mistakes_are_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    source: str,
    output: str,
    options: dict[str, Any],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.jsonl").write_text('{"de": "Ja."}\n{"de": "Ein Hund schläft im Park und ein Mann liest."}\n')
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jsonl").write_text('{"de": "Ja."}\n')
    (tmp_path / "other").symlink_to("in")
    with pytest.raises(InputError, match=message):
        translate(source, output, **({"column": "de"} | options))
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.jsonl", "in", "other", "rows.jsonl"], "half-written"
    assert (tmp_path / "rows.jsonl").read_text().startswith('{"de": "Ja."}'), "the source is what it was"


@pytest.mark.usefixtures("in_its_home")
def test_replicas_that_the_cluster_does_not_have() -> None:
    pulled = pull_model("captions", Store())
    for options, message in (
        (Serving(max_replicas=99), "--max-replicas 99 --threads 1: they take 99 CPUs, and the cluster has"),
        (Serving(min_replicas=2, max_replicas=1), "--min-replicas 2: more than --max-replicas 1"),
    ):
        with pytest.raises(InputError, match=message), serving(pulled, options, Store()):
            pass


@pytest.mark.usefixtures("in_its_home")
def test_a_model_in_a_process_of_its_own_and_its_death(expected: list[str]) -> None:
    process = ModelProcess(pull_model("captions", Store()).path, threads=1)
    try:
        requests = ((SENTENCES[:3], GREEDY), (["x"], {"beam": 0}), (SENTENCES[3:4], GREEDY))
        invocations = [Invocation(lines, parameters) for lines, parameters in requests]
        replies = process.answer(invocations).result(60)
        assert [reply.content.get("predictions") for reply in replies] == [expected[:3], None, expected[3:4]]
        assert replies[1].content["message"] == "beam=0 must be at least 1"
        assert process.parameters["beam"] == 2
        (child,) = process._pool._processes
        os.kill(child, signal.SIGKILL)
        with pytest.raises(BrokenProcessPool):
            process.answer(invocations).result(60)
    finally:
        process.close()
