"""Stage `encode_corpus`: turns sentences into token rows, in Arrow files that workers map into memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

import pyarrow as pa
from pyarrow import ipc

from model.seq2seq import SPECIAL_TOKENS
from pipeline.batches.collate import Ragged
from pipeline.batches.plan import Lengths, padding_share, plan_epoch
from pipeline.batches.tokenizer import Tokenizer
from pipeline.corpus.corpus import Corpus
from pipeline.corpus.pairs import Pair
from pipeline.corpus.splits import read_pairs, split_path
from pipeline.data_config import BatchingConfig
from pipeline.errors import InputError
from pipeline.inference.subwords import Subwords
from pipeline.store.stages import Settings, Stage
from pipeline.store.store import Figures, Reuse, Store

PAIRS_AT_ONCE = 10_000
EncodedSplit = Literal["train", "validation"]


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
        subwords = tokenizer.load()
        train, parts, left_out = _encode(corpus, "train", subwords, config.max_length)
        validation, _, _ = _encode(corpus, "validation", subwords, None)
        if not len(train[0].lengths):
            raise InputError(
                f"batching.max_length={config.max_length}: all {left_out} training pairs are longer; raise it"
            )
        for name, pairs in parts.items():
            if not pairs:
                raise InputError(
                    f"batching.max_length={config.max_length}: all training pairs of the source {name} are longer; "
                    "raise it, or leave out the source"
                )
        _write(folder / "train.arrow", *train)
        _write(folder / "validation.arrow", *validation)
        lengths = Lengths(train[0].lengths, train[1].lengths)
        plan = plan_epoch(lengths, config.step_tokens(workers=1), config.max_padding, seed=0, epoch=0)
        return {
            "train_pairs": int(lengths.source.size),
            **({"train_parts": parts} if len(parts) > 1 or "" not in parts else {}),
            "train_source_tokens": int(lengths.source.sum()),
            "train_target_tokens": int(lengths.target.sum()),
            "train_unknown_tokens": int(sum((side.values == SPECIAL_TOKENS.unknown).sum() for side in train)),
            "train_pairs_over_max_length": left_out,
            "validation_pairs": int(validation[0].lengths.size),
            "steps_per_epoch": len(plan),
            "padding_share": round(padding_share(plan, lengths), 5),
        }

    artifact = store.produce(stage, build)
    return EncodedCorpus(artifact.path, artifact.fingerprint, artifact.figures, artifact.reused, corpus, tokenizer)


def _encode(
    corpus: Corpus, split: EncodedSplit, subwords: Subwords, limit: int | None
) -> tuple[tuple[Ragged, Ragged], dict[str, int], int]:
    """Return the rows of both sides, how many of them are of each source, and the number of pairs over the limit."""
    chunks: list[tuple[Ragged, Ragged]] = []
    parts, left_out = dict.fromkeys((part.name for part in corpus.parts), 0), 0
    for name, pairs in _chunks(corpus, split):
        encoded = zip(
            subwords.encode_source([source for source, _ in pairs]),
            subwords.encode_target([target for _, target in pairs]),
            strict=True,
        )
        kept = [rows for rows in encoded if limit is None or max(map(len, rows)) <= limit]
        left_out += len(pairs) - len(kept)
        parts[name] += len(kept)
        chunks.append((Ragged.of_rows([source for source, _ in kept]), Ragged.of_rows([target for _, target in kept])))
    sides = (Ragged.joined([chunk[0] for chunk in chunks]), Ragged.joined([chunk[1] for chunk in chunks]))
    return sides, parts, left_out


def _chunks(corpus: Corpus, split: EncodedSplit) -> Iterator[tuple[str, list[Pair]]]:
    """Yield a split's pairs, so many at once, each time of one source, with its name."""
    for part in corpus.parts:
        remaining = read_pairs(split_path(part.path, split))
        while pairs := list(islice(remaining, PAIRS_AT_ONCE)):
            yield part.name, pairs


def _write(path: Path, source: Ragged, target: Ragged) -> None:
    columns = [
        pa.LargeListArray.from_arrays(pa.array(side.offsets), pa.array(side.values)) for side in (source, target)
    ]
    # One record batch, so that each column is contiguous in mapped memory.
    batch = pa.record_batch(columns, names=["source", "target"])
    with pa.OSFile(str(path), "wb") as sink, ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)


def open_rows(path: Path) -> tuple[Ragged, Ragged]:
    """Map the columns `source` and `target` of an Arrow file into memory without copying."""
    batch = ipc.open_file(pa.memory_map(str(path))).get_batch(0)
    columns = (batch.column("source"), batch.column("target"))
    source, target = (Ragged(column.values.to_numpy(), column.offsets.to_numpy()) for column in columns)
    return source, target
