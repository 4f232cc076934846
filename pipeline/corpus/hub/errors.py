"""Errors of the Hub, explained in one line each; and its libraries, kept quiet."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from http import HTTPStatus

from huggingface_hub import HfApi
from huggingface_hub.errors import (
    DisabledRepoError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from pipeline.corpus.hub.internals import REMARKS, HubError, bars_are_decided, disable_progress_bars
from pipeline.corpus.hub.patience import asked_to_wait, busy_answer, causes, status_text
from pipeline.errors import ExternalError, InputError
from pipeline.source_config import SourceConfig

KNOWN = (HFValidationError, HubError, ConnectionError, LocalEntryNotFoundError)
"""Errors that come from the Hub; its answers with status 4xx and 5xx are HTTPErrors."""

REFUSED = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}


@contextmanager
def quiet_downloads() -> Iterator[None]:
    """Hide progress bars in log files, unless the user has chosen them, and remarks on data set cards."""
    remarks = logging.getLogger(REMARKS)
    level = remarks.level
    remarks.setLevel(logging.ERROR)
    try:
        with nullcontext() if bars_are_decided() or sys.stderr.isatty() else disable_progress_bars():
            yield
    finally:
        remarks.setLevel(level)


@contextmanager
def hub_errors(config: SourceConfig, stored_commit: str | None) -> Iterator[None]:
    """Turn what the Hub's libraries raise into InputError or ExternalError; a full disk's OSError passes.

    `stored_commit` is a commit of the data set in the store, which the message suggests when the Hub is unreachable.
    """
    try:
        yield
    except (HFValidationError, HubError, OSError) as error:
        # `datasets` wraps the Hub's errors in FileNotFoundErrors of its own; the Hub's are among their causes.
        known = next(
            (cause for cause in causes(error) if isinstance(cause, KNOWN) and not _is_optional_file(cause)), None
        )
        if known is None:
            raise
        raise _translated(known, config, stored_commit) from error


def _is_optional_file(error: BaseException) -> bool:
    """Return whether all that is missing is an optional file, such as the data set's card."""
    return isinstance(error, RemoteEntryNotFoundError)


def _translated(error: BaseException, config: SourceConfig, stored_commit: str | None) -> InputError | ExternalError:
    dataset = f"corpus.dataset={config.dataset}"
    if isinstance(error, HFValidationError):
        return InputError(f"{dataset}: not the name of a Hub data set; write owner/name, or captions")
    if isinstance(error, RevisionNotFoundError):
        return InputError(
            f"corpus.revision={config.revision}: {config.dataset} has no such branch, tag or commit; "
            "correct it, or set corpus.revision=main"
        )
    if isinstance(error, GatedRepoError):
        return InputError(
            f"{dataset}: gated; ask for access on its page of the Hub, then log in (`hf auth login`, or set HF_TOKEN)"
        )
    if isinstance(error, RepositoryNotFoundError | DisabledRepoError):
        return InputError(
            f"{dataset}: the Hub has no such data set, or it is private; correct the name, "
            "or log in (`hf auth login`, or set HF_TOKEN)"
        )
    if isinstance(error, HfHubHTTPError) and error.response.status_code in REFUSED:
        return InputError(
            f"{dataset}: the Hub refuses the token that it was sent ({status_text(error)}); "
            "log in with an account that has access (`hf auth login`, or set HF_TOKEN)"
        )
    what, ways = reason(error), ["try again", "set corpus.path=FOLDER to a local copy"]
    if (answer := busy_answer(error)) is not None:
        seconds = asked_to_wait(answer)
        what = status_text(answer) + (f", it asks to wait {seconds:,.0f} s" if seconds else "")
        ways[0] = "try again later, when what has arrived is not fetched again"
    if stored_commit is not None:
        ways.append(f"set corpus.revision={stored_commit}, which is in the store")
    return ExternalError(
        f"{dataset}: cannot get corpus.revision={config.revision} from {HfApi().endpoint} ({what}); "
        f"{', '.join(ways[:-1])}, or {ways[-1]}"
    )


def reason(error: BaseException) -> str:
    """Return the type and the first line of an exception's root cause."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}".rstrip(": ")
