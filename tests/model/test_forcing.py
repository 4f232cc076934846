import pytest
import torch

from model.dropout import DropoutNoise
from model.forcing import TeacherForcing
from model.seq2seq import Seq2Seq
from tests.model.combinations import SOURCES, TARGETS, make_batch, network, products

EVERYWHERE = torch.arange(400)
DECODERS = {
    "fixed": next(products(attention=("none",), layers=(2,))),
    "peeky": next(products(attention=("none",), peeky=(True,), cell=("gru",))),
    "luong": next(products(attention=("dot",), coverage=(True,), layers=(2,))),
    "feeding": next(products(attention=("mlp",), input_feeding=(True,), layers=(2,), local_window=(2,))),
    "bahdanau": next(products(attention=("concat",), decoder=("bahdanau",), cell=("gru",), layers=(2,))),
    "tied": next(products(attention=("general",), input_feeding=(True,), tied_embeddings=("all",))),
}


@pytest.fixture(params=DECODERS)
def model(request: pytest.FixtureRequest) -> Seq2Seq:
    return network(DECODERS[request.param])


@pytest.mark.parametrize("per", ["step", "sentence"])
def test_a_sentence_gets_the_same_draws_in_any_share_and_however_long_it_is(per: str) -> None:
    rows = torch.tensor([7, 3, 399])
    whole, share = (TeacherForcing(0.5, per, 9, 1, part) for part in (EVERYWHERE, rows))  # type: ignore[arg-type]
    assert torch.equal(whole.draw(6)[rows], share.draw(6))
    assert torch.equal(whole.draw(6)[:, :4], whole.draw(4))


@pytest.mark.parametrize("ratio", [0.0, 0.25, 0.8, 1.0])
@pytest.mark.parametrize("per", ["step", "sentence"])
def test_the_reference_is_fed_as_often_as_the_ratio_says(per: str, ratio: float) -> None:
    draws = TeacherForcing(ratio, per, 4, 1, EVERYWHERE).draw(30)  # type: ignore[arg-type]
    assert draws.shape == (400, 30)
    share = draws.double().mean().item()
    if per == "sentence":
        assert (draws == draws[:, :1]).all()
        assert share == pytest.approx(ratio, abs=0.08)
    else:
        assert share == pytest.approx(ratio, abs=0.02)
        steps = draws.double().mean(0)
        assert (steps - ratio).abs().max() < 0.12, "every position alike"
        both = (draws[:, 1:] & draws[:, :-1]).double().mean().item()
        assert both == pytest.approx(ratio**2, abs=0.02), "independent of the word before"


def test_the_seed_and_the_step_say_what_is_drawn() -> None:
    draws = [TeacherForcing(0.5, "step", *drawn, EVERYWHERE).draw(5) for drawn in ((1, 1), (1, 1), (2, 1), (1, 2))]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert not torch.equal(draws[0], draws[3])


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_word_that_is_not_forced_is_the_likeliest_after_what_was_fed(model: Seq2Seq, seed: int) -> None:
    batch = make_batch()
    forcing = TeacherForcing(0.5, "step", seed, 1, torch.arange(3))
    forced = forcing.draw(batch.target_BT.shape[1] - 1)
    assert forced.any()
    assert not forced.all()
    nll = 0.0
    for row, target in enumerate(TARGETS):
        single = make_batch([SOURCES[row]], [target])
        memory, state = model.encode(single.source_BS, single.source_lengths_B)
        token = single.target_BT[:, 0]
        for place, word in enumerate(target):
            if forced[row, place]:
                token = single.target_BT[:, place]
            logp, state, _ = model.step(token, state, memory)
            nll -= logp[0, word].item()
            token = logp.argmax(dim=1)
    assert model(batch, forcing=forcing).nll.item() == pytest.approx(nll)


def test_forcing_every_word_under_dropout_is_the_fast_path_with_its_gradient(model: Seq2Seq) -> None:
    batch, rows = make_batch(), torch.tensor([4, 0, 2])
    parameters = list(model.parameters())
    results = []
    for forcing in (None, TeacherForcing(1.0, "step", 3, 1, rows)):
        loss = model(batch, DropoutNoise(0.4, 6, 1, rows, model.mask_units), 0.1, forcing)
        results.append((loss.smoothed, loss.nll, *torch.autograd.grad(loss.smoothed, parameters)))
    for slow, fast in zip(*results, strict=True):
        torch.testing.assert_close(slow, fast)


def test_shares_add_up_to_the_whole_with_dropout_and_sampling(model: Seq2Seq) -> None:
    def gradients(rows: list[int]) -> list[torch.Tensor]:
        places = torch.tensor(rows)
        batch = make_batch([SOURCES[row] for row in rows], [TARGETS[row] for row in rows])
        noise = DropoutNoise(0.4, 6, 1, places, model.mask_units)
        loss = model(batch, noise, 0.1, TeacherForcing(0.5, "step", 5, 1, places))
        return [loss.smoothed, *torch.autograd.grad(loss.smoothed, list(model.parameters()))]

    for whole, one, other in zip(gradients([0, 1, 2]), gradients([0, 2]), gradients([1]), strict=True):
        torch.testing.assert_close(whole, one + other)
