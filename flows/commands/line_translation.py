"""Lines in, translations out, in this process: typed, piped, or from a small file."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from tempfile import NamedTemporaryFile

from flows.commands.search_options import SearchOptions
from flows.refusals import check_parameters, in_option_names
from pipeline.errors import InputError
from pipeline.registry.pull import LoadedModel, pull_model
from pipeline.rows.lines import decode_lines
from pipeline.rows.structured import plain
from pipeline.store.store import Store

LINES_AT_ONCE = 512
Answer = Callable[[list[str]], list[str]]


def translate_lines_of(model: str, source: Path | None, output: Path | None, options: SearchOptions) -> None:
    """Translate the lines of a file or of standard input to a file or to standard output.

    A line ends at a line feed and nowhere else, so that one line comes out per line in. On a terminal each
    line is answered as it is typed.

    Both are UTF-8, whatever the encoding of the terminal. Raises InputError for an unknown model, options that it does
    not take, bytes that are not UTF-8, subtitles and other formats with structure, or without a standard input.
    """
    if source is None and sys.stdin is None:
        raise InputError("standard input is closed; name a FILE to translate")
    answer = open_model(model, options)
    reading = nullcontext(sys.stdin.buffer) if source is None else source.open("rb")
    at_once = 1 if source is None and sys.stdin.isatty() else LINES_AT_ONCE
    with reading as stream:
        name = str(source or "standard input")
        lines = plain((line.rstrip("\r\n") for line in decode_lines(stream, name)), name)
        translations = translate_lines(answer, lines, at_once)
        if output is None:
            for translation in translations:
                sys.stdout.buffer.write(f"{translation}\n".encode())
                sys.stdout.flush()
        else:
            write_whole(output, translations)


def open_model(model: str, options: SearchOptions) -> Answer:
    """Load a registered model; return a function that answers lines with lines, as the options say."""
    pulled, parameters = LoadedModel(pull_model(model, Store()).path), options.parameters()
    check_parameters(model, pulled, parameters)
    done = 0

    def answer(lines: list[str]) -> list[str]:
        nonlocal done
        try:
            answers = pulled.predict(lines, parameters)
        except ValueError as error:
            raise InputError(in_option_names(str(error), parameters, done)) from None
        done += len(lines)
        if not options.as_json:
            return answers
        return [
            json.dumps({"source": line} | found, ensure_ascii=False) for line, found in zip(lines, answers, strict=True)
        ]

    return answer


def write_whole(path: Path, lines: Iterable[str]) -> None:
    """Write lines to a file that replaces an older one only when it is complete."""
    with NamedTemporaryFile("w", encoding="utf8", newline="\n", dir=path.absolute().parent, delete=False) as sink:
        try:
            sink.writelines(line + "\n" for line in lines)
            sink.close()
            Path(sink.name).replace(path)
        except BaseException:
            Path(sink.name).unlink()
            raise


def translate_lines(answer: Answer, lines: Iterable[str], at_once: int = LINES_AT_ONCE) -> Iterator[str]:
    """Yield the answer to each line, in order; `at_once` lines are read before the first is translated."""
    remaining = iter(lines)
    while batch := list(islice(remaining, at_once)):
        yield from answer(batch)
