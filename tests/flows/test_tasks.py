"""The tokenizer in a flow: what is said of its figures, and models that are refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from flows.ablation import ablation
from flows.progress import CURRENT_VIEW, LogView
from flows.tasks import slower_than_asked, tokenizer_task
from flows.train import train
from pipeline.config import RunConfig
from pipeline.corpus.corpus import prepare_corpus
from pipeline.errors import InputError
from pipeline.overrides import build_config
from pipeline.store.store import Store


def said(tmp_path: Path, config: RunConfig) -> list[str]:
    """Run the task on a corpus of two pairs, and return its lines."""
    rows = [{"de": f"Ein Hund läuft {number} m weit", "en": f"A dog runs {number} m² …"} for number in range(2)]
    for split in ("train", "validation", "test"):
        (tmp_path / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n", "utf8")
    store, lines = Store(tmp_path / "store"), list[str]()
    corpus = prepare_corpus(config.corpus.model_copy(update={"path": str(tmp_path), "leaks": "keep"}), store)
    token = CURRENT_VIEW.set(LogView(lines.append))
    try:
        tokenizer_task.fn(config, corpus, store)
    finally:
        CURRENT_VIEW.reset(token)
    return [line.removeprefix("tokenizer    ").rpartition(" (")[0] or line for line in lines]


def test_references_that_do_not_survive_are_said(tmp_path: Path) -> None:
    changing = {"tokenizer.vocabulary_size": 30, "tokenizer.normalization": "nmt_nfkc"}
    summary, warning = said(tmp_path, build_config({}, changing))
    assert summary == "30 pieces, unigram, joint, 4 of 4 references changed"
    assert "WARNING: 4 of 4 references" in warning


def test_nothing_is_said_of_those_that_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert said(tmp_path, build_config({}, {"tokenizer.vocabulary_size": 30})) == ["30 pieces, unigram, joint"]
    monkeypatch.chdir(tmp_path)
    (model,) = tmp_path.glob("store/tokenizer/*/target.model")
    (tmp_path / "own.model").write_bytes(model.read_bytes())
    own = build_config({"tokenizer": {"vocabulary_size": 9}}, {"tokenizer.model": "own.model"})
    assert said(tmp_path, own) == ["30 pieces, own.model, joint"]


@pytest.mark.parametrize(
    ("options", "multiplied_bf16", "expected"),
    [
        ({}, False, ""),
        ({"training.precision": "bf16"}, True, ""),
        ({"training.precision": "bf16"}, False, ", in fp32 (bf16 was asked for; the processor has no"),
        ({"training.teacher_forcing": 0.5}, False, ", with the slower step-by-step decoder (teacher_forcing=0.5)"),
    ],
)
def test_what_kept_a_training_from_its_speed_is_said(
    options: dict[str, Any], multiplied_bf16: bool, expected: str
) -> None:
    found = slower_than_asked(build_config({}, options), {"multiplied_bf16": multiplied_bf16})
    assert found.startswith(expected)
    assert bool(found) == bool(expected)


def test_a_model_that_is_not_there_is_refused_before_there_is_a_corpus(nmt_home: Path) -> None:
    for flow in (train, ablation):
        with pytest.raises(InputError, match=r"tokenizer.model=gone.model: there is no such file"):
            flow.fn("captions", {"tokenizer.model": "gone.model"})
    assert not nmt_home.exists()
