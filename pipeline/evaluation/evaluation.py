"""The stage that scores a trained model: metrics on raw references, perplexity under teacher forcing."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.seq2seq import Seq2Seq
from pipeline.batches.collate import Ragged
from pipeline.config import BleuTokenizer, EvaluationConfig
from pipeline.corpus.corpus import Corpus
from pipeline.evaluation.evaluation_set import EvaluationSet
from pipeline.evaluation.scored_sets import SIGNATURES, ScoredSet, plain_name, scored_sets
from pipeline.evaluation.search_settings import line_policy, search_config
from pipeline.evaluation.symbols import symbol_figures
from pipeline.inference.devices import open_device
from pipeline.inference.subwords import Subwords
from pipeline.inference.translator import Translation, Translator
from pipeline.metrics.faults import fault_figures
from pipeline.metrics.metrics import definitions, headline_metrics, headline_scores
from pipeline.metrics.tokenizers import bleu_tokenizer
from pipeline.store.stages import Settings, Stage
from pipeline.store.store import Figures, Reuse, Store
from pipeline.training.perplexity import perplexity, teacher_forced_nll
from pipeline.training.trained import TrainedModel

TRANSLATIONS = "{name}.jsonl"


@dataclass(frozen=True)
class Evaluation:
    """The scores of a trained model's best checkpoint, and its translations."""

    path: Path
    fingerprint: str
    figures: Figures
    """By the names of the sets, which are `validation`, `test` and those of `scored_sets`: `sentences`, `perplexity`,
    each headline metric by key, the translations that are `repeating` or `truncated`, with their `_percent`, with user
    symbols those of `symbol_figures`, and of a copy how many sources are `changed`; `signatures` by the metrics' keys.
    """
    reused: Reuse
    test_sets: tuple[EvaluationSet, ...] = ()
    """What was scored beside the corpus's own splits."""

    def scores(self, name: str) -> dict[str, float]:
        """Return the metrics of a set, its perplexity and its faulty translations, by key."""
        return {key: value for key, value in self.figures[name].items() if key != "sentences"}

    def translations_file(self, name: str) -> Path:
        """Return the file with the translations of a set: an object with source, reference, translation per line."""
        return self.path / TRANSLATIONS.format(name=plain_name(name))

    def translations(self, name: str) -> Iterator[dict[str, str]]:
        """Yield source, reference and translation of every pair of a set, in order."""
        with self.translations_file(name).open(encoding="utf8", newline="\n") as lines:
            yield from map(json.loads, lines)


def evaluation_stage(
    training: str, corpus: Corpus, config: EvaluationConfig, test_sets: Sequence[EvaluationSet] = ()
) -> Stage:
    """Return the evaluation's stage; `training` is the fingerprint of the trained model."""
    elsewhere = {"samples", "batch_sentences", "bootstrap_samples", "bleu_tokenizer", "during_training", "test_sets"}
    if not config.perturbations:
        elsewhere |= {"perturbation_seed"}
    if "typos" not in config.perturbations:
        elsewhere |= {"typo_share"}
    search = Settings.of(config, exclude=elsewhere)
    metrics = headline_metrics(bleu_tokenizer(config, corpus.languages.target))
    settings = Settings({**search.values, "metrics": definitions(metrics)}, search.defaults)
    inputs = {f"test set {each.name}": each.fingerprint for each in test_sets}
    return Stage("evaluation", settings, {"training": training, "corpus": corpus.fingerprint, **inputs})


def open_translator(model: Seq2Seq, subwords: Subwords, config: EvaluationConfig) -> Translator:
    """Return a translator that searches as `config` says."""
    return Translator(model, subwords, search_config(config), config.batch_sentences, line_policy(config))


def evaluate_model(
    trained: TrainedModel,
    corpus: Corpus,
    config: EvaluationConfig,
    store: Store,
    progress: Callable[[int], None] | None = None,
    test_sets: Sequence[EvaluationSet] = (),
) -> Evaluation:
    """Translate the validation set, the test set and further ones with the best checkpoint and score each by itself.

    Reads the trained model, both splits of the corpus and `test_sets`, those of `config.test_sets`. Leaves a file for
    each set, such as test.jsonl, with the keys source, reference, translation; `config.perturbations` are sets of their
    own, compared as `COMPARED` says, and of a corpus with several sources each one's share is scored as well. The
    metrics compare detokenized text with the raw references; perplexity is that of the references' tokens under teacher
    forcing. Translations that repeat themselves or that the limit of their length cut off are counted. `progress` is
    called with the sentences translated since the last call.
    """
    stage = evaluation_stage(trained.fingerprint, corpus, config, test_sets)
    tokenizer = bleu_tokenizer(config, corpus.languages.target)

    def build(folder: Path) -> Figures:
        # What was trained on the GPUs of a cluster may be scored where there is none.
        device = open_device("auto" if trained.figures["device"] == "gpu" else "cpu", "training.device")
        model, subwords = trained.load(device)
        translator = open_translator(model, subwords, config)
        figures: dict[str, Any] = {}
        for each in scored_sets(corpus, test_sets, config):
            found = [next(iter(best), None) for best in translator.hypotheses(each.sources, progress, attention=False)]
            scoring = _Scoring(model, subwords, tokenizer, each, found)
            scoring.write(folder / TRANSLATIONS.format(name=plain_name(each.name)))
            figures[each.name] = scoring.figures(range(len(each.sources)))
            if each.changed is not None:
                figures[each.name]["changed"] = each.changed
            figures |= {f"{each.name}/{part}": scoring.figures(rows) for part, rows in each.parts.items()}
        return figures | {SIGNATURES: {metric.key: metric.signature for metric in headline_metrics(tokenizer)}}

    artifact = store.produce(stage, build)
    return Evaluation(artifact.path, artifact.fingerprint, artifact.figures, artifact.reused, tuple(test_sets))


class _Scoring:
    """The translations of a set, and what they are worth."""

    def __init__(
        self,
        model: Seq2Seq,
        subwords: Subwords,
        tokenizer: BleuTokenizer,
        pairs: ScoredSet,
        found: Sequence[Translation | None],
    ) -> None:
        self._model, self._subwords, self._tokenizer, self._pairs = model, subwords, tokenizer, pairs
        self._translations = ["" if translation is None else translation.text for translation in found]
        self._truncated = [translation is not None and translation.truncated for translation in found]
        self._source = Ragged.of_rows(subwords.encode_source(pairs.sources))
        self._target = Ragged.of_rows(subwords.encode_target(pairs.references))

    def figures(self, rows: range) -> dict[str, Any]:
        """Return the figures of some of the pairs."""
        sources, references, translations = (
            texts[rows.start : rows.stop] for texts in (self._pairs.sources, self._pairs.references, self._translations)
        )
        truncated = sum(self._truncated[rows.start : rows.stop])
        compared = [*map(self._pairs.compared, translations)], [*map(self._pairs.compared, references)]
        nll = teacher_forced_nll(self._model, self._source, self._target, rows)
        return {
            "sentences": len(references),
            **headline_scores(*compared, self._tokenizer),
            "perplexity": round(perplexity(*nll), 4),
            **fault_figures(sources, [[text] for text in references], translations, truncated),
            **symbol_figures(self._subwords.user_symbols, sources, translations),
        }

    def write(self, path: Path) -> None:
        """Write the translations beside their sources and references."""
        with path.open("w", encoding="utf8", newline="\n") as stream:
            for source, reference, translation in zip(
                self._pairs.sources, self._pairs.references, self._translations, strict=True
            ):
                row = {"source": source, "reference": reference, "translation": translation}
                stream.write(json.dumps(row, ensure_ascii=False) + "\n")
