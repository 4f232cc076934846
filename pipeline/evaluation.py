"""The stage that scores a trained model: BLEU and chrF on raw references, perplexity under teacher forcing."""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from model.seq2seq import Seq2Seq
from pipeline.collate import Ragged, collate
from pipeline.config import EvaluationConfig
from pipeline.corpus import Corpus, Split
from pipeline.decoding import handling, search_config
from pipeline.metrics import corpus_bleu, corpus_chrf, signatures
from pipeline.store import Figures, Stage, Store
from pipeline.subwords import Subwords
from pipeline.trained import TrainedModel
from pipeline.translator import Translator

SPLITS: tuple[Split, ...] = ("validation", "test")
TRANSLATIONS = "{split}.jsonl"


def teacher_forced_nll(
    model: Seq2Seq, source: Ragged, target: Ragged, rows: Sequence[int], batch_sentences: int = 128
) -> tuple[float, int]:
    """Return the summed negative log-likelihood of the pairs `rows`, in nats, and their target tokens."""
    device = next(model.parameters()).device
    order = sorted(rows, key=lambda row: (source.lengths[row], target.lengths[row]))
    total, words = 0.0, 0
    with torch.inference_mode():
        for start in range(0, len(order), batch_sentences):
            indices = np.array(order[start : start + batch_sentences], dtype=np.int64)
            loss = model(collate(source, target, indices, model.tokens, device))
            total += float(loss.nll)
            words += loss.words
    return total, words


def perplexity(nll: float, words: int) -> float:
    """Return exp of the mean negative log-likelihood a target token, `end` counted."""
    return math.exp(min(nll / words, 700.0))


@dataclass(frozen=True)
class Evaluation:
    """The scores of a trained model's best checkpoint, and its translations."""

    path: Path
    fingerprint: str
    figures: Figures
    """By split: bleu, chrf, perplexity; and the signatures."""
    reused: bool

    def translations(self, split: Split) -> Iterator[dict[str, str]]:
        """Yield source, reference and translation of every pair of a split, in order."""
        with (self.path / TRANSLATIONS.format(split=split)).open(encoding="utf8", newline="\n") as lines:
            yield from map(json.loads, lines)


def evaluation_stage(training: str, corpus: Corpus, config: EvaluationConfig) -> Stage:
    """Return the stage of an evaluation of the training with that fingerprint."""
    fields = config.model_dump(exclude={"samples", "batch_sentences"})
    return Stage("evaluation", 2, fields, {"training": training, "corpus": corpus.fingerprint})


def open_translator(model: Seq2Seq, subwords: Subwords, config: EvaluationConfig) -> Translator:
    """Return what translates as `config` says."""
    return Translator(model, subwords, search_config(config), config.batch_sentences, handling(config))


def evaluate_model(
    trained: TrainedModel,
    corpus: Corpus,
    config: EvaluationConfig,
    store: Store,
    progress: Callable[[int], None] | None = None,
) -> Evaluation:
    """Translate the validation and the test set with the best checkpoint and score them.

    Reads the trained model and both splits of the corpus. Leaves validation.jsonl and test.jsonl with the keys source,
    reference, translation. BLEU and chrF compare detokenized text with the raw references; perplexity is that of the
    references' tokens under teacher forcing. `progress` is called with the sentences translated since the last call.
    """
    stage = evaluation_stage(trained.fingerprint, corpus, config)

    def build(folder: Path) -> Figures:
        on_gpu = trained.figures["device"] == "gpu" and torch.cuda.is_available()
        device = torch.device("cuda" if on_gpu else "cpu")
        model, subwords = trained.load(device)
        translator = open_translator(model, subwords, config)
        figures: dict[str, Any] = {}
        for split in SPLITS:
            sources, references = map(list, zip(*corpus.pairs(split), strict=True))
            translations = translator.translate(sources, progress)
            _write(folder / TRANSLATIONS.format(split=split), sources, references, translations)
            figures[split] = _score(translations, references) | {
                "perplexity": round(_perplexity(model, subwords, sources, references), 4)
            }
        return figures | {"signatures": signatures()}

    artifact = store.produce(stage, build)
    return Evaluation(artifact.path, artifact.fingerprint, artifact.figures, artifact.reused)


def _score(translations: list[str], references: list[str]) -> dict[str, float]:
    return {
        "bleu": corpus_bleu(translations, references),
        "chrf": corpus_chrf(translations, references),
        "sentences": len(references),
    }


def _perplexity(model: Seq2Seq, subwords: Subwords, sources: list[str], references: list[str]) -> float:
    source = Ragged.of_rows(subwords.encode_source(sources))
    target = Ragged.of_rows(subwords.encode_target(references))
    return perplexity(*teacher_forced_nll(model, source, target, range(len(sources))))


def _write(path: Path, sources: list[str], references: list[str], translations: list[str]) -> None:
    with path.open("w", encoding="utf8", newline="\n") as stream:
        for source, reference, translation in zip(sources, references, translations, strict=True):
            row = {"source": source, "reference": reference, "translation": translation}
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")
