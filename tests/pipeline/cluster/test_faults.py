"""Faults of a training on Ray, each caused for real: told to stop, a worker that hangs, a disk that is full."""

import logging
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from pipeline.batches.encoding import EncodedCorpus, encode_corpus
from pipeline.batches.tokenizer import train_tokenizer
from pipeline.cluster.connection import ray_cluster
from pipeline.cluster.training import train_model
from pipeline.config import RunConfig
from pipeline.corpus.corpus import prepare_corpus
from pipeline.errors import ExternalError
from pipeline.overrides import build_config, dump_fields
from pipeline.stopping import StoppedError, stopping
from pipeline.store.artifact_folder import file_hash
from pipeline.store.store import Store
from pipeline.training.history import Observe, Record, is_validation
from pipeline.training.trained import TrainedModel
from tests.conftest import training_workers

pytestmark = pytest.mark.slow  # Each trains with two processes, several times.


@pytest.fixture(scope="module", autouse=True)
def _cluster() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RAY_ADDRESS", raising=False)
        patch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        patch.setattr("ray._private.ray_constants.ENABLE_RAY_CLUSTER", False)
        with ray_cluster():
            yield


@pytest.fixture
def encoded(nmt_home: Path, tiny: RunConfig) -> EncodedCorpus:
    corpus = prepare_corpus(tiny.corpus.model_copy(update={"captions_pairs": 150}), Store())
    tokenizer = train_tokenizer(corpus, tiny.tokenizer, Store())
    return encode_corpus(corpus, tokenizer, tiny.batching, Store())


def train(encoded: EncodedCorpus, tiny: RunConfig, observe: Observe, **training: object) -> TrainedModel:
    """Train on two workers for 120 steps; 12 or so are an epoch."""
    values = {key: value for key, value in dump_fields(tiny).items() if value is not None}
    own = {"num_workers": 2, "until": ["120 updates"], "patience": 1000, "keep_checkpoints": 1} | training
    config = build_config({}, values | {f"training.{key}": value for key, value in own.items()})
    return train_model(encoded, config, Store(), observe)


def nothing(_: Record) -> None:
    """Observe nothing."""


def stop_at(step: int) -> Observe:
    """Send this process SIGTERM after a step, as a scheduler does."""
    steps = iter([step])

    def observe(record: Record) -> None:
        if record["step"] >= step and next(steps, None):
            os.kill(os.getpid(), signal.SIGTERM)

    return observe


def curve(trained: TrainedModel) -> dict[int, float]:
    return {int(record["step"]): record["loss"] for record in trained.history() if not is_validation(record)}


def test_stopped_in_the_middle_of_an_epoch_it_goes_on_bit_for_bit_or_with_fewer_up_to_rounding(
    encoded: EncodedCorpus, tiny: RunConfig
) -> None:
    whole = train(encoded, tiny, nothing)
    weights, losses = file_hash(whole.weights), curve(whole)
    for workers in (2, 1):
        shutil.rmtree(whole.path)
        with pytest.raises(StoppedError, match=r"SIGTERM after step (\d+), which is saved") as stopped, stopping():
            train(encoded, tiny, stop_at(31))
        step = int(str(stopped.value).split("after step ")[1].split(",")[0])
        assert 31 <= step < 120
        again: list[Record] = []
        trained = train(encoded, tiny, again.append, num_workers=workers)
        assert min(record["step"] for record in again) > 31, "what was told is not told again"
        assert [*curve(trained)] == [*range(1, 121)]
        if workers == 2:
            assert file_hash(trained.weights) == weights
            assert curve(trained) == losses
        else:
            near = {number: losses[number] for number in range(step + 1, step + 51)}
            assert {number: curve(trained)[number] for number in near} == pytest.approx(near, rel=1e-5)


def test_a_worker_that_hangs_is_named_and_replaced(
    encoded: EncodedCorpus, tiny: RunConfig, caplog: pytest.LogCaptureFixture
) -> None:
    whole = train(encoded, tiny, nothing)
    weights = file_hash(whole.weights)
    shutil.rmtree(whole.path)
    hung: list[int] = []

    def hang(record: Record) -> None:
        if record["step"] >= 31 and not hung:
            hung.append(max(training_workers()))
            psutil.Process(hung[0]).suspend()

    with caplog.at_level(logging.WARNING):
        trained = train(encoded, tiny, hang, collective_timeout=10, save_every="20 updates")
    assert file_hash(trained.weights) == weights
    assert not psutil.pid_exists(hung[0])
    (told,) = [record.message for record in caplog.records if "started again" in record.message]
    assert "worker 1 did not answer the others within training.collective_timeout" in told or (
        "worker 0 did not answer" in told
    )


@pytest.fixture
def small_disk(nmt_home: Path) -> Iterator[Path]:
    """A file system of two megabytes in place of the folder in which checkpoints are kept."""
    folder = nmt_home / "ray"
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("this machine mounts nothing")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_ends_it_in_one_line_and_with_room_it_goes_on(
    small_disk: Path, encoded: EncodedCorpus, tiny: RunConfig
) -> None:
    whole = train(encoded, tiny, nothing)
    weights = file_hash(whole.weights)
    shutil.rmtree(whole.path)
    ballast = small_disk / "ballast"

    def fill(record: Record) -> None:
        if record["step"] == 31:
            free = os.statvfs(small_disk)
            ballast.write_bytes(bytes(free.f_bavail * free.f_frsize))

    with pytest.raises((ExternalError, OSError), match="No space left on device") as full:
        train(encoded, tiny, fill, save_every="20 updates")
    assert "\n" not in str(full.value)
    assert not [path for path in (small_disk.parent / "store" / "training").iterdir() if path.is_dir()]
    ballast.unlink()
    again: list[Record] = []
    trained = train(encoded, tiny, again.append, save_every="20 updates")
    assert min(record["step"] for record in again) > 20, "it goes on from a checkpoint"
    assert file_hash(trained.weights) == weights
    assert [*curve(trained)] == [*range(1, 121)]
