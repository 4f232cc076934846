"""Padding of token rows."""

import numpy as np
import torch

from model.seq2seq import SPECIAL_TOKENS
from pipeline.batches.collate import Ragged, collate


def test_rows_are_padded_at_the_end_and_targets_start_with_start() -> None:
    source, target = Ragged.of_rows([[5, 3], [6, 7, 3], [8, 3]]), Ragged.of_rows([[9, 3], [3], [10, 11, 3]])
    batch = collate(source, target, np.array([2, 0]), SPECIAL_TOKENS, torch.device("cpu"))
    assert batch.source_BS.tolist() == [[8, 3], [5, 3]]
    assert batch.source_lengths_B.tolist() == [2, 2]
    assert batch.target_BT.tolist() == [[2, 10, 11, 3], [2, 9, 3, 0]]


def test_no_rows_at_all() -> None:
    empty = Ragged.of_rows([])
    assert empty.lengths.size == 0
    assert empty.pad(np.array([], dtype=np.int64), 0).shape == (0, 0)
