"""The folder of a registered model: the rules and the symbols of its tokenizer are in it."""

import json
from dataclasses import replace
from pathlib import Path

from pipeline.batches.tokenizer import train_tokenizer
from pipeline.config import RunConfig
from pipeline.corpus.corpus import Corpus
from pipeline.inference.translator import Translator
from pipeline.registry.bundle import write_bundle
from pipeline.store.store import Store
from tests.pipeline.registry.conftest import Train


def test_rules_and_symbols_travel(tmp_path: Path, tiny: RunConfig, corpus: Corpus, train: Train) -> None:
    fields = tiny.tokenizer.model_copy(update={"user_symbols": ("{name}",)})
    trained = replace(train(1), tokenizer=train_tokenizer(corpus, fields, Store()))
    folder = tmp_path / "bundle"
    folder.mkdir()
    write_bundle(trained, tiny.evaluation, folder)
    description = json.loads((folder / "translator.json").read_text("utf8"))
    translator = Translator.from_description(folder, description)
    assert translator.translate(["{name}: 5"]) == ["{name}: 5"]
    alike = ["Ein Hund la\u0308uft durch\u00a0den Park.", "Ein Hund läuft durch den Park."]
    assert len(set(translator.translate(alike))) == 1
