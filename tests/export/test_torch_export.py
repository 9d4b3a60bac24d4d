"""Files of torch.export."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import torch
from export.pairs import RETINANET
from torch import Tensor, nn
from zoo.systems import narrow

from cvzoo.export.export import facts_of
from cvzoo.export.formats import write
from cvzoo.loading import Loaded
from cvzoo.runtime.formats import open_exported

THREADS = 4


class Firsts(nn.Module):
    """The first channel as labels."""

    def forward(self, images: Tensor, sizes: Tensor) -> dict[str, Tensor]:
        return {"labels": images[:, 0] + 0 * sizes.sum().to(torch.uint8)}


def test_several_may_be_opened_at_once(tmp_path: Path) -> None:
    """PyTorch's reader is one for all threads, and refuses a second file."""
    recipe = narrow(RETINANET)
    model = recipe.model.build()
    file, image = tmp_path / "model.pt2", torch.randint(0, 256, (1, 3, 32, 32), dtype=torch.uint8)
    inputs = image, torch.tensor([[32, 32]])
    write(torch.export.export(Firsts(), inputs), facts_of(Loaded(model, recipe, {}), model), file, "torch_export")
    together = Barrier(THREADS)

    def ask(_: int) -> Tensor:
        together.wait()
        run = open_exported(file)[1]
        return run(*inputs)["labels"]

    with ThreadPoolExecutor(THREADS) as pool:
        for labels in pool.map(ask, range(THREADS)):
            assert torch.equal(labels, image[:, 0])
