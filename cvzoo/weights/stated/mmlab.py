"""Configs of mmdetection 2 and 3 and of mmsegmentation, as `mmengine` writes them into its checkpoints.

Where a config leaves an option out, the toolbox's own default holds, not that of its published files.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cvzoo.weights.stated.mmlab_body import body_of, neck_of
from cvzoo.weights.stated.mmlab_dense import dense_of
from cvzoo.weights.stated.mmlab_rcnn import stages_of
from cvzoo.weights.stated.mmlab_segmenter import segmenter_of
from cvzoo.weights.stated.section import Section, with_fields

TRAINING = ("type", "train_cfg", "pretrained", "init_cfg", "auxiliary_head")


def of_mmlab(config: Any, settings: Section) -> Any:
    """The model's config with what the text's variables say."""
    model = settings.part("model")
    if not model.entries:
        return config
    model.skip(*TRAINING)
    config = replace(config, pixels=_pixels(config.pixels, model, settings))
    if "backbone" in model:
        last = model.part("roi_head").part("shared_head")
        config = replace(config, backbone=body_of(config.backbone, model.part("backbone"), last))
    if "neck" in model:
        config = neck_of(config, model)
    test = model.part("test_cfg") if "test_cfg" in model else settings.part("test_cfg")
    model.skip("test_cfg")
    if "decode_head" in model:
        config = segmenter_of(config, model)
    elif "rpn_head" in model or "roi_head" in model or "rcnn" in test:
        config = stages_of(config, model, test)
    else:
        config = dense_of(config, model.part("bbox_head"), test)
    model.close()
    return config


def _pixels(pixels: Any, model: Section, settings: Section) -> Any:
    """Of version 3 of the toolbox, or of version 2."""
    if "data_preprocessor" not in model:
        old = settings.part("img_norm_cfg")
        bgr = not old.take("to_rgb", True) if old.entries else None
        return with_fields(pixels, mean=old.take("mean"), std=old.take("std"), bgr=bgr)
    new = model.part("data_preprocessor")
    new.skip("type", "size", "pad_mask", "mask_pad_value", "pad_seg", "seg_pad_value", "seg_pad_val", "boxtype2tensor")
    new.skip("batch_augments", "non_blocking", "size_divisor")  # the last is of training
    new.only("pad_val", 0)
    new.only("pad_value", 0)
    test = new.part("test_cfg")
    divisor = new.take("pad_size_divisor", test.take("size_divisor"))
    found = with_fields(
        pixels,
        mean=new.take("mean", [0.0, 0.0, 0.0]),
        std=new.take("std", [1.0, 1.0, 1.0]),
        bgr=not new.take("bgr_to_rgb", False),
        divisor=divisor,
    )
    test.close()
    new.close()
    return found
