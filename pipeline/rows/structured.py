"""Files that are neither text nor a table: refused by their suffixes, or by how their content begins."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import InputError
from pipeline.rows.formats import suffix_of

_KINDS = {
    "an archive; unpack it and name a file in it": ".tar .tgz .tbz .tbz2 .txz .tzst .7z .rar",
    "compressed in a way that is not read; decompress it, or use .gz, .xz, .bz2 or .zst": ".lzma .lz .lz4 .lzo .z",
    "subtitles, whose times are no text; extract the texts, one per line": ".srt .vtt .ass .ssa .sbv .ttml",
    "markup, whose tags are no text; extract the texts, one per line": (
        ".xml .xlf .xliff .sdlxliff .mqxliff .html .htm .xhtml .sgm .sgml .po .pot .resx .yaml .yml .rtf"
    ),
    "a document; save its text as a plain .txt": (
        ".pdf .doc .docx .odt .xls .xlsx .ods .ppt .pptx .odp .epub .arrow .feather .pkl .npy .db .sqlite"
    ),
}
UNREADABLE = {suffix: kind for kind, suffixes in _KINDS.items() for suffix in suffixes.split()}
"""What files with a suffix are, and the remedy."""
FIRST_LINES, LONGEST_JSON = 5, 2**20
_TIMES = re.compile(r"\s*(\d+:)?\d\d:\d\d[.,]\d{3}\s+-->\s+(\d+:)?\d\d:\d\d[.,]\d{3}")
_MARKUP = re.compile(r"\s*<(\?xml\b|!doctype\b|html\b|tmx\b|xliff\b|tt\b)", re.IGNORECASE)


def refuse_unreadable(name: str, given: str) -> None:
    """Raise InputError, with a remedy, for a file whose name says that it is neither text nor a table."""
    if kind := _kind(name):
        raise InputError(f"{given}: {kind}")


def refuse_unwritable(name: str, given: str) -> None:
    """Raise InputError for an output whose name says that it is neither text nor a table."""
    if _kind(name):
        raise InputError(f"{given}: such a file is not written; name a .txt, .jsonl, .csv, .tsv or .parquet file")


def _kind(name: str) -> str | None:
    # Before a packing, too: .tar.gz, .srt.gz.
    return UNREADABLE.get(Path(name).suffix.lower()) or UNREADABLE.get(suffix_of(name))


def plain(lines: Iterator[str], name: str) -> Iterator[str]:
    """Yield the lines of a text. Raises InputError if the first of them are those of a format with structure."""
    for number, line in enumerate(lines, 1):
        if number <= FIRST_LINES and (found := _structure(line)):
            raise InputError(f"{name} line {number} is that of {found}")
        yield line


def _structure(line: str) -> str | None:
    if _TIMES.match(line) or line.startswith(("WEBVTT", "[Script Info]")):
        return "subtitles, whose times are no text; extract the texts, one per line"
    if _MARKUP.match(line):
        return "XML or HTML, whose tags are no text; extract the texts, one per line"
    if line.strip() in ("{", "[", "[{") or _is_json(line):
        return "JSON; name a .jsonl file with one object per line, and the column with --column"
    return None


def _is_json(line: str) -> bool:
    if len(line) > LONGEST_JSON or not line.lstrip().startswith(("{", "[")):
        return False
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) or (isinstance(value, list) and any(not isinstance(v, int | float) for v in value))
