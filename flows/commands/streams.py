"""Standard input, output and error of a command: in place, able to take any text, and written to the end."""

import io
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

STDERR = 2


@contextmanager
def whole_output() -> Iterator[None]:
    r"""Prepare the streams, and end the process with one line if what it prints cannot be written.

    What is printed for people has the terminal's encoding, with escapes such as \xe4 for what that lacks. Data are
    UTF-8 whatever that is: `print_json`, and `translate_lines_of` in line_translation.py.
    """
    _fill_gaps()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            yield
        finally:
            sys.stdout.flush()  # A full disk, or a reader that has left, would show only when Python ends.
    except OSError as error:
        discard_output()
        if isinstance(error, BrokenPipeError):
            sys.exit(141)
        if isinstance(error.__context__, SystemExit) and error.__context__.code:
            raise error.__context__ from None  # It has been said what is wrong.
        fail(f"standard output: {error.strerror}; send it elsewhere and run the command again")


def print_json(value: Any) -> None:
    """Print a value as one line of JSON, of ASCII alone where the encoding is not Unicode: both are valid UTF-8."""
    is_unicode = (sys.stdout.encoding or "").lower().startswith("utf")
    print(json.dumps(value, ensure_ascii=not is_unicode))  # noqa: T201


def fail(message: str) -> NoReturn:
    """End the process with one line."""
    with suppress(OSError):  # Standard error may be on a full disk, too.
        print(f"nmt: {message}", file=sys.stderr)  # noqa: T201
    sys.exit(2)


def discard_output() -> None:
    """Drop what could not be written: Python would try again at its end, and complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fill_gaps() -> None:
    """Open /dev/null in place of closed streams: the next file that is opened would be taken for them.

    Without a standard output the process ends at once, instead of after a training.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= STDERR:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    if sys.stderr is None:
        sys.stderr = open(STDERR, "w", encoding="utf8")  # noqa: SIM115 - it stays
    if sys.stdout is None:
        fail("standard output is closed; send it to a file, or to /dev/null")
