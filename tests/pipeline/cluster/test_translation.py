"""What a worker does with a chunk: answers once, reports a refusal, and gives up one that kills workers."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.cluster.connection import DriverStore
from pipeline.cluster.translation import MAX_TRIES, ChunkTranslator, TranslationJob, _in_file
from pipeline.serving.bulk_translation import answers_name, texts_name
from pipeline.store.storage import Folder, local_folder


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
    assert _in_file(error, 1025) == "line 1026 is refused"
    assert folder.names() == [texts_name("a")], "no trace of a try: given again, it is tried again"


def test_a_chunk_that_kills_workers_is_given_up_and_can_be_tried_again(folder: Folder) -> None:
    for _ in range(MAX_TRIES):
        with pytest.raises(SystemExit):
            translate(folder, "a", "deadly")
    error = translate(folder, "a", "deadly")
    assert "line 1 and those after it killed 3 workers" in error
    assert _in_file(error, 2049).startswith("line 2049 and those after it")
    with pytest.raises(SystemExit):
        translate(folder, "a", "deadly")
