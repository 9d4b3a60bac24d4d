"""Peaks of maps, found cell by cell."""

from __future__ import annotations

import pytest
import torch

from cvzoo.parts.heatmap.peaks import peaks


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_peaks_are_the_highest_of_their_window(kernel: int, memory_format: torch.memory_format) -> None:
    torch.manual_seed(kernel)
    logits = torch.randn(2, 3, 8, 9).contiguous(memory_format=memory_format)
    found = peaks(logits, 20, kernel)
    reach = kernel // 2
    for n in range(2):
        highest = {}
        for k in range(3):
            for y in range(8):
                for x in range(9):
                    near = logits[n, k, max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1]
                    if logits[n, k, y, x] == near.max():
                        highest[k, x, y] = float(logits[n, k, y, x].sigmoid())
        best = sorted(highest.items(), key=lambda item: -item[1])[:20]
        for i, ((k, x, y), score) in enumerate(best):
            assert float(found.scores_NP[n, i]) == pytest.approx(score)
            assert (int(found.labels_NP[n, i]), *found.cells_NP2[n, i].tolist()) == (k, x, y)
        assert (found.scores_NP[n, len(best) :] == 0).all()


def test_more_are_asked_for_than_there_are_cells() -> None:
    found = peaks(torch.zeros(1, 2, 2, 3), 100)
    assert found.scores_NP.shape == (1, 12)
    assert (found.scores_NP == 0.5).all(), "equal neighbours are all peaks"
