from pathlib import Path

import pytest

from flows.presets import command_of, load_config, preset_names
from pipeline.batches.tokenizer import train_tokenizer
from pipeline.corpus.corpus import prepare_corpus
from pipeline.errors import InputError
from pipeline.store.store import Store


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_is_valid_and_says_what_it_is(name: str) -> None:
    config = load_config(name, {})
    assert config.name == name
    assert config.description


def test_a_preset_of_the_users_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("training:\n  epochs: 7\n")
    config = load_config(str(path), {"training.patience": 2})
    assert (config.name, config.training.epochs, config.training.patience) == ("mine", 7, 2)


def test_a_preset_states_what_differs_from_the_one_that_it_extends(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("extends: seq2seq-reversed\nmodel:\n  dropout: 0.4\n")
    mine, base = load_config(str(path), {}), load_config("seq2seq-reversed", {})
    assert mine.model == base.model.model_copy(update={"dropout": 0.4})
    assert mine.training == base.training == load_config("captions", {}).training
    assert mine.name == "mine"


@pytest.mark.parametrize("text", ["no", "No", "on", "1", "012", "12:30", "1e3", "2024-01-01", "0x1F", "=", '"no"'])
def test_texts_are_texts(tmp_path: Path, text: str) -> None:
    """YAML 1.1 reads most of them as something else: Norwegian as false, 12:30 as 750."""
    path = tmp_path / "mine.yaml"
    path.write_text(f"description: {text}\ncorpus:\n  source_column: {text}\n  subset: null\ncorpus.path: {text}\n")
    config, written = load_config(str(path), {}), text.strip('"')
    assert (config.description, config.corpus.source_column, config.corpus.path) == (written, written, written)
    assert config.corpus.subset is None
    path.write_text("corpus: {target_column: no}\ntokenizer: {joint: no}\nmodel: {tied_embeddings: decoder}\n")
    config = load_config(str(path), {})
    assert (config.corpus.target_column, config.tokenizer.joint) == ("no", False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("training: [", "not YAML"),
        ("- a\n- b\n", "a preset is a mapping of sections, not list"),
        ("training:\n  epoch: 7\n", "did you mean training.epochs"),
        ("traning:\n  epochs: 7\n", "did you mean training.epochs"),
        ("a: &a [*a]\n", "line 1 has an alias; write out what it stands for"),
        ("a: &a {b: 1}\nc: &c [*a, *a]\nd: [*c, *c]\n", "line 2 has an alias; write out"),
        pytest.param("[" * 5000, "line 1 is nested more than 20 times", id="lists"),
        pytest.param("{a: " * 5000, "line 1 is nested more than 20 times", id="mappings"),
        ("training:\n  epochs: 2024-13-01\n", "not YAML; correct it"),
        pytest.param("# " + "x" * 2**18, "262,146 bytes are no preset, which has few lines", id="long"),
        ("extends: captoins\n", "extends captoins: there is no such preset; did you mean captions"),
    ],
)
def test_what_is_wrong_in_it_is_said(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        load_config(str(path), {})


def test_the_embedded_corpus_fills_the_vocabulary_of_its_preset(tmp_path: Path) -> None:
    config = load_config("captions", {})
    corpus = prepare_corpus(config.corpus, Store(tmp_path))
    tokenizer = train_tokenizer(corpus, config.tokenizer, Store(tmp_path))
    assert tokenizer.figures["source_pieces"] == config.tokenizer.vocabulary_size


def test_a_run_is_told_as_its_command_without_secrets() -> None:
    command = command_of("ablate", "mine.yaml", {"ablation.seeds": 2, "corpus.path": "s3://me:secret@bucket/x"})
    assert command[:6] == ["nmt", "ablate", "--preset", "mine.yaml", "--set", "ablation.seeds=2"]
    assert "secret" not in " ".join(command)
