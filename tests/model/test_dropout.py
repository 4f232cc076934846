import torch

from model.dropout import DropoutNoise, drop


def noise(rows: list[int]) -> DropoutNoise:
    return DropoutNoise(0.4, seed=11, rows=torch.tensor(rows), global_size=6)


def test_a_sentence_gets_the_same_masks_in_any_share() -> None:
    whole, share = noise([0, 1, 2, 3, 4, 5]), noise([1, 4])
    for units in (7, 3):
        torch.testing.assert_close(
            whole.mask(torch.ones(6, 1, units))[[1, 4]], share.mask(torch.ones(2, 1, units)), rtol=0, atol=0
        )


def test_one_mask_a_sentence_and_the_expectation_is_kept() -> None:
    values = torch.ones(2000, 3, 50)
    dropped = drop(values, DropoutNoise(0.4, 3, torch.arange(2000), 2000))
    assert (dropped == dropped[:, :1]).all()
    assert set(dropped.flatten().tolist()) == {0.0, torch.tensor(1 / 0.6).item()}
    assert abs(dropped.mean().item() - 1) < 0.02


def test_no_noise_no_change() -> None:
    values = torch.randn(2, 3, 4)
    assert drop(values, None) is values
