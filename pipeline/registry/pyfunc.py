"""The code that MLflow runs to load a registered model. It needs no copy of this repository and unpickles nothing.

MLflow stores this file with the model and executes it. The model's folder holds the weights, the tokenizer and,
under code/, the files of `model` and `pipeline` that translate.
"""

import importlib
import sys
from pathlib import Path
from threading import Lock
from types import ModuleType
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel

PACKAGES = ("model", "pipeline")


def import_privately(code: Path, name: str) -> ModuleType:
    """Import `name` from the folder `code` without touching the program's own modules of the same names.

    The program may have packages named `model` and `pipeline`, or have loaded another version of this model.
    """

    def take() -> dict[str, ModuleType]:
        ours = [module for module in sys.modules if module.partition(".")[0] in PACKAGES]
        return {module: sys.modules.pop(module) for module in ours}

    others = take()
    sys.path.insert(0, str(code))
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(code))
        take()
        sys.modules.update(others)


class TranslationModel(PythonModel):
    """Raw lines in, raw translations out."""

    def load_context(self, context: Any) -> None:
        """Load weights and tokenizer from the model's folder, onto the device that the model's configuration names.

        That is `auto`, a GPU where torch can use one, unless `mlflow.pyfunc.load_model(..., model_config={"device":
        "cpu"})` or the variable MLFLOW_PYFUNC_INFERENCE_CONFIG says otherwise. Raises MlflowException for `gpu` where
        there is none that can be used.
        """
        folder = Path(context.artifacts["translator"])
        self._predictions = import_privately(folder / "code", "pipeline.inference.predictions")
        try:
            self._translator = self._predictions.open_translator(
                folder, (context.model_config or {}).get("device", "auto")
            )
        except ValueError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from error
        # A server calls from many threads, but torch uses all cores for each call: calls at once would only compete.
        self._one_at_a_time = Lock()

    @property
    def device(self) -> str:
        """Where it computes: cpu or gpu."""
        return "gpu" if self._translator.device.type == "cuda" else "cpu"

    # MLflow reads the signature off these types; its own base class has more parameters.
    def predict(self, model_input: list[str], params: dict[str, Any] | None = None) -> list[str]:  # type: ignore[override]
        """Translate each line, in order; a line without a word stays empty.

        `params` are those of the model's signature; its metadata describes them under `parameters`. Raises
        MlflowException with the parameter or the line's number, the value and the remedy.
        """
        try:
            with self._one_at_a_time:
                answers: list[Any] = self._predictions.predict(self._translator, model_input, params or {})
        except ValueError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from error
        return answers


set_model(TranslationModel())
