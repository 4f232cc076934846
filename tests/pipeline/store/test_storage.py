"""Storage that machines share, on a mounted disk and on a real S3 server; each $NMT_HOME plays one machine."""

import json
import logging
import pickle
import random
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.cluster.ray_train_internals import SNAPSHOT
from pipeline.cluster.run_folder import best_checkpoints, clear, set_damaged_aside
from pipeline.errors import ExternalError, InputError
from pipeline.store.artifact_folder import file_hash
from pipeline.store.stages import Settings, Stage
from pipeline.store.storage import Folder, artifacts_uri, check_storage, home, shared_folder, storage_uri
from pipeline.store.store import Figures, Reuse, Store, node_store
from tests.conftest import free_port
from tests.pipeline.cluster.test_run_folder import write_checkpoint
from tests.s3_server import KEYS, S3Server, s3_server

STAGE = Stage("tokenizer", Settings({"size": 3}), {"corpus": "abc"})


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(params=["disk", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Storage that machines share."""
    if request.param == "disk":
        monkeypatch.setenv("NMT_STORAGE", str(tmp_path / "mounted"))
    else:
        use_s3(request.getfixturevalue("s3"), tmp_path, monkeypatch)
    return str(request.param)


def use_s3(server: S3Server, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Share a folder of the bucket, a new one for each test."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("NMT_STORAGE", f"s3://{server.bucket}/{folder.name}")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Machine":
    return Machine(tmp_path, monkeypatch)


class Machine:
    """Opens the store of a machine: `machine("a")`."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder, self._monkeypatch = folder, monkeypatch

    def __call__(self, name: str) -> Store:
        self._monkeypatch.setenv("NMT_HOME", str(self._folder / name))
        return Store()


def write(folder: Path) -> Figures:
    (folder / "weights").mkdir()
    (folder / "weights" / "best.bin").write_bytes(bytes(range(256)) * 100)
    (folder / "out.txt").write_text("content")
    (folder / "empty.txt").touch()
    return {"lines": 1}


def must_not(folder: Path) -> Figures:
    pytest.fail("made again")


def shared_output() -> Folder:
    """Return the folder of the stage's output in the shared storage."""
    shared = Store().shared
    assert shared is not None
    return shared / STAGE.address


@pytest.mark.parametrize(
    ("value", "uri"),
    [
        (None, None),
        ("", None),
        ("/mnt/nmt/", "file:///mnt/nmt"),
        ("file:///mnt/a%20b", "file:///mnt/a%20b"),
        ("file://localhost/mnt", "file:///mnt"),
        ("s3://bucket", "s3://bucket"),
        ("s3://bucket/team//nmt/", "s3://bucket/team/nmt"),
    ],
)
def test_addresses_that_machines_can_share(value: str | None, uri: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NMT_STORAGE", raising=False)
    if value is not None:
        monkeypatch.setenv("NMT_STORAGE", value)
    check_storage()
    assert storage_uri() == uri
    assert artifacts_uri() == f"{uri or home().as_uri()}/mlartifacts"


def test_the_machines_own_home_is_shared_with_nobody(machine: "Machine", monkeypatch: pytest.MonkeyPatch) -> None:
    root = machine("a").root
    monkeypatch.setenv("NMT_STORAGE", str(root.parent))
    assert Store().shared is None


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("models", "NMT_STORAGE=models: a relative path means another folder in every process; use an absolute path"),
        (
            "gs://bucket/x",
            "NMT_STORAGE=gs://bucket/x: unknown kind of address; use an absolute path, file:///folder or s3://",
        ),
        ("file://host/x", "NMT_STORAGE=file://host/x: unknown kind of address"),
        ("s3:///x", "NMT_STORAGE=s3:///x: the bucket's name is missing; use s3://bucket/folder"),
        ("s3://key:secret@bucket/x", "NMT_STORAGE=s3://key:***@bucket/x: keys and options in it would show in logs"),
        ("s3://bucket/x?secret_key=secret", "NMT_STORAGE=s3://bucket/x?secret_key=***: keys and options in it"),
    ],
)
def test_addresses_that_mean_nothing_to_other_machines(
    value: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NMT_STORAGE", value)
    for asked in (check_storage, Store):
        with pytest.raises(InputError) as error:
            asked()
        assert str(error.value).startswith(message)
        assert "secret@" not in str(error.value)
        assert "=secret" not in str(error.value)


def test_an_endpoint_without_a_scheme(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NMT_STORAGE", "s3://bucket")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "127.0.0.1:8333")
    with pytest.raises(InputError, match=r"AWS_ENDPOINT_URL=127\.0\.0\.1:8333: .* use http://host:port"):
        check_storage()


def test_made_on_one_machine_reused_on_another(storage: str, machine: "Machine") -> None:
    made = machine("a").produce(STAGE, write)
    other = machine("b")
    assert [manifest["figures"] for manifest in other.manifests("tokenizer")] == [{"lines": 1}], (
        "known before it is downloaded"
    )
    taken = other.produce(STAGE, must_not)
    assert (made.reused, taken.reused) == (Reuse.NO, Reuse.YES)
    assert taken.figures == made.figures
    assert taken.path == other.root / STAGE.address
    files = {path.relative_to(made.path): path.read_bytes() for path in made.path.rglob("*") if path.is_file()}
    assert len(files) == 4
    assert files == {
        path.relative_to(taken.path): path.read_bytes() for path in taken.path.rglob("*") if path.is_file()
    }
    assert len(other.manifests("tokenizer")) == 1
    assert [path for path in taken.path.parent.iterdir() if path.is_dir()] == [taken.path], (
        "no temporary folder is left"
    )


@pytest.mark.parametrize("damage", ["out.txt", "manifest.json", "weights/best.bin"])
def test_damaged_shared_output_is_made_again(storage: str, machine: "Machine", damage: str, tmp_path: Path) -> None:
    machine("a").produce(STAGE, write)
    (tmp_path / "damaged").write_text("{}")
    shared_output().upload(tmp_path / "damaged", damage)
    store = machine("b")
    assert store.find(STAGE) is None
    assert not store.root.joinpath(STAGE.address).exists()
    assert not store.produce(STAGE, write).reused
    assert machine("c").produce(STAGE, must_not).reused


def test_a_missing_shared_file_is_uploaded_again_by_a_machine_that_has_it(storage: str, machine: "Machine") -> None:
    machine("a").produce(STAGE, write)
    shared_output().remove("out.txt")
    assert machine("b").find(STAGE) is None
    assert machine("a").find(STAGE) is not None, "this machine's copy is whole and is uploaded again"
    assert machine("b").produce(STAGE, must_not).reused


class Messages(logging.Handler):
    """Keeps what is logged, where libraries of other tests may have taken pytest's handler from the root logger."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


@pytest.fixture
def messages() -> Iterator[Messages]:
    handler, logger = Messages(), logging.getLogger("pipeline.store")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


def test_a_bad_read_on_one_machine_takes_nothing_from_the_others(
    storage: str, machine: "Machine", monkeypatch: pytest.MonkeyPatch, messages: Messages
) -> None:
    machine("a").produce(STAGE, write)
    there = {name: shared_output().read(name) for name in ("manifest.json", "out.txt", "weights/best.bin")}
    with monkeypatch.context() as patch:
        patch.setattr("pipeline.store.artifact_folder.file_hash", lambda _: "misread")
        assert machine("b").find(STAGE) is None
    (text,) = messages.texts
    assert text.replace("empty.txt", "out.txt") == f"{shared_output().uri}: out.txt is damaged; not used"
    assert {name: shared_output().read(name) for name in there} == there
    assert machine("c").produce(STAGE, must_not).reused
    assert shared_output().has("damaged"), "the word of one machine against another's"
    assert machine("a").find(STAGE) is not None
    assert not shared_output().has("damaged"), "uploaded again by one that has it whole"


def test_a_bad_read_is_tried_once_more(storage: str, machine: "Machine", monkeypatch: pytest.MonkeyPatch) -> None:
    machine("a").produce(STAGE, write)
    hashed: list[Path] = []

    def misread_once(path: Path) -> str:
        hashed.append(path)
        return "misread" if len(hashed) == 1 else file_hash(path)

    monkeypatch.setattr("pipeline.store.artifact_folder.file_hash", misread_once)
    assert machine("b").find(STAGE) is not None


def test_a_manifest_cannot_name_files_outside(storage: str, machine: "Machine", tmp_path: Path) -> None:
    machine("a").produce(STAGE, write)
    manifest = json.loads(shared_output().read("manifest.json"))
    manifest["files"]["../../../evil.txt"] = manifest["files"]["out.txt"]
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    shared_output().upload(tmp_path / "manifest.json", "manifest.json")
    assert machine("b").find(STAGE) is None


def test_an_interrupted_upload_is_not_used_and_is_completed_later(
    storage: str, machine: "Machine", monkeypatch: pytest.MonkeyPatch
) -> None:
    store, upload = machine("a"), Folder.upload

    def stopped(self: Folder, file: Path, name: str) -> None:
        if name == "manifest.json":
            raise ExternalError("no server answers")
        upload(self, file, name)

    with monkeypatch.context() as patch:
        patch.setattr(Folder, "upload", stopped)
        with pytest.raises(ExternalError):
            store.produce(STAGE, write)
    assert machine("b").find(STAGE) is None
    assert machine("a").produce(STAGE, must_not).reused, "the work of hours is kept"
    assert machine("b").produce(STAGE, must_not).reused


def test_output_made_without_storage_is_shared_later(
    storage: str, machine: "Machine", monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.delenv("NMT_STORAGE")
        machine("a").produce(STAGE, write)
    machine("a").produce(STAGE, must_not)
    assert machine("b").produce(STAGE, must_not).reused


def test_a_node_downloads_what_it_needs(
    storage: str, machine: "Machine", monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    drivers = machine("a")
    drivers.produce(STAGE, write)
    assert drivers.shared is not None
    machine("b")
    assert node_store(drivers.shared).fetch(STAGE.address) == tmp_path / "b" / "store" / STAGE.address
    monkeypatch.delenv("NMT_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    assert node_store(drivers.shared).fetch(STAGE.address).is_relative_to(tmp_path / "user" / ".cache" / "nmt")
    with pytest.raises(ExternalError, match=r"tokenizer/none: missing or damaged"):
        node_store(drivers.shared).fetch("tokenizer/none")


def test_a_node_without_storage_needs_the_drivers_folder(tmp_path: Path) -> None:
    folder = Store(tmp_path).produce(STAGE, write).path
    assert Store(tmp_path).fetch(STAGE.address) == folder
    with pytest.raises(
        ExternalError, match=r"/tokenizer/.*: .* has no such folder; share NMT_HOME, or set NMT_STORAGE"
    ):
        Store(tmp_path / "not-here").fetch(STAGE.address)


@pytest.mark.usefixtures("storage")
def test_what_files_and_folders_take_and_when_they_were_written(tmp_path: Path) -> None:
    folder = shared_folder("ray")
    assert folder is not None
    before = time.time()
    (tmp_path / "file").write_bytes(b"x" * 300)
    for name in ("run/a", "run/b/c", "run.jsonl"):
        folder.upload(tmp_path / "file", name)
    assert folder.usage("nothing") == (0, 0.0)
    for name, expected in (("run", 600), ("run/b", 300), ("run.jsonl", 300)):
        size, written = folder.usage(name)
        assert size == expected
        assert before - 60 < written < time.time() + 60


def test_rays_runs_in_s3(s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_s3(s3, tmp_path, monkeypatch)
    storage = shared_folder("ray")
    assert storage is not None
    for epoch, bleu in ((1, 5.0), (2, 9.0)):
        checkpoint = write_checkpoint(tmp_path / f"checkpoint_{epoch}", epoch, bleu)
        for file in checkpoint.iterdir():
            storage.upload(file, f"run/{checkpoint.name}/{file.name}")
    storage.upload(checkpoint / "figures.json", "run/checkpoint_3/figures.json")
    storage.upload(checkpoint / "figures.json", "run.jsonl")
    assert [figures["epoch"] for _, figures in best_checkpoints(storage, "run")] == [2, 1], "the third is not whole"
    (tmp_path / "snapshot").write_text('{"who')
    storage.upload(tmp_path / "snapshot", f"run/{SNAPSHOT}")
    resumed = set_damaged_aside(storage, "run")
    assert resumed is not None
    assert resumed.name == "checkpoint_2"
    assert "run" not in storage.names()
    assert [figures["epoch"] for _, figures in best_checkpoints(storage, "run")] == [2, 1]
    clear(storage, "run", tmp_path / "run.jsonl")
    assert best_checkpoints(storage, "run") == []
    assert not storage.has("run.jsonl")


def test_a_file_of_several_parts(s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_s3(s3, tmp_path, monkeypatch)
    (tmp_path / "large").write_bytes(random.Random(1).randbytes(40_000_000))
    folder = shared_folder("large")
    assert folder is not None
    folder.upload(tmp_path / "large", "a/b")
    folder.download("a/b", tmp_path / "again" / "b")
    assert file_hash(tmp_path / "again" / "b") == file_hash(tmp_path / "large")


def test_keys_do_not_travel(s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_s3(s3, tmp_path, monkeypatch)
    sent = pickle.dumps(shared_folder("store"))
    assert b"http://127.0.0.1" in sent, "its address does"
    assert not [key for key in KEYS if key.encode() in sent]
    assert not [key for key in KEYS if key in repr(shared_folder("store"))]


@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:1", "no server answers"),
        ("AWS_SECRET_ACCESS_KEY", "wrong", "access denied; check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
        ("AWS_ACCESS_KEY_ID", "wrong", "access denied; check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
        ("NMT_STORAGE", "s3://no-such-bucket/x", "there is no such bucket; create it"),
    ],
)
def test_storage_that_fails_is_reported_at_once(
    s3: S3Server,
    machine: "Machine",
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
    reason: str,
) -> None:
    use_s3(s3, tmp_path, monkeypatch)
    monkeypatch.setenv(variable, value)
    started = time.monotonic()
    with pytest.raises(ExternalError) as error:
        machine("a").produce(STAGE, write)
    assert time.monotonic() - started < 20
    assert str(error.value).startswith("NMT_STORAGE: s3://")
    assert reason in str(error.value)
    assert "\n" not in str(error.value)


def test_a_server_that_never_answers(
    s3: S3Server, machine: "Machine", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_s3(s3, tmp_path, monkeypatch)
    monkeypatch.setattr("pipeline.store.storage.REQUEST_SECONDS", 1)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", free_port()))
        silent.listen()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(ExternalError, match="no server answers"):
            machine("a").find(STAGE)
