"""First stage, box heads, mask heads."""

from __future__ import annotations

import re

import torch
from torchvision.models import detection
from weights.keys.renamed import check

from cvzoo.weights.keys import rcnn


def test_detectron2s_heads() -> None:
    """One convolution in the first stage; layers count from 1."""
    check(
        rcnn.from_detectron2,
        {
            "proposal_generator.rpn_head.conv.weight": "rpn.tower.0.conv.weight",
            "proposal_generator.rpn_head.objectness_logits.bias": "rpn.objectness.bias",
            "proposal_generator.rpn_head.anchor_deltas.bias": "rpn.deltas.bias",
            "roi_heads.box_head.conv2.norm.bias": "box_head.convs.1.norm.bias",
            "roi_heads.box_head.fc1.weight": "box_head.fcs.0.weight",
            "roi_heads.box_predictor.cls_score.bias": "box_head.cls_out.bias",
            "roi_heads.mask_head.mask_fcn2.norm.bias": "mask_head.convs.1.norm.bias",
            "roi_heads.mask_head.deconv.weight": "mask_head.upsample.weight",
            "roi_heads.mask_head.predictor.bias": "mask_head.out.bias",
        },
    )


def test_detectron2s_first_stage_of_several_convolutions() -> None:
    check(
        rcnn.from_detectron2,
        {
            "proposal_generator.rpn_head.conv.conv0.bias": "rpn.tower.0.conv.bias",
            "proposal_generator.rpn_head.conv.conv1.weight": "rpn.tower.1.conv.weight",
        },
    )


def test_detectron2s_cascade_has_one_mask_head() -> None:
    check(
        rcnn.from_detectron2,
        {
            "backbone.bottom_up.stem.conv1.weight": "backbone.conv1.weight",
            "roi_heads.box_head.2.fc2.weight": "box_heads.2.fcs.1.weight",
            "roi_heads.box_head.1.conv4.norm.weight": "box_heads.1.convs.3.norm.weight",
            "roi_heads.box_predictor.0.bbox_pred.weight": "box_heads.0.box_out.weight",
            "roi_heads.mask_head.mask_fcn1.weight": "mask_heads.0.convs.0.conv.weight",
            "roi_heads.mask_head.predictor.weight": "mask_heads.0.out.weight",
        },
    )


def test_mmdetections_heads() -> None:
    check(
        rcnn.from_mmdetection,
        {
            "neck.lateral_convs.1.gn.weight": "neck.lateral.1.norm.weight",
            "rpn_head.rpn_conv.1.conv.weight": "rpn.tower.1.conv.weight",
            "rpn_head.rpn_cls.bias": "rpn.objectness.bias",
            "roi_head.bbox_head.shared_convs.0.bn.weight": "box_head.convs.0.norm.weight",
            "roi_head.bbox_head.shared_fcs.1.bias": "box_head.fcs.1.bias",
            "roi_head.bbox_head.fc_reg.bias": "box_head.box_out.bias",
            "roi_head.mask_head.convs.3.gn.weight": "mask_head.convs.3.norm.weight",
            "roi_head.shared_head.layer4.0.bn1.weight": "backbone.layer4.0.bn1.weight",
        },
    )


def test_mmdetections_first_stage_of_one_convolution() -> None:
    check(rcnn.from_mmdetection, {"rpn_head.rpn_conv.weight": "rpn.tower.0.conv.weight"})


def test_mmdetections_cascade_has_heads_in_every_stage() -> None:
    check(
        rcnn.from_mmdetection,
        {
            "roi_head.bbox_head.2.shared_fcs.1.bias": "box_heads.2.fcs.1.bias",
            "roi_head.bbox_head.0.fc_cls.weight": "box_heads.0.cls_out.weight",
            "roi_head.mask_head.1.convs.3.bn.weight": "mask_heads.1.convs.3.norm.weight",
            "roi_head.mask_head.1.upsample.weight": "mask_heads.1.upsample.weight",
            "roi_head.mask_head.1.conv_logits.bias": "mask_heads.1.out.bias",
        },
    )


def test_torchvisions_old_names_are_the_same_model() -> None:
    with torch.device("meta"):
        state = detection.maskrcnn_resnet50_fpn(weights=None, weights_backbone=None).state_dict()

    def old(key: str) -> str:
        key = re.sub(r"(inner_blocks|layer_blocks)\.(\d)\.0\.", r"\1.\2.", key)
        key = key.replace("rpn.head.conv.0.0.", "rpn.head.conv.")
        return re.sub(r"mask_head\.(\d)\.0\.", lambda m: f"mask_head.mask_fcn{int(m[1]) + 1}.", key)

    renamed = {old(key): x for key, x in state.items()}
    assert renamed.keys() != state.keys()
    ours = rcnn.from_torchvision(state)
    assert rcnn.from_torchvision(renamed).keys() == ours.keys()
    assert not any(key.startswith(("roi_heads.", "rpn.head.", "backbone.fpn.")) for key in ours)


def test_torchvisions_second_version_has_convolutions_before_its_layers() -> None:
    check(
        rcnn.from_torchvision,
        {
            "rpn.head.conv.1.0.weight": "rpn.tower.1.conv.weight",
            "roi_heads.box_head.0.0.weight": "box_head.convs.0.conv.weight",
            "roi_heads.box_head.3.1.running_var": "box_head.convs.3.norm.running_var",
            "roi_heads.box_head.5.weight": "box_head.fcs.0.weight",
            "roi_heads.box_head.5.bias": "box_head.fcs.0.bias",
            "roi_heads.mask_head.2.1.bias": "mask_head.convs.2.norm.bias",
        },
    )


def test_torchvisions_background_moves_to_the_end_and_loses_its_box_and_mask() -> None:
    cls = torch.arange(4.0)
    ours = rcnn.from_torchvision(
        {
            "backbone.fpn.inner_blocks.0.0.weight": torch.zeros(1),
            "roi_heads.box_predictor.cls_score.bias": cls,
            "roi_heads.box_predictor.bbox_pred.bias": cls.repeat_interleave(4),
            "roi_heads.mask_predictor.mask_fcn_logits.bias": cls,
        }
    )
    assert ours["box_head.cls_out.bias"].tolist() == [1, 2, 3, 0]
    assert ours["box_head.box_out.bias"].tolist() == [1] * 4 + [2] * 4 + [3] * 4
    assert ours["mask_head.out.bias"].tolist() == [1, 2, 3]
