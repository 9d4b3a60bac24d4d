"""Every row of the zoo goes through the same checks; those of semantic segmentation in test_zoo_semantic.py."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cvzoo.data.shapes import draw
from cvzoo.nn.resnet import ResNetConfig
from cvzoo.ops.masks import decode
from cvzoo.recipes import ROWS
from cvzoo.structures import Batch, Mask, Target
from cvzoo.zoo.retinanet.model import RetinaNet

DETECTORS = [name for name, row in ROWS.items() if row.task != "segmentation"]
PARAMETERS = {  # detectron2's counts, spec two_stage.md 1.14
    "faster_rcnn_r50_c4_1x": 33_791_644,
    "faster_rcnn_r50_fpn_1x": 41_699_936,
    "tridentnet_r50_c4_1x": 33_791_644,
    "retinanet_r50_fpn_1x": 37_915_572,  # torchvision's 34,014,999 has P6 from P5 and 91 classes
    "mask_rcnn_r50_fpn_1x": 44_343_216,
    "cascade_mask_rcnn_r50_fpn_1x": 71_984_926,
    "pspnet_r50_d8_cityscapes": 48_975_494,  # spec segmentation.md, section 1
    "deeplabv3plus_r50_d8_cityscapes": 43_589_878,
    "gcnet_r50_d8_cityscapes": 49_630_215,
}


def narrow(row: str) -> nn.Module:
    """The row's model with few channels and proposals, scoring so low a threshold that there are detections."""
    config = replace(ROWS[row].recipe().model, num_classes=3, class_ids=())
    if getattr(config, "fpn", None) is not None:
        config = replace(config, fpn=replace(config.fpn, channels=16))
    if isinstance(config.backbone, ResNetConfig):
        config = replace(config, backbone=replace(config.backbone, width=8, norm="frozen"))
    if hasattr(config, "box_head"):
        detect = replace(config.box_head.detect, score_threshold=0.01)
        few = {"pre_nms_train": 100, "post_nms_train": 50, "pre_nms_test": 100, "post_nms_test": 50}
        head = replace(config.box_head, fc_channels=16, detect=detect, samples=32)
        config = replace(config, rpn=replace(config.rpn, **few), box_head=head)
    else:
        config = replace(config, tower_convs=1, detect=replace(config.detect, score_threshold=0.001))
    if getattr(config, "mask_head", None) is not None:
        config = replace(config, mask_head=replace(config.mask_head, channels=16))
    return config.build()


def samples(*sizes: tuple[int, int], objects: int = 3) -> list[Any]:
    drawn = [draw(height, width, objects, seed=i, masks=True) for i, (height, width) in enumerate(sizes)]
    return [replace(sample, original_size=sample.size, image_id=i) for i, sample in enumerate(drawn)]


def total(losses: dict[str, Tensor]) -> Tensor:
    return torch.stack(list(losses.values())).sum()


@pytest.mark.parametrize("row", PARAMETERS)
def test_parameter_count_is_the_references(row: str) -> None:
    with torch.device("meta"):
        model = ROWS[row].recipe().model.build()
    assert sum(p.numel() for p in model.parameters()) == PARAMETERS[row]


@pytest.mark.parametrize("row", ROWS)
def test_recipe_carries_the_rows_name_and_says_what_it_is(row: str) -> None:
    assert ROWS[row].recipe().row == row
    assert ROWS[row].recipe.__doc__


@pytest.mark.parametrize("row", DETECTORS)
def test_trains_and_predicts_in_odd_sizes(row: str) -> None:
    model = narrow(row).train()
    batch = Batch.collate(samples((97, 131), (64, 120)))
    losses = model(batch)
    total(losses).backward()
    assert all(loss.isfinite() for loss in losses.values())
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters() if p.requires_grad)
    for prediction, (height, width) in zip(model.eval().predict(batch), batch.original_sizes):  # type: ignore[operator]
        assert (prediction.boxes >= 0).all()
        assert (prediction.boxes <= torch.tensor([width, height, width, height])).all()
        assert (prediction.scores.diff() <= 0).all()
        assert (prediction.labels < 3).all()
        if ROWS[row].task == "instance":
            assert prediction.masks is not None
            assert [mask["size"] for mask in prediction.masks] == [[height, width]] * len(prediction)


@pytest.mark.parametrize("row", DETECTORS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_images_without_objects_and_with_hundreds_train(row: str, dtype: torch.dtype) -> None:
    model = narrow(row).train()
    empty, crowded = samples((96, 96), (96, 96))
    empty.target = replace(Target.empty(), masks=[])
    corner = torch.rand(300, 2) * 80
    boxes = torch.cat([corner, corner + 2 + torch.rand(300, 2) * 14], 1)
    masks: list[Mask] = [[np.array([x1, y1, x2, y1, x2, y2])] for x1, y1, x2, y2 in boxes.double().tolist()]
    crowded.target = Target(boxes, torch.randint(0, 3, (300,)), masks)
    for batch in (Batch.collate([empty]), Batch.collate([empty, crowded])):
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            losses = model(batch)
        total(losses).backward()
        assert all(loss.isfinite() for loss in losses.values())
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("row", DETECTORS)
def test_predictions_do_not_depend_on_the_batch(row: str) -> None:
    model = narrow(row).eval()
    images = samples((96, 128), (80, 100), (64, 64), objects=4)
    canvas = (96, 128)
    together = model.predict(Batch.collate(images, canvas))  # type: ignore[operator]
    for image, found in zip(images, together):
        (alone,) = model.predict(Batch.collate([image], canvas))  # type: ignore[operator]
        assert len(alone) == len(found) > 0
        torch.testing.assert_close(alone.scores, found.scores, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(alone.boxes, found.boxes, atol=1e-2, rtol=1e-4)
        if found.masks is not None:
            one, other = ([decode(mask, image.size) for mask in masks] for masks in (alone.masks, found.masks))
            assert np.mean(np.stack(one) != np.stack(other)) < 1e-3


@pytest.mark.parametrize("row", DETECTORS)
def test_losses_of_a_batch_are_the_mean_of_its_images(row: str) -> None:
    """Where the normaliser allows it: RetinaNet's per image; the RPN's fixed one. Others see one image twice."""
    model = narrow(row).train()
    images = samples((96, 96), (96, 96))
    if isinstance(model, RetinaNet):
        model.config = replace(model.config, normaliser="image")
    elif hasattr(model, "head"):  # divided by what is in the whole batch: by the same, where its images are the same
        images = [images[0]] * 2
    names = [name for name in model(Batch.collate(images)) if hasattr(model, "head") or "rpn" in name]
    whole = model(Batch.collate(images))
    parts = [model(Batch.collate([image])) for image in images]
    for name in names:
        mean = torch.stack([part[name] for part in parts]).mean()
        torch.testing.assert_close(whole[name], mean, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("row", DETECTORS)
def test_inference_model_is_equal_and_leaves_the_model_alone(row: str) -> None:
    model = narrow(row).eval()
    for module in model.modules():
        if hasattr(module, "running_var"):
            module.running_var.uniform_(0.5, 2)  # type: ignore[operator,union-attr]
            module.running_mean.uniform_(-0.5, 0.5)  # type: ignore[operator,union-attr]
    before = {key: value.clone() for key, value in model.state_dict().items()}
    batch = Batch.collate(samples((96, 128)))
    (plain,) = model.predict(batch)  # type: ignore[operator]
    (fast,) = model.for_inference().predict(batch)  # type: ignore[operator]
    count = min(len(plain), len(fast))
    torch.testing.assert_close(plain.scores[:count], fast.scores[:count], atol=1e-4, rtol=1e-3)
    assert abs(len(plain) - len(fast)) <= 1
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("row", [row for row in DETECTORS if row.endswith("_shapes")])
def test_overfits_four_drawn_images(row: str) -> None:
    torch.manual_seed(1)
    recipe = ROWS[row].recipe()
    config = replace(recipe.model, backbone=replace(recipe.model.backbone, width=recipe.model.backbone.width // 2))
    model = config.build().train()
    batch = Batch.collate(samples(*[(96, 96)] * 4))
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3)
    first = last = None
    for _ in range(25 if getattr(config, "fpn", None) else 60):  # on C4 all levels of scale share one map: slower
        loss = total(model(batch))
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 10)
        optimiser.step()
        first, last = first or loss.item(), loss.item()
    assert last < 0.5 * first  # type: ignore[operator]


@pytest.mark.gpu
@pytest.mark.parametrize("row", DETECTORS)
def test_cuda_gives_what_the_cpu_gives(row: str) -> None:
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    model = narrow(row).eval()
    batch = Batch.collate(samples((96, 128), (80, 100)))
    expected = model.predict(batch)  # type: ignore[operator]
    found = model.cuda().predict(batch.to("cuda"))  # type: ignore[operator]
    for mine, other in zip(found, expected):
        count = min(len(mine), len(other))
        torch.testing.assert_close(mine.scores[:count].cpu(), other.scores[:count], atol=1e-3, rtol=1e-3)
    losses = model.train()(batch.to("cuda"))
    total(losses).backward()
    assert all(loss.isfinite() for loss in losses.values())
