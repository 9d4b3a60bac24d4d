"""Heads of two towers."""

from __future__ import annotations

import re

import torch
from torchvision.models import detection
from weights.keys.renamed import check

from cvzoo.weights.keys import dense
from cvzoo.zoo.retinanet.weights import TOWERS


def test_detectron2s_towers_without_norms() -> None:
    check(
        dense.from_detectron2,
        {
            "head.cls_subnet.0.weight": "head.cls_tower.0.conv.weight",
            "head.cls_subnet.6.bias": "head.cls_tower.3.conv.bias",
            "head.bbox_subnet.2.bias": "head.box_tower.1.conv.bias",
            "head.cls_score.weight": "head.cls_out.weight",
            "head.bbox_pred.bias": "head.box_out.bias",
            "head.ctrness.bias": "head.centreness_out.bias",
        },
    )


def test_detectron2s_towers_with_norms() -> None:
    check(
        dense.from_detectron2,
        {
            "head.cls_subnet.0.weight": "head.cls_tower.0.conv.weight",
            "head.cls_subnet.1.weight": "head.cls_tower.0.norm.weight",
            "head.bbox_subnet.3.bias": "head.box_tower.1.conv.bias",
            "head.bbox_subnet.10.bias": "head.box_tower.3.norm.bias",
            "backbone.bottom_up.stem.conv1.weight": "backbone.conv1.weight",
            "backbone.fpn_lateral4.weight": "neck.lateral.1.conv.weight",
        },
    )


def test_mmdetections_heads() -> None:
    """What only one system's head has, its own rules name, before all others."""
    own = ((r"^bbox_head\.retina_cls\.", "head.cls_out."), (r"^bbox_head\.reg_convs\.3\.", "head.last."))
    check(
        lambda state: dense.from_mmdetection(state, *own),
        {
            "neck.lateral_convs.0.conv.weight": "neck.lateral.0.conv.weight",
            "bbox_head.retina_cls.bias": "head.cls_out.bias",
            "bbox_head.conv_reg.bias": "head.box_out.bias",
            "bbox_head.conv_centerness.weight": "head.centreness_out.weight",
            "bbox_head.cls_convs.3.gn.bias": "head.cls_tower.3.norm.bias",
            "bbox_head.reg_convs.0.conv.weight": "head.box_tower.0.conv.weight",
            "bbox_head.reg_convs.3.conv.weight": "head.last.conv.weight",
            "bbox_head.scales.4.scale": "head.scales.4",
            "bbox_head.something": "bbox_head.something",
        },
    )


def test_torchvisions_old_names_are_the_same_model() -> None:
    with torch.device("meta"):
        state = detection.retinanet_resnet50_fpn(weights=None, weights_backbone=None).state_dict()

    def old(key: str) -> str:
        key = re.sub(r"(inner_blocks|layer_blocks)\.(\d)\.0\.", r"\1.\2.", key)
        return re.sub(r"(_head\.conv)\.(\d)\.0\.", lambda m: f"{m[1]}.{2 * int(m[2])}.", key)

    renamed = {old(key): x for key, x in state.items()}
    assert renamed.keys() != state.keys()
    ours = dense.from_torchvision(state, TOWERS)
    assert dense.from_torchvision(renamed, TOWERS).keys() == ours.keys()
    assert not any(key.startswith(("head.classification", "head.regression", "backbone.fpn")) for key in ours)
