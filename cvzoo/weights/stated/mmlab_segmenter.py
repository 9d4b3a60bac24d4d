"""Heads of networks for semantic segmentation in mmsegmentation's configs."""

from __future__ import annotations

from typing import Any

from cvzoo.weights.stated.mmlab_body import norm_of
from cvzoo.weights.stated.section import Section, with_fields

IN_THE_SHAPES = (
    *("type", "num_classes", "in_channels", "channels", "c1_in_channels", "c1_channels", "num_convs"),
    *("concat_input", "kernel_size", "ratio"),
)
TRAINING = ("dropout_ratio", "loss_decode", "sampler", "ignore_index", "init_cfg")


def segmenter_of(config: Any, model: Section) -> Any:
    """The network's config."""
    head = model.part("decode_head")
    head.skip(*IN_THE_SHAPES, *TRAINING)
    head.only("in_index", 3, -1)
    head.only("out_channels", None, head.take("num_classes"))
    head.only("pooling_type", "att")
    head.only("fusion_types", ("channel_add",))
    head.only("dilation", 1)
    dilations = head.take("dilations")
    if dilations and dilations[0] != 1:
        head.refuse("dilations")
    act = head.part("act_cfg")
    act.only("type", "ReLU")
    norm = norm_of(head, default=config.norm)
    config = with_fields(
        config,
        align_corners=bool(head.take("align_corners")),
        dilations=dilations[1:] if dilations else None,
        bins=head.take("pool_scales"),
        norm=norm["norm"],
        norm_groups=norm["norm_groups"],
    )
    head.close()
    return config
