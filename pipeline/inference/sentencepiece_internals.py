"""All that this project uses of SentencePiece without its documentation's promise, and why.

Read in the version below; a test fails with any other. Then compare each part with SentencePiece's source, and raise
it. A registered version carries this file, and asks for the version that it was trained with.
"""

import re
from typing import Any

VERSION = "0.2.3"

QUIET = 2
"""The level of logs at which only errors are written."""


def model_message() -> Any:
    """Return the class of a model file as a message of protobuf, which the package brings along without saying so.

    Imported in here: a registered version runs where protobuf is not installed.
    """
    from sentencepiece import sentencepiece_model_pb2

    return sentencepiece_model_pb2.ModelProto  # type: ignore[attr-defined]


def largest_size(message: str) -> int | None:
    """Return the largest vocabulary that fits, from the RuntimeError of a training for which it was too large."""
    found = re.search(r"value <= (\d+)", message)
    return int(found[1]) if found else None


def smallest_size(message: str) -> int | None:
    """Return how many pieces the characters alone need, from the error of one for which there were too few."""
    found = re.search(r"smaller than required_chars\D*\d+ vs (\d+)", message)
    return int(found[1]) if found else None
