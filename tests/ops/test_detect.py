"""The pairs of candidate and class that go on to NMS."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cvzoo.ops.detect import best_pairs

# few different values, so that many tie with each other and with the threshold
value = st.one_of(st.sampled_from([-1.0, 0.0, 0.25, 0.5, 1.0]), st.floats(-2, 2, width=32))


@settings(max_examples=100)
@given(st.data(), st.integers(0, 12), st.integers(1, 4), st.sampled_from([-1.0, 0.0, 0.25, 0.5]), st.integers(1, 20))
def test_best_pairs_are_those_of_a_full_sort(
    data: st.DataObject, rows: int, classes: int, above: float, count: int
) -> None:
    values = [[data.draw(value) for _ in range(classes)] for _ in range(rows)]
    row, column = best_pairs(torch.tensor(values).view(rows, classes), above, count)
    pairs = list(zip(row.tolist(), column.tolist()))
    over = sorted((v for line in values for v in line if v > above), reverse=True)
    assert len(set(pairs)) == len(pairs)
    assert sorted((values[r][c] for r, c in pairs), reverse=True) == over[:count]


def test_a_value_on_the_threshold_is_not_above_it() -> None:
    values = torch.tensor([[0.5, 0.5 + 1e-6], [0.5 - 1e-6, 0.5]])
    row, column = best_pairs(values, 0.5, 10)
    assert (row.tolist(), column.tolist()) == ([0], [1])


def test_of_ties_only_as_many_as_have_room() -> None:
    row, column = best_pairs(torch.tensor([[0.9, 0.7, 0.7], [0.7, 0.7, 0.1]]), 0.2, 3)
    assert len(row) == 3
    assert (0, 0) in set(zip(row.tolist(), column.tolist()))
    assert (1, 2) not in set(zip(row.tolist(), column.tolist()))


@pytest.mark.parametrize("shape", [(0, 3), (5, 3)])
def test_nothing_above_the_threshold(shape: tuple[int, int]) -> None:
    row, column = best_pairs(torch.zeros(shape), 0.05, 10)
    assert (len(row), len(column)) == (0, 0)
    assert row.dtype == column.dtype == torch.int64


def test_not_a_number_is_no_detection() -> None:
    row, _ = best_pairs(torch.tensor([[float("nan"), 0.1], [0.3, 0.2]]), 0.15, 1)
    assert row.tolist() == [1]
