"""Lines in, translations out, in this process: typed, piped, or from a small file."""

import json
import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path

from flows.commands.search_options import SearchOptions
from flows.refusals import check_parameters, in_option_names
from pipeline.errors import InputError
from pipeline.registry.pull import pull_model
from pipeline.rows.lines import decode_lines
from pipeline.rows.structured import plain
from pipeline.store.outputs import check_place, is_same, whole_file
from pipeline.store.store import Store

LINES_AT_ONCE, CHARACTERS_AT_ONCE = 512, 2**19
STDIN, STDOUT = 0, 1
Answer = Callable[[list[str]], list[str]]


def translate_lines_of(
    model: str, source: Path | None, output: Path | None, options: SearchOptions, device: str = "auto"
) -> None:
    """Translate the lines of a file or of standard input to a file or to standard output.

    A line ends at a line feed and nowhere else, so that one line comes out per line in. On a terminal each
    line is answered as it is typed.

    Both are UTF-8, whatever the encoding of the terminal. Raises InputError for an unknown model, a device that cannot
    be used, options that the model does not take, bytes that are not UTF-8, subtitles and other formats with structure,
    or without a standard input.
    """
    if source is None and sys.stdin is None:
        raise InputError("standard input is closed; name a FILE to translate")
    _check_output(source, output)
    answer = open_model(model, options, device)
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
            with whole_file(output) as place, place.open("w", encoding="utf8", newline="\n") as sink:
                sink.writelines(f"{translation}\n" for translation in translations)


def _check_output(source: Path | None, output: Path | None) -> None:
    """Raise InputError for an output that cannot be written, or that is the file that is read: it would be lost."""
    read = STDIN if source is None else source
    if output is not None:
        check_place(output, str(output), [read])
    elif is_same(read, STDOUT) and stat.S_ISREG(os.fstat(STDOUT).st_mode):
        name = source or "standard input"
        raise InputError(f"standard output: that is the file to translate ({name}); send it to another")


def open_model(model: str, options: SearchOptions, device: str = "auto") -> Answer:
    """Load a registered model; return a function that answers lines with lines, as the options say."""
    pulled, parameters = pull_model(model, Store()).load(device), options.parameters()
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


def translate_lines(answer: Answer, lines: Iterable[str], at_once: int = LINES_AT_ONCE) -> Iterator[str]:
    """Yield the answer to each line, in order; `at_once` lines are read before the first is translated.

    If they are long, it is fewer: what is read has to fit memory.
    """
    batch, characters = list[str](), 0
    for line in lines:
        batch.append(line)
        characters += len(line)
        if len(batch) == at_once or characters >= CHARACTERS_AT_ONCE:
            yield from answer(batch)
            batch, characters = [], 0
    if batch:
        yield from answer(batch)
