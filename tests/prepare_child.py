"""Runs `prepare_corpus`, or `prepare_test_sets`, for requests on stdin, an object a line, and answers on stdout.

A process of its own, because the Hub's libraries read HF_ENDPOINT, HF_HOME and HF_HUB_OFFLINE when they are imported.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.corpus.corpus import prepare_corpus
from pipeline.data_config import CorpusConfig
from pipeline.errors import ExternalError, InputError
from pipeline.evaluation.further_sets import prepare_test_sets
from pipeline.overrides import build_config
from pipeline.store.store import Store


def answer(line: str) -> dict[str, object]:
    """Prepare the corpus that a line asks for; return what came of it."""
    request = json.loads(line)
    try:
        if "name" in request["config"]:
            return answer_set(request)
        corpus = prepare_corpus(
            CorpusConfig(**{"clean": "off", "leaks": "keep"} | request["config"]), Store(Path(request["store"]))
        )
    except (InputError, ExternalError) as error:
        return {"error": type(error).__name__, "message": str(error)}
    return {
        "fingerprint": corpus.fingerprint,
        "figures": corpus.figures,
        "reused": corpus.reused,
        "path": str(corpus.path),
    }


def answer_set(request: Mapping[str, Any]) -> dict[str, object]:
    """Prepare a test set of one's own, which has a name."""
    config = build_config({"evaluation": {"test_sets": [request["config"]]}}, {})
    (found,) = prepare_test_sets(config, Store(Path(request["store"])))
    return {"pairs": list(found.read()), "origin": found.origin, "reused": found.reused, "path": str(found.file)}


if __name__ == "__main__":
    for asked in sys.stdin:
        sys.stdout.write(json.dumps(answer(asked)) + "\n")
        sys.stdout.flush()
