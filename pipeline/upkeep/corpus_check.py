"""What a corpus was pinned to: the commit of a data set, or the bytes of files, which may have changed since."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.batches.tokenizer import OWN_MODELS
from pipeline.config import RunConfig
from pipeline.corpus.joined import hash_train
from pipeline.corpus.scored import SCORED_INPUT
from pipeline.corpus.splits import SCORED, SPLITS
from pipeline.source_config import SourceConfig
from pipeline.store.artifact_folder import MANIFEST, file_hash
from pipeline.store.stages import fingerprint
from pipeline.upkeep.artifacts import AGAIN, Checked


def check_pin(corpus: Checked, wanted: str | None, recorded: Mapping[str, str]) -> None:
    """Report a corpus that does not hold what it is known by, or was not read from what it is pinned to.

    `wanted` is the fingerprint of its content; `recorded` are the hashes of its splits that the version has.
    """
    if corpus.manifest is None:
        return
    files, figures = corpus.manifest["files"], corpus.figures
    listed: dict[str, Any] = {split: files.get(f"{split}.jsonl") for split in SPLITS}
    if not figures.get("fingerprint") == fingerprint(listed) == wanted or figures.get("sha256") != listed:
        corpus.report(MANIFEST, "its pairs are not those that the version was made from", AGAIN)
    for split, digest in recorded.items():
        if listed.get(split) != digest:
            corpus.report(f"{split}.jsonl", "it is not the one that the version was registered with", AGAIN)
    origin = figures.get("origin")
    if not isinstance(origin, dict) or origin.get("commit") != corpus.inputs.get("commit"):
        corpus.report(MANIFEST, "its commit is not the one that it is pinned to", AGAIN)
    elif (
        "commit" not in origin
        and isinstance(read := origin.get("files"), dict)
        and {*read.values()} != {digest for name, digest in corpus.inputs.items() if not name.startswith(SCORED_INPUT)}
    ):
        corpus.report(MANIFEST, "the hashes of the files it was read from are not those that it is pinned to", AGAIN)


def check_joined(
    corpus: Checked, wanted: str | None, recorded: Mapping[str, str], parts: Mapping[str, Checked]
) -> None:
    """Report a corpus of several sources that is not made of these, given by their names, as `check_pin` does."""
    if corpus.manifest is None:
        return
    files, figures = corpus.manifest["files"], corpus.figures
    listed: dict[str, Any] = {split: files.get(f"{split}.jsonl") for split in SCORED}
    if all(part.manifest is not None for part in parts.values()):
        trains = {name: (part.manifest or {})["files"].get("train.jsonl") for name, part in parts.items()}
        listed["train"] = hash_train(trains)
    known = figures.get("sha256") or {}
    same = all(known.get(split) == digest for split, digest in listed.items())
    if not figures.get("fingerprint") == corpus.fingerprint == wanted or not same:
        corpus.report(MANIFEST, "its pairs are not those that the version was made from", AGAIN)
    for split, digest in recorded.items():
        if listed.get(split, digest) != digest:
            corpus.report(f"{split}.jsonl", "it is not the one that the version was registered with", AGAIN)


def changed_sources(
    corpora: Iterable[tuple[Checked, SourceConfig | None]], tokenizer: Checked, config: RunConfig | None
) -> Iterator[str]:
    """Yield which files of the user's that a model was made from have changed, or are not there any more.

    `corpora` are those of all sources, each with what was configured of it.
    """
    files: dict[str, str] = {}
    for corpus, source in corpora:
        found = corpus.figures.get("origin")
        origin: dict[str, Any] = found if isinstance(found, dict) else {}
        read = {} if "commit" in origin else dict(origin.get("files") or {})  # Else they are in the Hub's cache.
        files |= {_absolute(name, str(origin.get("path")), source): digest for name, digest in read.items()}
    if config is not None:
        own = {name: getattr(config.tokenizer, name) for name in OWN_MODELS}
        files |= {path: tokenizer.inputs[name] for name, path in own.items() if path and name in tokenizer.inputs}
    for name, digest in files.items():
        path = Path(name).expanduser()
        if not path.is_file():
            yield f"{name}: what it was made from is not there any more; the command needs it"
        elif file_hash(path) != digest:
            yield f"{name}: it has changed since; the command would make another model from it"


def _absolute(name: str, given: str, source: SourceConfig | None) -> str:
    """Return the file that was read under a name that may be relative to the folder in which the run was started.

    `given` is the path as it was typed; the recorded configuration has the same as an absolute one.
    """
    if source is None or source.path is None:
        return name
    if Path(name).is_relative_to(given):
        return str(Path(source.path) / Path(name).relative_to(given))
    other = source.target_path
    return other if other is not None and Path(other).name == Path(name).name else name
