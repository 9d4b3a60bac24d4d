"""Networks for semantic segmentation: what all of a toolbox's have, and what is seen in a state."""

from __future__ import annotations

from weights.keys.renamed import check

from cvzoo.weights.keys import segmenter
from cvzoo.weights.keys.rename import renamed


def test_mmsegmentations_heads() -> None:
    """The body's names are ours; what only one head has, its own rules name."""
    own = ((r"^head\.convs\.0\.", "head.before."),)
    check(
        lambda state: segmenter.from_mmsegmentation(state, own),
        {
            "decode_head.convs.0.bn.weight": "head.before.norm.weight",
            "decode_head.convs.1.bn.weight": "head.convs.1.norm.weight",
            "decode_head.conv_cat.conv.weight": "head.merge.conv.weight",
            "decode_head.conv_seg.bias": "head.classifier.conv.bias",
            "auxiliary_head.convs.0.bn.weight": "aux_head.convs.0.norm.weight",
            "auxiliary_head.conv_seg.weight": "aux_head.classifier.conv.weight",
            "backbone.stem.7.running_var": "backbone.stem.7.running_var",
            "backbone.layer1.0.bn1.weight": "backbone.layer1.0.bn1.weight",
        },
    )


def test_torchvisions_auxiliary_head() -> None:
    check(
        lambda state: renamed(state, segmenter.TORCHVISION_AUXILIARY),
        {
            "aux_classifier.0.weight": "aux_head.convs.0.conv.weight",
            "aux_classifier.1.running_mean": "aux_head.convs.0.norm.running_mean",
            "aux_classifier.4.bias": "aux_head.classifier.conv.bias",
        },
    )


def test_members_of_a_list_are_counted() -> None:
    state = dict.fromkeys(["head.convs.0.conv.weight", "head.convs.0.norm.bias", "head.convs.1.conv.weight"], 0)
    assert segmenter.members(state, "head.convs.") == 2  # type: ignore[arg-type]
    assert segmenter.members(state, "head.decoder.") == 0  # type: ignore[arg-type]
