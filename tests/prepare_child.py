"""Runs `prepare_corpus` for requests on stdin, an object a line, and answers on stdout.

A process of its own, because the Hub's libraries read HF_ENDPOINT, HF_HOME and HF_HUB_OFFLINE when they are imported.
"""

import json
import sys
from pathlib import Path

from pipeline.corpus.corpus import prepare_corpus
from pipeline.data_config import CorpusConfig
from pipeline.errors import ExternalError, InputError
from pipeline.store.store import Store


def answer(line: str) -> dict[str, object]:
    """Prepare the corpus that a line asks for; return what came of it."""
    request = json.loads(line)
    try:
        corpus = prepare_corpus(CorpusConfig(**request["config"]), Store(Path(request["store"])))
    except (InputError, ExternalError) as error:
        return {"error": type(error).__name__, "message": str(error)}
    return {
        "fingerprint": corpus.fingerprint,
        "figures": corpus.figures,
        "reused": corpus.reused,
        "path": str(corpus.path),
    }


if __name__ == "__main__":
    for asked in sys.stdin:
        sys.stdout.write(json.dumps(answer(asked)) + "\n")
        sys.stdout.flush()
