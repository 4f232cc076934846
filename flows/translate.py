"""Lines in, translations out, with a registered model."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from tempfile import NamedTemporaryFile

from pipeline.errors import InputError
from pipeline.pulled import PulledModel

LINES_AT_ONCE = 512


def translate_file(model: str, source: Path | None, output: Path | None) -> None:
    """Translate the lines of a file or of standard input to a file or to standard output.

    A line ends at a line feed and nowhere else, so that there are as many lines out as in. What is typed on a
    terminal is answered line by line.

    Raises InputError for an unknown model or bytes that are not UTF-8.
    """
    pulled = PulledModel(model)
    reading = nullcontext(sys.stdin.buffer) if source is None else source.open("rb")
    at_once = 1 if source is None and sys.stdin.isatty() else LINES_AT_ONCE
    with reading as stream:
        lines = decode_lines(stream, str(source or "standard input"))
        translations = translate_lines(pulled, lines, at_once)
        if output is None:
            for translation in translations:
                sys.stdout.write(translation + "\n")
                sys.stdout.flush()
        else:
            write_whole(output, translations)


def write_whole(path: Path, lines: Iterable[str]) -> None:
    """Write lines to a file that is put in place when the last is written; until then an older one stays."""
    with NamedTemporaryFile("w", encoding="utf8", newline="\n", dir=path.absolute().parent, delete=False) as sink:
        try:
            sink.writelines(line + "\n" for line in lines)
            sink.close()
            Path(sink.name).replace(path)
        except BaseException:
            Path(sink.name).unlink()
            raise


def decode_lines(stream: Iterable[bytes], name: str) -> Iterator[str]:
    """Yield the lines of a binary stream without their ends; raise InputError with the line that is not UTF-8."""
    for number, line in enumerate(stream, start=1):
        try:
            yield line.decode("utf8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise InputError(f"{name}:{number}: not UTF-8 ({error.reason}); convert the file to UTF-8") from None


def translate_lines(model: PulledModel, lines: Iterable[str], at_once: int = LINES_AT_ONCE) -> Iterator[str]:
    """Yield the translation of each line, in order; `at_once` lines are read before the first is translated."""
    remaining = iter(lines)
    while batch := list(islice(remaining, at_once)):
        yield from model.translate(batch)
