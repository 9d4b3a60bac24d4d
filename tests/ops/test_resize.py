"""How maps are enlarged."""

import torch
import torch.nn.functional as F

from cvzoo.ops.resize import enlarged


def test_an_enlarged_map_has_the_nearest_cells_in_the_dtype_of_the_map() -> None:
    x = torch.rand(2, 3, 4, 5)
    expected = F.interpolate(x, size=(7, 10), mode="nearest")
    assert torch.equal(enlarged(x, (7, 10)), expected)
    half = x.bfloat16()
    with torch.autocast("cpu"):
        found = enlarged(half, (7, 10))
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, F.interpolate(half, size=(7, 10), mode="nearest"))
