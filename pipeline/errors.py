"""Errors that are not bugs; the command line prints them as one line and exits with 2.

ValueError
└── InputError       a mistake in the user's configuration or data
RuntimeError
└── ExternalError    the Hub is unreachable, a worker was killed, a resource is missing; the run can be continued

Their messages end up in terminals, logs, Prefect's states and notifications: `without_secrets` goes over them all.
"""

import re
from typing import Any
from urllib.parse import unquote

ADDRESS = re.compile(r"\b([a-z][a-z0-9+.-]{0,30})(://?)([^\s\"'<>`]+)", re.IGNORECASE)
"""With one slash, as a path is shown that was an address."""
SECRET = re.compile(r"pass|pwd|token|secret|key|sig|credential|auth", re.IGNORECASE)
"""What is in the names of parameters that hold a secret, such as X-Amz-Signature."""
SETTING = re.compile(r"((?:password|passwd|pwd)\w{0,30})=([^\s&;#'\"]+)", re.IGNORECASE)
"""As in libpq's `host=db password=...`."""
PLACEHOLDERS = {"password", "port", "***"}
"""As remedies write them."""
HIDDEN = "***"
PUNCTUATION = ":;,.)"
"""After an address in a text."""


class InputError(ValueError):
    """The user's configuration or data is wrong; the message names the field or file, the value and the remedy."""

    def __init__(self, message: str = "") -> None:
        """Keep the message, without secrets."""
        super().__init__(without_secrets(message))


class ExternalError(RuntimeError):
    """Something outside this program failed; the message says what, and how to go on."""

    def __init__(self, message: str = "") -> None:
        """Keep the message, without secrets."""
        super().__init__(without_secrets(message))


def without_secrets(text: str) -> str:
    """Return an address, or a text with addresses in it, with every password, token, key and signature hidden.

    >>> without_secrets("MLFLOW_TRACKING_URI=https://me:abc@host/x: no answer")
    'MLFLOW_TRACKING_URI=https://me:***@host/x: no answer'
    >>> without_secrets("postgresql://host/db?user=me&password=abc&sslmode=require")
    'postgresql://host/db?user=me&password=***&sslmode=require'
    """
    return SETTING.sub(_setting_hidden, ADDRESS.sub(_address_hidden, text))


def _address_hidden(found: re.Match[str]) -> str:
    scheme, slashes, whole = found.groups()
    rest = whole.rstrip(PUNCTUATION)
    return f"{scheme}{slashes}{_parameters_hidden(_login_hidden(scheme, rest))}{whole[len(rest) :]}"


def _setting_hidden(found: re.Match[str]) -> str:
    value = found[2].rstrip(PUNCTUATION)
    return found[0] if value in PLACEHOLDERS else f"{found[1]}={HIDDEN}{found[2][len(value) :]}"


def _login_hidden(scheme: str, rest: str) -> str:
    """Hide the password before the host; and a name alone where it is a token, as of many services over HTTP."""
    server = re.split(r"[/?#]", rest, maxsplit=1)[0]
    login, at, _ = server.rpartition("@")
    if not at and re.search(r":(?!\d*$)", server) and not server.startswith("["):
        login, at, _ = rest.rpartition("@")  # A password with / ? or # in it, as it should not be written.
        login = login if at else server
    user, colon, password = login.partition(":")
    if colon and password not in PLACEHOLDERS:
        return f"{user}:{HIDDEN}{rest[len(login) :]}"
    if login and not colon and scheme.lower() in {"http", "https"}:
        return f"{HIDDEN}{rest[len(login) :]}"
    return rest


def _parameters_hidden(rest: str) -> str:
    def hidden(found: re.Match[str]) -> str:
        secret = SECRET.search(unquote(found[2])) and found[3] not in PLACEHOLDERS
        return f"{found[1]}{found[2]}={HIDDEN}" if secret else found[0]

    return re.sub(r"([?&;#])([^=&;#?]+)=([^&;#]*)", hidden, rest)


def without_secrets_in(value: Any) -> Any:
    """Return a JSON value without the secrets in its texts."""
    if isinstance(value, dict):
        return {name: without_secrets_in(each) for name, each in value.items()}
    if isinstance(value, list):
        return [without_secrets_in(each) for each in value]
    return without_secrets(value) if isinstance(value, str) else value
