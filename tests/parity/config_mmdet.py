"""Our model configuration from the resolved config of an mmdetection case. An option without a place here fails."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cvzoo.nn.fpn import FPNConfig
from cvzoo.nn.layers import Norm
from cvzoo.nn.pixels import Pixels
from cvzoo.nn.resnet import ResNetConfig
from cvzoo.nn.roi_pool import RoIPoolConfig
from cvzoo.ops.anchors import AnchorConfig
from cvzoo.ops.detect import DetectConfig
from cvzoo.ops.points import PointConfig
from cvzoo.parts.rcnn.box_head import BoxHeadConfig
from cvzoo.parts.rcnn.mask_head import MaskHeadConfig
from cvzoo.parts.rcnn.rpn import RPNConfig
from cvzoo.zoo.atss.model import ATSSConfig
from cvzoo.zoo.cascade_rcnn.model import CascadeRCNNConfig, StageConfig
from cvzoo.zoo.fcos.model import FCOSConfig
from cvzoo.zoo.freeanchor.model import FreeAnchorConfig
from cvzoo.zoo.mask_rcnn.model import MaskRCNNConfig
from cvzoo.zoo.reppoints.model import RepPointsConfig
from cvzoo.zoo.retinanet.model import RetinaNetConfig


def retinanet(case: dict[str, Any]) -> RetinaNetConfig:
    model = case["model"]
    head, train, test = model["bbox_head"], model["train_cfg"], model["test_cfg"]
    assigner, anchors, coder = train["assigner"], head["anchor_generator"], head["bbox_coder"]
    assert assigner["type"] == "MaxIoUAssigner"
    assert assigner["min_pos_iou"] == 0
    assert assigner["ignore_iof_thr"] == -1
    assert train["allowed_border"] == -1
    assert train["pos_weight"] == -1
    assert head["loss_cls"]["type"] == "FocalLoss"
    assert head["loss_cls"]["loss_weight"] == 1
    kinds = {"L1Loss": "smooth_l1", "SmoothL1Loss": "smooth_l1", "GIoULoss": "giou"}
    assert head.get("reg_decoded_bbox", False) == (head["loss_bbox"]["type"] == "GIoULoss")
    assert head["loss_bbox"]["loss_weight"] == 1
    assert coder["target_means"] == [0, 0, 0, 0]
    return RetinaNetConfig(
        num_classes=head["num_classes"],
        backbone=_resnet(model["backbone"]),
        fpn=_fpn(model["neck"]),
        pixels=_pixels(model["data_preprocessor"]),
        anchors=_anchors(anchors),
        tower_convs=head["stacked_convs"],
        box_weights=tuple(1 / std for std in coder["target_stds"]),
        clamp_shrinking=True,
        negative_below=assigner["neg_iou_thr"],
        positive_from=assigner["pos_iou_thr"],
        best_match="truth",
        skip_padding=True,
        focal_alpha=head["loss_cls"]["alpha"],
        focal_gamma=head["loss_cls"]["gamma"],
        box_loss=kinds[head["loss_bbox"]["type"]],  # type: ignore[arg-type]
        smooth_l1_beta=head["loss_bbox"].get("beta", 1.0) if head["loss_bbox"]["type"] == "SmoothL1Loss" else 0.0,
        normaliser="batch",
        candidates=test["nms_pre"],
        detect=_detect(test),
    )


def fcos(case: dict[str, Any]) -> FCOSConfig:
    model = case["model"]
    head = model["bbox_head"]
    assert head["type"] == "FCOSHead"
    assert not head.get("dcn_on_last_conv", False)
    assert all(head[name]["loss_weight"] == 1 for name in ("loss_cls", "loss_bbox", "loss_centerness"))
    return FCOSConfig(
        **_dense(model),
        points=PointConfig(strides=tuple(head["strides"])),
        tower_norm=_norm(head),
        tower_bias={"auto": None, True: True}[head.get("conv_bias", "auto")],
        distance="relu" if head.get("norm_on_bbox", False) else "exp",
        centreness_on="box" if head.get("centerness_on_reg", False) else "cls",
        centre_radius=head.get("center_sample_radius", 1.5) if head.get("center_sampling", False) else None,
        box_loss={"IoULoss": "iou", "GIoULoss": "giou"}[head["loss_bbox"]["type"]],  # type: ignore[arg-type]
        **_focal(head),
    )


def atss(case: dict[str, Any]) -> ATSSConfig:
    model = case["model"]
    head, train = model["bbox_head"], model["train_cfg"]
    assert head["type"] == "ATSSHead"
    assert head["loss_bbox"]["type"] == "GIoULoss"
    assert head["loss_centerness"]["loss_weight"] == 1
    assert train["allowed_border"] == train["pos_weight"] == -1
    return ATSSConfig(
        **_dense(model),
        anchors=_anchors(head["anchor_generator"]),
        tower_norm=_norm(head),
        nearest=train["assigner"]["topk"],
        box_weights=_box_weights(head["bbox_coder"]),
        box_loss_weight=head["loss_bbox"]["loss_weight"],
        **_focal(head),
    )


def freeanchor(case: dict[str, Any]) -> FreeAnchorConfig:
    model = case["model"]
    head = model["bbox_head"]
    assert head["type"] == "FreeAnchorRetinaHead"
    assert head["loss_bbox"]["type"] == "SmoothL1Loss"
    return FreeAnchorConfig(
        **_dense(model),
        anchors=_anchors(head["anchor_generator"]),
        tower_norm=_norm(head),
        box_weights=_box_weights(head["bbox_coder"]),
        clamp_shrinking=True,
        smooth_l1_beta=head["loss_bbox"]["beta"],
        box_loss_weight=head["loss_bbox"]["loss_weight"],
    )


def reppoints(case: dict[str, Any]) -> RepPointsConfig:
    model = case["model"]
    head, train = model["bbox_head"], model["train_cfg"]
    first, refine = train["init"]["assigner"], train["refine"]["assigner"]
    assert head["type"] == "RepPointsHead"
    assert head["num_points"] == 9
    assert (first["type"], first["pos_num"], first["scale"]) == ("PointAssigner", 1, head["point_base_scale"])
    assert refine["type"] == "MaxIoUAssigner"
    assert refine["min_pos_iou"] == 0
    assert head["loss_bbox_refine"]["loss_weight"] == head["loss_cls"]["loss_weight"] == 1
    assert head["loss_bbox_init"]["beta"] == head["loss_bbox_refine"]["beta"]
    return RepPointsConfig(
        **_dense(model),
        points=PointConfig(strides=tuple(head["point_strides"]), offset=0.0),
        tower_norm=_norm(head),
        points_to_box=head["transform_method"],
        offset_gradient=head["gradient_mul"],
        base_scale=head["point_base_scale"],
        negative_below=refine["neg_iou_thr"],
        positive_from=refine["pos_iou_thr"],
        smooth_l1_beta=head["loss_bbox_init"]["beta"],
        init_loss_weight=head["loss_bbox_init"]["loss_weight"],
        **_focal(head),
    )


def _dense(model: dict[str, Any]) -> dict[str, Any]:
    """What FCOS, ATSS, FreeAnchor and RepPoints have in common."""
    head, test = model["bbox_head"], model["test_cfg"]
    return {
        "num_classes": head["num_classes"],
        "backbone": _resnet(model["backbone"]),
        "fpn": _fpn(model["neck"]),
        "pixels": _pixels(model["data_preprocessor"]),
        "tower_convs": head["stacked_convs"],
        "candidates": test["nms_pre"],
        "detect": _detect(test),
    }


def _focal(head: dict[str, Any]) -> dict[str, float]:
    assert head["loss_cls"]["type"] == "FocalLoss"
    assert head["loss_cls"]["loss_weight"] == 1
    return {"focal_alpha": head["loss_cls"]["alpha"], "focal_gamma": head["loss_cls"]["gamma"]}


def _detect(test: dict[str, Any]) -> DetectConfig:
    return DetectConfig(
        score_threshold=test["score_thr"],
        nms_threshold=test["nms"]["iou_threshold"],
        detections=test["max_per_img"],
        min_side=test["min_bbox_size"],
        drop_first=True,
    )


def _norm(part: dict[str, Any]) -> Norm | None:
    return {None: None, "GN": "group"}[part.get("norm_cfg", {}).get("type")]  # type: ignore[return-value]


def _resnet(backbone: dict[str, Any]) -> ResNetConfig:
    norm: Norm = "affine" if backbone["norm_eval"] else "batch"
    if not backbone["norm_cfg"]["requires_grad"]:
        norm = "frozen"
    return ResNetConfig(
        depth=backbone["depth"],
        width=backbone.get("base_channels", 64),
        stem_channels=backbone.get("stem_channels"),
        stride_in_1x1=backbone["style"] == "caffe",
        norm=norm,
        frozen_stages=backbone["frozen_stages"] + 1,
        context_ratio=_context_ratio(backbone.get("plugins", [])),
    )


def _context_ratio(plugins: list[dict[str, Any]]) -> float | None:
    if not plugins:
        return None
    (plugin,) = plugins
    assert plugin["cfg"]["type"] == "ContextBlock"
    assert plugin["position"] == "after_conv3"
    assert plugin["stages"] == [False, True, True, True]
    return plugin["cfg"]["ratio"]


def _fpn(neck: dict[str, Any]) -> FPNConfig:
    assert neck["start_level"] == 1
    assert neck["num_outs"] == 5
    return FPNConfig(
        channels=neck["out_channels"],
        extra_from={"on_input": "input", "on_output": "output"}[neck["add_extra_convs"]],  # type: ignore[arg-type]
        extra_relu=neck.get("relu_before_extra_convs", False),
        norm=_norm(neck),
        extra_norm=_norm(neck),
    )


def _anchors(anchors: dict[str, Any]) -> AnchorConfig:
    octaves = anchors["scales_per_octave"]
    scales = [anchors["octave_base_scale"] * 2 ** (i / octaves) for i in range(octaves)]
    return AnchorConfig(
        sizes=tuple(tuple(stride * scale for scale in scales) for stride in anchors["strides"]),
        ratios=(tuple(anchors["ratios"]),),
        strides=tuple(anchors["strides"]),
        offset=anchors.get("center_offset", 0.0),
        order="ratio",
    )


def _pixels(pixels: dict[str, Any]) -> Pixels:
    return Pixels(
        mean=tuple(pixels["mean"]),
        std=tuple(pixels["std"]),
        bgr=not pixels["bgr_to_rgb"],
        divisor=pixels["pad_size_divisor"],
    )


def cascade_rcnn(case: dict[str, Any]) -> CascadeRCNNConfig:
    model = case["model"]
    roi, train, test = model["roi_head"], model["train_cfg"], model["test_cfg"]
    first = roi["bbox_head"][0]
    same = [{k: v for k, v in head.items() if k != "bbox_coder"} for head in roi["bbox_head"]]
    assert all(head == same[0] for head in same)
    return CascadeRCNNConfig(
        num_classes=first["num_classes"],
        backbone=_resnet(model["backbone"]),
        fpn=_rcnn_fpn(model["neck"]),
        pixels=_pixels(model["data_preprocessor"]),
        rpn=_rpn(model["rpn_head"], train, test, model["data_preprocessor"]["pad_size_divisor"]),
        box_head=_box_head(first, roi["bbox_roi_extractor"], train["rcnn"][0], test["rcnn"]),
        stages=tuple(
            _stage(head, stage, weight)
            for head, stage, weight in zip(roi["bbox_head"], train["rcnn"], roi["stage_loss_weights"])
        ),
        gradient_scale=1.0,
        resample=True,
        average="logits",
        mask_head=_mask_head(roi["mask_head"], roi["mask_roi_extractor"], train["rcnn"][0]),
        mask_stages=roi["num_stages"],
    )


def mask_rcnn(case: dict[str, Any]) -> MaskRCNNConfig:
    model = case["model"]
    roi, train, test = model["roi_head"], model["train_cfg"], model["test_cfg"]
    box_head = _box_head(roi["bbox_head"], roi["bbox_roi_extractor"], train["rcnn"], test["rcnn"])
    return MaskRCNNConfig(
        num_classes=roi["bbox_head"]["num_classes"],
        backbone=_resnet(model["backbone"]),
        fpn=_rcnn_fpn(model["neck"]),
        pixels=_pixels(model["data_preprocessor"]),
        rpn=_rpn(model["rpn_head"], train, test, model["data_preprocessor"]["pad_size_divisor"]),
        box_head=replace(box_head, box_weights=_box_weights(roi["bbox_head"]["bbox_coder"])),
        mask_head=_mask_head(roi["mask_head"], roi["mask_roi_extractor"], train["rcnn"]),
    )


def _stage(head: dict[str, Any], train: dict[str, Any], weight: float) -> StageConfig:
    assert train["assigner"]["neg_iou_thr"] == train["assigner"]["pos_iou_thr"]
    assert not train["assigner"]["match_low_quality"]
    assert train["sampler"]["add_gt_as_proposals"]
    return StageConfig(
        positive_from=train["assigner"]["pos_iou_thr"],
        box_weights=_box_weights(head["bbox_coder"]),
        loss_weight=weight,
    )


def _box_weights(coder: dict[str, Any]) -> Any:
    assert coder["target_means"] == [0, 0, 0, 0]
    return tuple(1 / std for std in coder["target_stds"])


def _rcnn_fpn(neck: dict[str, Any]) -> FPNConfig:
    assert neck["num_outs"] == 5
    assert not neck.get("add_extra_convs", False)
    return FPNConfig(channels=neck["out_channels"], first_level=2, extra="pool")


def _rpn(head: dict[str, Any], train: dict[str, Any], test: dict[str, Any], divisor: int) -> RPNConfig:
    assigner, sampler, proposal = train["rpn"]["assigner"], train["rpn"]["sampler"], train["rpn_proposal"]
    assert assigner["match_low_quality"]
    assert train["rpn"]["allowed_border"] in (0, -1)
    return RPNConfig(
        anchors=_rcnn_anchors(head["anchor_generator"]),
        box_weights=_box_weights(head["bbox_coder"]),
        clamp_shrinking=True,
        negative_below=assigner["neg_iou_thr"],
        positive_from=assigner["pos_iou_thr"],
        best_match="truth",
        best_match_from=assigner["min_pos_iou"],
        inside_only=train["rpn"]["allowed_border"] == 0,
        # what does not reach beyond the image does not lie beyond its padding either
        valid_divisor=divisor if train["rpn"]["allowed_border"] == -1 else None,
        samples=sampler["num"],
        positive_fraction=sampler["pos_fraction"],
        normaliser="sampled_or_one",
        smooth_l1_beta=_beta(head),
        pre_nms_train=proposal["nms_pre"],
        pre_nms_test=test["rpn"]["nms_pre"],
        post_nms_train=proposal["max_per_img"],
        post_nms_test=test["rpn"]["max_per_img"],
        nms_threshold=proposal["nms"]["iou_threshold"],
        min_side=proposal["min_bbox_size"],
    )


def _rcnn_anchors(anchors: dict[str, Any]) -> AnchorConfig:
    return AnchorConfig(
        sizes=tuple(tuple(stride * scale for scale in anchors["scales"]) for stride in anchors["strides"]),
        ratios=(tuple(anchors["ratios"]),),
        strides=tuple(anchors["strides"]),
        order="ratio",
    )


def _box_head(
    head: dict[str, Any], extractor: dict[str, Any], train: dict[str, Any], test: dict[str, Any]
) -> BoxHeadConfig:
    assert head["type"] == "Shared2FCBBoxHead"
    return BoxHeadConfig(
        pool=_pool(extractor),
        fc_channels=head["fc_out_channels"],
        class_agnostic=head["reg_class_agnostic"],
        clamp_shrinking=True,
        samples=train["sampler"]["num"],
        positive_fraction=train["sampler"]["pos_fraction"],
        smooth_l1_beta=_beta(head),
        detect=DetectConfig(
            score_threshold=test["score_thr"],
            nms_threshold=test["nms"]["iou_threshold"],
            detections=test["max_per_img"],
            min_side=None,
        ),
    )


def _beta(head: dict[str, Any]) -> float:
    """Smooth L1's; L1 is 0."""
    loss = head["loss_bbox"]
    assert loss["type"] in ("SmoothL1Loss", "L1Loss")
    return loss["beta"] if loss["type"] == "SmoothL1Loss" else 0.0


def _mask_head(head: dict[str, Any], extractor: dict[str, Any], train: dict[str, Any]) -> MaskHeadConfig:
    assert head["type"] == "FCNMaskHead"
    assert train["mask_size"] == 2 * extractor["roi_layer"]["output_size"]
    return MaskHeadConfig(
        pool=_pool(extractor),
        convs=head["num_convs"],
        channels=head["conv_out_channels"],
        target="bitmap",
        loss_weight=head["loss_mask"]["loss_weight"],
    )


def _pool(extractor: dict[str, Any]) -> RoIPoolConfig:
    layer = extractor["roi_layer"]
    assert layer["type"] == "RoIAlign"
    return RoIPoolConfig(
        size=layer["output_size"], strides=tuple(extractor["featmap_strides"]), sampling=layer["sampling_ratio"]
    )
