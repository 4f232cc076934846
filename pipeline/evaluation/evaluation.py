"""The stage that scores a trained model: metrics on raw references, perplexity under teacher forcing."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.seq2seq import Seq2Seq
from pipeline.batches.collate import Ragged
from pipeline.config import EvaluationConfig
from pipeline.corpus.corpus import Corpus
from pipeline.corpus.splits import Split
from pipeline.evaluation.search_settings import line_policy, search_config
from pipeline.evaluation.symbols import symbol_figures
from pipeline.inference.devices import open_device
from pipeline.inference.subwords import Subwords
from pipeline.inference.translator import Translator
from pipeline.metrics.faults import fault_figures
from pipeline.metrics.metrics import definitions, headline_metrics, headline_scores
from pipeline.metrics.tokenizers import bleu_tokenizer
from pipeline.store.stages import Settings, Stage
from pipeline.store.store import Figures, Reuse, Store
from pipeline.training.perplexity import perplexity, teacher_forced_nll
from pipeline.training.trained import TrainedModel

SCORED_SPLITS: tuple[Split, ...] = ("validation", "test")
TRANSLATIONS = "{split}.jsonl"


@dataclass(frozen=True)
class Evaluation:
    """The scores of a trained model's best checkpoint, and its translations."""

    path: Path
    fingerprint: str
    figures: Figures
    """By split: `sentences`, `perplexity`, each headline metric by key, the translations that are `repeating` or
    `truncated`, with their `_percent`, and with user symbols those of `symbol_figures`; `signatures` by the metrics'
    keys."""
    reused: Reuse

    def scores(self, split: Split) -> dict[str, float]:
        """Return the metrics of a split, its perplexity and its faulty translations, by key."""
        return {key: value for key, value in self.figures[split].items() if key != "sentences"}

    def translations(self, split: Split) -> Iterator[dict[str, str]]:
        """Yield source, reference and translation of every pair of a split, in order."""
        with (self.path / TRANSLATIONS.format(split=split)).open(encoding="utf8", newline="\n") as lines:
            yield from map(json.loads, lines)


def evaluation_stage(training: str, corpus: Corpus, config: EvaluationConfig) -> Stage:
    """Return the evaluation's stage; `training` is the fingerprint of the trained model."""
    elsewhere = {"samples", "batch_sentences", "bootstrap_samples", "bleu_tokenizer", "during_training"}
    search = Settings.of(config, exclude=elsewhere)
    metrics = headline_metrics(bleu_tokenizer(config, corpus.languages.target))
    settings = Settings({**search.values, "metrics": definitions(metrics)}, search.defaults)
    return Stage("evaluation", settings, {"training": training, "corpus": corpus.fingerprint})


def open_translator(model: Seq2Seq, subwords: Subwords, config: EvaluationConfig) -> Translator:
    """Return a translator that searches as `config` says."""
    return Translator(model, subwords, search_config(config), config.batch_sentences, line_policy(config))


def evaluate_model(
    trained: TrainedModel,
    corpus: Corpus,
    config: EvaluationConfig,
    store: Store,
    progress: Callable[[int], None] | None = None,
) -> Evaluation:
    """Translate the validation and the test set with the best checkpoint and score them.

    Reads the trained model and both splits of the corpus. Leaves validation.jsonl and test.jsonl with the keys source,
    reference, translation. The metrics compare detokenized text with the raw references; perplexity is that of the
    references' tokens under teacher forcing. Translations that repeat themselves or that the limit of their length cut
    off are counted. `progress` is called with the sentences translated since the last call.
    """
    stage = evaluation_stage(trained.fingerprint, corpus, config)
    tokenizer = bleu_tokenizer(config, corpus.languages.target)

    def build(folder: Path) -> Figures:
        # What was trained on the GPUs of a cluster may be scored where there is none.
        device = open_device("auto" if trained.figures["device"] == "gpu" else "cpu", "training.device")
        model, subwords = trained.load(device)
        translator = open_translator(model, subwords, config)
        figures: dict[str, Any] = {}
        for split in SCORED_SPLITS:
            sources, references = map(list, zip(*corpus.pairs(split), strict=True))
            found = [next(iter(best), None) for best in translator.hypotheses(sources, progress, attention=False)]
            translations = ["" if translation is None else translation.text for translation in found]
            truncated = sum(translation is not None and translation.truncated for translation in found)
            _write(folder / TRANSLATIONS.format(split=split), sources, references, translations)
            figures[split] = {
                "sentences": len(references),
                **headline_scores(translations, references, tokenizer),
                "perplexity": round(_perplexity(model, subwords, sources, references), 4),
                **fault_figures(sources, [[text] for text in references], translations, truncated),
                **symbol_figures(subwords.user_symbols, sources, translations),
            }
        return figures | {"signatures": {metric.key: metric.signature for metric in headline_metrics(tokenizer)}}

    artifact = store.produce(stage, build)
    return Evaluation(artifact.path, artifact.fingerprint, artifact.figures, artifact.reused)


def _perplexity(model: Seq2Seq, subwords: Subwords, sources: list[str], references: list[str]) -> float:
    source = Ragged.of_rows(subwords.encode_source(sources))
    target = Ragged.of_rows(subwords.encode_target(references))
    return perplexity(*teacher_forced_nll(model, source, target, range(len(sources))))


def _write(path: Path, sources: list[str], references: list[str], translations: list[str]) -> None:
    with path.open("w", encoding="utf8", newline="\n") as stream:
        for source, reference, translation in zip(sources, references, translations, strict=True):
            row = {"source": source, "reference": reference, "translation": translation}
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")
