"""A version that was made from several sources: its joined corpus and each of its parts are found, kept and checked."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.store.store import Store
from pipeline.upkeep.collection import collect
from pipeline.upkeep.inventory import list_store, needs_of_versions
from pipeline.upkeep.lineage import CHAIN, Manifests
from pipeline.upkeep.verification import verify
from tests.untrained_chain import Made, edit_manifest, flip, make_version, own_home, restored

SIZES = {"captions_pairs": 300, "validation_size": 5, "test_size": 4}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    folder = tmp_path_factory.mktemp("several")
    (folder / "own.tsv").write_text("de\ten\n" + "".join(f"Ein Satz {n}.\tA sentence {n}.\n" for n in range(60)))
    sources = [
        {"name": "captions", "weight": 1.0, **SIZES},
        {"name": "own", "weight": 2.0, "path": str(folder / "own.tsv"), "validation_size": 3, "test_size": 2},
    ]
    with own_home(folder / "home"):
        yield make_version(corpus__sources=sources)


def sources_of(made: Made) -> dict[str, Path]:
    """Return the folders of the two corpora."""
    manifests = Manifests(Store())
    contents = {each["figures"]["fingerprint"]: name for name, each in manifests.of("corpus").items()}
    inputs = manifests.of("corpora")[made.folders["corpus"].name]["inputs"]
    return {name: Store().root / "corpus" / contents[content] for name, content in inputs.items()}


def test_it_is_whole_back_to_each_source(made: Made) -> None:
    found = verify("captions")
    assert found.whole, found.problems
    assert [row.name for row in found.rows] == ["version", *CHAIN[:-1], "corpora", "corpus captions", "corpus own"]
    assert found.config == made.config.model_copy(update={"corpus": found.config.corpus}) if found.config else False
    assert found.figures["corpus"]["pairs"]["train"] == 300 + 55
    assert not found.notes


def test_damage_to_a_source_is_named(made: Made) -> None:
    for name, folder in sources_of(made).items():
        with restored(folder):
            flip(folder / "train.jsonl")
            problems = verify("captions").problems
        assert [problem.where.partition(":")[0] for problem in problems] == [f"corpus {name}"]
        with restored(folder):
            shutil.rmtree(folder)
            problems = verify("captions").problems
        assert [problem.where for problem in problems] == [f"corpus {name}"]
    joined = made.folders["corpus"]
    with restored(joined):
        flip(joined / "test.jsonl")
        assert [problem.where.partition(":")[0] for problem in verify("captions").problems] == ["corpora"]
    with restored(joined):
        edit_manifest(joined, "figures", "sha256", "train", value="0" * 64)
        assert {problem.where.partition(":")[0] for problem in verify("captions").problems} >= {"corpora"}


def test_a_source_that_has_changed_is_told(made: Made) -> None:
    own = Path(str(made.config.corpus.sources[1].path))
    with restored(own):
        flip(own)
        (note,) = verify("captions").notes
    assert note == f"{own}: it has changed since; the command would make another model from it"


def test_all_that_it_was_made_from_is_kept(made: Made) -> None:
    needs = needs_of_versions(Manifests(Store()), [verify("captions").version])
    addresses = {
        f"{folder.parent.name}/{folder.name}" for folder in [*made.folders.values(), *sources_of(made).values()]
    }
    assert set(needs) == addresses
    stored = list_store()
    assert {artifact.address for artifact in stored} == addresses
    assert not collect(stored).removable
    origins = {artifact.stage: artifact.origin for artifact in stored}
    assert origins["corpora"] == "captions + own, 355 pairs"
    assert origins["encoded"].startswith("captions + own, ")
