"""Keys of every toolbox and of all its versions, under ours."""

import re

import pytest
import torch
from cvzoo.weights.load import WeightsError, recognise, to_ours
from torch import nn
from torchvision.models import detection
from weights.narrow import MASK_RCNN_GCB, SEGMENTERS, SYSTEMS, narrow


@pytest.mark.parametrize("row", [*SYSTEMS, MASK_RCNN_GCB, *SEGMENTERS])
def test_our_own_keys_stay(row):
    with torch.device("meta"):
        state = narrow(row).model.build().state_dict()
    assert recognise(state) == "cvzoo"
    assert to_ours(state) == state


@pytest.mark.parametrize(
    ("key", "toolbox"),
    [
        ("backbone.bottom_up.stem.conv1.weight", "detectron2"),
        ("proposal_generator.rpn_head.conv.weight", "detectron2"),  # on C4 the body has no name of its own
        ("backbone.fpn.inner_blocks.0.0.weight", "torchvision"),
        ("neck.lateral_convs.0.conv.weight", "mmlab"),
        ("roi_head.bbox_head.fc_cls.weight", "mmlab"),
        ("decode_head.conv_seg.weight", "mmlab"),
        ("sem_seg_head.predictor.weight", "detectron2"),
        ("classifier.1.running_mean", "torchvision"),  # FCN
        ("classifier.2.running_mean", "torchvision"),  # DeepLab
        ("head.classifier.conv.weight", "cvzoo"),
    ],
)
def test_toolboxes_are_told_apart(key, toolbox):
    common = ["backbone.conv1.weight", "backbone.layer1.0.conv1.weight", "roi_heads.box_predictor.cls_score.weight"]
    assert recognise(dict.fromkeys([*common, key], torch.zeros(1))) == toolbox


def test_torchvisions_old_names_are_the_same_model():
    with torch.device("meta"):
        retinanet = detection.retinanet_resnet50_fpn(weights=None, weights_backbone=None).state_dict()
        mask_rcnn = detection.maskrcnn_resnet50_fpn(weights=None, weights_backbone=None).state_dict()

    def old(key):
        key = re.sub(r"(inner_blocks|layer_blocks)\.(\d)\.0\.", r"\1.\2.", key).replace(
            "rpn.head.conv.0.0.", "rpn.head.conv."
        )
        key = re.sub(r"mask_head\.(\d)\.0\.", lambda m: f"mask_head.mask_fcn{int(m[1]) + 1}.", key)
        return re.sub(r"(_head\.conv)\.(\d)\.0\.", lambda m: f"{m[1]}.{2 * int(m[2])}.", key)

    for state in (retinanet, mask_rcnn):
        renamed = {old(key): x for key, x in state.items()}
        assert renamed.keys() != state.keys()
        assert to_ours(renamed).keys() == to_ours(state).keys()


def test_torchvisions_background_moves_to_the_end_and_loses_its_box_and_mask():
    cls = torch.arange(4.0)
    ours = to_ours(
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


def test_detectron2_variants():
    """Convolutions in number, norms in towers and necks, buffers of cvpods and of old files."""
    source = {
        "backbone.bottom_up.stem.conv1.norm.weight": "backbone.bn1.weight",
        "backbone.bottom_up.res3.1.shortcut.norm.bias": "backbone.layer2.1.downsample.1.bias",
        "backbone.fpn_lateral4.norm.weight": "neck.lateral.1.norm.weight",
        "head.cls_subnet.0.weight": "head.cls_tower.0.conv.weight",
        "head.cls_subnet.1.weight": "head.cls_tower.0.norm.weight",
        "head.bbox_subnet.3.bias": "head.box_tower.1.conv.bias",
        "proposal_generator.rpn_head.conv.conv1.weight": "rpn.tower.1.conv.weight",
        "roi_heads.box_head.conv2.norm.bias": "box_head.convs.1.norm.bias",
        "roi_heads.box_head.fc1.weight": "box_head.fcs.0.weight",
        "roi_heads.mask_head.mask_fcn2.norm.bias": "mask_head.convs.1.norm.bias",
        "roi_heads.mask_head.deconv.weight": "mask_head.upsample.weight",
        "anchor_generator.cell_anchors.0": None,
        "proposal_generator.anchor_generator.cell_anchors.3": None,
        "pixel_mean": None,
    }
    ours = to_ours(dict.fromkeys(source, torch.zeros(1)))
    assert set(ours) == {key for key in source.values() if key}


def test_detectron2s_body_without_a_pyramid():
    source = {
        "backbone.stem.conv1.norm.weight": "backbone.bn1.weight",
        "backbone.res4.5.conv2.weight": "backbone.layer3.5.conv2.weight",
        "roi_heads.res5.0.shortcut.weight": "backbone.layer4.0.downsample.0.weight",
        "proposal_generator.rpn_head.conv.weight": "rpn.tower.0.conv.weight",
    }
    assert set(to_ours(dict.fromkeys(source, torch.zeros(1)))) == set(source.values())


def test_detectron2s_cascade():
    source = {
        "backbone.bottom_up.stem.conv1.weight": "backbone.conv1.weight",
        "roi_heads.box_head.2.fc2.weight": "box_heads.2.fcs.1.weight",
        "roi_heads.box_head.1.conv4.norm.weight": "box_heads.1.convs.3.norm.weight",
        "roi_heads.box_predictor.0.bbox_pred.weight": "box_heads.0.box_out.weight",
        "roi_heads.mask_head.mask_fcn1.weight": "mask_heads.0.convs.0.conv.weight",
        "roi_heads.mask_head.predictor.weight": "mask_heads.0.out.weight",
    }
    assert set(to_ours(dict.fromkeys(source, torch.zeros(1)))) == set(source.values())


def test_mmdetection_variants():
    source = {
        "neck.lateral_convs.0.conv.weight": "neck.lateral.0.conv.weight",
        "neck.lateral_convs.1.gn.weight": "neck.lateral.1.norm.weight",
        "neck.fpn_convs.1.bn.running_var": "neck.output.1.norm.running_var",
        "neck.fpn_convs.2.conv.weight": "neck.extra.0.conv.weight",
        "bbox_head.reg_convs.3.gn.bias": "head.box_tower.3.norm.bias",
        "rpn_head.rpn_conv.1.conv.weight": "rpn.tower.1.conv.weight",
        "roi_head.bbox_head.shared_convs.0.bn.weight": "box_head.convs.0.norm.weight",
        "roi_head.mask_head.convs.3.gn.weight": "mask_head.convs.3.norm.weight",
        "roi_head.mask_head.1.convs.3.bn.weight": "mask_heads.1.convs.3.norm.weight",
        "roi_head.mask_head.1.conv_logits.bias": "mask_heads.1.out.bias",
        "roi_head.bbox_head.2.shared_fcs.1.bias": "box_heads.2.fcs.1.bias",
        "roi_head.shared_head.layer4.0.bn1.weight": "backbone.layer4.0.bn1.weight",
    }
    assert set(to_ours(dict.fromkeys(source, torch.zeros(1)))) == set(source.values())


def test_mmdetections_dense_heads():
    """Those of today and of version 1."""
    source = {
        "neck.lateral_convs.0.conv.weight": "neck.lateral.0.conv.weight",
        "bbox_head.retina_cls.bias": "head.cls_out.bias",
        "bbox_head.conv_reg.bias": "head.box_out.bias",
        "bbox_head.fcos_cls.weight": "head.cls_out.weight",
        "bbox_head.fcos_reg.weight": "head.box_out.weight",
        "bbox_head.fcos_centerness.weight": "head.centreness_out.weight",
        "bbox_head.atss_centerness.bias": "head.centreness_out.bias",
        "bbox_head.scales.4.scale": "head.scales.4",
        "bbox_head.reppoints_pts_init_conv.bias": "head.first_conv.bias",
        "bbox_head.reppoints_pts_refine_conv.weight": "head.refine_kernel",
        "bbox_head.moment_transfer": "head.transfer",
    }
    assert set(to_ours(dict.fromkeys(source, torch.zeros(1)))) == set(source.values())


def test_mmsegmentations_heads():
    """Which head it is decides what `bottleneck` and `convs` are."""
    heads = (
        {
            "decode_head.psp_modules.3.1.bn.weight": "head.pyramid.branches.3.norm.weight",
            "decode_head.bottleneck.conv.weight": "head.fuse.conv.weight",
            "decode_head.conv_seg.bias": "head.classifier.conv.bias",
        },
        {
            "decode_head.image_pool.1.conv.weight": "head.aspp.pooled.conv.weight",
            "decode_head.aspp_modules.0.conv.weight": "head.aspp.point.conv.weight",
            "decode_head.aspp_modules.2.conv.weight": "head.aspp.atrous.1.conv.weight",
            "decode_head.aspp_modules.3.depthwise_conv.bn.bias": "head.aspp.atrous.2.0.norm.bias",
            "decode_head.bottleneck.bn.weight": "head.aspp.fuse.norm.weight",
            "decode_head.c1_bottleneck.conv.weight": "head.low.conv.weight",
            "decode_head.sep_bottleneck.1.pointwise_conv.conv.weight": "head.decoder.1.1.conv.weight",
        },
        {
            "decode_head.gc_block.conv_mask.weight": "head.context.attention.weight",
            "decode_head.gc_block.channel_add_conv.3.bias": "head.context.transform.3.bias",
            "decode_head.convs.1.bn.weight": "head.after.norm.weight",
            "decode_head.conv_cat.conv.weight": "head.merge.conv.weight",
        },
        {
            "decode_head.convs.1.bn.weight": "head.convs.1.norm.weight",
            "decode_head.conv_cat.conv.weight": "head.merge.conv.weight",
            "decode_head.conv_seg.bias": "head.classifier.conv.bias",
            "auxiliary_head.convs.0.bn.weight": "aux_head.convs.0.norm.weight",
            "auxiliary_head.conv_seg.weight": "aux_head.classifier.conv.weight",
            "backbone.stem.7.running_var": "backbone.stem.7.running_var",
            "backbone.layer1.0.bn1.weight": "backbone.layer1.0.bn1.weight",
        },
    )
    for source in heads:
        assert set(to_ours(dict.fromkeys(source, torch.zeros(1)))) == set(source.values())


def test_detectron2s_deep_stem():
    source = {
        "backbone.stem.conv1.weight": "backbone.stem.0.weight",
        "backbone.stem.conv2.weight": "backbone.stem.3.weight",
        "backbone.stem.conv3.norm.bias": "backbone.stem.7.bias",
        "sem_seg_head.aspp.project.norm.weight": "head.aspp.fuse.norm.weight",
    }
    assert set(to_ours(dict.fromkeys(source, torch.zeros(1)))) == set(source.values())


def test_where_toolboxes_concatenate_in_another_order_the_next_convolution_is_reordered():
    mmlab = {
        "decode_head.aspp_modules.0.conv.weight": torch.zeros(2, 1, 1, 1),
        "decode_head.image_pool.1.conv.weight": torch.zeros(2, 1, 1, 1),
        "decode_head.bottleneck.conv.weight": torch.arange(10.0).view(1, 10, 1, 1),
    }
    assert to_ours(mmlab)["head.aspp.fuse.conv.weight"].flatten().tolist() == [2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    detectron2 = {
        "sem_seg_head.decoder.res5.project_conv.convs.0.weight": torch.zeros(3, 1, 1, 1),
        "sem_seg_head.decoder.res2.project_conv.weight": torch.zeros(2, 1, 1, 1),
        "sem_seg_head.decoder.res2.fuse_conv.0.weight": torch.arange(5.0).view(1, 5, 1, 1),
    }
    assert to_ours(detectron2)["head.decoder.0.conv.weight"].flatten().tolist() == [2, 3, 4, 0, 1]


def test_one_layer_under_two_names_is_an_error():
    key = "backbone.fpn.inner_blocks.0.{}weight"
    with pytest.raises(WeightsError, match=r"inner_blocks\.0\.0\.weight twice, as .*remove one of them"):
        to_ours({key.format(""): torch.zeros(1), key.format("0."): torch.zeros(1)})


def test_unknown_weights_are_shown():
    with pytest.raises(WeightsError, match=r"not weights of a model.*4 keys: 0\.weight, 0\.bias.*--backbone-weights"):
        to_ours(nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1)).state_dict())
