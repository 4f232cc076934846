"""The same pairs in every layout of local files, and prepare_corpus on small sizes."""

import csv
import gzip
import io
import json
import lzma
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.corpus.corpus import Corpus, prepare_corpus
from pipeline.data_config import CorpusConfig
from pipeline.store.store import Store

Pair = tuple[str, str]
TRICKY = [
    ("NA", "null"),
    ("007", "1e3"),
    ("2020-01-01", "True"),
    ('Er sagte "ja", dann "nein".', 'He said "yes", then "no".'),
    ("a\u2028b\x85c\x0bd\x1ce", "vertical\x0ctab\u2029end"),
    ("Grüße 😀", "\u0075\u0308 stays decomposed"),
]
PLAIN = [(f"Satz {number}", f"sentence {number}") for number in range(20)]
SPLITS: dict[str, list[Pair]] = {"train": TRICKY + PLAIN, "val": [("Hund", "dog")], "test": [("Katze", "cat")]}


def jsonl(pairs: Sequence[Pair]) -> bytes:
    rows = ({"id": number, "de": de, "en": en} for number, (de, en) in enumerate(pairs))
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def csv_bytes(pairs: Sequence[Pair]) -> bytes:
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows([("de", "en"), *pairs])
    return buffer.getvalue().encode()


def tsv(pairs: Sequence[Pair]) -> bytes:
    return "".join(f"{de}\t{en}\n" for de, en in [("de", "en"), *pairs]).encode()


def parquet(pairs: Sequence[Pair]) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"en": [en for _, en in pairs], "de": [de for de, _ in pairs]}), buffer)
    return buffer.getvalue()


def one_side(side: int) -> Callable[[Sequence[Pair]], bytes]:
    return lambda pairs: "".join(pair[side] + "\n" for pair in pairs).encode()


def packed(encode: Callable[[Sequence[Pair]], bytes]) -> Callable[[Sequence[Pair]], bytes]:
    return lambda pairs: gzip.compress(encode(pairs), mtime=0)


def marked(pairs: Sequence[Pair]) -> bytes:
    """Return JSON lines as an editor of Windows leaves them: a byte order mark, carriage returns."""
    return b"\xef\xbb\xbf" + jsonl(pairs).replace(b"\n", b"\r\n")


LAYOUTS: dict[str, dict[str, Callable[[Sequence[Pair]], bytes]]] = {
    "jsonl": {"{}.jsonl": jsonl},
    "json": {"{}.json": marked},
    "jsonl.gz": {"{}.jsonl.gz": packed(jsonl)},
    "csv": {"{}.csv": csv_bytes},
    "tsv": {"{}.tsv": tsv},
    "tsv.gz": {"{}.tsv.gz": packed(tsv)},
    "parquet": {"{}-00000-of-00001.parquet": parquet},
    "text.xz": {"{}.de.xz": lambda pairs: lzma.compress(one_side(0)(pairs)), "{}.en": one_side(1)},
    "text": {"{}.de": one_side(0), "{}.en": one_side(1)},
    "text.gz": {"{}.de.gz": packed(one_side(0)), "{}.en": one_side(1)},
}


def write_folder(folder: Path, layout: str, splits: dict[str, list[Pair]]) -> Path:
    folder.mkdir()
    (folder / "README.md").write_text("train test val")
    for split, pairs in splits.items():
        for name, encode in LAYOUTS[layout].items():
            (folder / name.format(split)).write_bytes(encode(pairs))
    return folder


def prepare(store: Store, path: Path | None = None, **fields: Any) -> Corpus:
    plain = {"validation_size": 3, "test_size": 4, "clean": "off", "leaks": "keep"}
    return prepare_corpus(CorpusConfig(path=None if path is None else str(path), **(plain | fields)), store)
