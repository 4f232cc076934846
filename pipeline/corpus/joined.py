"""Several sources as one corpus: their pairs to score on in one file each, their figures together."""

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np

from pipeline.corpus.cleaning.leaks import Leak, count_leaks, find_leaks, refuse_leaks
from pipeline.corpus.languages import Languages
from pipeline.corpus.pairs import Pair
from pipeline.corpus.scored import LeakGate
from pipeline.corpus.splits import SCORED, SPLITS, read_pairs, split_path
from pipeline.errors import ExternalError, InputError
from pipeline.store.artifact_folder import file_hash
from pipeline.store.stages import Settings, Stage, fingerprint
from pipeline.store.store import Artifact, Store

STAGE: Final = "corpora"
LEAKS = "leaks.jsonl"


def join_parts(
    figures: Mapping[str, Mapping[str, Any]], folders: Mapping[str, Path], gate: LeakGate, store: Store
) -> Artifact:
    """Join the pairs to score on of several sources, given by their names in order.

    Writes validation.jsonl and test.jsonl, source by source. The training pairs stay where they are: a source that has
    not changed is neither read nor copied. Those that another source, or a further set, will be scored on are left out
    by their rows, in a file for each source that has such; leaks.jsonl lists them.

    Inputs are the contents of the sources, so that what was made from them is found; what they weigh is no part of it.
    The figures are those of `joined_figures`, `left_out_rows` with the names of these files and `left_out` with the
    numbers of rows, both by source.
    """
    contents = {name: str(each["fingerprint"]) for name, each in figures.items()}
    settings = Settings({"sources": list(contents), "leaks": gate.mode}, {"leaks": "remove"})
    stage = Stage(STAGE, settings, {**contents, **gate.inputs})

    def build(folder: Path) -> dict[str, Any]:
        for split in SCORED:
            with split_path(folder, split).open("wb") as whole:
                for part in folders.values():
                    with split_path(part, split).open("rb") as file:
                        shutil.copyfileobj(file, whole)
        found = _leaks_across(folders, gate)
        left_out = {name: leaks for name, leaks in found.items() if leaks and gate.mode == "remove"}
        with (folder / LEAKS).open("w", encoding="utf8", newline="\n") as file:
            for name, leaks in left_out.items():
                file.writelines(json.dumps({"of": name, **_told(leak)}, ensure_ascii=False) + "\n" for leak in leaks)
        files = {name: f"left_out.{number}.npy" for number, name in enumerate(left_out)}
        for name, file_name in files.items():
            np.save(folder / file_name, np.array([leak.number for leak in left_out[name]], dtype=np.int64))
        own = {
            "sha256": {split: file_hash(split_path(folder, split)) for split in SCORED},
            "across": {name: count_leaks(leaks) for name, leaks in found.items() if leaks},
            "left_out": {name: len(leaks) for name, leaks in left_out.items()},
            "left_out_rows": files,
        }
        return joined_figures(figures, own) | {"fingerprint": stage.fingerprint}

    return store.produce(stage, build)


def _leaks_across(folders: Mapping[str, Path], gate: LeakGate) -> dict[str, list[Leak]]:
    """Return by source the training pairs that other sources, or further sets, are scored on."""
    splits = {
        name: {f"{name}'s {split}": list(read_pairs(split_path(folder, split))) for split in SCORED}
        for name, folder in folders.items()
    }
    found, further = {}, gate.read()
    for name, folder in folders.items():
        others = {key: pairs for other, sets in splits.items() if other != name for key, pairs in sets.items()}
        found[name] = find_leaks(read_pairs(split_path(folder, "train")), {**others, **further})
        if gate.mode == "refuse":
            refuse_leaks(found[name], f"corpus.sources, {name}")
    return found


def _told(leak: Leak) -> dict[str, Any]:
    return {"row": leak.number, "source": leak.pair[0], "target": leak.pair[1], "why": leak.why}


def without_rows(pairs: Iterable[Pair], rows: Path) -> Iterator[Pair]:
    """Yield the pairs but those of the rows in a file."""
    left_out = set(np.load(rows).tolist())
    return (pair for row, pair in enumerate(pairs) if row not in left_out)


def joined_figures(figures: Mapping[str, Mapping[str, Any]], joined: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figures of a corpus from those of its sources by name: what can be added is, and `parts` has all.

    `joined` are the joined artifact's own: the hashes of its files, and what was left out. The hash of train, of which
    there is no file, is that of the sources' own.
    """
    sums: dict[str, Any] = {}
    for each in figures.values():
        sums = _added(sums, each)
    for counts in joined["across"].values():
        sums["leaks"] = _added(sums["leaks"], counts)
    sums["pairs"]["train"] -= sum(joined["left_out"].values())
    sums["cleaning"] = {name: sums["cleaning"][name] for name in ("read", "rules")}
    train = hash_train({name: each["sha256"]["train"] for name, each in figures.items()})
    return sums | {
        "origin": {"sources": {name: each["origin"] for name, each in figures.items()}},
        "sha256": {split: {**joined["sha256"], "train": train}[split] for split in SPLITS},
        "parts": {name: dict(each) for name, each in figures.items()},
        **{name: joined[name] for name in ("across", "left_out", "left_out_rows")},
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
