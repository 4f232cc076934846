"""Training as it is really run: Ray Train with several processes."""

import errno
import json
import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray
import torch

from pipeline.batches.encoding import EncodedCorpus, encode_corpus
from pipeline.batches.tokenizer import train_tokenizer
from pipeline.cluster.connection import ray_cluster
from pipeline.cluster.ray_internals import node_addresses
from pipeline.cluster.training import train_model, train_stage, write_history
from pipeline.config import RunConfig
from pipeline.corpus.corpus import prepare_corpus
from pipeline.errors import ExternalError, InputError
from pipeline.overrides import build_config, dump_fields
from pipeline.store.store import Store
from pipeline.training.history import Record, is_validation, read_history
from pipeline.training.trained import TrainedModel
from tests.conftest import training_workers

Train = Callable[..., TrainedModel]


@pytest.fixture(scope="module", autouse=True)
def _cluster() -> Iterator[None]:
    """One cluster for all, on loopback as `nmt` has it: starting and ending one takes longer than a training here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RAY_ADDRESS", raising=False)
        patch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        patch.setattr("ray._private.ray_constants.ENABLE_RAY_CLUSTER", False)
        with ray_cluster():
            yield


@pytest.fixture
def tiny(tiny: RunConfig) -> RunConfig:
    """A run on two sources, in shares that change in the middle of an epoch."""
    sizes = {"captions_pairs": 75, "validation_size": 20, "test_size": 10}
    sources = [{"name": name, "seed": seed, "weight": 3 - seed, **sizes} for name, seed in (("a", 1), ("b", 2))]
    values = {name: value for name, value in dump_fields(tiny).items() if "corpus." not in name}
    stages = [{"until": "4 updates", "weights": {"b": 1.0}}]
    return build_config({}, values | {"corpus.sources": sources, "corpus.curriculum": stages})


@pytest.fixture
def encoded(nmt_home: Path, tiny: RunConfig) -> EncodedCorpus:
    corpus = prepare_corpus(tiny.corpus, Store())
    tokenizer = train_tokenizer(corpus, tiny.tokenizer, Store())
    return encode_corpus(corpus, tokenizer, tiny.batching, Store())


@pytest.fixture
def train(encoded: EncodedCorpus, tiny: RunConfig) -> Train:
    def run(observe: Callable[[Record], None] = lambda record: None, **training: object) -> TrainedModel:
        values = dump_fields(tiny)
        config = build_config({}, values | {f"training.{key}": value for key, value in training.items()})
        return train_model(encoded, config, Store(), observe)

    return run


def losses(trained: TrainedModel) -> list[float]:
    return [record["loss"] for record in trained.history() if not is_validation(record)]


def assert_best_are_kept(trained: TrainedModel) -> None:
    """The two best checkpoints are there, the best first, and load."""
    kept = trained.figures["checkpoints"]
    bleus = [record["bleu"] for record in trained.history() if is_validation(record)]
    assert [entry["bleu"] for entry in kept] == sorted(bleus, reverse=True)[:2]
    assert trained.figures["best_bleu"] == max(bleus)
    assert all((trained.path / "checkpoints" / entry["name"] / "model.safetensors").is_file() for entry in kept)
    model, subwords = trained.load(torch.device("cpu"))
    assert model.output.weight.shape[0] == subwords.target_size


class Listening:
    """Where the workers of a training listen while it runs."""

    def __init__(self) -> None:
        self.addresses: dict[int, set[str]] = {}

    def look(self, record: Record) -> None:
        for pid in training_workers():
            connections = psutil.Process(pid).net_connections()
            found = (each.laddr.ip for each in connections if each.status == psutil.CONN_LISTEN)
            self.addresses[pid] = {address.removeprefix("::ffff:") for address in found}

    def assert_on_loopback(self, workers: int) -> None:
        assert len(self.addresses) == workers
        assert set().union(*self.addresses.values()) <= {"127.0.0.1", "::1"}


def test_two_workers_give_the_same_loss_curve_as_one_and_listen_on_loopback(train: Train, nmt_home: Path) -> None:
    places = {*Path(tempfile.gettempdir()).glob("nmt-workers-*")}
    of_two, of_one = Listening(), Listening()
    two = train(of_two.look, num_workers=2, epochs=3, keep_checkpoints=2)
    of_two.assert_on_loopback(workers=2)
    assert {*Path(tempfile.gettempdir()).glob("nmt-workers-*")} == places, "what the workers met in is gone"
    assert_best_are_kept(two)
    assert train(num_workers=1, epochs=3, keep_checkpoints=2).reused
    curve, bleu = losses(two), two.figures["best_bleu"]
    # The number of workers is no part of what a training is: take it out of the store to have it done again.
    two.path.rename(two.path.with_name("two.workers"))
    one = train(of_one.look, num_workers=1, epochs=3, keep_checkpoints=2)
    of_one.assert_on_loopback(workers=1)
    assert (two.figures["workers"], one.figures["workers"]) == (2, 1)
    assert two.fingerprint == one.fingerprint
    assert len(curve) == one.figures["steps"] > 10
    assert losses(one) == pytest.approx(curve, rel=2e-3)
    assert one.figures["best_bleu"] == pytest.approx(bleu, abs=2.0)


def kill_a_worker(record: Record) -> None:
    """Kill one after the first epoch."""
    if is_validation(record) and record["epoch"] == 1:
        os.kill(training_workers()[0], signal.SIGKILL)


@pytest.mark.slow
def test_a_killed_worker_costs_no_epoch_that_was_done(train: Train, nmt_home: Path) -> None:
    seen: list[Record] = []

    def observe(record: Record) -> None:
        seen.append(record)
        kill_a_worker(record)

    trained = train(observe, num_workers=2, epochs=3)
    steps = [int(record["step"]) for record in trained.history() if not is_validation(record)]
    assert steps == list(range(1, len(steps) + 1))
    assert [int(record["epoch"]) for record in seen if is_validation(record)] == [1, 2, 3]
    assert list((nmt_home / "ray").iterdir()) == [], "what served to resume is cleared"


@pytest.mark.slow
def test_workers_lost_once_too_often_end_the_run_and_it_can_be_continued(train: Train, nmt_home: Path) -> None:
    with pytest.raises(ExternalError, match=r"workers were lost .*run the same command again"):
        train(kill_a_worker, num_workers=2, epochs=3, max_failures=0)
    assert not [path for path in (nmt_home / "store" / "training").iterdir() if path.is_dir()]
    seen: list[Record] = []
    assert train(seen.append, num_workers=1, epochs=3).figures["epochs"] == 3
    assert [int(record["epoch"]) for record in seen if is_validation(record)] == [2, 3], (
        "what was told is not told again"
    )


@pytest.mark.slow
def test_a_disk_that_is_full_at_the_end_costs_no_training(
    train: Train, nmt_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("pipeline.cluster.training.keep_weights", full)
        with pytest.raises(OSError, match="No space left"):
            train(num_workers=1)
    seen: list[Record] = []
    trained = train(seen.append, num_workers=1)
    assert seen == []
    assert len([record for record in trained.history() if is_validation(record)]) == 2


@pytest.mark.parametrize(("per_worker", "same"), [(None, True), (256, False)])
def test_the_workers_are_part_of_a_result_only_where_a_step_grows_with_them(
    encoded: EncodedCorpus, per_worker: int | None, same: bool
) -> None:
    runs = [
        build_config({}, {"batching.tokens_per_worker": per_worker, "training.num_workers": workers})
        for workers in (1, 2)
    ]
    assert (train_stage(encoded, runs[0]).fingerprint == train_stage(encoded, runs[1]).fingerprint) == same


@pytest.mark.parametrize(
    ("overrides", "same"),
    [
        ({"noise.typo_words": 0.3, "noise.sampling_alpha": 0.5}, True),
        ({"noise.typos": 0.1}, False),
        ({"noise.subword_sampling": "source"}, False),
    ],
)
def test_noise_is_part_of_a_result_only_where_there_is_some(
    encoded: EncodedCorpus, overrides: dict[str, Any], same: bool
) -> None:
    without, noisy = (train_stage(encoded, build_config({}, given)) for given in ({}, overrides))
    assert (without.fingerprint == noisy.fingerprint) == same
    assert not [name for name in without.settings.values if name.startswith("noise")]


def test_a_history_is_in_the_order_of_its_steps(tmp_path: Path) -> None:
    records: list[Record] = [{"step": 2, "bleu": 0.5}, {"step": 1, "loss": 1 / 3}, {"step": 2, "loss": 0.1}]
    (tmp_path / "records").write_text("".join(json.dumps(record) + "\n" for record in records) + '{"st')
    write_history(tmp_path / "records", tmp_path / "history")
    assert list(read_history(tmp_path / "history")) == [records[1], records[2], records[0]]


def test_nodes_are_described_as_they_were_read() -> None:
    assert [*node_addresses().values()] == ["127.0.0.1"]
    assert {"Alive", "Resources"} <= set(ray.nodes()[0]), "resources.py reads them"  # type: ignore[no-untyped-call]


def test_divergence_is_told_and_leaves_no_model(train: Train, nmt_home: Path) -> None:
    with pytest.raises(InputError, match=r"training\.learning_rate=.*training has diverged"):
        train(num_workers=1, learning_rate=1e38, warmup_steps=0)
    assert not [path for path in (nmt_home / "store" / "training").iterdir() if path.is_dir()]


def test_more_workers_than_the_machine_has_is_an_error_at_once(train: Train) -> None:
    with pytest.raises(InputError, match=r"training\.num_workers=4096: 4096 CPUs are needed"):
        train(num_workers=4096, device="cpu")
