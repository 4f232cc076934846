"""The pairs that models are scored on: a file whole, a folder's split, the embedded corpus."""

from pathlib import Path

import pytest

from pipeline.config import CorpusConfig, RunConfig
from pipeline.corpus.corpus import prepare_corpus
from pipeline.errors import InputError
from pipeline.evaluation.evaluation_set import prepare_files, prepare_split
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


def test_what_cannot_be_scored(tmp_path: Path, store: Store) -> None:
    (tmp_path / "empty.tsv").write_text("")
    with pytest.raises(InputError, match=r"empty.tsv: the file is empty"):
        prepare_files(CorpusConfig(path=str(tmp_path / "empty.tsv")), "test", store)
    (tmp_path / "blank.tsv").write_text("de\ten\n \t \n")
    with pytest.raises(InputError, match=r"blank.tsv: no sentence pair \(1 dropped because a side is empty\)"):
        prepare_files(CorpusConfig(path=str(tmp_path / "blank.tsv")), "test", store)
    with pytest.raises(InputError, match="there is no such file or folder"):
        prepare_files(CorpusConfig(path=str(tmp_path / "nothing.tsv")), "test", store)
