"""Rows of CSV and TSV files, with names in the first line or without: then columns are numbers from 1."""

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from pipeline.errors import InputError
from pipeline.rows.columns import Column, Location, listed
from pipeline.rows.files import RowFile
from pipeline.rows.lines import LINE_BYTES, BadLines, numbered_lines
from pipeline.rows.parquet import Row

DELIMITERS = ",;\t|"
"""What may separate the cells of a CSV file, in the order in which they are tried."""
SAMPLE_LINES = 50
"""How many lines tell what separates the cells."""
SAMPLE_CHARACTERS = 2**18
"""And how many characters of them."""
ENDS = (".", "!", "?", "。", "！", "？", "؟", "।")
Records = Iterator[tuple[int, list[str]]]
"""Cells, with the number of their (last) line."""


def csv_rows(file: RowFile, columns: Sequence[Column], bad: BadLines) -> Iterator[tuple[int, Row]]:
    """Yield the rows of a CSV file: quotes as in RFC 4180, cells separated by a comma, semicolon, tab or bar."""
    csv.field_size_limit(LINE_BYTES)  # The default, 131,072 characters, is less than some documents have.
    lines = numbered_lines(file, bad)
    sample = _sample(lines)
    delimiter = _delimiter([line[:SAMPLE_CHARACTERS] for _, line in sample], columns)
    yield from _rows(_csv_records(chain(sample, lines), delimiter, file, bad), columns, file, bad)


def tsv_rows(file: RowFile, columns: Sequence[Column], bad: BadLines) -> Iterator[tuple[int, Row]]:
    """Yield the rows of a TSV file, which has no quotes."""
    yield from _rows(_tsv_records(file, bad), columns, file, bad)


def _sample(lines: Iterator[tuple[int, str]]) -> list[tuple[int, str]]:
    """Take the first lines: a row may be longer than memory has room for fifty of."""
    sample: list[tuple[int, str]] = []
    while len(sample) < SAMPLE_LINES and sum(len(line) for _, line in sample) < SAMPLE_CHARACTERS:
        if (line := next(lines, None)) is None:
            break
        sample.append(line)
    return sample


def _csv_records(lines: Iterable[tuple[int, str]], delimiter: str, file: RowFile, bad: BadLines) -> Records:
    number = last = size = 0

    def counted() -> Iterator[str]:
        nonlocal number, size
        for number, line in lines:  # noqa: B007
            size += len(line)
            if size > LINE_BYTES:
                raise InputError(
                    f"{Location(file.given, 'line', last + 1)}: a row of more than {LINE_BYTES:,} characters; "
                    "close the quotes in it"
                )
            yield line

    reader = csv.reader(counted(), strict=True, delimiter=delimiter)
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            # From the first line of the row: an open quote may have swallowed many.
            location, spanned = Location(file.given, "line", last + 1), number - last
            reason = str(error) if spanned == 1 else f"{error}, {spanned - 1:,} lines below"
            bad.refuse(InputError(f"{location}: broken CSV ({reason}); correct the line"), location, spanned)
            cells = []
        if cells is None:
            return
        if cells:
            yield number, cells
        last, size = number, 0


def _tsv_records(file: RowFile, bad: BadLines) -> Records:
    width = 0
    for number, line in numbered_lines(file, bad):
        cells = line.rstrip("\r\n").split("\t")
        width = width or len(cells)
        if cells != [""] or width == 1:  # With a single column, an empty line is an empty cell.
            yield number, cells


def _rows(records: Records, columns: Sequence[Column], file: RowFile, bad: BadLines) -> Iterator[tuple[int, Row]]:
    first = next(records, None)
    if first is None:
        return
    names = first[1]
    if len(names) == 1 and len(columns) > 1:
        separators = "a comma, a semicolon, a tab or |" if file.format == "csv" else "tabs"
        raise InputError(f"{file.given} line 1 has only one cell ({listed(names)}); separate cells by {separators}")
    if columns and all(column.is_number and column.name not in names for column in columns):
        names = [str(place) for place in range(1, len(names) + 1)]
        records = chain([first], records)
    else:
        _check_names(names, columns, file)
    for number, cells in records:
        if len(cells) == len(names):
            yield number, dict(zip(names, cells, strict=True))
            continue
        location = Location(file.given, "line", number)
        problem = f"{len(cells)} cells under {len(names)} column names ({listed(names)})"
        bad.refuse(InputError(f"{location}: {problem}; correct the line"), location)


def _check_names(names: Sequence[str], columns: Sequence[Column], file: RowFile) -> None:
    """Raise InputError for a column that is there twice, and for a first line that looks like data."""
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        what = listed(twice[:1]) if twice[0] else "without a name"
        raise InputError(f"{file.given}: it has several columns {what}; rename all but one")
    if all(column.is_in(dict.fromkeys(names)) for column in columns) or not _looks_like_data(names):
        return
    numbers = " and ".join(column.assigned(str(place)) for place, column in enumerate(columns, 1))
    raise InputError(
        f"{file.given} line 1 looks like data, not like the names of columns ({listed(names)}); "
        f"name columns by their numbers, such as {numbers}, or put their names into the first line"
    )


def _looks_like_data(cells: Sequence[str]) -> bool:
    sentences = [cell for cell in cells if len(cell.split()) > 3 or cell.rstrip().endswith(ENDS)]
    return bool(sentences) or all(len(cell.split()) > 1 for cell in cells)


def _delimiter(sample: Sequence[str], columns: Sequence[Column]) -> str:
    """Return what separates the cells: what the names of the columns, or else cells of equal number, show."""
    tables = {delimiter: _parsed(sample, delimiter) for delimiter in DELIMITERS}
    for delimiter, rows in tables.items():
        if columns and rows and all(column.is_in(dict.fromkeys(rows[0])) for column in columns):
            return delimiter
    ranks = [rank for delimiter, rows in tables.items() if (rank := _rank(delimiter, rows))]
    return min(ranks)[-1] if ranks else DELIMITERS[0]


def _parsed(sample: Sequence[str], delimiter: str) -> list[list[str]]:
    try:
        rows = [cells for cells in csv.reader(sample, delimiter=delimiter) if cells]
    except csv.Error:
        return []
    cut = len(sample) == SAMPLE_LINES or sum(map(len, sample)) >= SAMPLE_CHARACTERS
    return rows[:-1] if cut and len(rows) > 1 else rows  # The last one may not be whole.


def _rank(delimiter: str, rows: Sequence[Sequence[str]]) -> tuple[float, int, int, str] | None:
    """Return how far a delimiter is from cutting all rows into equally many cells; None if it cuts none."""
    if not rows:
        return None
    cells, often = Counter(len(row) for row in rows).most_common(1)[0]
    # In a sentence, a blank follows a comma.
    blanks = sum(cell.startswith(" ") for row in rows for cell in row[1:])
    return (-often / len(rows), blanks, DELIMITERS.index(delimiter), delimiter) if cells > 1 else None
