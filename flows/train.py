"""The flow `train`: from a preset to a registered model, a task per stage."""

from itertools import islice
from typing import Any

from prefect import flow

from flows.presets import command_of, load_config
from flows.publishing import hide_secrets_in_logs, key_of, publish
from flows.scoring_tasks import evaluation_task, load_test_sets
from flows.tasks import (
    batches_task,
    corpus_task,
    flow_run_name,
    registration_task,
    stage_fingerprints,
    tokenizer_task,
    training_task,
)
from pipeline.batches.encoding import EncodedCorpus
from pipeline.batches.tokenizer import Tokenizer, check_own_models
from pipeline.cluster.connection import EarlyStart
from pipeline.corpus.corpus import Corpus
from pipeline.errors import without_secrets
from pipeline.evaluation.evaluation import Evaluation
from pipeline.evaluation.further_sets import check_languages
from pipeline.evaluation.scored_sets import SCORED_SPLITS, further_names
from pipeline.evaluation.tables import run_report
from pipeline.registry.runs import tracking_uri
from pipeline.stopping import seconds_of, stopping
from pipeline.store.stages import fresh_stages
from pipeline.store.store import Store
from pipeline.training.trained import TrainedModel


@flow(name="train", flow_run_name=flow_run_name)
def train(
    preset: str = "captions",
    overrides: dict[str, Any] | None = None,
    fresh: str | None = None,
    time_limit: str | None = None,
) -> dict[str, Any]:
    """Train the model of a preset and register it.

    preset: a name that `nmt presets` lists, or a YAML file. overrides: values by dotted name, such as
    {"training.epochs": 3}. Both are validated before anything is downloaded. Stages whose inputs have not changed
    are reused, unless `fresh` names the first one to make again ("all" for every one). A training that was stopped
    continues from its last checkpoint. SIGTERM, or a time limit such as "2 hours", stops it with one.
    """
    hide_secrets_in_logs()
    config, again = load_config(preset, overrides or {}), fresh_stages(fresh)
    check_own_models(config.tokenizer)
    with stopping(seconds_of(time_limit)) as stop, EarlyStart() as cluster:
        store = Store(building=cluster.begin, fresh=again)  # A stage that is built needs a training.
        test_sets = load_test_sets(config, store)
        corpus = corpus_task(config, store, test_sets)
        check_languages(test_sets, corpus.languages)
        stop.check()
        tokenizer = tokenizer_task(config, corpus, store)
        stop.check()
        encoded = batches_task(config, corpus, tokenizer, store)
        stop.check()
        fingerprints = stage_fingerprints(config, encoded)
        command = command_of("train", preset, overrides or {})
        trained = training_task(config, encoded, fingerprints, store, command)
        cluster.end()
        stop.check()
        evaluation = evaluation_task(config, trained, corpus, store, test_sets)
        stop.check()
        version = registration_task(config, trained, evaluation, corpus, fingerprints)
        publish(
            run_report(
                evaluation.figures, list(islice(evaluation.translations("test"), 3)), version.uri, version.decision
            ),
            key=key_of("train", config.name),
            description=f"{version.uri}: test BLEU {evaluation.figures['test']['bleu']:.2f}",
        )
    stages: dict[str, Corpus | Tokenizer | EncodedCorpus | TrainedModel | Evaluation] = {
        "corpus": corpus,
        "tokenizer": tokenizer,
        "encoded": encoded,
        "training": trained,
        "evaluation": evaluation,
    }
    return {
        "preset": config.name,
        "run_id": version.run_id,
        "model_uri": version.uri,
        "decision": version.decision,
        "tracking_uri": without_secrets(tracking_uri()),
        "scores": evaluation.figures,
        "stages": {
            name: {"fingerprint": stage.fingerprint, "reused": bool(stage.reused)} for name, stage in stages.items()
        }
        | {"registration": {"fingerprint": evaluation.fingerprint, "reused": bool(version.reused)}},
        "translations": str(evaluation.translations_file("test")),
        "all_translations": {
            name: str(evaluation.translations_file(name))
            for name in (*SCORED_SPLITS, *further_names(evaluation.figures))
        },
    }
