"""Local files through `datasets`: what was written is read, in order, and nothing is left behind."""

import json
import os
from pathlib import Path

import datasets
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.corpus.local_files import Part
from pipeline.corpus.pairs import PairColumns
from pipeline.corpus.sources import local_splits
from pipeline.corpus.splits import clean_sentence
from pipeline.data_config import CorpusConfig
from pipeline.errors import InputError
from pipeline.store.store import Store
from tests.corpus_files import SPLITS, Pair, jsonl, one_side, prepare, write_folder

COLUMNS = PairColumns.of(CorpusConfig())
sentences = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_nothing_is_left_beside_the_files_or_in_a_cache(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    for layout in ("csv", "parquet"):
        folder = write_folder(tmp_path / layout, layout, SPLITS)
        before = sorted(folder.iterdir())
        prepare(store, folder)
        assert sorted(folder.iterdir()) == before
    assert not (tmp_path / "cache").exists()


def test_two_text_files_and_shards(store: Store, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "text", "text", SPLITS)
    two = prepare(store, folder / "train.de", target_path=str(folder / "train.en"))
    one = prepare(store, write_folder(tmp_path / "jsonl", "jsonl", SPLITS) / "train.jsonl")
    assert one.fingerprint == two.fingerprint
    (folder / "train.2.de").write_text("eins\n")
    (folder / "train.2.en").write_text("one\n")
    assert list(prepare(store, folder).pairs("train")) == [("eins", "one"), *SPLITS["train"]]


@settings(max_examples=50, deadline=None)
@given(pairs=st.lists(st.tuples(sentences, sentences), min_size=1, max_size=5))
def test_reading_gives_back_what_was_written(pairs: list[Pair], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("written")
    (folder / "x.jsonl").write_bytes(jsonl(pairs))
    assert list(local_splits({"train": (Part("jsonl", folder / "x.jsonl"),)}, COLUMNS)["train"]) == pairs
    flat = [(clean_sentence(de), clean_sentence(en)) for de, en in pairs]
    for side in (0, 1):
        (folder / f"x.{side}").write_bytes(one_side(side)(flat))
    assert list(local_splits({"train": (Part("text", folder / "x.0", folder / "x.1"),)}, COLUMNS)["train"]) == flat


@pytest.mark.parametrize("form", [None, "numpy"])
def test_what_save_to_disk_wrote(store: Store, tmp_path: Path, form: str | None) -> None:
    languages = datasets.TranslationVariableLanguages(languages=["de", "en"])
    rows = [{"translation": {"de": de, "en": [en, f"{en}!"]}} for de, en in SPLITS["train"]]
    data = datasets.Dataset.from_list(rows, features=datasets.Features({"translation": languages})).with_format(form)
    data.save_to_disk(tmp_path / "one", num_shards=2)
    before = sorted((tmp_path / "one").iterdir())
    columns = {"source_column": "translation.de", "target_column": "translation.en"}
    made = prepare(store, tmp_path / "one", **columns)
    assert sum(made.figures["pairs"].values()) == 2 * len(SPLITS["train"])
    assert prepare(store, tmp_path / "one", **columns).reused
    assert sorted((tmp_path / "one").iterdir()) == before, "nothing is written beside it"
    with pytest.raises(InputError, match=r"has no column de; .*; did you mean translation.de\?"):
        prepare(store, tmp_path / "one")
    flat = {
        split: datasets.Dataset.from_list([{"de": de, "en": en} for de, en in SPLITS[name]])
        for split, name in (("train", "train"), ("validation", "val"), ("test", "test"))
    }
    datasets.DatasetDict(flat).save_to_disk(tmp_path / "splits")
    same = prepare(store, write_folder(tmp_path / "jsonl", "jsonl", SPLITS))
    assert prepare(store, tmp_path / "splits").fingerprint == same.fingerprint
    before[0].write_bytes(b"no Arrow")
    with pytest.raises(InputError, match=r"one: not a readable data set \(.*\); write it again"):
        prepare(store, tmp_path / "one", **columns)


def test_a_saved_image_is_not_opened(store: Store, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "canary")  # Whoever opens it waits for ever.
    place = {"bytes": None, "path": str(tmp_path / "canary")}
    stored = {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}
    image, text = {"_type": "Image"}, {"_type": "Value", "dtype": "string"}
    inside = {"de": {"_type": "List", "feature": image}, "en": text}
    plain = datasets.Value("string")
    for name, row, written, feature, sides in (
        ("flat", {"de": place, "en": "a dog"}, {"de": stored, "en": plain}, {"de": image, "en": text}, ("de", "en")),
        (
            "deep",
            {"t": {"de": [place], "en": "a dog"}},
            {"t": {"de": datasets.List(stored), "en": plain}},
            {"t": inside},
            ("t.de", "t.en"),
        ),
    ):
        data = datasets.Dataset.from_list([row] * 5, features=datasets.Features(written))
        data.save_to_disk(tmp_path / name)
        described = tmp_path / name / "dataset_info.json"
        described.write_text(json.dumps(json.loads(described.read_text()) | {"features": feature}))
        with pytest.raises(InputError, match=f"{name}: its column (de|t) holds Image, not text; name another column"):
            prepare(store, tmp_path / name, source_column=sides[0], target_column=sides[1])
