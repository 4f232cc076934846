"""The same training on several Ray nodes: processes with homes of their own, which share nothing but S3."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import ray
from pyarrow import fs

from pipeline.batches.encoding import encode_corpus
from pipeline.batches.tokenizer import train_tokenizer
from pipeline.cluster.connection import ray_cluster
from pipeline.cluster.training import train_model
from pipeline.config import RunConfig
from pipeline.corpus.corpus import prepare_corpus
from pipeline.evaluation.evaluation import evaluate_model
from pipeline.overrides import build_config
from pipeline.registry.pull import LoadedModel, pull_model
from pipeline.registry.runs import TrainingRun
from pipeline.registry.versions import register_model
from pipeline.store.artifact_folder import file_hash
from pipeline.store.storage import shared_folder
from pipeline.store.store import Store
from pipeline.training.history import Record, is_validation
from pipeline.training.trained import TrainedModel
from tests.conftest import SERVERS, TINY, free_port
from tests.s3_server import BUCKET, s3_server

pytestmark = pytest.mark.slow  # Two clusters, one of which loses a node: too long for CI.
CONFIG = build_config(
    {"name": "tiny"}, TINY | {"corpus.captions_pairs": 150, "training.epochs": 3, "training.num_workers": 2}
)


class Nodes:
    """A Ray cluster of processes on this machine; every node has one CPU, and a home of its own."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder, self._environment = folder, environment
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.address = f"127.0.0.1:{free_port()}"

    @property
    def names(self) -> Sequence[str]:
        return [*self._processes]

    def home(self, name: str) -> Path:
        return self._folder / name

    def start(self, name: str) -> None:
        """Start a node, the first as the head. It is told the keys of S3, but not what is kept where."""
        first = ["--head", f"--port={self.address.partition(':')[2]}", "--include-dashboard=false"]
        role = [f"--address={self.address}"] if self._processes else first
        self._processes[name] = subprocess.Popen(
            [
                *(sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--node-ip-address=127.0.0.1"),
                *("--num-cpus=1", "--object-store-memory=80000000", "--disable-usage-stats", *role),
            ],
            env={**os.environ, **self._environment, "NMT_HOME": str(self.home(name)), "RAY_AUTH_MODE": "token"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def kill(self, name: str) -> None:
        """End a node as a power cut does."""
        os.killpg(self._processes[name].pid, signal.SIGKILL)
        self._processes[name].wait()

    def end(self) -> None:
        for name, process in self._processes.items():
            if process.poll() is None:
                self.kill(name)


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """Two nodes, and the keys of a storage; no server or cluster of the user's."""
    folder = tmp_path_factory.mktemp("nodes")
    with s3_server(folder) as s3, pytest.MonkeyPatch.context() as patch:
        # `flows`, which other tests import, keeps Ray on loopback; several nodes are more than that allows.
        patch.setattr("ray._private.ray_constants.ENABLE_RAY_CLUSTER", True)
        for name in (*SERVERS, "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"):
            patch.delenv(name, raising=False)
        for name, value in s3.environment.items():
            patch.setenv(name, value)
        token = [sys.executable, "-m", "ray.scripts.scripts", "get-auth-token", "--generate"]
        subprocess.run(token, check=True, capture_output=True)
        nodes = Nodes(folder, s3.environment)
        try:
            nodes.start("one")
            wait_for_head(nodes)
            nodes.start("two")
            yield nodes
        finally:
            nodes.end()


def wait_for_head(nodes: Nodes) -> None:
    host, _, port = nodes.address.partition(":")
    for _ in range(600):
        with suppress(OSError), socket.create_connection((host, int(port))):
            return
        time.sleep(0.1)
    pytest.fail(f"no cluster answers at {nodes.address}")


@dataclass(frozen=True)
class Training:
    """What came of a training, and the epochs that each machine was told of."""

    trained: TrainedModel
    seen: Mapping[str, list[int]]

    @property
    def curve(self) -> list[tuple[float, float]]:
        return [(record["step"], record["loss"]) for record in self.trained.history() if not is_validation(record)]


def train(after_epoch: Callable[[int], None]) -> TrainedModel:
    def observe(record: Record) -> None:
        if is_validation(record):
            after_epoch(int(record["epoch"]))

    return train_observed(CONFIG, observe)


def train_observed(config: RunConfig, observe: Callable[[Record], None]) -> TrainedModel:
    corpus = prepare_corpus(config.corpus, Store())
    tokenizer = train_tokenizer(corpus, config.tokenizer, Store())
    return train_model(encode_corpus(corpus, tokenizer, config.batching, Store()), config, Store(), observe)


@contextmanager
def machine(nodes: Nodes, name: str) -> Iterator[None]:
    """Be another machine: with a home of its own, the storage and the cluster."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NMT_HOME", str(nodes.home(name)))
        patch.setenv("NMT_STORAGE", f"s3://{BUCKET}/nmt")
        patch.setenv("RAY_ADDRESS", nodes.address)
        yield


@pytest.fixture(scope="module")
def on_one_node(nodes: Nodes) -> Training:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NMT_HOME", str(nodes.home("alone")))
        return Training(train(lambda epoch: None), {})


@pytest.fixture(scope="module")
def on_two_nodes(nodes: Nodes) -> Training:
    """A training that loses a node after its first epoch, and the machine that it was started on after its second."""
    seen: dict[str, list[int]] = {"first": [], "second": []}

    def lose(epoch: int) -> None:
        seen["first"].append(epoch)
        if epoch == 1:
            nodes.kill("two")
            nodes.start("three")
        else:
            raise KeyboardInterrupt

    with machine(nodes, "first"):
        wait_for_nodes(2)
        with pytest.raises(KeyboardInterrupt):
            train(lose)
    with machine(nodes, "second"):
        return Training(train(seen["second"].append), seen)


def wait_for_nodes(number: int) -> None:
    with ray_cluster():
        for _ in range(600):
            if sum(node["Alive"] for node in ray.nodes()) == number:  # type: ignore[no-untyped-call]
                return
            time.sleep(0.1)
    pytest.fail(f"there are not {number} nodes")


def test_they_give_the_model_of_one(on_one_node: Training, on_two_nodes: Training) -> None:
    assert on_two_nodes.trained.figures["workers"] == on_one_node.trained.figures["workers"] == 2
    assert on_two_nodes.trained.fingerprint == on_one_node.trained.fingerprint
    assert on_two_nodes.curve == on_one_node.curve
    assert file_hash(on_two_nodes.trained.weights) == file_hash(on_one_node.trained.weights)


def test_no_epoch_is_done_twice_or_told_twice(on_two_nodes: Training) -> None:
    assert on_two_nodes.seen == {"first": [1, 2], "second": [3]}


def test_other_nodes_copy_what_their_workers_need_and_nothing_else(nodes: Nodes, on_two_nodes: Training) -> None:
    for name in ("two", "three"):
        assert sorted(path.parent.name for path in nodes.home(name).glob("store/*/*/")) == ["encoded", "tokenizer"]
    assert not nodes.home("one").exists(), "where the training was started, the worker reads that machine's store"


def test_what_served_to_resume_is_cleared(nodes: Nodes, on_two_nodes: Training) -> None:
    with machine(nodes, "second"):
        runs = shared_folder("ray")
    assert runs is not None
    left = runs.filesystem.get_file_info(fs.FileSelector(runs.path, recursive=True))
    assert not [found.path for found in left if found.is_file]


def test_another_machine_has_the_model_without_a_cluster_and_registers_it_in_s3(
    nodes: Nodes, on_two_nodes: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    with machine(nodes, "third"):
        monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
        trained = train(lambda epoch: pytest.fail("trained again"))
        assert trained.reused
        corpus = prepare_corpus(CONFIG.corpus, Store())
        evaluation = evaluate_model(trained, corpus, CONFIG.evaluation, Store())
        run = TrainingRun(CONFIG, {"training": trained.fingerprint})
        assert register_model(run, trained, evaluation, corpus, CONFIG).version == "1"
        assert not (nodes.home("third") / "mlartifacts").exists()
        rows = list(evaluation.translations("test"))
        pulled = LoadedModel(pull_model("tiny", Store()).path)
        assert pulled.predict([row["source"] for row in rows]) == [row["translation"] for row in rows]


@pytest.mark.timeout(1200)
def test_with_a_range_of_workers_it_goes_on_with_fewer_and_again_with_more(
    nodes: Nodes, on_two_nodes: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same steps with the same losses as without: who computes them is all that changes."""
    assert on_two_nodes, "it has used the node that is lost here"
    epochs = {"training.epochs": 30, "training.patience": 1000}
    monkeypatch.setattr("pipeline.cluster.training.RESIZE_SECONDS", 2.0)
    workers: list[int] = []

    def observe(record: Record) -> None:
        if not is_validation(record):
            return
        workers.append(int(record["train_workers"]))
        if len(workers) == 2:
            nodes.kill("three")
        if 1 in workers and "four" not in nodes.names:
            nodes.start("four")
            wait_for_nodes(2)

    with machine(nodes, "elastic"):
        wait_for_nodes(2)
        values = TINY | {"corpus.captions_pairs": 150} | epochs
        elastic = train_observed(
            build_config({"name": "tiny"}, values | {"training.num_workers": [1, 2], "training.max_failures": 9}),
            observe,
        )
    in_turn = [number for place, number in enumerate(workers) if place == 0 or workers[place - 1] != number]
    assert in_turn == [2, 1, 2]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NMT_HOME", str(nodes.home("elastic-alone")))
        alone = train_observed(build_config({"name": "tiny"}, values | {"training.num_workers": 1}), lambda _: None)
    assert elastic.fingerprint == alone.fingerprint
    both = [Training(trained, {}).curve for trained in (elastic, alone)]
    assert [step for step, _ in both[0]] == [step for step, _ in both[1]] == list(range(1, len(both[0]) + 1))
    assert [loss for _, loss in both[0][:50]] == pytest.approx([loss for _, loss in both[1][:50]], rel=1e-3)
