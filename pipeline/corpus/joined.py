"""Several sources as one corpus: their pairs to score on in one file each, their figures together."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from pipeline.corpus.languages import Languages
from pipeline.corpus.splits import SCORED, SPLITS, split_path
from pipeline.errors import ExternalError, InputError
from pipeline.store.artifact_folder import file_hash
from pipeline.store.stages import Settings, Stage, fingerprint
from pipeline.store.store import Artifact, Store

STAGE: Final = "corpora"


def join_parts(figures: Mapping[str, Mapping[str, Any]], folders: Mapping[str, Path], store: Store) -> Artifact:
    """Join the pairs to score on of several sources, given by their names in order.

    Writes validation.jsonl and test.jsonl, source by source. The training pairs stay where they are: a source that has
    not changed is neither read nor copied. Inputs are the contents of the sources, so that what was made from them is
    found; what they weigh is no part of it. The figures are those of `joined_figures`.
    """
    contents = {name: str(each["fingerprint"]) for name, each in figures.items()}
    stage = Stage(STAGE, Settings({"sources": list(contents)}), contents)

    def build(folder: Path) -> dict[str, Any]:
        for split in SCORED:
            with split_path(folder, split).open("wb") as whole:
                for part in folders.values():
                    with split_path(part, split).open("rb") as file:
                        shutil.copyfileobj(file, whole)
        scored: dict[str, str] = {split: file_hash(split_path(folder, split)) for split in SCORED}
        return joined_figures(figures, scored) | {"fingerprint": stage.fingerprint}

    return store.produce(stage, build)


def joined_figures(figures: Mapping[str, Mapping[str, Any]], scored: Mapping[str, str]) -> dict[str, Any]:
    """Return the figures of a corpus from those of its sources by name: what can be added is, and `parts` has all.

    `scored` are the hashes of the joined files; that of train, of which there is none, is of the sources' own.
    """
    sums: dict[str, Any] = {}
    for each in figures.values():
        sums = _added(sums, each)
    train = hash_train({name: each["sha256"]["train"] for name, each in figures.items()})
    return sums | {
        "origin": {"sources": {name: each["origin"] for name, each in figures.items()}},
        "sha256": {split: {"train": train, **scored}[split] for split in SPLITS},
        "parts": {name: dict(each) for name, each in figures.items()},
    }


def hash_train(hashes: Mapping[str, str]) -> str:
    """Return the fingerprint of the training pairs of several sources, from the hash of each by its name, in order."""
    return fingerprint({"train": [[name, digest] for name, digest in hashes.items()]})


def _added(sums: Mapping[str, Any], figures: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sums of numbers under the same names; of lists what is in any; texts have no sum."""
    added = dict(sums)
    for name, value in figures.items():
        if isinstance(value, Mapping):
            added[name] = _added(sums.get(name, {}), value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            added[name] = sums.get(name, 0) + value
        elif isinstance(value, list):
            added[name] = [*(known := sums.get(name, [])), *(each for each in value if each not in known)]
    return added


def agreed_languages(found: Mapping[str, Languages]) -> Languages:
    """Return the languages of several sources by name; one whose language is not known agrees with all.

    Raises InputError if they differ.
    """
    sides = []
    for side in ("source", "target"):
        tags = {name: tag for name, languages in found.items() if (tag := getattr(languages, side))}
        if len({*tags.values()}) > 1:
            told = ", ".join(f"{tag} in {name}" for name, tag in tags.items())
            raise InputError(
                f"corpus.sources: the {side} language differs ({told}), and a model has one; correct the columns, or "
                f"set corpus.{side}_language if that was guessed wrong"
            )
        sides.append(next(iter(tags.values()), None))
    return Languages(*sides)


@contextmanager
def in_source(name: str) -> Iterator[None]:
    """Begin the message of an error with the source that it is about."""
    try:
        yield
    except InputError as error:
        raise InputError(f"corpus.sources, {name}: {error}") from error
    except ExternalError as error:
        raise ExternalError(f"corpus.sources, {name}: {error}") from error
