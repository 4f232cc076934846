"""Patience with the Hub: a server that asks to wait is waited for, and a broken connection is made anew."""

import itertools
import logging
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TypeVar

from huggingface_hub.errors import HfHubHTTPError

from pipeline.corpus.hub.internals import BROKEN

Result = TypeVar("Result")
BUSY = {
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
}
"""Answers after which it is worth it to ask again."""
TRIES = 5
"""How often it is asked again before it is given up."""
LONGEST_WAIT = 300.0
"""Seconds that are waited for at a time; a server that asks for more is not waited for."""


class Patience:
    """How long one request goes on being asked."""

    def __init__(self, what: str, broken: tuple[type[Exception], ...] = BROKEN) -> None:
        """Take what is asked for, in words, and the errors of a connection that will be made anew."""
        self._what, self._broken = what, broken
        self._tries = itertools.count(1)

    def restore(self) -> None:
        """Begin to count anew, since something has arrived."""
        self._tries = itertools.count(1)

    def wait(self, error: Exception) -> None:
        """Wait as long as an error asks for, and say so. Raises the error if it is none to wait for, or too often."""
        tried = next(self._tries)
        seconds, why = _wait_for(error, tried, self._broken)
        if seconds is None or seconds > LONGEST_WAIT or tried > TRIES:
            raise error
        logging.getLogger(__name__).warning(
            "%s: %s; asking again in %s s (%d of %d)", self._what, why, f"{seconds:,.3g}", tried, TRIES
        )
        time.sleep(seconds)


def patiently(what: str, ask: Callable[[], Result]) -> Result:
    """Return what `ask` returns, asked again while the server is busy or the connection breaks.

    Raises the error of the last time. A server that cannot be reached at all is not asked again.
    """
    patience = Patience(what)
    while True:
        try:
            return ask()
        except Exception as error:  # `datasets` wraps the Hub's in many kinds of its own.
            patience.wait(error)


def busy_answer(error: BaseException) -> HfHubHTTPError | None:
    """Return the answer of a server that is busy, if that is what an error comes from."""
    for cause in causes(error):
        if isinstance(cause, HfHubHTTPError) and cause.response.status_code in BUSY:
            return cause
    return None


def asked_to_wait(answer: HfHubHTTPError) -> float | None:
    """Return for how many seconds a server asks to be left alone (RFC 9110, 10.2.3), if it does."""
    value = answer.response.headers.get("Retry-After", "").strip()
    if value.isdigit():
        return float(value)
    try:
        until = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (until.replace(tzinfo=until.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


def status_text(answer: HfHubHTTPError) -> str:
    """Return the status of an answer in words: 429 Too Many Requests."""
    return f"{answer.response.status_code} {HTTPStatus(answer.response.status_code).phrase}"


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what it comes from."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _wait_for(error: BaseException, tried: int, kinds: tuple[type[Exception], ...]) -> tuple[float | None, str]:
    """Return for how many seconds to wait, None if it is in vain, and why."""
    if (answer := busy_answer(error)) is not None:
        asked = asked_to_wait(answer)
        told = f"the Hub answers {status_text(answer)}"
        return (_longer(tried), told) if asked is None else (asked, f"{told} and asks to wait")
    broken = next((cause for cause in causes(error) if isinstance(cause, kinds)), None)
    return (_longer(tried), f"the connection broke ({broken})") if broken is not None else (None, "")


def _longer(tried: int) -> float:
    return 2.0 ** (tried - 2)
