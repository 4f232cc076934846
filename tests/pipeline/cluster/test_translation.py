"""What a worker does with a chunk: answers once, reports a refusal, and gives up one that kills workers."""

import json
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.cluster import translation
from pipeline.cluster.connection import DriverStore
from pipeline.cluster.resources import Gpus, WorkerRoom
from pipeline.cluster.translation import MAX_TRIES, ChunkTranslator, TranslationJob, translate_chunks
from pipeline.errors import InputError
from pipeline.registry.pull import PulledVersion
from pipeline.serving.bulk_translation import Chunk, TranslationPlan, answers_name, texts_name
from pipeline.serving.protocol import in_lines
from pipeline.store.storage import Folder, local_folder
from pipeline.store.store import Reuse, Store


class Upper:
    """A model that refuses a line and dies of another."""

    def predict(self, lines: list[str], _parameters: Mapping[str, Any]) -> list[str]:
        if "refused" in lines:
            raise ValueError(f"line {lines.index('refused') + 1} is refused")
        if "deadly" in lines:
            raise SystemExit
        return [line.upper() for line in lines]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return local_folder(tmp_path)


def worker(folder: Folder) -> ChunkTranslator:
    made = object.__new__(ChunkTranslator)  # Without Ray, and a model of the test's own.
    made._model = Upper()  # type: ignore[assignment]
    made._job = TranslationJob(DriverStore("node", "store", None), "model", {}, folder)
    return made


def translate(folder: Folder, name: str, *texts: str) -> str:
    folder.write(texts_name(name), json.dumps(texts).encode())
    batch = {"chunk": np.array([name], dtype=object), "texts": np.array([len(texts)])}
    return str(worker(folder)(batch)["error"][0])


def test_answers_are_left_and_texts_are_gone(folder: Folder) -> None:
    assert translate(folder, "a", "one", "two") == ""
    assert json.loads(folder.read(answers_name("a"))) == ["ONE", "TWO"]
    assert folder.names() == [answers_name("a")]
    assert translate(folder, "a", "other") == "", "what is there is not made again"
    assert json.loads(folder.read(answers_name("a"))) == ["ONE", "TWO"]


def test_a_refusal_is_told_with_the_place_in_the_files(folder: Folder) -> None:
    error = translate(folder, "a", "one", "refused")
    assert error == "line 2 is refused"
    assert in_lines(error, 1024) == "line 1026 is refused"
    assert folder.names() == [texts_name("a")], "no trace of a try: given again, it is tried again"


def test_a_chunk_that_kills_workers_is_given_up_and_can_be_tried_again(folder: Folder) -> None:
    for _ in range(MAX_TRIES):
        with pytest.raises(SystemExit):
            translate(folder, "a", "deadly")
    error = translate(folder, "a", "deadly")
    assert "line 1 and those after it killed 3 workers" in error
    assert in_lines(error, 2048).startswith("line 2049 and those after it")
    with pytest.raises(SystemExit):
        translate(folder, "a", "deadly")


def test_runs_that_were_stopped_in_a_chunk_do_not_count(
    folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C, a lost machine or a full disk are no sign that the chunk needs too much memory."""
    monkeypatch.setattr(translation, "ray_cluster", nullcontext)
    monkeypatch.setattr(translation, "worker_room", lambda *_: WorkerRoom(1, None))
    monkeypatch.setattr(DriverStore, "of", lambda _: DriverStore("node", "store", None))
    said: list[str] = []
    texts = ["one", "deadly"]
    monkeypatch.setattr(translation, "_run", lambda *_: said.append(translate(folder, "a", *texts)))
    plan = TranslationPlan(folder, (), (Chunk("a", 1, 2),), 0)
    monkeypatch.setattr(PulledVersion, "check_device", lambda _, device: device)
    pulled = PulledVersion("x", "1", None, "", tmp_path, "", "", Reuse.NO)
    for _ in range(MAX_TRIES + 2):
        with pytest.raises(SystemExit):
            translate_chunks(plan, pulled, {}, 1, Store(tmp_path / "store"), print)
    texts = ["one", "two"]
    assert translate_chunks(plan, pulled, {}, 1, Store(tmp_path / "store"), print) == "1 CPU worker"
    assert said == [""]
    assert answers_name("a") in folder.names()
    assert not [name for name in folder.names() if "tried" in name]


@pytest.mark.parametrize(
    ("room", "device", "used"),
    [(WorkerRoom(2, Gpus(("a",))), "auto", "2 GPU workers"), (WorkerRoom(4, None), "cpu", "3 CPU workers")],
)
def test_workers_take_what_there_is_room_for(
    folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: WorkerRoom, device: str, used: str
) -> None:
    """A worker is told to look for a GPU only if Ray gives it one."""
    monkeypatch.setattr(translation, "ray_cluster", nullcontext)
    monkeypatch.setattr(translation, "worker_room", lambda *_: room)
    monkeypatch.setattr(DriverStore, "of", lambda _: DriverStore("node", "store", None))
    jobs: list[TranslationJob] = []
    monkeypatch.setattr(translation, "_run", lambda _plan, job, *_: jobs.append(job))
    plan = TranslationPlan(folder, (), tuple(Chunk(name, 1, 2) for name in "abc"), 0)
    monkeypatch.setattr(PulledVersion, "check_device", lambda _, device: device)
    pulled = PulledVersion("x", "1", None, "", tmp_path, "", "", Reuse.NO)
    assert translate_chunks(plan, pulled, {}, None, Store(tmp_path / "store"), print) == used
    assert [job.device for job in jobs] == [device]
    message = rf"--workers 9: each takes a {room.kind}, and the cluster has {room.most}; set {room.most} or fewer"
    with pytest.raises(InputError, match=message):
        translate_chunks(plan, pulled, {}, 9, Store(tmp_path / "store"), print)
