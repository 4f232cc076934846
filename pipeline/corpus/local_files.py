"""Which local files hold which split: a folder, one file, two line-aligned text files, a zip archive."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipeline.corpus.splits import SPLITS, Split
from pipeline.errors import InputError
from pipeline.rows.files import RowFile, checked
from pipeline.rows.formats import (
    KNOWN,
    PACKINGS,
    TABLES,
    ZIP,
    Format,
    format_of,
    is_zip,
    packing_of,
    suffix_of,
    without_packing,
)
from pipeline.rows.packing import lacking, members_of, side_of, table_of
from pipeline.rows.structured import refuse_unreadable
from pipeline.source_config import SourceConfig
from pipeline.store.storage import local_folder

PREFIXES: Mapping[Split, tuple[str, ...]] = {"train": ("train",), "validation": ("val", "dev"), "test": ("test",)}
"""How the names of a split's files begin; `val` covers valid and validation."""


@dataclass(frozen=True)
class Part:
    """One file with both sides, two line-aligned text files, or the folder of a data set that was saved."""

    format: Format | Literal["saved"]
    path: Path
    target_path: Path | None = None
    members: tuple[str | None, ...] = (None, None)
    """The names of the two sides' files in the zip archives that path and target_path are; None: they are not zips."""

    @property
    def files(self) -> tuple[Path, ...]:
        """The file, or both; of a saved data set those with its rows."""
        if self.format == "saved":
            return tuple(sorted(self.path.glob("*.arrow")))
        return (self.path,) if self.target_path in (None, self.path) else (self.path, self.target_path)

    @property
    def row_files(self) -> tuple[RowFile, ...]:
        """The file with both sides, or that of each side."""
        first = RowFile.local(self.path, self.members[0])
        return (first,) if self.target_path is None else (first, RowFile.local(self.target_path, self.members[1]))


Parts = Mapping[Split, tuple[Part, ...]]


def find_parts(config: SourceConfig) -> Parts:
    """Return the files at `config.path` (and `config.target_path`) by split, train always among them.

    Reads no more than the names of files in a zip archive. Raises InputError, with what was looked for, if there is
    nothing to use.
    """
    assert config.path is not None
    path = Path(config.path).expanduser().absolute()
    if not path.exists():
        raise InputError(f"corpus.path={config.path}: there is no such file or folder ({path}); correct the path")
    if config.target_path is not None:
        parts: Parts = {"train": (_aligned(path, Path(config.target_path).expanduser().absolute(), config),)}
    elif path.is_dir():
        parts = _in_folder(path, config)
    else:
        parts = {"train": (_single(path, config),)}
    _refuse_empty_files(parts)
    return parts


def find_evaluation_parts(config: SourceConfig, split: Split) -> tuple[Part, ...]:
    """Return the files with the pairs to score: all of a single file, or one split of a folder.

    Reads no file. Raises InputError, with what was looked for, if there is nothing to use.
    """
    assert config.path is not None
    folder = Path(config.path).expanduser().absolute()
    if config.target_path is not None or not folder.is_dir():
        return tuple(find_parts(config)["train"])
    if _is_saved(folder):
        return tuple(find_parts(config)["train"])
    parts = tuple(_of_split(folder, split, config))
    if not parts:
        raise InputError(
            f"corpus.path={config.path}: the folder has no file of the {split} split; looked for "
            f"{', '.join(f'{prefix}*' for prefix in PREFIXES[split])} ending in {KNOWN}, or in both "
            f".{config.source_column} and .{config.target_column} (aligned text)"
        )
    _refuse_empty_files({split: parts})
    return parts


def _single(path: Path, config: SourceConfig) -> Part:
    if is_zip(path.name):
        return _zipped(path, config)
    found = TABLES.get(suffix_of(path.name))
    if found is None:
        refuse_unreadable(path.name, f"corpus.path={config.path}")
        raise InputError(
            f"corpus.path={config.path}: a file is one of {KNOWN}, or {ZIP} with one of them or two text files; "
            "for line-aligned text, name the target side's file in corpus.target_path"
        )
    checked(RowFile.local(path))
    return Part(found, path)


def _zipped(path: Path, config: SourceConfig) -> Part:
    """Return what a zip archive holds: two text files, as OPUS packs them, or one file with columns."""
    members = members_of(local_folder(path.parent), path.name, str(path))
    languages = (config.source_column, config.target_column)
    sides = [side_of(members, language, str(path)) for language in languages]
    if None not in sides and sides[0] != sides[1]:
        return Part("text", path, path, tuple(sides))
    table = table_of(members)
    if table is None:
        wanted = " and ".join(f".{language}" for language in languages)
        raise lacking(members, str(path), f"text files {wanted}, and no single file with columns")
    checked(RowFile.local(path, table))
    return Part(format_of(table), path, None, (table, None))


def _aligned(source: Path, target: Path, config: SourceConfig) -> Part:
    if source.is_dir():
        raise InputError(
            f"corpus.path={config.path} is a folder and corpus.target_path={config.target_path} is set; "
            "name two files, or leave out corpus.target_path"
        )
    if not target.is_file():
        raise InputError(f"corpus.target_path={config.target_path}: there is no such file ({target}); correct the path")
    sides = ((source, config.source_column, "path"), (target, config.target_column, "target_path"))
    return Part("text", source, target, tuple(_side(path, language, field) for path, language, field in sides))


def _side(path: Path, language: str, field: str) -> str | None:
    """Return the file of a language if a side of an aligned text is a zip archive. Raises InputError for no text."""
    if not is_zip(path.name):
        if suffix_of(path.name) != f".{language}".lower():  # .rar may be a language, too.
            refuse_unreadable(path.name, f"corpus.{field}={path}")
        return None
    members = members_of(local_folder(path.parent), path.name, str(path))
    member = members[0] if len(members) == 1 else side_of(members, language, str(path))
    if member is None:
        raise lacking(members, str(path), f"text file .{language}")
    return member


def _is_saved(folder: Path) -> bool:
    """Return whether `datasets` wrote one data set, without splits, into the folder with save_to_disk."""
    return (folder / "state.json").is_file() and (folder / "dataset_info.json").is_file()


def _in_folder(folder: Path, config: SourceConfig) -> Parts:
    if _is_saved(folder):
        return {"train": (Part("saved", folder),)}
    found = {split: tuple(_of_split(folder, split, config)) for split in SPLITS}
    if not found["train"]:
        raise InputError(
            f"corpus.path={config.path}: the folder has no training file; looked for train* (also val*, dev*, test*) "
            f"ending in {KNOWN}, or in both .{config.source_column} and .{config.target_column} (aligned text)"
        )
    return {split: parts for split, parts in found.items() if parts}


def _of_split(folder: Path, split: Split, config: SourceConfig) -> Iterator[Part]:
    """Yield the parts of a split sorted by name; several parts are shards of one corpus."""
    paths = [path for path in sorted(folder.iterdir()) if path.name.lower().startswith(PREFIXES[split])]
    yield from (Part("saved", path) for path in paths if _is_saved(path))
    files = [path for path in paths if path.is_file()]
    sides = {f".{config.source_column}".lower(), f".{config.target_column}".lower()}
    usable = [path for path in files if suffix_of(path.name) in TABLES or suffix_of(path.name) in sides]
    tables = {(suffix_of(path.name), packing_of(path.name)) for path in usable if suffix_of(path.name) not in sides}
    texts = any(suffix_of(path.name) in sides for path in usable)
    if len(tables) + texts > 1:
        # Most likely the same sentences twice: together they would count double.
        raise InputError(
            f"corpus.path={config.path}: the {split} split exists in several formats "
            f"({', '.join(path.name for path in usable)}); keep one, or set corpus.path to a single file"
        )
    for path in usable:
        if suffix_of(path.name) not in sides:
            checked(RowFile.local(path))
            yield Part(TABLES[suffix_of(path.name)], path)
        elif suffix_of(path.name) == f".{config.source_column}".lower():
            yield Part("text", path, _mate(path, config.source_column, config.target_column, config))
        else:
            _mate(path, config.target_column, config.source_column, config)


def _mate(path: Path, own: str, other: str, config: SourceConfig) -> Path:
    """Return the file with the other side of an aligned text."""
    stem = without_packing(path.name)[: -len(own)]
    for name in (f"{stem}{other}", *(f"{stem}{other}{packing}" for packing in PACKINGS)):
        if path.with_name(name).is_file():
            return path.with_name(name)
    raise InputError(
        f"corpus.path={config.path}: {path.name} lacks its other side {stem}{other}; add it, or remove {path.name}"
    )


def _refuse_empty_files(parts: Parts) -> None:
    for file in (file for split in parts.values() for part in split for file in part.files):
        if file.stat().st_size == 0:
            raise InputError(f"{file}: the file is empty; add sentence pairs, or remove it")
