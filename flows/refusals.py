"""What a registered model refuses, in the command line's words."""

from collections.abc import Mapping
from typing import Any

from pipeline.errors import InputError
from pipeline.registry.pull import LoadedModel


def check_parameters(model: str, pulled: LoadedModel, parameters: Mapping[str, Any]) -> None:
    """Raise InputError, naming the option, for parameters that a version does not take."""
    if parameters and not pulled.parameters:
        raise InputError(
            f"--model {model}: this version was registered before search options existed; "
            "omit them, or train the model again"
        )
    try:
        pulled.predict([""], parameters)
    except ValueError as error:
        raise InputError(in_option_names(str(error), parameters)) from None


def in_option_names(message: str, parameters: Mapping[str, Any], done: int = 0) -> str:
    """Return a version's message with the command line's name of the option, and the line's number in the input."""
    if message.startswith("line ") and done:
        number, _, rest = message.removeprefix("line ").partition(" ")
        return f"line {int(number) + done} {rest}"
    wrong = [name for name in parameters if message.startswith((f"{name}=", f"{name}:"))]
    given = " ".join(f"--{name.replace('_', '-')} {parameters[name]}" for name in wrong)
    return f"{given}: {message}" if given else message
