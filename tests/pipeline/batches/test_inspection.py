"""`nmt inspect`: a corpus before anything is trained on it."""

from pathlib import Path

import pytest

from flows.commands.home.inspect import inspect_preset
from pipeline.batches.inspection import inspect_corpus
from pipeline.batches.tokenizer import train_tokenizer
from pipeline.errors import InputError
from pipeline.overrides import build_config
from pipeline.store.store import Store
from tests.corpus_files import write_folder

PAIRS = [
    (f"Der Hund Nummer {number} bellt laut im Garten", f"Dog number {number} barks in the garden")
    for number in range(9)
]


def test_what_a_corpus_is_made_of(tmp_path: Path) -> None:
    train = [*PAIRS, PAIRS[2], ("Die Katze – schläft`", "The cat sleeps 2024")]
    splits = {"train": train, "val": [("vier fünf", "four five")], "test": [PAIRS[0]]}
    path = write_folder(tmp_path / "x", "jsonl", splits)
    config = build_config({"corpus": {"path": str(path)}, "tokenizer": {"vocabulary_size": 50}}, {})
    store = Store(tmp_path / "store")
    found = inspect_corpus(config, store)
    figures = found.public()
    assert figures["pairs"]["train"] == 9, "the duplicate and the test pair are left out"
    assert {rule: count for rule, count in figures["rules"].items() if count and rule != "near_duplicate"} == {
        "numbers": 1,
        "duplicate": 1,
        "leak": 1,
    }
    assert figures["leaks"] == {"test": {"exact": 1}}
    assert figures["sides"]["source"]["scripts"] == {"Latin": 1.0}
    assert figures["tokenizer"] is None
    page = found.page("mine")
    assert "| train | 11 → 9 | 0 |" in page
    assert "There is no tokenizer for it yet" in page
    assert not list(store.root.glob("tokenizer/*")), "nothing was trained"

    train_tokenizer(found.corpus, config.tokenizer, store)
    again = inspect_corpus(config, store)
    assert again.public()["sides"]["target"]["unknown_percent"] == 0
    shown = again.samples[0]
    assert "".join(shown["source_pieces"]).replace("▁", " ").strip() == shown["source"]
    assert f"`{' '.join(shown['target_pieces'])}`" in again.page("mine")
    assert inspect_corpus(config, store, seed=2).samples != again.samples


def test_what_cannot_be_written_is_said_first(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--output .*none/x.md: there is no folder .*none; name another file"):
        inspect_preset("captions", [], str(tmp_path / "none" / "x.md"), 1, as_json=False)
