"""detectron2's `config.yaml`, which has every option of the toolbox: here those that bear on an answer.

What a file leaves out, as one that somebody has written by hand does, stays as its published models have it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cvzoo.nn.resnet import ResNetConfig
from cvzoo.weights.stated.section import Section, with_fields

NORMS = {"": None, "FrozenBN": "frozen", "BN": "batch", "SyncBN": "batch", "NaiveSyncBN": "batch", "GN": "group"}
GROUPS = 32
"""Of all its group norms."""
OUTPUT_STRIDES = {(1, 1): 32, (1, 2): 16, (2, 4): 8}
"""By the dilations of the last two layers."""
RANKS, DENSE = "TOPK_CANDIDATES_TEST", "RETINANET"
"""The option by which a part of a dense detector is known, and the toolbox's own such part."""
DEFORMED = {(False,) * 4: False, (False, True, True, True): True}


def of_detectron2(config: Any, settings: Section) -> Any:
    """The model's config with what the YAML text says."""
    model, given = settings.part("MODEL"), settings.part("INPUT")
    bgr = given.choose("FORMAT", {"BGR": True, "RGB": False})
    pixels = with_fields(config.pixels, mean=model.take("PIXEL_MEAN"), std=model.take("PIXEL_STD"), bgr=bgr)
    config = replace(config, pixels=pixels, backbone=_body(config.backbone, model))
    if getattr(config, "fpn", None) is not None:
        config = replace(config, fpn=_pyramid(config.fpn, model.part("FPN")))
    detections = settings.part("TEST").take("DETECTIONS_PER_IMAGE")
    if hasattr(config, "rpn"):
        return _stages(config, model, detections)
    return _dense(config, model, detections) if hasattr(config, "detect") else _segmenter(config, model, given)


def norm_in(part: Section) -> dict[str, Any]:
    """The norm that a part states, with its groups; nothing of a part that states none."""
    if "NORM" not in part:
        return {}
    norm = part.choose("NORM", NORMS)
    return {"norm": norm, **({"norm_groups": GROUPS} if norm == "group" else {})}


def pool_in(pool: Any, part: Section, strides: tuple[int, ...] | None = None) -> Any:
    """How a head samples the features of its boxes."""
    return with_fields(
        pool,
        size=part.take("POOLER_RESOLUTION"),
        sampling=part.take("POOLER_SAMPLING_RATIO"),
        aligned=part.choose("POOLER_TYPE", {"ROIAlign": False, "ROIAlignV2": True}),
        strides=strides,
    )


def _body(body: Any, model: Section) -> Any:
    part = model.part("RESNETS")
    if not isinstance(body, ResNetConfig) or not part.entries:
        return body
    found = with_fields(
        body,
        stride_in_1x1=part.take("STRIDE_IN_1X1"),
        frozen_stages=model.part("BACKBONE").take("FREEZE_AT"),
        **norm_in(part),
        **_dilations(part),
    )
    deforms = part.choose("DEFORM_ON_PER_STAGE", DEFORMED)
    if deforms is None:
        return found
    kind = None if not deforms else "v2" if part.take("DEFORM_MODULATED") else "v1"
    return replace(found, deform=kind, deform_groups=part.take("DEFORM_NUM_GROUPS", 1) if deforms else 1)


def _dilations(part: Section) -> dict[str, Any]:
    """The multi-grid multiplies the last layer's dilation; only the bodies of DeepLab have it."""
    if "RES5_DILATION" not in part:
        return {}
    last = part.take("RES5_DILATION")
    stride = OUTPUT_STRIDES.get((part.take("RES4_DILATION", 1), last))
    if stride is None:
        part.refuse("RES5_DILATION")
    return {"output_stride": stride, "multi_grid": tuple(last * x for x in part.take("RES5_MULTI_GRID", ())) or None}


def _pyramid(fpn: Any, part: Section) -> Any:
    """Its coarser levels have no norms."""
    fpn = with_fields(fpn, fuse=part.choose("FUSE_TYPE", {"sum": "sum", "avg": "mean"}))
    return replace(fpn, **norm_in(part))


def anchors_in(anchors: Any, part: Section) -> Any:
    """Sizes and shapes that are given once hold for all levels."""
    part.only("NAME", "DefaultAnchorGenerator")
    sizes = part.take("SIZES", ())
    return with_fields(
        anchors,
        sizes=sizes * len(anchors.strides) if len(sizes) == 1 else sizes or None,
        ratios=part.take("ASPECT_RATIOS"),
        offset=part.take("OFFSET"),
    )


def _strides(levels: tuple[str, ...], coarsest: int) -> tuple[int, ...]:
    """Of maps by name: `p2`, or `res5`, which may be dilated."""
    return tuple(min(2 ** int(level[-1]), 2**9 if level.startswith("p") else coarsest) for level in levels)


def _check_levels(anchors: Any, part: Section, coarsest: int) -> None:
    """Ours are on all levels."""
    levels = part.take("IN_FEATURES", ())
    if levels and _strides(levels, coarsest) != anchors.strides:
        part.refuse("IN_FEATURES")


def _dense(config: Any, model: Section, detections: int | None) -> Any:
    """The head's options stand in the last part that ranks candidates: a project adds its own behind RetinaNet's."""
    ranking = [name for name, part in model.entries.items() if isinstance(part, dict) and RANKS in part]
    own = [name for name in ranking if name != DENSE]
    head = model.part(own[0] if own else DENSE)
    name = "anchors" if hasattr(config, "anchors") else "windows"
    norm = norm_in(head)
    found = with_fields(
        config,
        candidates=head.take(RANKS),
        detect=with_fields(config.detect, detections=detections, **_thresholds(head)),
        box_weights=head.take("BBOX_REG_WEIGHTS"),
        tower_convs=head.take("NUM_CONVS"),
        tower_norm_groups=norm.get("norm_groups"),
    )
    if name == "anchors":
        _check_levels(config.anchors, head, 32)
    if hasattr(config, name):
        found = replace(found, **{name: anchors_in(getattr(config, name), model.part("ANCHOR_GENERATOR"))})
    return replace(found, tower_norm=norm["norm"]) if norm and hasattr(config, "tower_norm") else found


def _thresholds(part: Section) -> dict[str, Any]:
    return {"score_threshold": part.take("SCORE_THRESH_TEST"), "nms_threshold": part.take("NMS_THRESH_TEST")}


def _stages(config: Any, model: Section, detections: int | None) -> Any:
    part, heads = model.part("RPN"), model.part("ROI_HEADS")
    part.only("HEAD_NAME", "StandardRPNHead")
    coarsest = getattr(config.backbone, "output_stride", 32)
    _check_levels(config.rpn.anchors, part, coarsest)
    rpn = with_fields(
        config.rpn,
        anchors=anchors_in(config.rpn.anchors, model.part("ANCHOR_GENERATOR")),
        box_weights=part.take("BBOX_REG_WEIGHTS"),
        pre_nms_test=part.take("PRE_NMS_TOPK_TEST"),
        post_nms_test=part.take("POST_NMS_TOPK_TEST"),
        nms_threshold=part.take("NMS_THRESH"),
        min_side=model.part("PROPOSAL_GENERATOR").take("MIN_SIZE"),
    )
    strides = _strides(heads.take("IN_FEATURES", ()), coarsest) or None
    box_head = _box_head(config.box_head, model.part("ROI_BOX_HEAD"), strides)
    detect = with_fields(box_head.detect, detections=detections, **_thresholds(heads))
    config = replace(config, rpn=rpn, box_head=replace(box_head, detect=detect))
    weights = model.part("ROI_BOX_CASCADE_HEAD").take("BBOX_REG_WEIGHTS")
    if hasattr(config, "stages") and weights:
        stages = zip(config.stages, weights, strict=False)  # the keys tell how many there are
        config = replace(config, stages=tuple(replace(stage, box_weights=own) for stage, own in stages))
    if getattr(config, "mask_head", None) is None:
        return config
    return replace(config, mask_head=_mask_head(config, model.part("ROI_MASK_HEAD"), strides))


def _box_head(config: Any, part: Section, strides: tuple[int, ...] | None) -> Any:
    part.only("USE_SIGMOID_CE", False)
    norm = norm_in(part)
    found = with_fields(
        config,
        pool=pool_in(config.pool, part, strides),
        box_weights=part.take("BBOX_REG_WEIGHTS"),
        convs=part.take("NUM_CONV"),
        fcs=part.take("NUM_FC"),
        class_agnostic=part.take("CLS_AGNOSTIC_BBOX_REG"),
        conv_norm_groups=norm.get("norm_groups"),
    )
    return replace(found, conv_norm=norm["norm"] if found.convs else None) if norm else found


def _mask_head(config: Any, part: Section, strides: tuple[int, ...] | None) -> Any:
    """On C4 it has the box head's features of a region."""
    norm, head = norm_in(part), config.mask_head
    on_c4 = getattr(config, "fpn", None) is None and config.backbone.output_stride == 32
    pool = config.box_head.pool if on_c4 else pool_in(head.pool, part, strides)
    found = with_fields(
        head,
        pool=pool,
        convs=part.take("NUM_CONV"),
        conv_norm_groups=norm.get("norm_groups"),
        class_agnostic=part.take("CLS_AGNOSTIC_MASK"),
    )
    return replace(found, conv_norm=norm["norm"]) if norm else found


def _segmenter(config: Any, model: Section, given: Section) -> Any:
    """The pooling branch averages as many cells as a training crop has, where crops have one size."""
    head, crop = model.part("SEM_SEG_HEAD"), given.part("CROP")
    window, size = None, crop.take("SIZE")
    if crop.take("ENABLED") and size and isinstance(config.backbone, ResNetConfig):
        window = tuple(side // config.backbone.output_stride for side in size)
    norm = norm_in(head)
    config = with_fields(config, dilations=head.take("ASPP_DILATIONS"), **norm)
    return replace(config, pool_window=window) if "ENABLED" in crop and hasattr(config, "pool_window") else config
