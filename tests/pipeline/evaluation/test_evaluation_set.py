"""The pairs that models are scored on: a file whole, a folder's split, the embedded corpus."""

import json
from pathlib import Path

import pytest

from pipeline.config import RunConfig
from pipeline.corpus.corpus import prepare_corpus
from pipeline.corpus.splits import find_split
from pipeline.data_config import CorpusConfig
from pipeline.errors import InputError
from pipeline.evaluation.evaluation_set import Seen, count_seen, prepare_files, prepare_split
from pipeline.store.store import Reuse, Store

PAIRS = [("Ein Hund.", "A dog."), ("Eine Frau.", "A woman."), ("Ein Hund.", "A dog.")]


@pytest.fixture
def store(nmt_home: Path) -> Store:
    return Store()


def write_tsv(path: Path, extra: str = "") -> Path:
    path.write_text("de\ten\n" + "".join(f"{s}\t{t}\n" for s, t in PAIRS) + extra)
    return path


def test_a_single_file_is_scored_whole_and_in_order(tmp_path: Path, store: Store) -> None:
    config = CorpusConfig(path=str(write_tsv(tmp_path / "news.tsv", "\tnothing\n")))
    found = prepare_files(config, "test", store)
    assert list(found.read()) == PAIRS, "duplicates too: they count in a score"
    assert (found.name, found.pairs, found.reused) == ("news.tsv", 3, Reuse.NO)
    again = prepare_files(config, "test", store)
    assert again.reused
    assert again.fingerprint == found.fingerprint


def test_bad_lines_are_counted(tmp_path: Path, store: Store) -> None:
    config = CorpusConfig(path=str(write_tsv(tmp_path / "news.tsv", "only one\n")), skip_bad_lines=5)
    found = prepare_files(config, "test", store)
    assert (found.pairs, found.skipped) == (3, 1)
    assert prepare_files(config, "test", store).skipped == 1, "also when it is reused"


def test_two_aligned_files(tmp_path: Path, store: Store) -> None:
    (tmp_path / "a.de").write_text("".join(f"{s}\n" for s, _ in PAIRS))
    (tmp_path / "a.en").write_text("".join(f"{t}\n" for _, t in PAIRS))
    config = CorpusConfig(path=str(tmp_path / "a.de"), target_path=str(tmp_path / "a.en"))
    found = prepare_files(config, "test", store)
    assert list(found.read()) == PAIRS
    tsv = prepare_files(CorpusConfig(path=str(write_tsv(tmp_path / "b.tsv"))), "test", store)
    assert tsv.fingerprint == found.fingerprint, "the same pairs are the same set, whatever the file"


def test_a_folder_needs_the_split_alone(tmp_path: Path, store: Store) -> None:
    folder = tmp_path / "corpus"
    folder.mkdir()
    write_tsv(folder / "test.tsv")
    found = prepare_files(CorpusConfig(path=str(folder)), "test", store)
    assert (found.name, found.pairs) == ("corpus test", 3)
    with pytest.raises(InputError, match=r"the folder has no file of the validation split; looked for val\*, dev\*"):
        prepare_files(CorpusConfig(path=str(folder)), "validation", store)


def test_the_embedded_corpus_gives_what_a_training_is_scored_on(tiny: RunConfig, store: Store) -> None:
    corpus = prepare_corpus(tiny.corpus, store)
    found = prepare_split(tiny.corpus, "test", store)
    assert list(found.read()) == list(corpus.pairs("test"))
    assert found.fingerprint == corpus.split_fingerprint("test")
    assert found.name == "captions test"


def test_of_a_single_file_only_the_pairs_that_a_training_held_out(tmp_path: Path, store: Store) -> None:
    (tmp_path / "pairs.tsv").write_text("de\ten\n" + "".join(f"Satz {n}.\tSentence {n}.\n" for n in range(20)))
    config = CorpusConfig(path=str(tmp_path / "pairs.tsv"), validation_size=3, test_size=4)
    found = prepare_split(config, "test", store)
    assert (found.name, found.pairs) == ("pairs.tsv test", 4)
    assert not set(found.read()) & set(prepare_split(config, "train", store).read())
    assert prepare_files(config, "test", store).pairs == 20


def test_how_much_of_it_a_model_was_trained_on(tmp_path: Path, store: Store) -> None:
    lines = "".join(f"Satz {n}.\tSentence {n}.\n" for n in range(20))
    (tmp_path / "pairs.tsv").write_text(f"de\ten\n{lines}")
    config = CorpusConfig(path=str(tmp_path / "pairs.tsv"), validation_size=3, test_size=4)
    train = list(prepare_split(config, "train", store).read())
    assert count_seen(prepare_files(config, "test", store), train) == Seen(pairs=13, sources=13)
    assert count_seen(prepare_split(config, "test", store), train) == Seen(pairs=0, sources=0)
    (tmp_path / "other.tsv").write_text(f"de\ten\n{lines.replace('Sentence', 'Phrase')}{lines}")
    other = CorpusConfig(path=str(tmp_path / "other.tsv"))
    assert count_seen(prepare_files(other, "test", store), train) == Seen(pairs=13, sources=26)


def test_of_several_sources_the_pairs_of_all(store: Store) -> None:
    sizes = {"captions_pairs": 6, "validation_size": 2, "test_size": 3}
    config = CorpusConfig(sources=[{"name": name, "seed": seed, **sizes} for name, seed in (("a", 1), ("b", 2))])
    corpus = prepare_corpus(config, store)
    for split, pairs in (("train", 12), ("validation", 4), ("test", 6)):
        found = prepare_split(config, find_split(split), store)
        assert list(found.read()) == list(corpus.pairs(find_split(split)))
        assert (found.name, found.pairs) == (f"a + b {split}", pairs)
        assert found.fingerprint == corpus.split_fingerprint(find_split(split))


def test_what_cannot_be_scored(tmp_path: Path, store: Store) -> None:
    (tmp_path / "empty.tsv").write_text("")
    with pytest.raises(InputError, match=r"empty.tsv: the file is empty"):
        prepare_files(CorpusConfig(path=str(tmp_path / "empty.tsv")), "test", store)
    (tmp_path / "blank.tsv").write_text("de\ten\n \t \n")
    with pytest.raises(InputError, match=r"blank.tsv: no sentence pair \(1 dropped because a side is empty\)"):
        prepare_files(CorpusConfig(path=str(tmp_path / "blank.tsv")), "test", store)
    with pytest.raises(InputError, match="there is no such file or folder"):
        prepare_files(CorpusConfig(path=str(tmp_path / "nothing.tsv")), "test", store)


SEVERAL = [
    {"de": "Ein Hund.", "en": "A dog.", "en2": "One dog.", "en3": " "},
    {"de": "Ein Satz.", "en": " ", "en2": "A sentence.", "en3": "One."},
    {"de": "Eine Frau.", "en": "A woman.", "en2": "A lady.", "en3": "One\twoman."},
]


@pytest.mark.parametrize("kind", ["columns", "files", "folder"])
def test_several_references(kind: str, tmp_path: Path, store: Store) -> None:
    """An empty first reference drops its pair; an empty further one is missing."""
    names = ["en2", "en3"]
    if kind == "columns":
        path = tmp_path / "set.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in SEVERAL))
        config = CorpusConfig(path=str(path))
    else:
        for column in ("de", "en", "en2", "en3"):
            (tmp_path / f"test.{column}").write_text("".join(row[column] + "\n" for row in SEVERAL))
        config = CorpusConfig(path=str(tmp_path))
    if kind == "files":
        config = CorpusConfig(path=str(tmp_path / "test.de"), target_path=str(tmp_path / "test.en"))
        names = [str(tmp_path / f"test.{name}") for name in names]
    found = prepare_files(config, "test", store, names)
    assert list(found.read()) == [("Ein Hund.", "A dog."), ("Eine Frau.", "A woman.")]
    assert list(found.references()) == [["A dog.", "One dog.", None], ["A woman.", "A lady.", "One woman."]]
    assert found.name.endswith(" with 3 references")
    plain = prepare_files(config, "test", store)
    assert list(plain.references()) == [["A dog."], ["A woman."]]
    assert plain.fingerprint != found.fingerprint, "scores on other references are other scores"
    assert prepare_files(config, "test", store, names).reused


@pytest.mark.parametrize("units", [["de en en fr", "de en fr fr"], ["de en en fr"]], ids=["as many", "fewer"])
def test_references_that_would_be_of_other_sources_are_refused(units: list[str], tmp_path: Path, store: Store) -> None:
    """Several texts of a language are several pairs: side by side with one of another, all after it would be wrong."""
    rows = []
    for number, languages in enumerate(units):
        tags = languages.split()
        texts = [f"{number} {place} {tag}" for place, tag in enumerate(tags)]
        rows.append({"translation": {"language": tags, "translation": texts}})
    path = tmp_path / "several.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = CorpusConfig(path=str(path), source_column="translation.de", target_column="translation.en")
    with pytest.raises(
        InputError, match=r"--reference: from pair 2 on, the references in .* are not of the same sources"
    ):
        prepare_files(config, "test", store, ["translation.fr"])


def test_references_that_cannot_be_used(tmp_path: Path, store: Store) -> None:
    path = tmp_path / "set.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in SEVERAL) + '{"de": "x", "en": "y", "en2": null}\n')
    config = CorpusConfig(path=str(path))
    for names, message in (
        (["en4"], r"--reference en4: .*set.jsonl line 1 has no column en4; its columns are de, en, en2, en3"),
        (["en"], "--reference en: that reference is named already"),
        (["en2", "en2"], "--reference en2: that reference is named already"),
        (["en2"], r"--reference en2: .*set.jsonl line 4 holds null, not text"),
    ):
        with pytest.raises(InputError, match=message):
            prepare_files(config, "test", store, names)
    for name, text in (("a.de", "x\ny\n"), ("a.en", "x\ny\n"), ("a.en2", "x\n")):
        (tmp_path / name).write_text(text)
    config = CorpusConfig(path=str(tmp_path / "a.de"), target_path=str(tmp_path / "a.en"))
    with pytest.raises(InputError, match=r"a.de has 2 lines and .*a.en2 has 1; line-aligned text needs the same"):
        prepare_files(config, "test", store, [str(tmp_path / "a.en2")])
    with pytest.raises(InputError, match=r"--reference a.en3: there is no such file; name a text file with a line for"):
        prepare_files(config, "test", store, ["a.en3"])
