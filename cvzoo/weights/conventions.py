"""What toolboxes mean by the same network: their bodies, pixels and class numbers; and how a row's sizes enter.

Sources: torchvision 0.29 `models/`; detectron2 0.6 `configs/`; mmdetection 3 `configs/_base_/models/`; mmsegmentation
1.2.2 `configs/_base_/models/`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from cvzoo.data.class_names import COCO_IDS
from cvzoo.nn.bodies import BodyConfig
from cvzoo.nn.pixels import CAFFE, CAFFE2
from cvzoo.nn.resnet import BLOCKS, ResNetConfig
from cvzoo.weights.class_count import with_classes_of
from cvzoo.weights.shapes import body_in, heads_in

LAST_COCO_ID = COCO_IDS[-1]

TORCHVISION_BODY = ResNetConfig(norm_eps=0.0)
"""torchvision sets eps to 0 when it loads COCO_V1 weights: they were trained when its frozen norm ignored eps."""
CAFFE_BODY = ResNetConfig(stride_in_1x1=True)
"""The MSRA ResNets detectron2 starts from."""
CAFFE_C4 = replace(CAFFE, divisor=1)
"""Their pixels where no pyramid asks for padding."""
MMDETECTION_BODY = ResNetConfig(norm="affine")

BODY_CONVENTIONS = ("stride_in_1x1", "norm", "norm_eps", "frozen_stages", "output_stride", "contract_dilation")
"""Of a backbone these options are the toolbox's; how large it is, its weights tell, and all others are the row's."""
OWN_OPTIONS = {
    "fpn": ("norm_groups",),
    "box_head": ("conv_norm_groups",),
    "mask_head": ("conv_norm_groups",),
}
"""Of each part of a model the options that are the row's, since no shape tells them."""
OF_DETECTIONS = ("score_threshold", "detections")
"""Of an R-CNN these are the row's, whoever trained the weights: its data decide it, as LVIS, which counts 300."""


def coco_classes(first_output: int) -> tuple[int, ...]:
    """`class_ids` of a network with one output per COCO category id, from `first_output` to 90."""
    return tuple(COCO_IDS.index(i) if i in COCO_IDS else -1 for i in range(first_output, LAST_COCO_ID + 1))


def torchvision_body(state: Mapping[str, Tensor], published: ResNetConfig) -> ResNetConfig:
    """Norms that count batches were not frozen: a torchvision model that did not start from ImageNet."""
    trained = "backbone.bn1.num_batches_tracked" in state
    return replace(published, norm="batch", norm_eps=1e-5) if trained else published


def as_begun(convention: Any, state: Mapping[str, Tensor], row: Any) -> Any:
    """detectron2's convention for what a state's body has begun from: the MSRA's ResNets, else Caffe2's.

    ResNeXts and bodies with group norms are Caffe2's, whose pixels are divided for `X_101_32x8d` alone. Norms that
    count batches were trained.
    """
    body = body_in(state, row.backbone)
    if not isinstance(body, ResNetConfig):
        return convention
    if "backbone.layer1.0.bn1.num_batches_tracked" in state:
        convention = replace(convention, backbone=replace(convention.backbone, norm="batch"))
    if body.groups == 1 and body.norm != "group":
        return convention
    std = CAFFE2.std if body.groups > 1 and body.depth == 101 else convention.pixels.std
    pixels = replace(convention.pixels, std=std)
    return replace(convention, backbone=replace(convention.backbone, stride_in_1x1=False), pixels=pixels)


def fitted(convention: Any, state: Mapping[str, Tensor], row: Any, own: tuple[str, ...] = ()) -> Any:
    """The toolbox's convention for a detector, as large and with as many outputs as the state's.

    `own` names options that are the row's, since no file tells them.
    """
    fitting: dict[str, Any] = {"backbone": fitted_body(convention.backbone, row.backbone, state)}
    if hasattr(row, "tower_norm_groups"):
        fitting["tower_norm_groups"] = row.tower_norm_groups
    for name, options in OWN_OPTIONS.items():
        part, of_row = getattr(convention, name, None), getattr(row, name, None)
        if part is not None and of_row is not None:
            fitting[name] = _with(part, of_row, options)
    if "box_head" in fitting:
        detect = _with(convention.box_head.detect, row.box_head.detect, OF_DETECTIONS)
        fitting["box_head"] = replace(fitting["box_head"], detect=detect)
    config = replace(convention, **fitting, **{name: getattr(row, name) for name in own})
    return with_classes_of(state, heads_in(state, config))


def _with(part: Any, of_row: Any, options: tuple[str, ...]) -> Any:
    """A part of a convention with these options of the row's."""
    return replace(part, **{option: getattr(of_row, option) for option in options})


def counting_from_one(config: Any) -> Any:
    """torchvision's output 0 is the background, which its dense detectors score, too, in vain."""
    if config.class_ids:
        return config
    return replace(config, class_ids=tuple(range(-1, config.num_classes - 1)))


def fitted_body(convention: BodyConfig, row: BodyConfig, state: Mapping[str, Tensor]) -> BodyConfig:
    """The row's kind of backbone, as large as the state's, with the toolbox's conventions."""
    if not isinstance(row, ResNetConfig) or not isinstance(convention, ResNetConfig):
        return row
    found = replace(row, **{name: getattr(convention, name) for name in BODY_CONVENTIONS}, multi_grid=())
    found = body_in(state, found)
    assert isinstance(found, ResNetConfig)
    fits = len(convention.multi_grid) == BLOCKS[found.depth][-1]
    return replace(found, multi_grid=convention.multi_grid) if fits else found
