"""Translation units of TMX files (TMX 1.4b), parsed as a stream with expat.

Expat loads no external entities; here it refuses definitions of entities, too, with which a small file can grow without
bounds.
"""

import re
from collections import deque
from collections.abc import Iterator, Sequence
from html.entities import name2codepoint
from typing import NoReturn
from xml.parsers import expat

from pipeline.errors import InputError
from pipeline.rows.columns import ByLanguage, Column, Location
from pipeline.rows.files import RowFile
from pipeline.rows.lines import LINE_BYTES, BadLines, readable

CHUNK_BYTES = 2**16
TAG_BYTES, DEEPEST = 2**20, 100
"""How long a tag or comment may be, which the parser holds in memory until it ends; how deep elements may be nested."""
CODES = {"bpt", "ept", "it", "ph", "ut"}
"""Elements whose content is code of the document's format, such as HTML tags."""
INSIDE = CODES | {"seg", "sub"}
_LAYOUT = re.compile(r"[ \t\r]*\n[ \t\r\n]*")


def tmx_rows(file: RowFile, _: Sequence[Column], bad: BadLines) -> Iterator[tuple[int, ByLanguage]]:
    """Yield the texts of every unit by language, with its line. Raises InputError for broken XML, with the line."""
    units = _Units(file.given, bad)
    with readable(file, lambda: units.line), file.open() as stream:
        while chunk := stream.read(CHUNK_BYTES):
            units.feed(chunk)
            yield from units.found()
        units.feed(b"", last=True)
        yield from units.found()


class _Units:
    """Collects the units of a file that is fed in chunks."""

    def __init__(self, name: str, bad: BadLines) -> None:
        self._name, self._bad = name, bad
        self._found: deque[tuple[int, ByLanguage]] = deque()
        self._path: list[str] = []
        self._began, self._language = 1, ""
        self._languages: list[str] = []
        self._texts: list[str] = []
        self._segment: list[str] | None = None
        self._size = self._fed = 0
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters
        self._parser.EntityDeclHandler = self._refuse_entity
        self._parser.SkippedEntityHandler = self._skipped

    @property
    def line(self) -> int:
        """The line that the parser has reached."""
        return self._parser.CurrentLineNumber

    def feed(self, chunk: bytes, last: bool = False) -> None:
        """Parse the next bytes."""
        try:
            self._parser.Parse(chunk, last)
            self._fed += len(chunk)
            if self._fed - self._parser.CurrentByteIndex > TAG_BYTES:
                self._refuse(f"a tag or comment of more than {TAG_BYTES:,} bytes; correct the file")
        except expat.ExpatError as error:
            what = expat.errors.messages[error.code]
            self._refuse(f"broken XML ({what}); correct the file", error.lineno)
        except InputError:
            raise
        except (ValueError, LookupError) as error:
            self._refuse(f"its encoding cannot be read ({error}); convert the file to UTF-8")

    def found(self) -> Iterator[tuple[int, ByLanguage]]:
        """Yield the units that are complete, each once."""
        while self._found:
            yield self._found.popleft()

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        tag = tag.rpartition(":")[2]
        if not self._path and tag != "tmx":
            self._refuse(f"<{tag:.40}> is not the <tmx> of a translation memory; extract the texts, one per line")
        self._path.append(tag)
        if len(self._path) > DEEPEST:
            self._refuse(f"elements nested more than {DEEPEST} times; correct the file")
        if tag == "tu":
            self._began, self._languages, self._texts, self._size = self.line, [], [], 0
        elif tag == "tuv":
            self._language = attributes.get("xml:lang") or attributes.get("lang") or ""
        elif tag == "seg":
            self._segment = []
            self._count(1)
        elif tag == "sub" and self._segment is not None:
            self._segment.append(" ")

    def _end(self, tag: str) -> None:
        tag = self._path.pop()
        if tag == "seg" and self._segment is not None:
            self._texts.append(_LAYOUT.sub(" ", "".join(self._segment)).strip())
            self._languages.append(self._language)
            self._segment = None
        elif tag == "sub" and self._segment is not None:
            self._segment.append(" ")
        elif tag == "tu":
            if all(self._languages):
                self._found.append((self._began, ByLanguage.of(self._languages, self._texts)))
                return
            location = Location(self._name, "line", self._began)
            self._bad.refuse(InputError(f"{location}: a <tuv> without xml:lang; add the language"), location)

    def _characters(self, text: str) -> None:
        """Take text: all of a segment but codes, in which only a sub-flow is text."""
        if self._segment is None or next(tag for tag in reversed(self._path) if tag in INSIDE) in CODES:
            return
        self._count(len(text))
        self._segment.append(text)

    def _count(self, characters: int) -> None:
        self._size += characters
        if self._size > LINE_BYTES:
            self._refuse(f"a <tu> of more than {LINE_BYTES:,} characters; correct the file")

    def _refuse_entity(self, name: str, *_: object) -> None:
        self._refuse(f"it defines the entity {name:.40}; remove the definition")

    def _skipped(self, name: str, is_parameter: bool) -> None:
        """Take an entity of HTML, which the DTD that a file names may define, but which is not read."""
        if is_parameter:
            return
        if name not in name2codepoint:
            self._refuse(f"the entity &{name:.40}; is not defined; write the character itself")
        self._characters(chr(name2codepoint[name]))

    def _refuse(self, problem: str, line: int | None = None) -> NoReturn:
        raise InputError(f"{self._name} line {line or self.line}: {problem}")
