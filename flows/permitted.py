"""Which files a run may read and write.

From the command line all that its user may. A run of a deployment works for whoever may start one, with the worker's
rights: it reads and writes only inside the roots that the operator names, by default the folder `files` of the storage.
"""

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pipeline.config import RunConfig
from pipeline.errors import InputError
from pipeline.overrides import dump_fields
from pipeline.store.storage import home, storage_uri

READ_ROOTS, WRITE_ROOTS = "NMT_READ_ROOTS", "NMT_WRITE_ROOTS"
"""Folders and URIs such as s3://bucket/folder, separated as in PATH. If set, they bind the command line too."""
INBOX = "files"
"""The folder in `$NMT_STORAGE`, or in `$NMT_HOME`, that deployments may use if no roots are named."""
PATH_FIELDS = ("corpus.path", "corpus.target_path", "tokenizer.model", "tokenizer.target_model")
SOURCE_LISTS, SOURCE_FIELDS = ("corpus.sources", "evaluation.test_sets"), ("path", "target_path")
"""Lists of sources, and the fields of each that name files."""

Place = tuple[str, ...]
"""The parts of a path with its links resolved, or a bucket and the parts of a name in it."""


def check_config(config: RunConfig) -> None:
    """Raise InputError if the run may not read a file or folder that its configuration names."""
    values = dump_fields(config)
    for name in PATH_FIELDS:
        if values[name] is not None:
            check_read(values[name], f"{name}={values[name]}")
    for name in SOURCE_LISTS:
        for number, source in enumerate(values[name]):
            for field in SOURCE_FIELDS:
                if source[field] is not None:
                    check_read(source[field], f"{name}.{number}.{field}={source[field]}")


def check_read(given: str, named: str) -> None:
    """Raise InputError if the run may not read a file, or a folder with all that it links to; `named` as in messages.

    Whether it exists is not told of what may not be read.
    """
    roots = _roots(READ_ROOTS)
    if roots is not None:
        _check(given, named, "read", READ_ROOTS, roots)
        for link in _links(given):
            _check(str(link), f"{named}: its {link.name}", "read", READ_ROOTS, roots)


def check_write(given: str, named: str) -> None:
    """Raise InputError if the run may not write a file."""
    roots = _roots(WRITE_ROOTS)
    if roots is not None:
        _check(given, named, "write", WRITE_ROOTS, roots)


def _check(given: str, named: str, verb: str, variable: str, roots: list[str]) -> None:
    place = None if given.startswith("file:") else _place(given)  # In roots alone.
    if place is None or not any(place[: len(root)] == root for root in map(_place, roots) if root):
        raise InputError(
            f"{named}: this run may {verb} only in {', '.join(roots)}; put the file there, or have the operator of the "
            f"worker add its folder to {variable}"
        )


def _roots(variable: str) -> list[str] | None:
    """Return where the run may read or write; None: everywhere."""
    if given := os.environ.get(variable):
        return [root for root in re.split(rf"{re.escape(os.pathsep)}(?!//)", given) if root]
    return [f"{storage_uri() or home()}/{INBOX}"] if _is_deployed() else None


def _is_deployed() -> bool:
    if "prefect" not in sys.modules:  # It takes seconds to import, and the command line looks before it starts a flow.
        return False
    from prefect import runtime

    return runtime.deployment.id is not None


def _place(given: str) -> Place | None:
    """Return what a path or an address means; None if that cannot be said."""
    if "://" not in given or given.startswith("file:"):
        path = unquote(urlsplit(given).path) if given.startswith("file:") else given
        try:
            return Path(path).expanduser().resolve().parts
        except (OSError, ValueError, RuntimeError):  # A link to itself, a zero byte, a user who does not exist.
            return None
    scheme, _, rest = given.partition("://")
    names = [name for name in rest.split("/") if name]
    return None if {".", ".."} & {*names} else (f"{scheme}:", *names)


def _links(given: str) -> Iterator[Path]:
    if "://" not in given and (folder := Path(given).expanduser()).is_dir():
        yield from (path for path in folder.rglob("*") if path.is_symlink())
