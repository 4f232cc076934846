"""Stage `encode_corpus`: turns sentences into token rows, in Arrow files that workers map into memory."""

import io
import logging
import mmap
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
import pyarrow as pa
from pyarrow import ipc

from model.seq2seq import SPECIAL_TOKENS
from pipeline.batches.collate import Ragged
from pipeline.batches.plan import Indices, Lengths, padding_share, plan_epoch
from pipeline.batches.tokenizer import Tokenizer
from pipeline.corpus.corpus import Corpus
from pipeline.corpus.pairs import Pair
from pipeline.data_config import BatchingConfig
from pipeline.errors import InputError
from pipeline.inference.subwords import Subwords
from pipeline.processes import in_chunks
from pipeline.store.stages import Settings, Stage
from pipeline.store.store import Figures, Reuse, Store

EncodedSplit = Literal["train", "validation"]
AT_ONCE = 64 << 20
"""Bytes of tokens that are written before memory lets go of them."""


@dataclass(frozen=True)
class EncodedCorpus:
    """The encoded training and validation pairs in the store, with the corpus and tokenizer that made them."""

    path: Path
    fingerprint: str
    figures: Figures
    reused: Reuse
    corpus: Corpus
    tokenizer: Tokenizer

    def open(self, split: EncodedSplit) -> tuple[Ragged, Ragged]:
        """Map the source and target rows of a split into memory."""
        return open_rows(self.path / f"{split}.arrow")


def encode_corpus(corpus: Corpus, tokenizer: Tokenizer, config: BatchingConfig, store: Store) -> EncodedCorpus:
    """Encode the training and validation pairs.

    Writes train.arrow and validation.arrow, one record batch each with the list columns `source` and `target` of int32
    tokens, `end` last. Training pairs with a side of more than `config.max_length` tokens are left out and counted;
    all validation pairs are kept. The figures have the numbers of pairs, tokens and unknown tokens, and the steps and
    the padding of the first epoch's plan, for one worker and every pair once; of several sources `train_parts`, the
    training pairs of each by its name, as they follow each other in train.arrow.

    Raises InputError if no training pair, or none of a source, is short enough.
    """
    stage = Stage(
        "encoded",
        Settings.of(config, exclude={"worker_tokens"}),
        {"corpus": corpus.fingerprint, "tokenizer": tokenizer.fingerprint},
    )

    def build(folder: Path) -> Figures:
        encoded = _encode(corpus, "train", tokenizer, config.max_length, folder)
        _encode(corpus, "validation", tokenizer, None, folder)
        parts, left_out = encoded.parts, encoded.left_out
        train, validation = open_rows(folder / "train.arrow"), open_rows(folder / "validation.arrow")
        if not train[0].lengths.size:
            raise InputError(
                f"batching.max_length={config.max_length}: all {left_out} training pairs are longer; raise it"
            )
        for name, pairs in parts.items():
            if not pairs:
                raise InputError(
                    f"batching.max_length={config.max_length}: all training pairs of the source {name} are longer; "
                    "raise it, or leave out the source"
                )
        lengths = Lengths(train[0].lengths, train[1].lengths)
        plan = plan_epoch(lengths, config.step_tokens(workers=1), config.max_padding, seed=0, epoch=0)
        return {
            "train_pairs": int(lengths.source.size),
            **({"train_parts": parts} if len(parts) > 1 or "" not in parts else {}),
            "train_source_tokens": int(lengths.source.sum()),
            "train_target_tokens": int(lengths.target.sum()),
            "train_unknown_tokens": encoded.unknown,
            "train_pairs_over_max_length": left_out,
            "validation_pairs": int(validation[0].lengths.size),
            "steps_per_epoch": len(plan),
            "padding_share": round(padding_share(plan, lengths), 5),
        }

    artifact = store.produce(stage, build)
    return EncodedCorpus(artifact.path, artifact.fingerprint, artifact.figures, artifact.reused, corpus, tokenizer)


@dataclass(frozen=True)
class _Encoded:
    """The rows of some pairs."""

    source: Ragged
    target: Ragged
    left_out: int
    """Pairs over the limit."""
    unknown: int
    """Unknown tokens of both sides."""


@dataclass
class _Counts:
    """What a split was encoded to."""

    parts: dict[str, int]
    """The pairs of each source."""
    left_out: int = 0
    unknown: int = 0


class _Encoder:
    """Encodes chunks of pairs."""

    def __init__(self, files: Mapping[str, bytes], limit: int | None) -> None:
        """Take the tokenizer's files by name, since another node does not have them, and the most tokens of a side."""
        with tempfile.TemporaryDirectory() as folder:
            for name, content in files.items():
                (Path(folder) / name).write_bytes(content)
            self._subwords, self._limit = Subwords(Path(folder)), limit

    def __call__(self, _first: int, pairs: Sequence[Pair]) -> _Encoded:
        encoded = zip(
            self._subwords.encode_source([source for source, _ in pairs]),
            self._subwords.encode_target([target for _, target in pairs]),
            strict=True,
        )
        kept = [rows for rows in encoded if self._limit is None or max(map(len, rows)) <= self._limit]
        source, target = (Ragged.of_rows([rows[side] for rows in kept]) for side in (0, 1))
        unknown = sum(int((side.values == SPECIAL_TOKENS.unknown).sum()) for side in (source, target))
        return _Encoded(source, target, len(pairs) - len(kept), unknown)


def _encode(corpus: Corpus, split: EncodedSplit, tokenizer: Tokenizer, limit: int | None, folder: Path) -> _Counts:
    """Write the rows of both sides and count them.

    All cores encode. The tokens go to the disk as they come: memory holds no more of a corpus than its lengths.
    """
    models = {file.name: file.read_bytes() for file in tokenizer.path.iterdir() if file.is_file()}
    counts = _Counts(dict.fromkeys((part.name for part in corpus.parts), 0))
    lengths = [np.zeros(1, dtype=np.int64)], [np.zeros(1, dtype=np.int64)]
    with tempfile.TemporaryDirectory(dir=folder) as scratch, ExitStack() as stack:
        files = [stack.enter_context((Path(scratch) / side).open("w+b")) for side in ("source", "target")]
        for part in corpus.parts:
            for chunk in in_chunks(part.read(split), _Encoder, (models, limit)):
                counts.left_out += chunk.left_out
                counts.unknown += chunk.unknown
                counts.parts[part.name] += chunk.source.lengths.size
                logging.getLogger(__name__).info("%s pairs encoded", f"{sum(counts.parts.values()):,}")
                for file, known, rows in zip(files, lengths, (chunk.source, chunk.target), strict=True):
                    file.write(rows.values.tobytes())
                    known.append(rows.lengths)
        _write(folder / f"{split}.arrow", files, [np.cumsum(np.concatenate(known)) for known in lengths])
    return counts


def _write(path: Path, files: Sequence[IO[bytes]], offsets: Sequence[Indices]) -> None:
    """Write an Arrow file from the tokens of each side in a file, and where its rows begin and end."""
    columns, mapped = [], []
    for file, of_side in zip(files, offsets, strict=True):
        file.flush()
        if of_side[-1]:  # Nothing cannot be mapped.
            mapped.append(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        values = pa.py_buffer(mapped[-1] if of_side[-1] else b"")
        tokens = pa.Array.from_buffers(pa.int32(), int(of_side[-1]), [None, values])
        columns.append(pa.LargeListArray.from_arrays(pa.array(of_side), tokens))
    # One record batch, so that each column is contiguous in mapped memory.
    batch = pa.record_batch(columns, names=["source", "target"])
    with (
        path.open("wb") as file,
        pa.PythonFile(_Sink(file, mapped), "w") as sink,
        ipc.new_file(sink, batch.schema) as to,
    ):
        to.write_batch(batch)


class _Sink(io.RawIOBase):
    """A file that lets go of the memory which holds what it has written: it was mapped, and stays on the disk."""

    def __init__(self, file: IO[bytes], mapped: Sequence[mmap.mmap]) -> None:
        self._file, self._mapped = file, mapped

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._file.tell()

    def write(self, content: Any) -> int:
        view = memoryview(content).cast("B")
        for start in range(0, len(view), AT_ONCE):
            self._file.write(view[start : start + AT_ONCE])
            for each in self._mapped if len(view) > AT_ONCE and hasattr(mmap, "MADV_DONTNEED") else ():
                each.madvise(mmap.MADV_DONTNEED)
        return len(view)


def open_rows(path: Path) -> tuple[Ragged, Ragged]:
    """Map the columns `source` and `target` of an Arrow file into memory without copying."""
    batch = ipc.open_file(pa.memory_map(str(path))).get_batch(0)
    columns = (batch.column("source"), batch.column("target"))
    source, target = (Ragged(column.values.to_numpy(), column.offsets.to_numpy()) for column in columns)
    return source, target
