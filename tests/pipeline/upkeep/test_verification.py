"""`verify`: whatever is damaged on the way from a version to its corpus is found and named, and nothing else is."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from pipeline.batches.encoding import encode_corpus
from pipeline.batches.tokenizer import train_tokenizer
from pipeline.cluster.training import train_stage
from pipeline.corpus.captions import generate_pairs
from pipeline.corpus.corpus import prepare_corpus
from pipeline.errors import ExternalError, InputError
from pipeline.registry.runs import tracking_uri
from pipeline.store.storage import home
from pipeline.store.store import Store
from pipeline.upkeep.artifacts import defaults_of
from pipeline.upkeep.lineage import CHAIN
from pipeline.upkeep.verification import Verification, public, verify
from tests.untrained_chain import Made, edit_manifest, flip, make_version, restored

STATES = ("version", *CHAIN)


def damaged(found: Verification) -> dict[str, list[str]]:
    """Return the damaged files by stage, of those that have any."""
    return {row.name: row.damaged for row in found.rows if row.damaged}


def registered_files() -> Path:
    """Return where MLflow keeps the files of version 1."""
    (weights,) = home().glob("mlartifacts/models/*/artifacts/artifacts/*/model.safetensors")
    return weights.parent


def test_a_version_is_whole_back_to_its_corpus(made: Made) -> None:
    found = verify("captions")
    assert found.whole, found.problems
    assert [row.name for row in found.rows] == list(STATES)
    assert {row.state for row in found.rows} == {"whole"}
    assert found.version.aliases == ("champion",)
    assert {row.name: row.path for row in found.rows[1:]} == made.folders
    assert found.config is not None
    assert found.config == made.config
    assert not found.other_code
    assert not found.changed_versions
    assert json.loads(json.dumps(public(found, [])))["whole"] is True
    assert list(home().glob(".verify-*")) == [], "nothing is left"


@pytest.mark.parametrize(
    "spelling", ["captions@champion", "models:/captions@champion", "models:/captions/1", "captions"]
)
def test_a_version_is_named_as_elsewhere(made: Made, spelling: str) -> None:
    assert verify(spelling).version.uri == made.version.uri


@pytest.mark.parametrize("spelling", ["captoins", "captions@best", "models:/captions/9", "models:/", "captions@", ""])
def test_what_is_not_registered_is_refused(made: Made, spelling: str) -> None:
    with pytest.raises(InputError, match=r"captions has the versions|did you mean captions|give a registered model"):
        verify(spelling)


@pytest.mark.parametrize(
    "name",
    [
        *("model.safetensors", "source.model", "target.model", "translator.json", "record.json"),
        *("code/model/seq2seq.py", "code/pipeline/inference/translator.py", "../../MLmodel", "../../pyfunc.py"),
    ],
)
@pytest.mark.parametrize("damage", [flip, Path.unlink])
def test_a_file_of_the_version_is_damaged(made: Made, name: str, damage: Callable[[Path], None]) -> None:
    file = registered_files() / name
    with restored(file):
        if file.name == "MLmodel" and damage is flip:
            file.write_text("flavors: [")
        else:
            damage(file)
        found = verify("captions")
    assert damaged(found) == {"version": [name.removeprefix("../../")]}
    (problem,) = found.problems
    assert "delete this version in MLflow" in problem.remedy
    assert "models:/captions/1" in problem.where


def test_a_file_that_nobody_registered_is_found(made: Made) -> None:
    added = registered_files() / "code" / "model" / "added.py"
    added.write_text("print('runs when the version is loaded')")
    try:
        assert damaged(verify("captions")) == {"version": ["code/model/added.py"]}
    finally:
        added.unlink()


def test_the_files_of_the_version_are_gone_and_the_rest_is_checked(made: Made) -> None:
    (folder,) = home().glob("mlartifacts/models/*/artifacts")
    with restored(folder):
        shutil.rmtree(folder)
        found = verify("captions")
    assert [row.state for row in found.rows] == ["missing", *["whole"] * 5]
    assert [problem.what for problem in found.problems] == ["MLflow has no files of models:/captions/1"]


@pytest.mark.parametrize("stage", CHAIN)
@pytest.mark.parametrize("damage", [flip, Path.unlink])
def test_every_file_of_every_stage_is_checked(made: Made, stage: str, damage: Callable[[Path], None]) -> None:
    folder = made.folders[stage]
    names = json.loads((folder / "manifest.json").read_text("utf8"))["files"]
    assert names
    for name in names:
        with restored(folder / name):
            damage(folder / name)
            found = verify("captions")
        assert damaged(found) == {stage: [name]}
        (problem,) = found.problems
        assert str(folder / name) in problem.where
        assert found.config is not None, "how to make it again is known"


@pytest.mark.parametrize(
    ("stage", "keys", "value"),
    [
        *(("evaluation", ("config", "beam"), 9), ("evaluation", ("figures", "test", "bleu"), 99.0)),
        *(("evaluation", ("inputs", "training"), "f" * 64), ("evaluation", ("inputs", "corpus"), "f" * 64)),
        *(("evaluation", ("fingerprint",), "f" * 64), ("evaluation", ("version",), 9)),
        *(("training", ("config", "training.seed"), 9), ("training", ("config", "model.dropout"), 0.0)),
        *(("training", ("inputs", "encoded"), "f" * 64), ("training", ("figures", "steps"), 9)),
        *(("training", ("config", "validation.pairs"), 3), ("training", ("versions", "torch"), "9.9")),
        *(("encoded", ("inputs", "tokenizer"), "f" * 64), ("encoded", ("figures", "train_pairs"), 9)),
        *(("encoded", ("config", "max_length"), 9), ("tokenizer", ("config", "kind"), "bpe")),
        *(("tokenizer", ("inputs", "corpus"), "f" * 64), ("tokenizer", ("figures", "source_pieces"), 9)),
        *(("corpus", ("config", "seed"), 9), ("corpus", ("inputs", "commit"), "f" * 40)),
        *(("corpus", ("figures", "pairs", "train"), 9), ("corpus", ("figures", "sha256", "test"), "f" * 64)),
        *(("corpus", ("figures", "fingerprint"), "f" * 64), ("corpus", ("stage",), "tokenizer")),
        *((stage, ("config",), None) for stage in CHAIN),
        *((stage, ("inputs",), None) for stage in CHAIN),
        *((stage, ("files",), None) for stage in CHAIN),
    ],
    ids=str,
)
def test_a_manifest_that_was_edited(made: Made, stage: str, keys: tuple[str, ...], value: object) -> None:
    folder = made.folders[stage]
    with restored(folder / "manifest.json"):
        edit_manifest(folder, *keys, value=value)
        found = verify("captions")
    assert damaged(found) == {stage: ["manifest.json"]}
    assert str(folder / "manifest.json") in found.problems[0].where


@pytest.mark.parametrize("stage", CHAIN)
def test_a_stage_that_is_gone_is_named_and_the_others_are_checked(made: Made, stage: str) -> None:
    with restored(made.folders[stage]):
        shutil.rmtree(made.folders[stage])
        found = verify("captions")
    assert {row.name: row.state for row in found.rows} == dict.fromkeys(STATES, "whole") | {stage: "missing"}
    (problem,) = found.problems
    assert problem.where == stage
    assert "the command below makes it again" in str(problem)
    assert found.figures["corpus"]["pairs"]["train"] == 300, "it was recorded"


def test_all_is_gone_but_the_version(made: Made) -> None:
    store = home() / "store"
    with restored(store):
        shutil.rmtree(store)
        found = verify("captions")
    assert [row.state for row in found.rows] == ["whole", *["missing"] * 5]
    assert [problem.where for problem in found.problems] == list(CHAIN)
    assert found.config == made.config
    assert found.versions["torch"]


@pytest.mark.parametrize("stage", ["training", "evaluation"])
def test_an_artifact_in_the_place_of_another(made: Made, other: Made, stage: str) -> None:
    """Every file of it is whole by its own manifest."""
    ours, theirs = made.folders[stage], other.folders[stage]
    with restored(ours):
        shutil.rmtree(ours)
        shutil.copytree(theirs, ours)
        found = verify("models:/captions/1")
        assert damaged(found) == {stage: ["manifest.json"]}
        assert verify("models:/captions/2").whole


def test_weights_that_were_exchanged_with_the_hash_of_them(made: Made, other: Made) -> None:
    """An artifact that is whole by itself, of the right fingerprint, but not what was registered."""
    ours, theirs = made.folders["training"], other.folders["training"]
    name = "checkpoints/epoch-001/model.safetensors"
    digest = json.loads((theirs / "manifest.json").read_text("utf8"))["files"][name]
    with restored(ours):
        shutil.copyfile(theirs / name, ours / name)
        edit_manifest(ours, "files", name, value=digest)
        found = verify("models:/captions/1")
    assert damaged(found) == {"training": ["manifest.json"]}


def test_what_was_made_again_since_is_no_damage(made: Made) -> None:
    folder = made.folders["tokenizer"]
    with restored(folder / "manifest.json"):
        edit_manifest(folder, "created", value="2999-01-01T00:00:00+00:00")
        found = verify("captions")
    assert found.whole
    assert list(found.notes) == ["tokenizer: made again on 2999-01-01, after the version was registered"]


def test_code_and_packages_of_another_day_are_told_and_no_damage(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.upkeep.artifacts.code_digest", lambda module: f"other code of {module}")
    monkeypatch.setattr("pipeline.upkeep.bundle_check.code_hashes", dict)
    monkeypatch.setattr("pipeline.upkeep.verification.versions", lambda: {"torch": "9.9", "python": "4.0"})
    found = verify("captions")
    assert found.whole
    assert list(found.other_code) == [*CHAIN, "the version's own"]
    assert found.changed_versions == {"torch": "9.9", "python": "4.0"}


class TestOlder:
    """A version that was registered before there were records."""

    @pytest.fixture(autouse=True)
    def _without_record(self, other: Made) -> None:
        client = MlflowClient(tracking_uri())
        for tag in client.get_model_version("captions", "2").tags:
            if tag.startswith(("nmt.record", "nmt.fingerprint.")):
                client.delete_model_version_tag("captions", "2", tag)

    def test_it_is_whole_as_well(self, other: Made) -> None:
        found = verify("models:/captions/2")
        assert found.whole, found.problems
        assert {row.name: row.path for row in found.rows[1:]} == other.folders
        assert found.config == other.config

    @pytest.mark.parametrize(
        ("stage", "keys", "value"),
        [
            *(("evaluation", ("figures", "test", "bleu"), 99.0), ("training", ("figures", "steps"), 9)),
            *(("tokenizer", ("figures", "source_pieces"), 9), ("corpus", ("figures", "pairs", "train"), 9)),
            *(("encoded", ("inputs", "corpus"), "f" * 64), ("evaluation", ("config", "beam"), 9)),
        ],
        ids=str,
    )
    def test_its_manifests_are_compared_with_its_run(
        self, other: Made, stage: str, keys: tuple[str, ...], value: object
    ) -> None:
        with restored(other.folders[stage] / "manifest.json"):
            edit_manifest(other.folders[stage], *keys, value=value)
            assert damaged(verify("models:/captions/2")) == {stage: ["manifest.json"]}

    def test_its_files_are_compared_with_the_artifacts(self, other: Made) -> None:
        files = [
            path
            for path in home().glob("mlartifacts/models/*/artifacts/artifacts/*")
            if json.loads((path / "record.json").read_text("utf8"))["config"]["training"]["seed"] == 2
        ]
        for name in ("model.safetensors", "source.model"):
            with restored(files[0] / name):
                flip(files[0] / name)
                assert damaged(verify("models:/captions/2")) == {"version": [name]}


def test_the_defaults_of_a_training_are_those_of_its_stage(made: Made) -> None:
    """They are written down twice, since one of the two places takes seconds to import."""
    store = Store()
    corpus = prepare_corpus(made.config.corpus, store)
    tokenizer = train_tokenizer(corpus, made.config.tokenizer, store)
    stage = train_stage(encode_corpus(corpus, tokenizer, made.config.batching, store), made.config)
    known = defaults_of("training")
    assert {name: known[name] for name in stage.settings.defaults} == stage.settings.defaults


class TestShared:
    """What is in $NMT_STORAGE as well."""

    @pytest.fixture(autouse=True)
    def storage(self, made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setenv("NMT_STORAGE", str(tmp_path / "storage"))
        shutil.copytree(home() / "store", tmp_path / "storage" / "store", ignore=shutil.ignore_patterns(".*"))
        return tmp_path / "storage" / "store"

    @pytest.mark.parametrize("stage", CHAIN)
    def test_what_is_there_alone_is_copied_and_checked(self, made: Made, storage: Path, stage: str) -> None:
        folder = made.folders[stage]
        with restored(folder):
            shutil.rmtree(folder)
            assert verify("captions").whole
            assert (folder / "manifest.json").is_file(), "copied"

    def test_what_is_damaged_there(self, made: Made, storage: Path) -> None:
        folder = made.folders["encoded"]
        flip(storage / "encoded" / folder.name / "train.arrow")
        with restored(folder):
            shutil.rmtree(folder)
            found = verify("captions")
        assert [problem.where for problem in found.problems] == ["encoded"]
        assert "storage/store/encoded/" in found.problems[0].what
        assert "is damaged" in found.problems[0].what

    def test_what_is_nowhere(self, made: Made, storage: Path) -> None:
        folder = made.folders["encoded"]
        shutil.rmtree(storage / "encoded" / folder.name)
        with restored(folder):
            shutil.rmtree(folder)
            found = verify("captions")
        assert [row.state for row in found.rows if row.name == "encoded"] == ["missing"]

    def test_what_is_damaged_here_and_whole_there_stays_and_has_its_own_remedy(self, made: Made, storage: Path) -> None:
        file = made.folders["encoded"] / "train.arrow"
        with restored(file):
            flip(file)
            before = file.read_bytes()
            found = verify("captions")
            assert file.read_bytes() == before, "a check changes nothing"
        assert damaged(found) == {"encoded": ["train.arrow"]}
        assert "it is copied from file://" in found.problems[0].remedy


def test_files_that_a_model_was_made_from_have_changed_since(made: Made, tmp_path: Path) -> None:
    pairs, content = tmp_path / "pairs.tsv", "de\ten\n"
    content += "".join(f"{source}\t{target}\n" for source, target in generate_pairs(400, 7))
    pairs.write_text(content, "utf8")
    make_version("own", corpus__path=str(pairs))
    assert (verify("own").whole, list(verify("own").notes)) == (True, [])
    pairs.write_text(content + "Ein Hund.\tA dog.\n", "utf8")
    found = verify("own")
    assert found.whole, "the store has what it was made from"
    (note,) = found.notes
    assert note == f"{pairs}: it has changed since; the command would make another model from it"
    pairs.unlink()
    (note,) = verify("own").notes
    assert note == f"{pairs}: what it was made from is not there any more; the command needs it"


def test_a_server_that_is_away(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(ExternalError, match="no server answers there"):
        verify("captions")
