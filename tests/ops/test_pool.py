"""Max pooling to half the size."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from cvzoo.ops import pool


@pytest.mark.parametrize(("kernel", "padding"), [(3, 1), (1, 0), (2, 0)])
@pytest.mark.parametrize("size", [(8, 8), (9, 6), (5, 7)])
def test_in_a_graph_of_torch_2_11_it_is_the_same(
    kernel: int, padding: int, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    x = torch.randn(2, 3, *size)
    monkeypatch.setattr(pool, "SPLITS_BY_PARITY", True)
    monkeypatch.setattr(torch.compiler, "is_exporting", lambda: True)
    assert torch.equal(pool.halved(x, kernel, padding), F.max_pool2d(x, kernel, stride=2, padding=padding))
