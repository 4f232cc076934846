"""What goes wrong through no fault of the code; the command line prints each as one line and exits with 2.

ValueError
└── InputError        something the user said or supplied: names the field or file, the value, the remedy
RuntimeError
└── ExternalError        the Hub is away, a worker was killed, a resource is missing; the run can be continued
"""


class InputError(ValueError):
    """The user's configuration or data is wrong; the message names the field or file, the value and the remedy."""


class ExternalError(RuntimeError):
    """Something outside this program failed; the message says what, and how to go on."""
