"""What the card of a data set says of its use: the licence, and how it wants to be cited."""

import re
from typing import Any

import yaml
from huggingface_hub import DatasetCard

from pipeline.corpus.hub.downloads import fetch_files, list_files

CARD = "README.md"
LARGEST = 1 << 20
"""Bytes of a card that is read."""
LONGEST = 4_000
"""Characters of a citation that is kept."""
FENCED = re.compile(r"^```[^\n]*\n(\s*@\w+\s*\{.*?)^```", re.MULTILINE | re.DOTALL)
"""BibTeX, as most cards have it."""
SECTION = re.compile(r"^#+[^\n]*citation[^\n]*\n(.*?)(?=^#+ |\Z)", re.MULTILINE | re.DOTALL | re.IGNORECASE)
PLACEHOLDER = "[More Information Needed]"


def card_facts(dataset: str, commit: str) -> dict[str, str]:
    """Return `license` and `citation` as the card of a commit has them; what it does not say is left out."""
    listed = list_files(dataset, commit, [CARD])
    if not listed or listed[0].size > LARGEST:
        return {}
    (card,) = fetch_files(dataset, commit, [CARD])
    return facts_of(card.local.read_text("utf8", errors="replace"))


def facts_of(text: str) -> dict[str, str]:
    r"""Return the same of a card's text.

    >>> facts_of("---\nlicense: cc-by-4.0\n---\n# Name\n## Citation\nMüller (2020), Sätze.\n")
    {'license': 'cc-by-4.0', 'citation': 'Müller (2020), Sätze.'}
    """
    try:
        card = DatasetCard(text, ignore_metadata_errors=True)
        settings, text = card.data.to_dict(), card.text  # type: ignore[no-untyped-call]
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, LookupError, RecursionError):
        settings = {}
    facts = {"license": _license(settings), "citation": _citation(text)}
    return {name: fact for name, fact in facts.items() if fact}


def _license(settings: dict[str, Any]) -> str:
    """Return the licences, with the name and the address that stand beside one that is none of the Hub's list."""
    value = settings.get("license")
    names = [name for name in (value if isinstance(value, list) else [value]) if isinstance(name, str)]
    more = [found for name in ("license_name", "license_link") if isinstance(found := settings.get(name), str)]
    return ", ".join([*names, *more])[:LONGEST]


def _citation(text: str) -> str:
    if (fenced := FENCED.search(text)) is not None:
        return fenced[1].strip()[:LONGEST]
    found = SECTION.search(text)
    return "" if found is None or PLACEHOLDER in found[1] else found[1].strip()[:LONGEST]
