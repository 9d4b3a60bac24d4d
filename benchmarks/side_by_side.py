"""torchvision's detectors beside ours: the same networks, random weights and images. The parity tests use it too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
import torchvision.models.detection as tv
from common import DATA
from torch import Tensor, nn
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.ops import FrozenBatchNorm2d
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

from cvzoo.data.coco import CocoDataset
from cvzoo.data.config import Split
from cvzoo.data.shapes import draw
from cvzoo.data.transforms import resize
from cvzoo.loading import read_state
from cvzoo.ops.masks import to_bitmap
from cvzoo.recipes import Recipe
from cvzoo.structures import Batch, Sample, Size, Target
from cvzoo.weights.strict import load_state
from cvzoo.zoo.faster_rcnn import weights as faster_rcnn
from cvzoo.zoo.faster_rcnn.model import FasterRCNN, FasterRCNNConfig
from cvzoo.zoo.fcos import weights as fcos
from cvzoo.zoo.fcos.model import FCOS, FCOSConfig
from cvzoo.zoo.mask_rcnn import weights as mask_rcnn
from cvzoo.zoo.mask_rcnn.model import MaskRCNN, MaskRCNNConfig
from cvzoo.zoo.retinanet import weights as retinanet
from cvzoo.zoo.retinanet.model import RetinaNet, RetinaNetConfig

System = Literal["retinanet", "fcos", "faster_rcnn", "mask_rcnn"]
Version = Literal["v1", "v2"]
"""torchvision's `*_resnet50_fpn`, as it is with its published weights, and `*_resnet50_fpn_v2`; FCOS has no v2."""
Config = RetinaNetConfig | FCOSConfig | FasterRCNNConfig | MaskRCNNConfig
Detector = RetinaNet | FCOS | FasterRCNN | MaskRCNN

COCO = DATA / "coco"
BUILDERS: dict[tuple[System, Version], tuple[Callable[..., nn.Module], Config]] = {
    ("retinanet", "v1"): (tv.retinanet_resnet50_fpn, retinanet.TORCHVISION),
    ("retinanet", "v2"): (tv.retinanet_resnet50_fpn_v2, retinanet.TORCHVISION_V2),
    ("fcos", "v1"): (tv.fcos_resnet50_fpn, fcos.TORCHVISION),
    ("faster_rcnn", "v1"): (tv.fasterrcnn_resnet50_fpn, faster_rcnn.TORCHVISION),
    ("faster_rcnn", "v2"): (tv.fasterrcnn_resnet50_fpn_v2, faster_rcnn.TORCHVISION_V2),
    ("mask_rcnn", "v1"): (tv.maskrcnn_resnet50_fpn, mask_rcnn.TORCHVISION),
    ("mask_rcnn", "v2"): (tv.maskrcnn_resnet50_fpn_v2, mask_rcnn.TORCHVISION_V2),
}
SCORES: dict[System, str] = {
    "retinanet": "head.classification_head.cls_logits",
    "fcos": "head.classification_head.cls_logits",
    "faster_rcnn": "roi_heads.box_predictor.cls_score",
    "mask_rcnn": "roi_heads.box_predictor.cls_score",
}
"""torchvision's layer that scores the classes."""
BACKGROUND: dict[System, int] = {"retinanet": 0, "fcos": 0, "faster_rcnn": 1, "mask_rcnn": 1}
"""torchvision's labels before the first class: R-CNNs number the background 0."""
SPREADS: dict[System, float] = {"retinanet": 0.5, "fcos": 0.7, "faster_rcnn": 2.0, "mask_rcnn": 2.0}
"""Of the class scores of random weights. Of the millions that a dense detector has some 5000 shall pass."""


def torchvision_model(system: System, version: Version = "v1", **options: Any) -> tuple[nn.Module, Config]:
    """torchvision's model with random weights, built with `options`, and our config of the same network."""
    build, config = BUILDERS[system, version]
    theirs = build(weights=None, weights_backbone=None, **options)
    if version == "v1":  # without weights torchvision would train the norms of the backbone
        theirs.backbone = _frozen_backbone(system)
    return theirs, config


def _frozen_backbone(system: System) -> nn.Module:
    levels: dict[str, Any] = {}
    if system in ("retinanet", "fcos"):
        levels = {"returned_layers": [2, 3, 4], "extra_blocks": LastLevelP6P7(256, 256)}
    backbone = resnet_fpn_backbone(backbone_name="resnet50", weights=None, trainable_layers=3, **levels)
    for module in backbone.modules():
        if isinstance(module, FrozenBatchNorm2d) and system != "fcos":
            module.eps = 0.0  # as torchvision does when it loads COCO_V1
    return backbone


def torchvision_inputs(
    system: System, batch: Batch, class_ids: tuple[int, ...]
) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
    """The batch as torchvision takes it: images in 0..1, its own labels, and masks as (G, H, W) uint8 bitmaps."""
    outputs = {label: output for output, label in enumerate(class_ids) if label >= 0}
    images = [image[:, :h, :w].float() / 255 for image, (h, w) in zip(batch.images, batch.sizes)]
    targets: list[dict[str, Tensor]] = []
    for target, size in zip(batch.targets, batch.sizes):
        labels = [outputs[label] + BACKGROUND[system] for label in target.labels.tolist()]
        masks = {"masks": _bitmaps(target, size)} if system == "mask_rcnn" else {}
        targets.append({"boxes": target.boxes, "labels": torch.tensor(labels), **masks})
    return images, targets


def _bitmaps(target: Target, size: Size) -> Tensor:
    assert target.masks is not None
    return torch.from_numpy(np.stack([to_bitmap(mask, size) for mask in target.masks]))


def spread_scores(theirs: nn.Module, system: System, spread: float, images: list[Tensor]) -> None:
    """Scale the layer that scores classes until its outputs have that standard deviation; leaves eval mode on."""
    scores = theirs.get_submodule(SCORES[system])
    assert isinstance(scores.weight, Tensor)
    seen: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen.append(output)

    handle = scores.register_forward_hook(keep)
    with torch.no_grad():
        theirs.eval()(images)
        scores.weight.mul_(spread / seen[0].std())
    handle.remove()


def pair(system: System, batch: Batch, seed: int = 0) -> tuple[nn.Module, Detector]:
    """torchvision's R-50-FPN with frozen BN and random weights, and ours with the same weights, both in eval mode.

    Scores on `batch` spread, so that there are candidates to sort out; the outputs that stand for no class of COCO
    are silent, as they are once trained.
    """
    torch.manual_seed(seed)
    short, long = sorted(batch.sizes[0])
    theirs, config = torchvision_model(system, min_size=short, max_size=long)  # which leaves the image as it is
    for module in theirs.modules():
        if isinstance(module, FrozenBatchNorm2d):  # activations stay near 1, as trained ones do
            nn.init.constant_(module.weight, 0.5)  # type: ignore[arg-type]
    images, _ = torchvision_inputs(system, batch, config.class_ids)
    spread_scores(theirs, system, SPREADS[system], images)
    _silence_unused(theirs, system, config.class_ids)
    return theirs, with_weights_of(theirs, config).eval()


def with_weights_of(theirs: nn.Module, config: Config) -> Detector:
    """Our network with torchvision's weights, through the importer a user would use."""
    ours = config.build()
    state, _ = read_state(theirs.state_dict(), Recipe(row="a row of none", model=config), "torchvision")
    load_state(ours, state, "torchvision")
    return ours


def _silence_unused(theirs: nn.Module, system: System, class_ids: tuple[int, ...]) -> None:
    bias = theirs.get_submodule(SCORES[system]).bias
    assert isinstance(bias, Tensor)
    silent = [output + BACKGROUND[system] for output, label in enumerate(class_ids) if label < 0]
    bias.data.view(-1, len(class_ids) + BACKGROUND[system])[:, silent] = -20.0


def val_images() -> CocoDataset:
    """COCO's validation images with their polygons."""
    return CocoDataset.open(COCO, Split(images="val", annotations="annotations/instances_val.json"), masks=True)


def sample(size: Size) -> Sample:
    """The validation image with most objects where there is one, else a drawn one, stretched to `size`."""
    if not COCO.exists():
        return draw(*size, objects=8, seed=0, masks=True)
    images = val_images()
    return resize(images[int(images.counts.argmax())], size)


def batch_of(samples: list[Sample], canvas: Size | None = None) -> Batch:
    """A batch whose detections stay in the pixels of the samples."""
    return Batch.collate([replace(sample, original_size=sample.size) for sample in samples], canvas)
