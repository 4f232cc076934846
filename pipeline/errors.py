"""Errors that are not bugs; the command line prints them as one line and exits with 2.

ValueError
└── InputError       a mistake in the user's configuration or data
RuntimeError
└── ExternalError    the Hub is unreachable, a worker was killed, a resource is missing; the run can be continued
"""


class InputError(ValueError):
    """The user's configuration or data is wrong; the message names the field or file, the value and the remedy."""


class ExternalError(RuntimeError):
    """Something outside this program failed; the message says what, and how to go on."""
