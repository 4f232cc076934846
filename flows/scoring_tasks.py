"""The tasks that load what a training is scored on beside its corpus, and score it."""

from collections.abc import Sequence

from prefect import task
from prefect.cache_policies import NO_CACHE

from flows.tasks import RETRY_DELAYS, current_view, failed_externally, name_of_system, skipped_text
from pipeline.config import RunConfig
from pipeline.corpus.corpus import Corpus
from pipeline.evaluation.evaluation import Evaluation, evaluate_model
from pipeline.evaluation.evaluation_set import EvaluationSet
from pipeline.evaluation.further_sets import prepare_test_sets
from pipeline.evaluation.scored_sets import COPY, SCORED_SPLITS, further_names, sentences_to_translate
from pipeline.metrics.tokenizers import bleu_tokenizer, check_words
from pipeline.store.store import Store
from pipeline.training.progress import NEAR_ZERO
from pipeline.training.trained import TrainedModel


@task(
    task_run_name="test sets",
    cache_policy=NO_CACHE,
    retries=len(RETRY_DELAYS),
    retry_delay_seconds=RETRY_DELAYS,
    retry_condition_fn=failed_externally,
)
def further_sets_task(config: RunConfig, store: Store) -> tuple[EvaluationSet, ...]:
    """Download or read the further test sets."""
    view = current_view()
    view.began("test sets")
    found = prepare_test_sets(config, store)
    for each in found:
        tokenizer = bleu_tokenizer(config.evaluation, each.languages.target)
        check_words((reference for _, reference in each.read()), tokenizer, f"test set {each.name}")
    told = ", ".join(f"{each.pairs:,} of {each.name}{skipped_text(each.skipped)}" for each in found)
    view.ended(told, min(each.reused for each in found))
    return found


def load_test_sets(config: RunConfig, store: Store) -> tuple[EvaluationSet, ...]:
    """Run `further_sets_task` if there are any."""
    return further_sets_task(config, store) if config.evaluation.test_sets else ()


@task(task_run_name=name_of_system("evaluation"), cache_policy=NO_CACHE)
def evaluation_task(
    config: RunConfig,
    trained: TrainedModel,
    corpus: Corpus,
    store: Store,
    test_sets: Sequence[EvaluationSet] = (),
    system: str = "",
) -> Evaluation:
    """Score the best checkpoint."""
    view = current_view()
    view.began("evaluation", sentences_to_translate(corpus, test_sets, config.evaluation), system=system)
    evaluation = evaluate_model(trained, corpus, config.evaluation, store, view.advanced, test_sets)
    figures = evaluation.figures["test"]
    symbols = (
        f", {figures['user_symbols_lost']:,} of {figures['user_symbols']:,} user symbols of the test set lost"
        if "user_symbols" in figures
        else ""
    )
    others = [name for name in further_names(evaluation.figures) if COPY not in name]
    view.ended(
        ", ".join(f"{name} BLEU {evaluation.figures[name]['bleu']:.2f}" for name in (*SCORED_SPLITS, *others))
        + symbols,
        evaluation.reused,
    )
    bleu = figures["bleu"]
    if bleu < NEAR_ZERO and not system:  # In an ablation it is a finding.
        view.warned(
            f"test BLEU {bleu:.2f} is near 0: this model translates next to nothing; train it longer "
            "(training.epochs, training.patience) or on more pairs"
        )
    return evaluation
