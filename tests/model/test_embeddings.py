import pytest
import torch

from model.embeddings import look_up


@pytest.mark.parametrize("shared", [False, True])
def test_rows_and_gradient_are_those_of_embeddings_and_the_output_layer(shared: bool) -> None:
    torch.manual_seed(6)
    table = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    first, second = torch.tensor([[4, 1, 1], [0, 4, 2]]), torch.tensor([[1], [4]])

    def loss(projection: torch.Tensor, *rows: torch.Tensor) -> torch.Tensor:
        output = (rows[0] @ projection.T).tanh().sum() if shared else rows[0].tanh().sum()
        return output + rows[1].square().sum()

    actual = loss(*look_up(table, first, second))
    expected = loss(table, torch.nn.functional.embedding(first, table), torch.nn.functional.embedding(second, table))
    torch.testing.assert_close(actual, expected)
    gradients = [torch.autograd.grad(value, table)[0] for value in (actual, expected)]
    torch.testing.assert_close(*gradients)


def test_a_table_of_which_no_row_is_wanted_has_no_gradient() -> None:
    table = torch.ones(2, 2, requires_grad=True)
    shared, _ = look_up(table, torch.tensor([1]))
    shared.sum().backward()  # type: ignore[no-untyped-call]
    assert table.grad is not None
    assert table.grad.tolist() == [[1, 1], [1, 1]]


def test_a_gpus_sum_in_one_order_is_that_of_a_cpu() -> None:
    torch.manual_seed(3)
    index, rows = torch.randint(0, 6, (4, 5)), torch.randn(4, 5, 3, dtype=torch.float64)
    summed = torch.ops.aten.embedding_dense_backward(rows, index, 6, -1, False)
    expected = torch.zeros(6, 3, dtype=torch.float64).index_add_(0, index.flatten(), rows.flatten(0, 1))
    torch.testing.assert_close(summed, expected)
