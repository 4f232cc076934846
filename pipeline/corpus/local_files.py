"""Which local files hold which split: a folder, one file, or two line-aligned text files."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.config import CorpusConfig
from pipeline.corpus.splits import SPLITS, Split
from pipeline.errors import InputError
from pipeline.rows.formats import KNOWN, PACKED, TABLES, Format, is_packed, suffix_of

PREFIXES: Mapping[Split, tuple[str, ...]] = {"train": ("train",), "validation": ("val", "dev"), "test": ("test",)}
"""How the names of a split's files begin; `val` covers valid and validation."""


@dataclass(frozen=True)
class Part:
    """One file with both sides, or two line-aligned text files."""

    format: Format
    path: Path
    target_path: Path | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """The file, or both."""
        return (self.path,) if self.target_path is None else (self.path, self.target_path)


Parts = Mapping[Split, tuple[Part, ...]]


def find_parts(config: CorpusConfig) -> Parts:
    """Return the files at `config.path` (and `config.target_path`) by split, train always among them.

    Reads no file. Raises InputError, with what was looked for, if there is nothing to use.
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


def find_evaluation_parts(config: CorpusConfig, split: Split) -> tuple[Part, ...]:
    """Return the files with the pairs to score: all of a single file, or one split of a folder.

    Reads no file. Raises InputError, with what was looked for, if there is nothing to use.
    """
    assert config.path is not None
    folder = Path(config.path).expanduser().absolute()
    if config.target_path is not None or not folder.is_dir():
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


def _single(path: Path, config: CorpusConfig) -> Part:
    found = TABLES.get(suffix_of(path.name))
    if found is None:
        raise InputError(
            f"corpus.path={config.path}: a file is one of {KNOWN}; "
            "for line-aligned text, name the target side's file in corpus.target_path"
        )
    return Part(found, path)


def _aligned(source: Path, target: Path, config: CorpusConfig) -> Part:
    if source.is_dir():
        raise InputError(
            f"corpus.path={config.path} is a folder and corpus.target_path={config.target_path} is set; "
            "name two files, or leave out corpus.target_path"
        )
    if not target.is_file():
        raise InputError(f"corpus.target_path={config.target_path}: there is no such file ({target}); correct the path")
    return Part("text", source, target)


def _in_folder(folder: Path, config: CorpusConfig) -> Parts:
    found = {split: tuple(_of_split(folder, split, config)) for split in SPLITS}
    if not found["train"]:
        raise InputError(
            f"corpus.path={config.path}: the folder has no training file; looked for train* (also val*, dev*, test*) "
            f"ending in {KNOWN}, or in both .{config.source_column} and .{config.target_column} (aligned text)"
        )
    return {split: parts for split, parts in found.items() if parts}


def _of_split(folder: Path, split: Split, config: CorpusConfig) -> Iterator[Part]:
    """Yield the parts of a split sorted by name; several parts are shards of one corpus."""
    files = [
        path for path in sorted(folder.iterdir()) if path.name.lower().startswith(PREFIXES[split]) and path.is_file()
    ]
    sides = {f".{config.source_column}".lower(), f".{config.target_column}".lower()}
    usable = [path for path in files if suffix_of(path.name) in TABLES or suffix_of(path.name) in sides]
    tables = {(suffix_of(path.name), is_packed(path.name)) for path in usable if suffix_of(path.name) not in sides}
    texts = any(suffix_of(path.name) in sides for path in usable)
    if len(tables) + texts > 1:
        # Most likely the same sentences twice: together they would count double.
        raise InputError(
            f"corpus.path={config.path}: the {split} split exists in several formats "
            f"({', '.join(path.name for path in usable)}); keep one, or set corpus.path to a single file"
        )
    for path in usable:
        if suffix_of(path.name) not in sides:
            yield Part(TABLES[suffix_of(path.name)], path)
        elif suffix_of(path.name) == f".{config.source_column}".lower():
            yield Part("text", path, _mate(path, config.source_column, config.target_column, config))
        else:
            _mate(path, config.target_column, config.source_column, config)


def _mate(path: Path, own: str, other: str, config: CorpusConfig) -> Path:
    """Return the file with the other side of an aligned text."""
    stem = path.name.removesuffix(PACKED)[: -len(own)]
    for name in (f"{stem}{other}", f"{stem}{other}{PACKED}"):
        if path.with_name(name).is_file():
            return path.with_name(name)
    raise InputError(
        f"corpus.path={config.path}: {path.name} lacks its other side {stem}{other}; add it, or remove {path.name}"
    )


def _refuse_empty_files(parts: Parts) -> None:
    for file in (file for split in parts.values() for part in split for file in part.files):
        if file.stat().st_size == 0:
            raise InputError(f"{file}: the file is empty; add sentence pairs, or remove it")
