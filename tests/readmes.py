"""The READMEs as tests look at them: blocks of code, code within sentences, links."""

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePath

from tests.commands import ASSIGNMENT, PROGRAMS

ROOT = Path(__file__).parents[1]
NAMES = (
    *("README.md", "CONTRIBUTING.md", "model/README.md", "pipeline/README.md"),
    *("flows/README.md", "infra/README.md", "tests/README.md"),
)
FENCED = re.compile(r"^```(?P<language>\w*)\n(?P<code>.*?)^```$", re.M | re.S)
INDENTED = re.compile(r"(?<=\n\n)(?:    .*\n(?:[ \t]*\n(?=    ))?)+")
INLINE = re.compile(r"`([^`]+)`")
LINK = re.compile(r"""\]\(([^)\s]+)\)|\b(?:src|href)="([^"]+)\"""")
LIKE = 0.65
"""How alike two words are, of which one is the other with a typo."""
SHELL, PYTHON, YAML, OTHER = "shell", "python", "yaml", "other"
LANGUAGES = {"sh": SHELL, "bash": SHELL, "shell": SHELL, "console": SHELL, "python": PYTHON, "yaml": YAML}


@dataclass(frozen=True)
class Block:
    """A block of code, fenced or indented by four spaces."""

    language: str
    code: str


@dataclass(frozen=True)
class Readme:
    """A README, read and cut into what can be tried."""

    name: str

    @property
    def folder(self) -> Path:
        return (ROOT / self.name).parent

    @cached_property
    def text(self) -> str:
        return (ROOT / self.name).read_text("utf8")

    @cached_property
    def prose(self) -> str:
        """The text without its blocks of code."""
        return INDENTED.sub("", FENCED.sub("", self.text))

    @cached_property
    def blocks(self) -> list[Block]:
        fenced = [Block(LANGUAGES.get(found["language"], OTHER), found["code"]) for found in FENCED.finditer(self.text)]
        indented = [re.sub(r"^ {4}", "", block, flags=re.M) for block in INDENTED.findall(FENCED.sub("", self.text))]
        return fenced + [Block(language(code), code) for code in indented]

    def codes(self, language: str) -> list[str]:
        """Return the blocks of a language."""
        return [block.code for block in self.blocks if block.language == language]

    @property
    def inline(self) -> Iterator[str]:
        """The code within sentences and tables."""
        for found in INLINE.findall(self.prose):
            yield " ".join(found.replace(r"\|", "|").split())

    @property
    def links(self) -> Iterator[str]:
        """Where links and pictures lead, other sites left out."""
        for markdown, html in LINK.findall(self.prose):
            if not (markdown or html).startswith(("http://", "https://")):
                yield markdown or html


def language(code: str) -> str:
    """Tell what an indented block holds by its first word: a program of ours, or nearly one, is to be typed."""
    if re.match(r"(import|from) \w+|>>> ", code):
        return PYTHON
    program = PurePath(ASSIGNMENT.sub("", code, count=1).split()[0]).name
    return SHELL if difflib.get_close_matches(program, PROGRAMS, 1, LIKE) else OTHER


def anchors(text: str) -> set[str]:
    """Return the anchors of a README's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", text), flags=re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def readmes() -> list[Readme]:
    """Return the READMEs that there are."""
    return [Readme(name) for name in NAMES if (ROOT / name).is_file()]
