"""The further test sets of a configuration: pairs from files, from the Hub or of the embedded corpus, each by its name.

They are loaded before the corpus: a mistake in one costs no training, and what is scored can be kept out of training.
"""

import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from pipeline.config import RunConfig
from pipeline.corpus.captions import generate_pairs
from pipeline.corpus.corpus import CAPTIONS, bad_lines, skipped_lines
from pipeline.corpus.hub.errors import hub_errors
from pipeline.corpus.hub.revisions import is_commit, resolve_commit
from pipeline.corpus.languages import Languages, find_languages
from pipeline.corpus.pairs import Pair
from pipeline.corpus.splits import SPLITS, Split
from pipeline.errors import ExternalError, InputError
from pipeline.evaluation.evaluation_set import FILE, EvaluationSet, prepare_files, write_set
from pipeline.source_config import NamedTestSet, SourceConfig
from pipeline.store.stages import Settings, Stage, StageName
from pipeline.store.store import Artifact, Store

STAGE: StageName = "evaluation-set"
FIELD = re.compile(rf"(?<![\w./-])corpus\.(?=({'|'.join(SourceConfig.model_fields)})\b)")
"""Where a message names a field of the corpus: here it is one of the set's own."""


def prepare_test_sets(config: RunConfig, store: Store) -> tuple[EvaluationSet, ...]:
    """Load the sets in `evaluation.test_sets`, in order: each pinned by commit or hash, with the name given to it.

    Of files the whole file or the split of a folder is taken; of a Hub data set the split, whose files alone are
    downloaded; of the embedded corpus the test set that its `seed` and `test_size` make. Nothing is held out. A set
    that is in the store needs no network if its revision is a commit.

    Raises InputError, which names the set, for mistakes in its fields or files, ExternalError if the Hub cannot be
    reached or its answer is not the commit.
    """
    found = []
    for test_set in config.evaluation.test_sets:
        with _of_set(test_set.name):
            pairs = _prepare(test_set, store)
            languages = Languages(
                pairs.languages.source or config.corpus.source_language,
                pairs.languages.target or config.corpus.target_language,
            )
            found.append(replace(pairs, name=test_set.name, languages=languages))
    return tuple(found)


def check_languages(test_sets: Sequence[EvaluationSet], corpus: Languages) -> None:
    """Raise InputError for a set whose sides are those of the corpus the other way round."""
    for each in test_sets:
        found = each.languages
        if found.source and found.target and (found.target, found.source) == (corpus.source, corpus.target):
            raise InputError(
                f"evaluation.test_sets, {each.name}: it is {found}, the corpus {corpus}; "
                "exchange source_column and target_column, or set source_language if that was guessed wrong"
            )


def named_set(config: RunConfig, name: str, store: Store) -> EvaluationSet:
    """Load one of the sets. Raises InputError, with their names, if there is none of that name."""
    chosen = tuple(each for each in config.evaluation.test_sets if each.name == name)
    if not chosen:
        known = ", ".join(each.name for each in config.evaluation.test_sets) or "none"
        raise InputError(
            f"--test-set {name}: {config.name} has no test set of that name (evaluation.test_sets: {known})"
        )
    evaluation = config.evaluation.model_copy(update={"test_sets": chosen})
    return prepare_test_sets(config.model_copy(update={"evaluation": evaluation}), store)[0]


def _prepare(config: NamedTestSet, store: Store) -> EvaluationSet:
    if config.path is not None:
        return prepare_files(config, _split_of_files(config), store)
    artifact = _from_captions(config, store) if config.dataset == CAPTIONS else _from_hub(config, store)
    figures = artifact.figures
    found = EvaluationSet(
        artifact.path / FILE,
        figures["sha256"],
        config.name,
        figures["pairs"],
        figures["origin"],
        artifact.reused,
        skipped_lines(figures),
    )
    return replace(found, languages=find_languages(config, found.read()))


def _split_of_files(config: NamedTestSet) -> Split:
    for split in SPLITS:
        if config.split == split:
            return split
    raise InputError(f"split={config.split}: files have no such split; choose one of {', '.join(SPLITS)}")


def _from_captions(config: NamedTestSet, store: Store) -> Artifact:
    if config.split != "test":
        raise InputError(f"split={config.split}: the captions' is test, from their seed and test_size; leave it out")
    stage = Stage(STAGE, Settings.of(config, include={"dataset", "seed", "test_size"}), {})

    def build(folder: Path) -> dict[str, Any]:
        pairs = islice(generate_pairs(config.test_size, config.seed), config.test_size)
        origin = {"dataset": CAPTIONS, "seed": config.seed, "test_size": config.test_size}
        return _alone(folder, pairs, CAPTIONS) | {"origin": origin}

    return store.produce(stage, build)


def _from_hub(config: NamedTestSet, store: Store) -> Artifact:
    fields = {"dataset", "subset", "source_column", "target_column", "skip_bad_lines", "split"}

    def at(commit: str) -> Stage:
        return Stage(STAGE, Settings.of(config, include=fields), {"commit": commit})

    found = store.find(at(config.revision)) if is_commit(config.revision) else None
    if found is not None:
        return found
    with hub_errors(config, _stored_commit(at(""), store)):
        commit = resolve_commit(config.dataset, config.revision)
        origin = {"dataset": config.dataset, "subset": config.subset, "commit": commit, "split": config.split}

        def build(folder: Path) -> dict[str, Any]:
            # Imported here because `datasets` takes seconds to import, and a reused set does not need it.
            from pipeline.corpus.sources import hub_split

            with tempfile.TemporaryDirectory(dir=folder) as scratch:
                bad = bad_lines(config)
                rows, made_from = hub_split(config, config.split, commit, Path(scratch), bad)
                figures = _alone(folder, rows, f"corpus.dataset={config.dataset}")
            return figures | {"skipped": bad.figures(), "origin": origin | made_from}

        return store.produce(at(commit), build)


def _alone(folder: Path, pairs: Iterable[Pair], name: str) -> dict[str, Any]:
    """Write pairs of one reference each."""
    return write_set(folder, ((pair, []) for pair in pairs), name)


def _stored_commit(wanted: Stage, store: Store) -> str | None:
    """Return the newest commit of the set that is in the store."""
    commits = [
        str(manifest["inputs"]["commit"])
        for manifest in store.manifests(STAGE)
        if "commit" in manifest["inputs"] and wanted.settings.agree_with(manifest["config"])
    ]
    return commits[-1] if commits else None


@contextmanager
def _of_set(name: str) -> Iterator[None]:
    """Begin the message of an error with the set that it is about, and name its fields instead of the corpus's."""
    try:
        yield
    except InputError as error:
        raise InputError(_told(name, error)) from error
    except ExternalError as error:
        raise ExternalError(_told(name, error)) from error


def _told(name: str, error: Exception) -> str:
    return f"evaluation.test_sets, {name}: {FIELD.sub('', str(error))}"
