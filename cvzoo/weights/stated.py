"""What a toolbox's own config, kept in a weights file or beside it, says that no key tells.

It is parsed as data and never run: mmdetection's and mmsegmentation's Python text, detectron2's YAML. Fields that a
model's config does not have are passed over; what we cannot compute is refused.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import yaml

from cvzoo.nn.pixels import CAFFE, IMAGENET
from cvzoo.nn.resnet import ResNetConfig
from cvzoo.weights.errors import WeightsError

Style = Literal["caffe", "pytorch"]
LEGACY = re.compile(r"'(Legacy\w+)'")
"""mmdetection's classes of version 1, whose boxes are a pixel wider."""


def stated(config: Any, text: str, source: str) -> Any:
    """The model's config with what a toolbox's config says, if there is a text of one.

    WeightsError for what we do not compute.
    """
    if re.search(r"^model\s*=", text, re.MULTILINE):
        if legacy := LEGACY.search(text):
            raise WeightsError(
                f"{source} was trained with {legacy[1]}, whose boxes are a pixel wider than those of today; cvzoo does"
                " not compute that: convert it with mmdetection, or take weights of a newer config"
            )
        return _of_mmlab(config, _assigned(text))
    settings = _yaml(text)
    return _of_detectron2(config, settings["MODEL"], settings) if "MODEL" in settings else config


def styled(config: Any, style: Style) -> Any:
    """The model's config with the body and the pixels of caffe's or PyTorch's ResNets."""
    pixels = CAFFE if style == "caffe" else IMAGENET
    changed = with_fields(config.pixels, mean=pixels.mean, std=pixels.std, bgr=pixels.bgr)
    body = with_fields(config.backbone, stride_in_1x1=style == "caffe")
    return replace(config, pixels=changed, backbone=body)


def style_of(config: Any) -> str:
    """How images enter a network, in words."""
    p, body = config.pixels, config.backbone
    stride = f", stride in the {'1x1' if body.stride_in_1x1 else '3x3'}" if isinstance(body, ResNetConfig) else ""
    return f"{'BGR' if p.bgr else 'RGB'}, mean {p.mean}, std {p.std}{stride}"


def with_fields(part: Any, **values: Any) -> Any:
    """A dataclass with those of the values for which it has a field, and which are not None."""
    known = getattr(part, "__dataclass_fields__", ())  # none has the part that a system lacks
    kept = {name: value for name, value in values.items() if name in known and value is not None}
    return replace(part, **kept) if kept else part


# mmdetection, mmsegmentation


def _assigned(text: str) -> dict[str, Any]:
    """The values of a Python config's variables, as far as they are literals and dict(...)."""
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return {}
    found = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found[node.targets[0].id] = _literal(node.value)
    return found


def _literal(node: ast.expr) -> Any:
    """None for what is no literal."""
    match node:
        case ast.Call(func=ast.Name(id="dict"), args=[], keywords=keywords):
            return {keyword.arg: _literal(keyword.value) for keyword in keywords if keyword.arg}
        case ast.Dict(keys=keys, values=values):
            return {_literal(key): _literal(value) for key, value in zip(keys, values) if key is not None}
        case ast.List(elts=elements) | ast.Tuple(elts=elements):
            return [_literal(element) for element in elements]
    try:
        return ast.literal_eval(node)
    except ValueError:
        return None


def _of_mmlab(config: Any, settings: Mapping[str, Any]) -> Any:
    model = _dict(settings.get("model"))
    backbone, head = _dict(model.get("backbone")), _dict(model.get("bbox_head") or model.get("decode_head"))
    test = _dict(model.get("test_cfg") or settings.get("test_cfg"))
    style = {"caffe": True, "pytorch": False}.get(str(backbone.get("style")))
    strides = [stride for stride in backbone.get("strides") or () if isinstance(stride, int)]
    body = with_fields(
        config.backbone,
        stride_in_1x1=style,
        output_stride=_product(strides) if len(strides) == 4 else None,
        contract_dilation=backbone.get("contract_dilation"),
    )
    config = replace(config, backbone=body, pixels=_mmlab_pixels(config.pixels, model, settings))
    config = with_fields(
        config,
        align_corners=head.get("align_corners"),
        dilations=_tuple(head.get("dilations"), skip=1),
        bins=_tuple(head.get("pool_scales")),
    )
    if "rcnn" in test:
        return _mmlab_stages(config, _dict(test.get("rpn")), _dict(test["rcnn"]))
    return with_fields(config, candidates=test.get("nms_pre"), detect=_mmlab_detect(config, test))


def _mmlab_pixels(pixels: Any, model: Mapping[str, Any], settings: Mapping[str, Any]) -> Any:
    """Of version 3 of the toolbox, or of version 2."""
    new, old = _dict(model.get("data_preprocessor")), _dict(settings.get("img_norm_cfg"))
    found = new if new.get("mean") else old
    to_rgb = found.get("bgr_to_rgb", found.get("to_rgb"))
    return with_fields(
        pixels,
        mean=_tuple(found.get("mean")),
        std=_tuple(found.get("std")),
        bgr=None if to_rgb is None else not to_rgb,
        divisor=new.get("pad_size_divisor"),
    )


def _mmlab_detect(config: Any, test: Mapping[str, Any]) -> Any:
    """How candidates become detections, where the model has such a part."""
    nms = _dict(test.get("nms"))
    if nms.get("type", "nms") != "nms":
        return None  # soft-NMS is an option of the systems that have it
    return with_fields(
        getattr(config, "detect", None),
        score_threshold=test.get("score_thr"),
        nms_threshold=nms.get("iou_threshold", nms.get("iou_thr")),
        detections=test.get("max_per_img"),
    )


def _mmlab_stages(config: Any, rpn: Mapping[str, Any], rcnn: Mapping[str, Any]) -> Any:
    first = with_fields(
        config.rpn,
        pre_nms_test=rpn.get("nms_pre"),
        post_nms_test=rpn.get("max_per_img", rpn.get("max_num")),
        nms_threshold=_dict(rpn.get("nms")).get("iou_threshold", rpn.get("nms_thr")),
    )
    second = with_fields(config.box_head, detect=_mmlab_detect(config.box_head, rcnn))
    return replace(config, rpn=first, box_head=second)


# detectron2


def _yaml(text: str) -> dict[str, Any]:
    if "MODEL:" not in text:
        return {}
    try:
        return _dict(yaml.safe_load(text[text.index("\n") + 1 :]))
    except yaml.YAMLError:
        return {}


def _of_detectron2(config: Any, model: Mapping[str, Any], settings: Mapping[str, Any]) -> Any:
    order = _dict(settings.get("INPUT")).get("FORMAT")
    pixels = with_fields(
        config.pixels,
        mean=_tuple(model.get("PIXEL_MEAN")),
        std=_tuple(model.get("PIXEL_STD")),
        bgr=None if order is None else order == "BGR",
    )
    body = with_fields(config.backbone, stride_in_1x1=_dict(model.get("RESNETS")).get("STRIDE_IN_1X1"))
    config = replace(config, pixels=pixels, backbone=body)
    heads, rpn = _dict(model.get("ROI_HEADS")), _dict(model.get("RPN"))
    dense = _dict(model.get("RETINANET")) if hasattr(config, "detect") else heads
    detect = {
        "score_threshold": dense.get("SCORE_THRESH_TEST"),
        "nms_threshold": dense.get("NMS_THRESH_TEST"),
        "detections": _dict(settings.get("TEST")).get("DETECTIONS_PER_IMAGE"),
    }
    if not hasattr(config, "rpn"):
        detects = with_fields(getattr(config, "detect", None), **detect)
        return with_fields(config, detect=detects, candidates=dense.get("TOPK_CANDIDATES_TEST"))
    first = with_fields(
        config.rpn,
        pre_nms_test=rpn.get("PRE_NMS_TOPK_TEST"),
        post_nms_test=rpn.get("POST_NMS_TOPK_TEST"),
        nms_threshold=rpn.get("NMS_THRESH"),
    )
    second = with_fields(config.box_head, detect=with_fields(config.box_head.detect, **detect))
    return replace(config, rpn=first, box_head=second)


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _tuple(value: Any, skip: int = 0) -> tuple[Any, ...] | None:
    return tuple(value)[skip:] if isinstance(value, list) and value else None


def _product(strides: list[int]) -> int:
    product = 4
    for stride in strides:
        product *= stride
    return product
