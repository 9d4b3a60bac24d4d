"""Key maps of mmdetection 2 and 3, and of mmsegmentation. Their backbones have torchvision's names, and so ours."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from cvzoo.weights.rename import BOX, MASK, Rules, State, renamed

MARKER = r"^neck\.lateral_convs\.|^roi_head\."
"""Keys by which the toolbox is known. mmdetection 1 has them, too; its Faster R-CNN, with the background first and no
`roi_head.` in its keys, does not load."""

CONTEXT: Rules = (
    (r"\.(?:context|gc)_block\.conv_mask\.", ".context.attention."),
    (r"\.(?:context|gc)_block\.channel_add_conv\.", ".context.transform."),
)
"""Global context blocks, in bodies and heads."""
RULES: Rules = (
    (r"^neck\.lateral_convs\.", "neck.lateral."),
    (r"^(neck\.\w+\.\d)\.(?:bn|gn)\.", r"\1.norm."),
    (r"\.conv_offset\.", ".offset."),
    *CONTEXT,
    # RetinaNet, FreeAnchor, FCOS, ATSS; files of mmdetection 1 have `fcos_`
    (r"^bbox_head\.cls_convs\.", "head.cls_tower."),
    (r"^bbox_head\.reg_convs\.", "head.box_tower."),
    (r"^bbox_head\.(?:retina|conv|fcos|atss)_cls\.", "head.cls_out."),
    (r"^bbox_head\.(?:retina|conv|fcos|atss)_reg\.", "head.box_out."),
    (r"^bbox_head\.(?:conv|fcos|atss)_centerness\.", "head.centreness_out."),
    (r"^bbox_head\.scales\.(\d)\.scale$", r"head.scales.\1"),
    # RepPoints
    (r"^bbox_head\.reppoints_pts_init_(conv|out)\.", r"head.first_\1."),
    (r"^bbox_head\.reppoints_pts_refine_out\.", "head.refine_out."),
    (r"^bbox_head\.reppoints_pts_refine_conv\.weight$", "head.refine_kernel"),
    (r"^bbox_head\.reppoints_cls_out\.", "head.cls_out."),
    (r"^bbox_head\.reppoints_cls_conv\.weight$", "head.cls_kernel"),
    (r"^bbox_head\.moment_transfer$", "head.transfer"),
    # R-CNNs; one convolution in the RPN is `rpn_conv`, several are `rpn_conv.0.conv`, ...
    (r"^rpn_head\.rpn_conv\.(weight|bias)$", r"rpn.tower.0.conv.\1"),
    (r"^rpn_head\.rpn_conv\.", "rpn.tower."),
    (r"^rpn_head\.rpn_cls\.", "rpn.objectness."),
    (r"^rpn_head\.rpn_reg\.", "rpn.deltas."),
    (r"^roi_head\.shared_head\.layer4\.", "backbone.layer4."),
    # in a cascade every stage has heads of its own
    (r"^roi_head\.bbox_head\.(\d)\.", r"box_heads.\1."),
    (r"^roi_head\.bbox_head\.", "box_head."),
    (r"^roi_head\.mask_head\.(\d)\.", r"mask_heads.\1."),
    (r"^roi_head\.mask_head\.", "mask_head."),
    (rf"{BOX}\.shared_(convs|fcs)\.", r"\1.\2."),
    (rf"{BOX}\.fc_cls\.", r"\1.cls_out."),
    (rf"{BOX}\.fc_reg\.", r"\1.box_out."),
    (rf"{MASK}\.conv_logits\.", r"\1.out."),
    (r"\b((?:cls_tower|box_tower|convs)\.\d)\.(?:bn|gn)\.", r"\1.norm."),
)


def from_mmlab(state: Mapping[str, Tensor]) -> State:
    """An mmdetection detector's state under our keys; unknown keys stay as they are."""
    return renamed(state, (*_outputs(state), *RULES))


def _outputs(state: Mapping[str, Tensor]) -> Rules:
    """`fpn_convs` are the output convolutions and, after as many as there are lateral ones, the extra levels'."""
    laterals = len({key.split(".")[2] for key in state if key.startswith("neck.lateral_convs.")})
    names = [f"output.{i}" for i in range(laterals)] + [f"extra.{i}" for i in range(2)]
    return tuple((rf"^neck\.fpn_convs\.{i}\.", f"neck.{name}.") for i, name in enumerate(names))


SEGMENTATION_MARKER = r"^decode_head\."
"""Keys by which mmsegmentation is known."""
HEADS: dict[str, Rules] = {
    "psp_modules": (
        (r"\.psp_modules\.(\d)\.1\.", r".pyramid.branches.\1."),
        (r"\.bottleneck\.", ".fuse."),
    ),
    "aspp_modules": (
        (r"\.aspp_modules\.0\.", ".aspp.point."),
        *((rf"\.aspp_modules\.{i + 1}\.", f".aspp.atrous.{i}.") for i in range(3)),
        (r"\.image_pool\.1\.", ".aspp.pooled."),
        (r"\.bottleneck\.", ".aspp.fuse."),
        (r"\.c1_bottleneck\.", ".low."),
        (r"\.sep_bottleneck\.", ".decoder."),
        (r"\.depthwise_conv\.", ".0."),
        (r"\.pointwise_conv\.", ".1."),
    ),
    "gc_block": (
        *CONTEXT,
        (r"^head\.convs\.0\.", "head.before."),
        (r"^head\.convs\.1\.", "head.after."),
    ),
}
"""What only one kind of head has, to the rules of that kind; FCN's has none of these."""


def from_mmsegmentation(state: Mapping[str, Tensor]) -> State:
    """A segmentation network's state under our keys; unknown keys stay as they are."""
    parts = {key.split(".")[1] for key in state if key.startswith("decode_head.")}
    heads = next((rules for part, rules in HEADS.items() if part in parts), ())
    rules = (
        (r"^auxiliary_head\.", "aux_head."),
        (r"^decode_head\.", "head."),
        *heads,
        (r"^head\.conv_cat\.", "head.merge."),
        (r"\bconv_seg\.", "classifier.conv."),
        (r"^((?!backbone\.).*)\.bn\.", r"\1.norm."),
    )
    ours = renamed(state, rules)
    if (fuse := "head.aspp.fuse.conv.weight") in ours:  # the pooling branch comes first there, last here
        ours[fuse] = ours[fuse].roll(-len(ours["head.aspp.pooled.conv.weight"]), dims=1)
    return ours
