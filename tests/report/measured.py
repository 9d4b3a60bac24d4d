"""Made-up measurements of rows of the zoo."""

from __future__ import annotations

from dataclasses import replace

from cvzoo.results.row_files import RowFile

NAME = "retinanet_r50_fpn_1x"
MEASURED = RowFile(
    row=NAME,
    machine="h100",
    hardware="AMD EPYC, 16 cores",
    versions={"torch": "9.9"},
    results={"val": {"box_AP": 0.3741, "box_APl": -1.0}},
    cost={
        **{"mem_gb": 3.456, "train_s_per_iter": 0.2, "train_batch": 16, "precision": "fp32", "params_m": 37.97},
        **{"throughput": 81.234, "throughput_batch": 8, "gflops": 239.4, "peak_share": 0.321},
    },
)
BF16 = replace(MEASURED, changes={"run.precision": "bf16"}, results={}, cost={"inf_s_per_im": 0.0123})
INSTANCE = replace(
    MEASURED, row="mask_rcnn_r50_fpn_1x", results={"val": {"box_AP": 0.3741, "mask_AP": 0.3412}}, machine="a100"
)
PIXELS = replace(MEASURED, row="fcn_r50_d8_cityscapes", results={"val": {"mIoU": 0.7712, "mAcc": 0.8, "aAcc": 0.9}})
SMALL = replace(
    MEASURED,
    row="retinanet_r18_fpn_shapes",
    machine="epyc-2c",
    cost={"mem_gb": 0.971, "train_s_per_iter": 0.246, "train_batch": 16, "processes": 2, "params_m": 3.2},
)
WITH_WEIGHTS = replace(
    MEASURED, changes={"weights": "torchvision"}, results={"val": {"box_AP": 0.3634}}, data={"images": {"val": 5000}}
)
"""Of torchvision's weights, which it says have 0.364."""
