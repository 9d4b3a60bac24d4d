"""Published weights of Mask R-CNN, by the network and the data that they are of. Imports no torch."""

from __future__ import annotations

from cvzoo.zoo.published import detectron2, mmdetection, torchvision

FROM_RANDOM = "MODEL: {PIXEL_STD: [57.375, 57.12, 58.395], RESNETS: {STRIDE_IN_1X1: false}}"
"""Of detectron2's `configs/Misc/scratch_mask_rcnn_R_50_FPN_9x_*`: unlike the others, these have begun from no ImageNet
weights of others, and divide pixels."""
ON_PYRAMID = (
    torchvision("maskrcnn_resnet50_fpn_coco-bf2d0c1e", note="26 epochs", box_AP=0.379, mask_AP=0.346),
    torchvision(
        "maskrcnn_resnet50_fpn_v2_coco-73cbd019",
        name="torchvision_v2",
        note="v2, 400 epochs, large-scale jitter",
        box_AP=0.474,
        mask_AP=0.418,
    ),
    detectron2(
        "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x/137260431/model_final_a54504",
        box_AP=0.386,
        mask_AP=0.352,
    ),
    detectron2(
        "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x/137849600/model_final_f10217",
        name="detectron2_3x",
        note="3x, 640-800",
        box_AP=0.410,
        mask_AP=0.372,
    ),
    detectron2(
        "COCO-InstanceSegmentation/mask_rcnn_R_101_FPN_3x/138205316/model_final_a3ec72",
        name="detectron2_r101_3x",
        note="R-101, 3x, 640-800",
        box_AP=0.429,
        mask_AP=0.386,
    ),
    detectron2(
        "COCO-InstanceSegmentation/mask_rcnn_X_101_32x8d_FPN_3x/139653917/model_final_2d9806",
        name="detectron2_x101_3x",
        note="X-101-32x8d, 3x, 640-800",
        box_AP=0.443,
        mask_AP=0.395,
    ),
    detectron2(
        "Misc/mask_rcnn_R_50_FPN_1x_dconv_c3-c5/138602867/model_final_65c703",
        name="detectron2_dconv",
        note="deformable, 640-800",
        box_AP=0.415,
        mask_AP=0.375,
    ),
    detectron2(
        "Misc/mask_rcnn_R_50_FPN_3x_dconv_c3-c5/144998336/model_final_821d0b",
        name="detectron2_dconv_3x",
        note="deformable, 3x, 640-800",
        box_AP=0.427,
        mask_AP=0.385,
    ),
    detectron2(
        "Misc/mask_rcnn_R_50_FPN_3x_gn/138602888/model_final_dc5d9e",
        name="detectron2_gn_3x",
        note="GN, 3x, 640-800",
        box_AP=0.426,
        mask_AP=0.386,
    ),
    detectron2(
        "Misc/mask_rcnn_R_50_FPN_3x_syncbn/169527823/model_final_3b3c51",
        name="detectron2_syncbn_3x",
        note="SyncBN, 3x, 640-800",
        box_AP=0.419,
        mask_AP=0.378,
    ),
    detectron2(
        "Misc/scratch_mask_rcnn_R_50_FPN_3x_gn/138602908/model_final_01ca85",
        name="detectron2_scratch_gn_3x",
        note="GN, from random weights, 3x, 640-800",
        box_AP=0.399,
        mask_AP=0.366,
    ),
    detectron2(
        "Misc/scratch_mask_rcnn_R_50_FPN_9x_gn/183808979/model_final_da7b4c",
        name="detectron2_scratch_gn_9x",
        note="GN, from random weights, 9x, 640-800",
        config=FROM_RANDOM,
        box_AP=0.437,
        mask_AP=0.396,
    ),
    detectron2(
        "Misc/scratch_mask_rcnn_R_50_FPN_9x_syncbn/184226666/model_final_5ce33e",
        name="detectron2_scratch_syncbn_9x",
        note="SyncBN, from random weights, 9x, 640-800",
        config=FROM_RANDOM,
        box_AP=0.436,
        mask_AP=0.393,
    ),
    mmdetection(
        "mask_rcnn/mask_rcnn_r50_fpn_1x_coco/mask_rcnn_r50_fpn_1x_coco_20200205-d4b0c5d6",
        box_AP=0.382,
        mask_AP=0.347,
    ),
    mmdetection(
        "mask_rcnn/mask_rcnn_r101_fpn_1x_coco/mask_rcnn_r101_fpn_1x_coco_20200204-1efe0ed5",
        name="mmdetection_r101",
        note="R-101",
        box_AP=0.4,
        mask_AP=0.361,
    ),
    mmdetection(
        "gcnet/mask_rcnn_r50_fpn_syncbn-backbone_1x_coco/mask_rcnn_r50_fpn_syncbn-backbone_1x_coco_20200202-bb3eb55c",
        name="mmdetection_syncbn",
        note="SyncBN",
        box_AP=0.384,
        mask_AP=0.346,
    ),
)
ON_C4 = (
    detectron2(
        "COCO-InstanceSegmentation/mask_rcnn_R_50_C4_1x/137259246/model_final_9243eb",
        box_AP=0.368,
        mask_AP=0.322,
    ),
    detectron2(
        "COCO-InstanceSegmentation/mask_rcnn_R_50_C4_3x/137849525/model_final_4ce675",
        name="detectron2_3x",
        note="3x, 640-800",
        box_AP=0.398,
        mask_AP=0.344,
    ),
    detectron2(
        "COCO-InstanceSegmentation/mask_rcnn_R_101_C4_3x/138363239/model_final_a2914c",
        name="detectron2_r101_3x",
        note="R-101, 3x, 640-800",
        box_AP=0.426,
        mask_AP=0.367,
    ),
)
ON_C5 = (
    detectron2(
        "COCO-InstanceSegmentation/mask_rcnn_R_50_DC5_1x/137260150/model_final_4f86c3",
        box_AP=0.383,
        mask_AP=0.342,
    ),
    detectron2(
        "COCO-InstanceSegmentation/mask_rcnn_R_50_DC5_3x/137849551/model_final_84107b",
        name="detectron2_3x",
        note="3x, 640-800",
        box_AP=0.400,
        mask_AP=0.359,
    ),
    detectron2(
        "COCO-InstanceSegmentation/mask_rcnn_R_101_DC5_3x/138363294/model_final_0464b7",
        name="detectron2_r101_3x",
        note="R-101, 3x, 640-800",
        box_AP=0.419,
        mask_AP=0.373,
    ),
)
ON_CITYSCAPES = (
    detectron2(
        "Cityscapes/mask_rcnn_R_50_FPN/142423278/model_final_af9cf5",
        note="mask AP of Cityscapes' own evaluation",
        other_measure=True,
        mask_AP=0.365,
    ),
    mmdetection(
        "cityscapes/mask_rcnn_r50_fpn_1x_cityscapes/mask_rcnn_r50_fpn_1x_cityscapes_20201211_133733-d2858245",
        note="64 epochs",
        box_AP=0.409,
        mask_AP=0.364,
    ),
)
ON_LVIS_V05 = (
    detectron2(
        "LVISv0.5-InstanceSegmentation/mask_rcnn_R_50_FPN_1x/144219072/model_final_571f7c",
        note="",
        box_AP=0.236,
        mask_AP=0.244,
    ),
    detectron2(
        "LVISv0.5-InstanceSegmentation/mask_rcnn_R_101_FPN_1x/144219035/model_final_824ab5",
        name="detectron2_r101",
        note="R-101",
        box_AP=0.256,
        mask_AP=0.259,
    ),
    detectron2(
        "LVISv0.5-InstanceSegmentation/mask_rcnn_X_101_32x8d_FPN_1x/144219108/model_final_5e3439",
        name="detectron2_x101",
        note="X-101-32x8d",
        box_AP=0.267,
        mask_AP=0.271,
    ),
    mmdetection(
        "lvis/mask_rcnn_r50_fpn_sample1e-3_mstrain_2x_lvis/mask_rcnn_r50_fpn_sample1e-3_mstrain_2x_lvis-dbd06831",
        note="24 epochs",
        box_AP=0.261,
        mask_AP=0.259,
    ),
    mmdetection(
        "lvis/mask_rcnn_r101_fpn_sample1e-3_mstrain_2x_lvis/mask_rcnn_r101_fpn_sample1e-3_mstrain_2x_lvis-54582ee2",
        name="mmdetection_r101",
        note="R-101, 24 epochs",
        box_AP=0.271,
        mask_AP=0.270,
    ),
    mmdetection(
        "lvis/mask_rcnn_x101_32x4d_fpn_sample1e-3_mstrain_2x_lvis/"
        "mask_rcnn_x101_32x4d_fpn_sample1e-3_mstrain_2x_lvis-3cf55ea2",
        name="mmdetection_x101_32x4d",
        note="X-101-32x4d, 24 epochs",
        box_AP=0.267,
        mask_AP=0.269,
    ),
    mmdetection(
        "lvis/mask_rcnn_x101_64x4d_fpn_sample1e-3_mstrain_2x_lvis/"
        "mask_rcnn_x101_64x4d_fpn_sample1e-3_mstrain_2x_lvis-1c99a5ad",
        name="mmdetection_x101_64x4d",
        note="X-101-64x4d, 24 epochs",
        box_AP=0.264,
        mask_AP=0.260,
    ),
)
ON_LVIS_V1 = (
    mmdetection(
        "lvis/mask_rcnn_r50_fpn_sample1e-3_mstrain_1x_lvis_v1/mask_rcnn_r50_fpn_sample1e-3_mstrain_1x_lvis_v1-aa78ac3d",
        note="12 epochs",
        box_AP=0.225,
        mask_AP=0.217,
    ),
    mmdetection(
        "lvis/mask_rcnn_r101_fpn_sample1e-3_mstrain_1x_lvis_v1/"
        "mask_rcnn_r101_fpn_sample1e-3_mstrain_1x_lvis_v1-ec55ce32",
        name="mmdetection_r101",
        note="R-101, 12 epochs",
        box_AP=0.246,
        mask_AP=0.236,
    ),
    mmdetection(
        "lvis/mask_rcnn_x101_32x4d_fpn_sample1e-3_mstrain_1x_lvis_v1/"
        "mask_rcnn_x101_32x4d_fpn_sample1e-3_mstrain_1x_lvis_v1-ebbc5c81",
        name="mmdetection_x101_32x4d",
        note="X-101-32x4d, 12 epochs",
        box_AP=0.267,
        mask_AP=0.255,
    ),
    mmdetection(
        "lvis/mask_rcnn_x101_64x4d_fpn_sample1e-3_mstrain_1x_lvis_v1/"
        "mask_rcnn_x101_64x4d_fpn_sample1e-3_mstrain_1x_lvis_v1-43d9edfe",
        name="mmdetection_x101_64x4d",
        note="X-101-64x4d, 12 epochs",
        box_AP=0.272,
        mask_AP=0.258,
    ),
)
