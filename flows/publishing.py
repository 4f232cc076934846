"""What a run leaves on Prefect's server, its log and its artifacts, without the secrets of addresses."""

import logging
import re

from prefect.artifacts import create_markdown_artifact

from infra.prefect_internals import RUN_LOGGERS
from pipeline.errors import without_secrets


class _WithoutSecrets(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = without_secrets(record.getMessage()), None
        if record.exc_info:
            record.exc_text = without_secrets(logging.Formatter().formatException(record.exc_info))
        return True


_FILTER = _WithoutSecrets()


def hide_secrets_in_logs() -> None:
    """Keep secrets out of the logs of runs in this process, tracebacks included; the first thing that a flow does."""
    for name in RUN_LOGGERS:
        logging.getLogger(name).addFilter(_FILTER)  # Once, however often it is called.


def key_of(kind: str, name: str) -> str:
    """Return a key that Prefect takes: of small letters, digits and dashes."""
    return re.sub("[^a-z0-9]+", "-", f"{kind}-{name}".lower()).strip("-")


def publish(markdown: str, key: str, description: str) -> None:
    """Create an artifact of the current run."""
    create_markdown_artifact(without_secrets(markdown), key=key, description=without_secrets(description))
