"""Versions of the registered model."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mlflow
import mlflow.pyfunc
from filelock import FileLock
from mlflow.data.meta_dataset import MetaDataset
from mlflow.entities import LoggedModel, LoggedModelStatus
from mlflow.entities.model_registry import ModelVersion as MlflowVersion
from mlflow.tracking import MlflowClient

from pipeline.config import RunConfig
from pipeline.corpus.corpus import Corpus
from pipeline.corpus.splits import split_path
from pipeline.data_config import CorpusConfig, corpus_name
from pipeline.errors import without_secrets_in
from pipeline.evaluation.evaluation import Evaluation
from pipeline.evaluation.evaluation_set import EvaluationSet
from pipeline.evaluation.scored_sets import SCORED_SPLITS, base_of, further_names, plain_name, set_names
from pipeline.evaluation.search_settings import line_policy, search_config
from pipeline.inference import predictions
from pipeline.metrics.tokenizers import bleu_tokenizer
from pipeline.registry.bundle import PYFUNC, write_bundle, write_record
from pipeline.registry.champion import BLEU_TAG, DATA_TAG, DECISION_TAG, TOKENIZER_TAG, decide_champion
from pipeline.registry.mlflow_internals import data_set
from pipeline.registry.runs import FINGERPRINT_TAG, TrainingRun, fingerprints_in, reachable_server
from pipeline.source_config import SourceConfig
from pipeline.store.artifact_folder import MANIFEST, file_hash, read_manifest
from pipeline.store.stages import fingerprint
from pipeline.store.storage import home
from pipeline.store.store import versions
from pipeline.store.whole_files import make_private
from pipeline.training.trained import TrainedModel

IDENTITY_TAG, RECORD_TAG = "nmt.identity", "nmt.record"
"""What a version is found by; the hash of its record."""
REQUIREMENTS = ("mlflow", "torch", "sentencepiece", "safetensors", "pydantic", "numpy")


@dataclass(frozen=True)
class ModelVersion:
    """A version of a registered model."""

    name: str
    version: str
    run_id: str
    decision: str
    """Whether it became the champion, and why."""
    reused: bool

    @property
    def uri(self) -> str:
        """The address that `mlflow.pyfunc.load_model` takes."""
        return f"models:/{self.name}/{self.version}"


def register_model(
    run: TrainingRun, trained: TrainedModel, evaluation: Evaluation, corpus: Corpus, config: RunConfig
) -> ModelVersion:
    """Register the best checkpoint as a version, and make it the champion if it is at least as good as the last one.

    Reads the trained model, its evaluation and the corpus. Leaves in the training's MLflow run: its whole history, the
    scores (tied to model and data set), sample translations, the tokenizer, the corpus's reports, run.json
    (configuration and figures), and the model: code, safetensors and SentencePiece files, no pickle. The version is
    created last, so a registered one is complete; for the same evaluation, the existing version is returned.

    Raises ExternalError if MLflow fails.
    """
    name = config.registry.model_name or config.name
    make_private(home())
    with reachable_server(), FileLock(home() / "registry.lock"):
        identity = _identity(trained, evaluation)
        found = _find_version(run.client, name, identity)
        version = found or _create_version(run, name, trained, evaluation, corpus, config, identity)
        decision = version.tags.get(DECISION_TAG) or decide_champion(run.client, version, corpus)
    return ModelVersion(name, str(version.version), str(version.run_id), decision, found is not None)


def _identity(trained: TrainedModel, evaluation: Evaluation) -> str:
    return identity_of(evaluation.fingerprint, file_hash(trained.weights), evaluation.figures)


def identity_of(evaluation: str, weights: str, figures: Mapping[str, Any]) -> str:
    """Return what a version is found by: from its evaluation's fingerprint, its weights' hash, and its scores."""
    return fingerprint({"evaluation": evaluation, "weights": weights, "figures": dict(figures)})


def _find_version(client: MlflowClient, name: str, identity: str) -> MlflowVersion | None:
    versions = client.search_model_versions(f"name = '{name}' and tags.`{IDENTITY_TAG}` = '{identity}'")
    return max(versions, key=lambda version: int(version.version), default=None)


def _create_version(
    run: TrainingRun,
    name: str,
    trained: TrainedModel,
    evaluation: Evaluation,
    corpus: Corpus,
    config: RunConfig,
    identity: str,
) -> MlflowVersion:
    run.complete(trained.history())
    run.tag({"nmt.fingerprint.evaluation": evaluation.fingerprint})
    samples = [row for row, _ in zip(evaluation.translations("test"), range(config.evaluation.samples), strict=False)]
    with mlflow.start_run(run_id=run.id):
        examples = [row["source"] for row in samples[:2]]
        stages = dict(_stages(trained, evaluation, corpus))
        logged = _find_logged_model(run, identity) or _log_model(
            trained, corpus, config, examples, identity, stages, evaluation.test_sets
        )
        _log_scores(evaluation, corpus, config, logged.model_id)
        table = f"samples-{identity[:8]}.json"
        # Once: MLflow would append to a table that exists.
        if table not in {artifact.path for artifact in run.client.list_artifacts(run.id)}:
            mlflow.log_table({key: [row[key] for row in samples] for key in samples[0]}, table)
        mlflow.log_artifacts(str(trained.tokenizer.path), "tokenizer")
        for part in corpus.parts:
            for report in part.reports:
                mlflow.log_artifact(str(report), f"corpus/{part.name}".rstrip("/"))
        mlflow.log_dict(
            {
                "config": config.model_dump(mode="json"),
                "corpus": dict(corpus.figures),
                "tokenizer": dict(trained.tokenizer.figures),
                "training": dict(trained.figures),
                "evaluation": dict(evaluation.figures),
                "versions": versions(),
            },
            "run.json",
        )
    if not run.client.search_registered_models(f"name = '{name}'"):
        run.client.create_registered_model(name, description=config.description)
    bleu = evaluation.figures["validation"]["bleu"]
    made_from = fingerprints_in(run.client.get_run(run.id).data.tags)
    return run.client.create_model_version(
        name,
        logged.model_uri,
        run.id,
        tags={
            IDENTITY_TAG: identity,
            DATA_TAG: corpus.split_fingerprint("validation"),
            BLEU_TAG: str(bleu),
            TOKENIZER_TAG: bleu_tokenizer(config.evaluation, corpus.languages.target),
            RECORD_TAG: logged.tags.get(RECORD_TAG, ""),
            **{f"{FINGERPRINT_TAG}{stage}": value for stage, value in made_from.items()},
        },
        description=f"validation BLEU {bleu:.2f}, test BLEU {evaluation.figures['test']['bleu']:.2f}, "
        f"{evaluation.figures['signatures']['bleu']}",
        model_id=logged.model_id,
    )


def _find_logged_model(run: TrainingRun, identity: str) -> LoggedModel | None:
    """Return the model that an interrupted registration has logged; what it has logged in part is removed."""
    models = run.client.search_logged_models([run.experiment_id], f"source_run_id = '{run.id}'")
    ours = [model for model in models if model.tags.get(IDENTITY_TAG) == identity]
    for model in ours:
        if model.status != LoggedModelStatus.READY:
            run.client.delete_logged_model(model.model_id)
    return next((model for model in ours if model.status == LoggedModelStatus.READY), None)


def _log_model(
    trained: TrainedModel,
    corpus: Corpus,
    config: RunConfig,
    examples: Sequence[str],
    identity: str,
    stages: Mapping[str, Any],
    test_sets: Sequence[EvaluationSet],
) -> LoggedModel:
    with TemporaryDirectory(dir=home(), prefix=".bundle-") as temporary:
        write_bundle(trained, config.evaluation, Path(temporary))
        content = {"config": _recorded(config, corpus, test_sets), "stages": stages, "versions": versions()}
        record = write_record(Path(temporary), content)
        info = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(PYFUNC),
            artifacts={"translator": temporary},
            model_config={"device": "auto"},  # What `load_model` may set otherwise.
            # By the first, an interrupted registration is found and completed.
            tags={IDENTITY_TAG: identity, RECORD_TAG: record},
            input_example=(
                list(examples),
                predictions.defaults(search_config(config.evaluation), line_policy(config.evaluation)),
            ),
            # Without the local part: 2.13.0+cpu is 2.13.0 on every index.
            pip_requirements=[f"{package}=={metadata.version(package).partition('+')[0]}" for package in REQUIREMENTS],
            metadata={
                "preset": config.name,
                "corpus": _pinned(config.corpus, corpus),
                "bleu_tokenizer": config.evaluation.bleu_tokenizer,
                "sha256": dict(corpus.figures["sha256"]),
                "training": trained.fingerprint,
                "parameters": dict(predictions.PARAMETERS),
                **({"test_sets": _pinned_sets(config, test_sets)} if test_sets else {}),
            },
        )
    return MlflowClient().get_logged_model(str(info.model_id))


def _stages(trained: TrainedModel, evaluation: Evaluation, corpus: Corpus) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield, by stage, the fingerprint, the hash of the manifest and the figures of what a version is made from.

    A corpus is known elsewhere by its content; here by what it is stored under.
    """
    inputs = (read_manifest(trained.path) or {}).get("inputs", {})
    encoded = trained.path.parents[1] / "encoded" / str(inputs.get("encoded"))
    paths = {"evaluation": evaluation.path, "training": trained.path, "encoded": encoded}
    paths |= {"tokenizer": trained.tokenizer.path, "corpus": corpus.path}
    paths |= {f"corpus {part.name}": part.path for part in corpus.parts if part.name}
    for stage, folder in paths.items():
        if manifest := read_manifest(folder):
            digest = file_hash(folder / MANIFEST)
            yield stage, {"fingerprint": folder.name, "manifest": digest, "figures": manifest["figures"]}


def _recorded(config: RunConfig, corpus: Corpus, test_sets: Sequence[EvaluationSet]) -> dict[str, Any]:
    """Return the configuration that makes the same model again, from any folder; without secrets."""
    values = config.model_dump(mode="json")
    languages = ("source_language", "target_language")  # Guessed again as they were.
    pinned = _pinned(config.corpus, corpus) | {name: values["corpus"][name] for name in languages}
    models = {
        name: str(Path(path).expanduser().absolute())
        for name in ("model", "target_model")
        if (path := values["tokenizer"][name]) is not None
    }
    evaluation = values["evaluation"] | {"test_sets": _pinned_sets(config, test_sets)}
    exact = {"corpus": pinned, "tokenizer": values["tokenizer"] | models, "evaluation": evaluation}
    found: dict[str, Any] = without_secrets_in(values | exact)
    return found


def _pinned(config: CorpusConfig, corpus: Corpus) -> dict[str, Any]:
    """Return the fields that prepare the same corpus again, from any folder and after the Hub's branch has moved on."""
    languages = {"source_language": corpus.languages.source, "target_language": corpus.languages.target}
    origin = corpus.figures["origin"]
    if not config.sources:
        return config.model_dump(mode="json") | languages | _exact(config, origin)
    sources = [source.model_dump() | _exact(source, origin["sources"][source.name]) for source in config.sources]
    return config.model_dump(mode="json") | languages | {"sources": sources}


def _pinned_sets(config: RunConfig, test_sets: Sequence[EvaluationSet]) -> list[dict[str, Any]]:
    """Return the same of the test sets, each with its fields and where it was read from."""
    given = zip(config.evaluation.test_sets, test_sets, strict=True)
    return [each.model_dump(mode="json") | _exact(each, read.origin) for each, read in given]


def _exact(source: SourceConfig, origin: Mapping[str, Any]) -> dict[str, str]:
    """Return where a source is, from any folder, and the commit that it was read at."""
    paths = {name: path for name in ("path", "target_path") if (path := getattr(source, name)) is not None}
    exact = {name: str(Path(path).expanduser().absolute()) for name, path in paths.items()}
    return exact | ({"revision": str(origin["commit"])} if "commit" in origin else {})


def _log_scores(evaluation: Evaluation, corpus: Corpus, config: RunConfig, model_id: str) -> None:
    """Log the final scores, tied to the model and the data set; and the translations of further sets and of copies."""
    datasets = _scored_sets(evaluation, corpus, corpus_name(config.corpus))
    for part in corpus.parts:
        figures = corpus.figures["parts"][part.name] if part.name else corpus.figures
        name = f"{part.name or corpus_name(config.corpus)}-train"
        origin = without_secrets_in(dict(figures["origin"]))
        file, digest = split_path(part.path, "train"), figures["sha256"]["train"]
        mlflow.log_input(data_set(file, name, digest, part.pairs["train"], origin), context="training")
    for context, dataset in datasets.items():
        mlflow.log_input(dataset, context=context)
    for scored in set_names(evaluation.figures):
        scores = {f"final/{plain_name(scored)}_{key}": value for key, value in evaluation.scores(scored).items()}
        mlflow.log_metrics(scores, model_id=model_id, dataset=datasets[base_of(scored)])
    for scored in further_names(evaluation.figures):
        mlflow.log_artifact(str(evaluation.translations_file(scored)), "translations")


def _scored_sets(evaluation: Evaluation, corpus: Corpus, name: str) -> dict[str, MetaDataset]:
    """Return what a model was scored on, by the names of its scores."""
    origin = without_secrets_in(dict(corpus.figures["origin"]))
    own = {
        split: data_set(
            split_path(corpus.path, split),
            f"{name}-{split}",
            corpus.split_fingerprint(split),
            corpus.figures["pairs"][split],
            origin,
        )
        for split in SCORED_SPLITS
    }
    return own | {
        each.name: data_set(each.file, each.name, each.fingerprint, each.pairs, without_secrets_in(dict(each.origin)))
        for each in evaluation.test_sets
    }
