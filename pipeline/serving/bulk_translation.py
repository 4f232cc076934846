"""Files of any size, translated in chunks: no chunk is translated twice, however often the run is stopped.

A chunk is about a thousand texts. Its answers are stored under the SHA-256 of the model, the parameters and the texts,
in `$NMT_STORAGE/translations` or `$NMT_HOME/translations`, beside the texts of chunks that are still waiting. So a
stopped run continues where it was, and of a file that has grown only the new part is translated. Memory holds one chunk
and the names of all, never the file.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.errors import ExternalError, InputError
from pipeline.registry.pull import PulledVersion
from pipeline.rows.answers import write_answers
from pipeline.rows.columns import Column
from pipeline.rows.files import RowFile
from pipeline.rows.readers import read_texts
from pipeline.store.stages import fingerprint
from pipeline.store.storage import Folder, home, local_folder, shared_folder

CHUNK_TEXTS, CHUNK_CHARACTERS = 1024, 2**19
"""A chunk is full when it has reached either."""


@dataclass(frozen=True)
class Chunk:
    """Consecutive texts of the files."""

    name: str
    first: int
    """The number of its first text among all, counted from 1."""
    texts: int


@dataclass(frozen=True)
class TranslationPlan:
    """The chunks of the files to translate."""

    folder: Folder
    """Where the answers are."""
    chunks: tuple[Chunk, ...]
    missing: tuple[Chunk, ...]
    """The chunks without answers, each once; their texts wait in the folder."""
    damaged: int
    """How many of them had answers that cannot be read, as a full disk or a crash leaves them."""

    @property
    def texts(self) -> int:
        """The number of texts."""
        return sum(chunk.texts for chunk in self.chunks)


def answers_folder(model: PulledVersion, parameters: Mapping[str, Any]) -> Folder:
    """Return where the answers of a model with these parameters are stored."""
    name = fingerprint({"model": model.fingerprint, "parameters": parameters})
    return (shared_folder("translations") or local_folder(home() / "translations")) / name


def plan_translation(files: Sequence[RowFile], column: Column, folder: Folder) -> TranslationPlan:
    """Read the files once: find every mistake in them, and the chunks that have to be translated.

    Raises InputError with the file and the line or row that is wrong, before anything is translated.
    """
    there = set(folder.names())
    chunks, missing, checked, damaged = [], dict[str, Chunk](), set[str](), 0
    for first, texts in _cut(read_texts(files, column)):
        content = json.dumps(texts, ensure_ascii=False).encode()
        chunk = Chunk(hashlib.sha256(content).hexdigest(), first, len(texts))
        chunks.append(chunk)
        if chunk.name in checked:
            continue
        checked.add(chunk.name)
        answered = answers_name(chunk.name) in there
        if answered and read_answers(folder, chunk) is not None:
            continue
        missing[chunk.name] = chunk
        if texts_name(chunk.name) not in there or folder.read(texts_name(chunk.name)) != content:
            folder.write(texts_name(chunk.name), content)
        if answered:  # Only now: the texts wait.
            folder.remove(answers_name(chunk.name))
            damaged += 1
    return TranslationPlan(folder, tuple(chunks), tuple(missing.values()), damaged)


def _cut(texts: Iterator[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield the texts in chunks, each with the number of its first text."""
    first, chunk, characters = 1, list[str](), 0
    for text in texts:
        chunk.append(text)
        characters += len(text)
        if len(chunk) == CHUNK_TEXTS or characters >= CHUNK_CHARACTERS:
            yield first, chunk
            first, chunk, characters = first + len(chunk), [], 0
    if chunk:
        yield first, chunk


def texts_name(chunk: str) -> str:
    """Return the name of the file with a chunk's texts, which exists until they are translated."""
    return f"{chunk}.texts.json"


def answers_name(chunk: str) -> str:
    """Return the name of the file with a chunk's answers."""
    return f"{chunk}.answers.json"


def read_answers(folder: Folder, chunk: Chunk) -> list[Any] | None:
    """Return the answers to a chunk's texts; None if their file is damaged."""
    try:
        found = json.loads(folder.read(answers_name(chunk.name)))
    except ValueError:
        return None
    return found if isinstance(found, list) and len(found) == chunk.texts else None


def write_translation(plan: TranslationPlan, files: Sequence[RowFile], column: Column, target: RowFile) -> None:
    """Write the answers of all chunks, in order.

    Raises InputError if the files have changed since they were read, ExternalError if answers cannot be read any more.
    """

    def answers() -> Iterator[Any]:
        chunks = iter(plan.chunks)
        for _, texts in _cut(read_texts(files, column)):
            content = json.dumps(texts, ensure_ascii=False).encode()
            chunk = next(chunks, None)
            if chunk is None or chunk.name != hashlib.sha256(content).hexdigest():
                raise InputError(f"{files[0].given}: it has changed since it was read; run the same command again")
            found = read_answers(plan.folder, chunk)
            if found is None:
                raise ExternalError(
                    f"{plan.folder.uri}/{answers_name(chunk.name)}: damaged since it was written; run the same command "
                    "again to translate its part anew"
                )
            yield from found

    write_answers(files, answers(), target, column)
