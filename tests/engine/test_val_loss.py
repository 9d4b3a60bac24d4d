"""The loss on the validation split: what it is of, and that measuring it changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from engine.tiny import logged, losses, tiny

from cvzoo.data.build import build_dataset
from cvzoo.data.transforms import eval_resize, resize_label_map
from cvzoo.engine.evaluate import validation_losses
from cvzoo.engine.train import train
from cvzoo.ops.seeds import stream_seed
from cvzoo.structures import Batch

CPU = torch.device("cpu")


@pytest.mark.parametrize("row", ["retinanet_r18_fpn_shapes", "fcn_r18_shapes", "faster_rcnn_r18_fpn_shapes"])
def test_it_is_the_mean_of_the_losses_of_training_over_single_images(tmp_path: Path, row: str) -> None:
    recipe = tiny(tmp_path, row, run__val_loss=True, data__test_short_side=48, model__backbone__norm="batch")
    dataset = build_dataset(recipe.data, "val")
    torch.manual_seed(0)
    model = recipe.model.build()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = validation_losses(model, dataset, recipe, CPU, tmp_path)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    wanted: dict[str, float] = {}
    model.train()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d | torch.nn.Dropout2d | torch.nn.Dropout):
            module.eval()
    for index in range(len(dataset)):
        sample = eval_resize(dataset[index], recipe.data)
        assert sample.size == (48, 48)
        if sample.target.label_map is not None:
            sample.target.label_map = resize_label_map(sample.target.label_map, (48, 48))
        torch.manual_seed(stream_seed(recipe.run.seed, 0))
        for name, loss in model(Batch.collate([sample], recipe.data.canvas)).items():
            wanted[name] = wanted.get(name, 0) + loss.item() / len(dataset)
    assert found == pytest.approx(wanted | {"loss": sum(wanted.values())}, rel=1e-4)


@pytest.mark.usefixtures("inside")
def test_it_is_logged_and_leaves_the_training_alone(tmp_path: Path) -> None:
    with_loss, without = (
        tiny(tmp_path / str(asked), schedule__iterations=4, run__eval_every=2, run__val_loss=asked)
        for asked in (True, False)
    )
    folder = train(with_loss).folder
    assert losses(folder) == losses(train(without).folder)
    seen = {line["iteration"]: line for line in logged(folder) if "val/loss" in line}
    assert list(seen) == [2, 4]
    for line in seen.values():
        assert line["val/loss"] == pytest.approx(sum(line[name] for name in line if name.startswith("val/loss_")))
