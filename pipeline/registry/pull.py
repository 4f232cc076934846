"""Stage `pull_model`: a registered version, copied from MLflow into the store, and run by the code that it brings.

And what MLflow says of a version without copying it: aliases, times, what it was made from.

Only the driver talks to MLflow: workers take the copy from the store, by its address.
"""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import mlflow.artifacts
from mlflow.entities.model_registry import ModelVersion as MlflowVersion
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from mlflow.tracking import MlflowClient

from pipeline.errors import InputError
from pipeline.inference.devices import check_choice, open_device
from pipeline.registry.champion import CHAMPION
from pipeline.registry.loader import check_loader, download_version, is_missing, load_version, takes_device
from pipeline.registry.mlflow_internals import NOT_THERE, logged_model
from pipeline.registry.runs import fingerprints_in, has_registry, reachable_server, tracking_uri, use_registry
from pipeline.store.stages import Settings, Stage
from pipeline.store.store import Artifact, Reuse, Store

TOO_OLD = "was registered before versions could use a GPU; train it again, or choose cpu"
FOLDER = "model"
"""The artifact's folder with MLflow's model: MLmodel and what it names."""


@dataclass(frozen=True)
class PulledVersion:
    """A version of a registered model, copied into the store."""

    name: str
    version: str
    model_id: str | None
    """MLflow's logged model behind it, to which scores are tied; None for versions that have none."""
    run_id: str
    path: Path
    """A folder that `mlflow.pyfunc.load_model` takes."""
    fingerprint: str
    address: str
    """The artifact's address in every store."""
    reused: Reuse

    @property
    def uri(self) -> str:
        """The address of this one version."""
        return f"models:/{self.name}/{self.version}"

    def load(self, device: str = "auto") -> "LoadedModel":
        """Load it onto a device, ready to translate. Raises InputError as `LoadedModel` does."""
        return LoadedModel(self.path, device)

    def check_device(self, device: str) -> str:
        """Return a choice of devices (auto, cpu, gpu), or `cpu` for `auto` if this version cannot use a GPU.

        Raises InputError for what is no device, and for `gpu` if this version cannot use one.
        """
        check_choice(device, f"--device {device}")
        if device == "cpu" or takes_device(self.path):
            return device
        if device == "gpu":
            raise InputError(f"--device gpu: {self.uri} {TOO_OLD}")
        return "cpu"

    @property
    def metadata(self) -> dict[str, Any]:
        """What it records of its training; older ones lack some.

        `preset`, `corpus` (all fields), `sha256` by split, `bleu_tokenizer` if it was configured.
        """
        return dict(Model.load(str(self.path)).metadata or {})

    @property
    def label(self) -> str:
        """A short name for people."""
        return f"{self.name}/{self.version}"


def pull_model(model: str, store: Store, option: str = "--model") -> PulledVersion:
    """Copy a version into the store: by its URI, or the champion of a registered model by the model's name.

    Raises InputError if there is no such model, version or alias, naming those that exist, and makes nothing then;
    also for a version that `check_loader` refuses. Raises ExternalError if MLflow fails.
    """
    found = find_version(model, option)
    with reachable_server():
        identity = {
            "name": found.name,
            "version": str(found.version),
            "created": str(found.creation_timestamp),
            "source": str(found.source),
        }

        def build(folder: Path) -> dict[str, Any]:
            uri = f"models:/{found.name}/{found.version}"
            (folder / FOLDER).mkdir()
            download_version(uri, folder / FOLDER)
            return {"uri": uri}

        stage = Stage("model", Settings({}), identity)
        artifact: Artifact = store.produce(stage, build)
    check_loader(artifact.path / FOLDER, f"models:/{found.name}/{found.version}")
    return PulledVersion(
        name=str(found.name),
        version=str(found.version),
        model_id=logged_model(found),
        run_id=str(found.run_id),
        path=artifact.path / FOLDER,
        fingerprint=artifact.fingerprint,
        address=stage.address,
        reused=artifact.reused,
    )


def find_version(model: str, option: str) -> MlflowVersion:
    """Return a version by its URI, by `name@alias`, or the champion of a registered model by the model's name.

    `option` is how the user has named it, for messages. Raises InputError if there is no such model, version or alias,
    naming those that exist, and makes nothing then. Raises ExternalError if MLflow fails.
    """
    named = f"{option} {model}".strip()
    if not has_registry():
        raise InputError(f"{named}: {_no_models()}")
    use_registry()
    with reachable_server():
        return _find(model, named)


def _find(model: str, named: str) -> MlflowVersion:
    address = model if ":/" in model else f"models:/{model}{'' if '@' in model else f'@{CHAMPION}'}"
    scheme, _, rest = address.partition(":/")
    name, _, version = rest.strip("/").partition("/")
    name, _, alias = name.partition("@")
    if scheme != "models" or not name or not (version or alias):
        raise InputError(f"{named}: give a registered model's name, models:/name/3 or models:/name@alias")
    client = MlflowClient()
    try:
        return client.get_model_version(name, version) if version else client.get_model_version_by_alias(name, alias)
    except MlflowException as error:
        if error.error_code not in NOT_THERE:
            raise
        raise InputError(f"{named}: {_available(client, name)}") from None


@dataclass(frozen=True)
class VersionRecord:
    """What MLflow's tables say of a registered version."""

    name: str
    version: str
    aliases: tuple[str, ...]
    registered: datetime
    run_id: str
    description: str
    tags: Mapping[str, str]
    fingerprints: Mapping[str, str]
    """Of what it was made from, by stage; older versions have them of their training's run."""

    @property
    def uri(self) -> str:
        """The address of this one version."""
        return f"models:/{self.name}/{self.version}"

    @property
    def label(self) -> str:
        """A short name for people."""
        return f"{self.name}/{self.version}"

    def download(self, folder: Path) -> bool:
        """Copy its files into an empty folder; return whether there are any. Raises ExternalError if MLflow fails."""
        with reachable_server():
            try:
                download_version(self.uri, folder)
            except Exception as error:
                if not is_missing(error):
                    raise
        return any(folder.iterdir())

    def training_run(self) -> dict[str, Any]:
        """Return the run.json of its training, as the last registration of it has left that; nothing if it is gone."""
        with reachable_server():
            try:
                return dict(mlflow.artifacts.load_dict(f"runs:/{self.run_id}/run.json"))
            except Exception as error:
                if isinstance(error, ValueError | MlflowException) or is_missing(error):
                    return {}
                raise


def version_record(model: str, option: str = "") -> VersionRecord:
    """Return what MLflow says of a version that is named as in `find_version`, and raise the same."""
    found = find_version(model, option)
    with reachable_server():
        client = MlflowClient()
        return _record(client, found, client.get_registered_model(found.name).aliases)


def all_versions() -> list[VersionRecord]:
    """Return what MLflow says of every version of every registered model. Raises ExternalError if MLflow fails."""
    if not has_registry():
        return []
    use_registry()
    with reachable_server():
        client = MlflowClient()
        aliases = {model.name: model.aliases for model in _pages(client.search_registered_models)}
        found = list(_pages(client.search_model_versions))
        found.sort(key=lambda version: (version.name, int(version.version)))
        return [_record(client, version, aliases.get(version.name, {})) for version in found]


def _pages(search: Any) -> Iterator[Any]:
    page = search()
    yield from page
    while page.token:
        page = search(page_token=page.token)
        yield from page


def _record(client: MlflowClient, found: MlflowVersion, aliases: Mapping[str, str]) -> VersionRecord:
    fingerprints = fingerprints_in(found.tags)
    if not fingerprints and found.run_id:
        try:
            fingerprints = fingerprints_in(client.get_run(found.run_id).data.tags)
        except MlflowException as error:
            if error.error_code not in NOT_THERE:
                raise
    return VersionRecord(
        name=str(found.name),
        version=str(found.version),
        aliases=tuple(sorted(alias for alias, version in aliases.items() if str(version) == str(found.version))),
        registered=datetime.fromtimestamp((found.creation_timestamp or 0) / 1000, UTC),
        run_id=str(found.run_id or ""),
        description=str(found.description or ""),
        tags=dict(found.tags),
        fingerprints=fingerprints,
    )


class LoadedModel:
    """A version of a registered model, ready to translate."""

    def __init__(self, path: Path, device: str = "auto") -> None:
        """Load a version from the folder that it was pulled into: this runs the code that it brings.

        Raises InputError for a version that is no code but a pickle, or of another of MLflow's flavors; and for a
        `device` that cannot be used, here or by a version from before there was a choice.
        """
        on_gpu = open_device(device, f"--device {device}").type == "cuda"
        self._model = load_version(path, str(path), "gpu" if on_gpu else "cpu")
        if device == "gpu" and not takes_device(path):
            raise InputError(f"--device gpu: this version {TOO_OLD}")

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters of `predict` and their defaults; empty for a version from before there were any."""
        schema = self._model.metadata.get_params_schema()
        return {} if schema is None else {param.name: param.default for param in schema.params}

    def predict(self, lines: list[str], parameters: Mapping[str, Any] | None = None) -> list[Any]:
        """Return the answer to each line, in order: its translation, or what the parameters ask for.

        Raises ValueError, with one line of text, for what the version refuses.
        """
        try:
            answers: list[Any] = self._model.predict(lines, params=dict(parameters) if parameters else None)
        except MlflowException as error:
            raise ValueError(str(error.message)) from None
        return answers


def _available(client: MlflowClient, name: str) -> str:
    """Describe the registered models or versions that could have been meant."""
    models = {found.name: found for found in client.search_registered_models()}
    if name in models:
        aliases = ", ".join(f"@{alias}" for alias in models[name].aliases) or "none"
        versions = client.search_model_versions(f"name = '{name}'")
        latest = max((int(version.version) for version in versions), default=0)
        return f"{name} has the versions up to {latest} and the aliases {aliases}"
    if not models:
        return _no_models()
    near = difflib.get_close_matches(name, models, 1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(models))}"
    return f"no model of that name is registered in {tracking_uri()}; {hint}"


def _no_models() -> str:
    remedy = "train one with `nmt train`, or set NMT_HOME to the folder that has it"
    return f"no model is registered in {tracking_uri()}; {remedy}"
