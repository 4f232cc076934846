"""A registered model, pulled from MLflow by its name or URI."""

import difflib
from collections.abc import Mapping
from typing import Any

import mlflow
import mlflow.pyfunc
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from pipeline.errors import InputError
from pipeline.registry import CHAMPION
from pipeline.runs import reachable_server, tracking_uri


class PulledModel:
    """Translates with a version of a registered model."""

    def __init__(self, model: str) -> None:
        """Load a model by its URI, or the champion of a registered model by its name.

        Raises InputError if there is no such model, version or alias; WorldError if MLflow fails.
        """
        self._name = model
        mlflow.set_tracking_uri(tracking_uri())
        uri = model if ":/" in model else f"models:/{model}@{CHAMPION}"
        with reachable_server():
            try:
                self._model = mlflow.pyfunc.load_model(uri)
            except MlflowException as error:
                if error.error_code not in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
                    raise
                raise InputError(f"--model {model}: {_what_there_is(uri)}") from None

    def translate(self, sentences: list[str]) -> list[str]:
        """Return the translation of each sentence, in order."""
        translations: list[str] = self._model.predict(sentences)
        return translations

    def translator(self, changes: Mapping[str, Any]) -> Any:
        """Return the version's own Translator, from its own copy of the code, with these options changed.

        `changes` are fields of SearchConfig, and replace_unknown. Raises InputError if the version knows no options,
        or one has a bad value; each is named as on the command line.
        """
        translator = getattr(self._model.unwrap_python_model(), "translator", None)
        if translator is None:
            raise InputError(
                f"--model {self._name}: this version was registered before there were options of the search; "
                "leave them out, or train the model again"
            )
        try:
            return translator.configured(changes)
        except ValueError as error:
            wrong = [name for name in changes if str(error).startswith(f"{name}=")] or list(changes)
            given = " ".join(f"--{name.replace('_', '-')} {changes[name]}" for name in wrong)
            raise InputError(f"{given}: {error}") from None


def _what_there_is(uri: str) -> str:
    """Say which registered models could have been meant."""
    name = uri.removeprefix("models:/").partition("@")[0].partition("/")[0]
    models = {found.name: found for found in MlflowClient().search_registered_models()}
    if name in models:
        aliases = ", ".join(f"@{alias}" for alias in models[name].aliases) or "none"
        versions = MlflowClient().search_model_versions(f"name = '{name}'")
        latest = max((int(version.version) for version in versions), default=0)
        return f"{name} has the versions up to {latest} and the aliases {aliases}"
    if not models:
        return f"no model is registered in {tracking_uri()}; train one with `nmt train`"
    near = difflib.get_close_matches(name, models, 1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(models))}"
    return f"no model of that name is registered in {tracking_uri()}; {hint}"
