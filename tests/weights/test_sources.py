"""How a file is known, and what systems make of keys that only their heads have."""

from __future__ import annotations

import pytest
import torch
from weights.keys.renamed import check
from weights.reading import NETWORKS, readers
from zoo.systems import narrow

from cvzoo.loading import read_state
from cvzoo.weights.keys import dense
from cvzoo.weights.keys.rename import State
from cvzoo.weights.source import Marker, Source
from cvzoo.zoo import SYSTEMS
from cvzoo.zoo.atss import weights as atss
from cvzoo.zoo.deeplabv3plus import weights as deeplab
from cvzoo.zoo.fcos import weights as fcos
from cvzoo.zoo.gcnet import weights as gcnet
from cvzoo.zoo.pspnet import weights as pspnet
from cvzoo.zoo.reppoints import weights as reppoints


def test_a_marker_asks_for_some_keys_and_against_others() -> None:
    marker = Marker(has=(r"^a\.", r"\.weight$"), lacks=(r"^b\.", r"^c\."))
    assert marker.fits(["a.bias", "d.weight"])
    assert not marker.fits(["a.bias"])
    assert not marker.fits(["a.weight", "b.weight"])
    assert not marker.fits(["a.weight", "c.bias"])


def test_where_keys_are_shared_the_config_in_the_file_tells() -> None:
    """Else, and where a config says nothing of heads, the keys are all."""
    source = Source(
        name="mmdetection",
        what="a detector",
        marker=Marker(has=("^a$",)),
        translate=dict,
        config=lambda state, row: row,
        types=("ThisHead",),
    )
    state = {"a": torch.zeros(1)}
    assert source.reads(state, "w.pth\n")
    assert source.reads(state, "w.pth\nmodel = dict(backbone=dict(type='ResNet'))")
    assert source.reads(state, "w.pth\nmodel = dict(bbox_head=dict(type='ThisHead'))")
    assert not source.reads(state, "w.pth\nmodel = dict(bbox_head=dict(type='OtherThisHead'))")
    assert not source.reads({"b": torch.zeros(1)}, "w.pth\nmodel = dict(bbox_head=dict(type='ThisHead'))")


@pytest.mark.parametrize(
    ("config", "what"),
    [
        ("", {"Faster R-CNN on C4", "TridentNet"}),
        ("MODEL: {ROI_HEADS: {NAME: Res5ROIHeads}}", {"Faster R-CNN on C4"}),
        ("MODEL: {ROI_HEADS: {NAME: TridentRes5ROIHeads}}", {"TridentNet"}),
        ("MODEL: {ROI_HEADS: {NAME: OwnROIHeads}}", set()),
    ],
)
def test_branches_are_in_the_config_alone(config: str, what: set[str]) -> None:
    """TridentNet's keys are those of Faster R-CNN on C4."""
    keys = ["proposal_generator.rpn_head.conv.weight", "roi_heads.res5.0.x", "roi_heads.box_predictor.x"]
    state = dict.fromkeys(keys, torch.zeros(1))
    sources = [source for system in SYSTEMS for source in system.sources()]
    assert {source.what for source in sources if source.reads(state, f"w.pth\n{config}")} == what


@pytest.mark.parametrize("row", NETWORKS)
def test_our_own_keys_stay(row: str) -> None:
    recipe = narrow(row)
    with torch.device("meta"):
        state = recipe.model.build().state_dict()
    assert {toolbox for _, toolbox in readers(state)} == {"cvzoo"}
    ours, config = read_state(state, recipe, "the file")
    assert ours == state
    assert config == recipe.model


@pytest.mark.parametrize(
    ("keys", "toolbox"),
    [
        (
            [
                "backbone.bottom_up.stem.conv1.weight",
                "proposal_generator.rpn_head.conv.weight",
                "roi_heads.box_predictor.x",
            ],
            "detectron2",
        ),
        # on C4 the body has no name of its own
        (["proposal_generator.rpn_head.conv.weight", "roi_heads.res5.0.x", "roi_heads.box_predictor.x"], "detectron2"),
        (["backbone.fpn.inner_blocks.0.0.weight", "roi_heads.box_predictor.cls_score.weight"], "torchvision"),
        (["neck.lateral_convs.0.conv.weight", "roi_head.bbox_head.fc_cls.weight"], "mmdetection"),
        (["decode_head.conv_seg.weight", "decode_head.convs.0.conv.weight"], "mmsegmentation"),
        (["sem_seg_head.predictor.weight", "sem_seg_head.aspp.convs.0.weight"], "detectron2"),
        (["classifier.1.running_mean"], "torchvision"),  # FCN
        (["classifier.2.running_mean", "classifier.0.convs.0.0.weight"], "torchvision"),  # DeepLab
        (["head.classifier.conv.weight", "head.convs.0.conv.weight"], "cvzoo"),
    ],
)
def test_toolboxes_are_told_apart(keys: list[str], toolbox: str) -> None:
    common = ["backbone.conv1.weight", "backbone.layer1.0.conv1.weight"]
    assert {name for _, name in readers(dict.fromkeys([*common, *keys], torch.zeros(1)))} == {toolbox}


def test_every_source_is_of_a_known_toolbox_and_says_what_it_is_of() -> None:
    toolboxes = {"cvzoo", "torchvision", "detectron2", "mmdetection", "mmsegmentation", "TreeFilter-Torch"}
    toolboxes |= {"cvpods", "xingyizhou/CenterNet", "princeton-vl/CornerNet"}
    for system in SYSTEMS:
        told = [(source.name, source.what) for source in system.sources()]
        assert len(set(told)) == len(told)
        assert {name for name, _ in told} <= toolboxes
        own = {what for name, what in told if name == "cvzoo"}
        assert {what for _, what in told} == own, "our own files of each network load, too"


@pytest.mark.parametrize(
    ("translate", "expected"),
    [
        (
            dense.anchor_head_of_mmdetection,
            {"bbox_head.retina_cls.bias": "head.cls_out.bias", "bbox_head.retina_reg.bias": "head.box_out.bias"},
        ),
        (
            fcos.from_mmdetection,  # those of today, and of version 1
            {
                "bbox_head.conv_cls.bias": "head.cls_out.bias",
                "bbox_head.conv_centerness.bias": "head.centreness_out.bias",
            },
        ),
        (
            fcos.from_mmdetection,
            {
                "bbox_head.fcos_cls.weight": "head.cls_out.weight",
                "bbox_head.fcos_reg.weight": "head.box_out.weight",
                "bbox_head.fcos_centerness.weight": "head.centreness_out.weight",
                "bbox_head.scales.4.scale": "head.scales.4",
            },
        ),
        (
            fcos.from_torchvision,  # convolution, norm, ReLU, convolution ...
            {
                "head.classification_head.conv.3.weight": "head.cls_tower.1.conv.weight",
                "head.regression_head.conv.10.bias": "head.box_tower.3.norm.bias",
                "head.regression_head.bbox_ctrness.bias": "head.centreness_out.bias",
            },
        ),
        (
            atss.from_mmdetection,
            {
                "bbox_head.atss_cls.bias": "head.cls_out.bias",
                "bbox_head.atss_reg.bias": "head.box_out.bias",
                "bbox_head.atss_centerness.bias": "head.centreness_out.bias",
            },
        ),
        (
            reppoints.from_mmdetection,
            {
                "bbox_head.reppoints_pts_init_conv.bias": "head.first_conv.bias",
                "bbox_head.reppoints_pts_init_out.bias": "head.first_out.bias",
                "bbox_head.reppoints_pts_refine_conv.weight": "head.refine_kernel",
                "bbox_head.reppoints_pts_refine_out.bias": "head.refine_out.bias",
                "bbox_head.reppoints_cls_conv.weight": "head.cls_kernel",
                "bbox_head.reppoints_cls_out.bias": "head.cls_out.bias",
                "bbox_head.moment_transfer": "head.transfer",
            },
        ),
        (
            pspnet.from_mmsegmentation,
            {
                "decode_head.psp_modules.3.1.bn.weight": "head.pyramid.branches.3.norm.weight",
                "decode_head.bottleneck.conv.weight": "head.fuse.conv.weight",
                "decode_head.conv_seg.bias": "head.classifier.conv.bias",
            },
        ),
        (
            gcnet.from_mmsegmentation,
            {
                "decode_head.gc_block.conv_mask.weight": "head.context.attention.weight",
                "decode_head.gc_block.channel_add_conv.3.bias": "head.context.transform.3.bias",
                "decode_head.convs.0.conv.weight": "head.before.conv.weight",
                "decode_head.convs.1.bn.weight": "head.after.norm.weight",
                "decode_head.conv_cat.conv.weight": "head.merge.conv.weight",
            },
        ),
        (
            deeplab.from_detectron2,
            {
                "backbone.stem.conv1.weight": "backbone.stem.0.weight",
                "backbone.stem.conv2.weight": "backbone.stem.3.weight",
                "backbone.stem.conv3.norm.bias": "backbone.stem.7.bias",
                "sem_seg_head.aspp.project.norm.weight": "head.aspp.fuse.norm.weight",
            },
        ),
    ],
)
def test_heads_of_one_system(translate: object, expected: dict[str, str]) -> None:
    check(translate, expected)  # type: ignore[arg-type]


def test_mmsegmentations_deeplab_concatenates_in_another_order() -> None:
    """So the convolution that follows is reordered; its other names are its own, too."""
    state: State = {
        "decode_head.aspp_modules.0.conv.weight": torch.zeros(2, 1, 1, 1),
        "decode_head.aspp_modules.2.conv.weight": torch.zeros(2, 1, 3, 3),
        "decode_head.aspp_modules.3.depthwise_conv.bn.bias": torch.zeros(1),
        "decode_head.image_pool.1.conv.weight": torch.zeros(2, 1, 1, 1),
        "decode_head.bottleneck.conv.weight": torch.arange(10.0).view(1, 10, 1, 1),
        "decode_head.bottleneck.bn.weight": torch.zeros(1),
        "decode_head.c1_bottleneck.conv.weight": torch.zeros(1, 1, 1, 1),
        "decode_head.sep_bottleneck.1.pointwise_conv.conv.weight": torch.zeros(1, 1, 1, 1),
    }
    ours = deeplab.from_mmsegmentation(state)
    assert ours["head.aspp.fuse.conv.weight"].flatten().tolist() == [2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    assert set(ours) == {
        "head.aspp.point.conv.weight",
        "head.aspp.atrous.1.conv.weight",
        "head.aspp.atrous.2.0.norm.bias",
        "head.aspp.pooled.conv.weight",
        "head.aspp.fuse.conv.weight",
        "head.aspp.fuse.norm.weight",
        "head.low.conv.weight",
        "head.decoder.1.1.conv.weight",
    }
