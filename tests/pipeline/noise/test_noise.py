"""Pairs of a corpus with noise: what is asked for, the same however it is computed, and never too long."""

from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.batches.collate import Ragged
from pipeline.batches.plan import Lengths, padding_share, plan_epoch
from pipeline.corpus.captions import generate_pairs
from pipeline.data_config import BatchingConfig
from pipeline.inference.sentencepiece_internals import model_message
from pipeline.inference.subwords import Subwords, learn_pieces
from pipeline.noise.noise import Noise
from pipeline.noise_config import NoiseConfig
from pipeline.training.worker import TrainingData, WorkerInfo, make_epochs

PAIRS = [
    (f"{german[:-1]} <b>." if row % 3 == 0 else german, english)
    for row, (german, english) in enumerate(generate_pairs(400, 1))
]
MANY: dict[str, Any] = {
    "upper_case": 0.1, "title_case": 0.1, "typos": 0.2, "no_final_punctuation": 0.3, "joined": 0.2,
    "subword_sampling": "both",
}  # fmt: skip
LONGEST = 60
CAPITALS = ["ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÜ ж"] * 5


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> TrainingData:
    return encoded("unigram", tmp_path_factory.mktemp("unigram"))


@pytest.fixture(scope="module", params=["unigram", "bpe"])
def either(
    request: pytest.FixtureRequest, data: TrainingData, tmp_path_factory: pytest.TempPathFactory
) -> TrainingData:
    """Data of a tokenizer of either kind."""
    return data if request.param == "unigram" else encoded("bpe", tmp_path_factory.mktemp("bpe"))


def encoded(kind: Any, folder: Path) -> TrainingData:
    """Return the pairs as a worker has them."""
    model = learn_pieces(
        chain(*PAIRS, CAPITALS), 400, kind, byte_fallback=False, character_coverage=1.0, user_symbols=["<b>"]
    )
    for name in ("source.model", "target.model"):
        (folder / name).write_bytes(model)
    (folder / "user_symbols.json").write_text('["<b>"]')
    subwords = Subwords(folder)
    source = subwords.encode_source([german for german, _ in PAIRS])
    target = subwords.encode_target([english for _, english in PAIRS])
    kept = [rows for rows in zip(source, target, strict=True) if max(map(len, rows)) <= LONGEST]
    sides = (Ragged.of_rows([rows[0] for rows in kept]), Ragged.of_rows([rows[1] for rows in kept]))
    return TrainingData(sides, sides, [], subwords)


def noise(data: TrainingData, seed: int = 1, longest: int = LONGEST, **config: Any) -> Noise:
    return Noise(NoiseConfig(**config), seed, longest, data.subwords)


def texts(data: TrainingData, made: tuple[Ragged, Ragged]) -> list[tuple[str, str]]:
    """Return the pairs that rows spell."""
    decoded = [
        [pieces.decode(side.row(row)[:-1].tolist()) for row in range(side.lengths.size)]
        for pieces, side in zip(data.subwords.pieces, made, strict=True)
    ]
    return list(zip(*decoded, strict=True))


def everything(data: TrainingData, made: Noise, epoch: int = 0) -> list[tuple[str, str]]:
    return texts(data, made.apply(data.train, epoch, np.arange(data.train[0].lengths.size)))


def as_lists(made: tuple[Ragged, Ragged]) -> list[list[int]]:
    return [column.tolist() for side in made for column in (side.values, side.offsets)]


def test_a_pair_becomes_the_same_in_any_company_and_order(either: TrainingData) -> None:
    count = either.train[0].lengths.size
    together = noise(either, **MANY).apply(either.train, 3, np.arange(count))
    shuffled = np.random.default_rng(1).permutation(count)
    other, made = noise(either, **MANY), [np.array([], dtype=np.int64)] * count
    for pairs in np.array_split(shuffled, 50):
        sides = other.apply(either.train, 3, pairs)
        for place, pair in enumerate(pairs.tolist()):
            made[pair] = np.concatenate([side.row(place) for side in sides])
    rows = [np.concatenate([side.row(pair) for side in together]) for pair in range(count)]
    assert [row.tolist() for row in made] == [row.tolist() for row in rows]


def test_epochs_and_seeds_differ(data: TrainingData) -> None:
    made = [everything(data, noise(data, seed, typos=0.5), epoch) for seed, epoch in [(1, 0), (1, 1), (2, 0), (1, 0)]]
    assert made[0] != made[1] != made[2] != made[0] == made[3]


@pytest.mark.parametrize("share", [0.25, 1.0])
def test_each_kind_has_its_share_and_its_effect(data: TrainingData, share: float) -> None:
    before = texts(data, data.train)
    few = 0.01 + 4 * (share * (1 - share) / len(before)) ** 0.5 + 1e-9

    def changed(kind: str) -> list[tuple[tuple[str, str], tuple[str, str]]]:
        config: dict[str, Any] = {kind: share}
        after = everything(data, noise(data, longest=300, **config))
        found = [pairs for pairs in zip(before, after, strict=True) if pairs[0] != pairs[1]]
        assert all("<b>" in new[0] for old, new in found if "<b>" in old[0])
        assert abs(len(found) / len(before) - share) <= few  # A café has a capital that no model here knows.
        return found

    for old, new in changed("upper_case"):
        assert new == tuple(text.upper().replace("<B>", "<b>") for text in old)
    for old, new in changed("title_case"):
        assert all(word[0] == word[0].upper() or word == "<b>" for text in new for word in text.split())
        assert [text.lower() for text in new] == [text.lower() for text in old]
    for old, new in changed("no_final_punctuation"):
        assert new == tuple(text.rstrip(".!?") for text in old)
    for old, new in changed("typos"):
        assert new[1] == old[1]
        assert abs(len(new[0]) - len(old[0])) <= len(old[0].split())
    known = set(before)
    for old, new in changed("joined"):
        assert [text.startswith(f"{was} ") for was, text in zip(old, new, strict=True)] == [True, True]
        assert (new[0][len(old[0]) + 1 :], new[1][len(old[1]) + 1 :]) in known


@pytest.mark.parametrize("side", ["source", "target", "both"])
def test_sampling_changes_the_pieces_of_its_side_and_no_text(either: TrainingData, side: str) -> None:
    made = noise(either, subword_sampling=side, bpe_dropout=0.3).apply(either.train, 0, np.arange(300))
    assert texts(either, made) == texts(either, either.train)[:300]
    longer = [new.values.size > 1.1 * old.offsets[300] for old, new in zip(either.train, made, strict=True)]
    assert longer == [side in ("source", "both"), side in ("target", "both")]


def test_no_row_is_longer_than_allowed(data: TrainingData) -> None:
    config = {**MANY, "upper_case": 0.5, "joined": 1.0, "sampling_alpha": 0.0, "bpe_dropout": 0.5}
    sides = noise(data, **config).apply(data.train, 0, np.arange(data.train[0].lengths.size))
    assert LONGEST - 5 < max(side.lengths.max() for side in sides) <= LONGEST


@pytest.mark.parametrize("config", [{}, MANY])
def test_batches_are_the_same_on_any_number_of_workers_and_after_a_resume(
    data: TrainingData, config: dict[str, Any]
) -> None:
    """With noise and without; without, they are those of the stored rows."""
    batching = BatchingConfig(tokens=1500, max_length=LONGEST)

    def steps(rank: int = 0, size: int = 1, first: int = 0) -> list[dict[int, tuple[list[int], list[int]]]]:
        epochs = make_epochs(data, batching, 1, WorkerInfo(rank, size), NoiseConfig(**config))
        return [rows_of(shares) for shares in epochs.steps(1, first)]

    alone = steps()
    assert steps(first=7) == alone[7:]
    assert [{**one, **two} for one, two in zip(steps(0, 2), steps(1, 2), strict=True)] == alone
    if not config:
        lengths = Lengths(data.train[0].lengths, data.train[1].lengths)
        for batch, made in zip(plan_epoch(lengths, 1500, batching.max_padding, 1, 1), alone, strict=True):
            for row, pair in enumerate(batch.tolist()):
                assert made[row] == tuple(side.row(pair).tolist() for side in data.train)


def rows_of(shares: list[Any]) -> dict[int, tuple[list[int], list[int]]]:
    """Return both sides of each row of a step, without padding."""
    found = {}
    for share in shares:
        for row, source, target in zip(share.rows, share.batch.source_BS, share.batch.target_BT, strict=True):
            found[int(row)] = (source[source != 0].tolist(), target[target != 0].tolist()[1:])
        assert share.tokens == int((share.batch.target_BT[:, 1:] != 0).sum())
    return found


def test_a_gpu_gets_the_batches_of_a_cpu_with_the_next_epoch_made_by_a_thread(
    data: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.training.worker.pinned", lambda steps: steps)
    config, batching = NoiseConfig(**MANY), BatchingConfig(tokens=1500, max_length=LONGEST)
    on_cpu = make_epochs(data, batching, 1, WorkerInfo(), config)
    on_gpu = make_epochs(data, batching, 1, WorkerInfo(device=torch.device("meta")), config)
    for epoch in (0, 1, 0):  # Meta tensors have sizes, and nothing in them.
        shapes = [
            [[(s.batch.source_BS.shape, s.batch.target_BT.shape, s.tokens) for s in shares] for shares in steps]
            for steps in (on_cpu.steps(epoch, 0), on_gpu.steps(epoch, 0))
        ]
        assert shapes[0] == shapes[1]
        assert on_cpu.tokens(epoch) == on_gpu.tokens(epoch)


def test_a_large_corpus_is_planned_with_estimates_and_gets_the_same_rows(
    either: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = noise(either, **MANY).epoch(either.train, 0)
    monkeypatch.setattr("pipeline.noise.noise.PAIRS_AT_ONCE", 150)
    streamed = noise(either, **MANY).epoch(either.train, 0)
    pairs = np.arange(100, 300)
    assert as_lists(streamed.rows(pairs)) == as_lists(whole.rows(pairs))
    for estimates, exact in [
        (streamed.lengths.source, whole.lengths.source),
        (streamed.lengths.target, whole.lengths.target),
    ]:
        assert estimates.mean() == pytest.approx(exact.mean(), rel=0.1)
        assert np.corrcoef(estimates, exact)[0, 1] > 0.9


def test_noise_does_not_pad(data: TrainingData) -> None:
    """Pairs that noise makes longer are put in batches with others that are as long."""
    made = noise(data, upper_case=0.1, joined=0.2).epoch(data.train, 0)
    stored = Lengths(data.train[0].lengths, data.train[1].lengths)
    with_noise, without = (plan_epoch(lengths, 1500, 0.02, 1, 0) for lengths in (made.lengths, stored))
    assert padding_share(with_noise, made.lengths) < 0.15
    assert padding_share(without, made.lengths) > 0.3


def test_a_share_that_noise_makes_too_large_is_computed_in_parts(data: TrainingData) -> None:
    batching = BatchingConfig(tokens=1500, max_length=LONGEST, worker_tokens=400)
    epochs = make_epochs(data, batching, 1, WorkerInfo(), NoiseConfig(**MANY))
    for shares in epochs.steps(0, 0):
        rows = [share.rows for share in shares]
        assert sum(map(len, rows)) == len(set(chain(*(part.tolist() for part in rows))))
        assert all(s.batch.source_BS.numel() + s.batch.target_BT.numel() <= 600 for s in shares)


def test_unknown_characters_survive_as_unknown(data: TrainingData) -> None:
    pieces = data.subwords.pieces[0]
    row = data.subwords.encode_source(["Ein Ωmega Hund geht."])[0]
    assert 1 in row
    assert pieces.encode(pieces.decode(row[:-1])) == row
    sides = (Ragged.of_rows([row]), Ragged.of_rows([row]))
    made = noise(data, upper_case=1.0).apply(sides, 0, np.arange(1))
    assert made[0].values.tolist().count(1) == 1
    assert made[0].values.size > len(row)


def test_a_target_never_becomes_unknown(data: TrainingData) -> None:
    """A model would learn to say <unk>: such a pair stays as it is. A source may, as it will when it is translated."""
    sources = data.subwords.encode_source(["ein Hund", "ein ж"])
    targets = data.subwords.encode_target(["a ж", "a dog"])
    before = (Ragged.of_rows(sources), Ragged.of_rows(targets))
    assert not (before[0].values == 1).any()
    after = noise(data, upper_case=1.0).apply(before, 0, np.arange(2))
    assert texts(data, after)[0] == ("ein Hund", "a ж")
    assert texts(data, after)[1][1] == "A DOG"
    assert after[0].values.tolist().count(1) == 1


def test_bytes_and_models_without_a_blank_before_sentences(tmp_path: Path) -> None:
    lines = [*chain(*PAIRS)]
    model = learn_pieces(lines, 600, "unigram", byte_fallback=True, character_coverage=1.0)
    pieces = Subwords(folder_of(tmp_path / "bytes", model)).pieces[0]
    row = pieces.encode("Ein Ωmega Hund")
    assert pieces.encode(pieces.decode(row[:-1])) == row
    proto = model_message().FromString(model)
    proto.normalizer_spec.add_dummy_prefix = False
    subwords = Subwords(folder_of(tmp_path / "bare", proto.SerializeToString()))
    rows = Ragged.of_rows(subwords.encode_source(["ein Hund", "zwei Katzen"]))
    made = Noise(NoiseConfig(joined=1.0), 1, 50, subwords).apply((rows, rows), 0, np.arange(2))
    spelled = [subwords.pieces[0].decode(made[0].row(row)[:-1].tolist()) for row in (0, 1)]
    assert spelled == ["ein Hund zwei Katzen", "zwei Katzen ein Hund"]


def folder_of(folder: Path, model: bytes) -> Path:
    """Write a tokenizer of one model for both sides."""
    folder.mkdir()
    for name in ("source.model", "target.model"):
        (folder / name).write_bytes(model)
    return folder
