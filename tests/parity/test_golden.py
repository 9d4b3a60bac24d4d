"""Every golden case of an implemented system, built from its case.json alone and loaded through the importer."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from parity.golden import Case, Report, case_names, load_case
from parity.run_dense import run_dense_detectron2, run_dense_mmdet
from parity.run_rcnn import run_rcnn
from parity.run_rcnn_mmdet import run_cascade_mmdet, run_mask_rcnn_mmdet
from parity.run_semantic import run_deeplab_detectron2, run_semantic_mmseg

RUNNERS: dict[str, Callable[[Case], Report]] = {
    "retinanet": run_dense_detectron2,
    "retinanet_mmdet": run_dense_mmdet,
    "fcos": run_dense_detectron2,
    "fcos_mmdet": run_dense_mmdet,
    "atss": run_dense_mmdet,
    "freeanchor": run_dense_mmdet,
    "reppoints": run_dense_mmdet,
    "faster_rcnn": run_rcnn,
    "mask_rcnn": run_rcnn,
    "cascade_rcnn": run_rcnn,
    "tridentnet": run_rcnn,
    "cascade_mask_rcnn_mmdet": run_cascade_mmdet,
    "gcnet_mask_rcnn": run_mask_rcnn_mmdet,
    "pspnet": run_semantic_mmseg,
    "deeplabv3plus": run_semantic_mmseg,
    "gcnet_segmentation": run_semantic_mmseg,
    "deeplab": run_deeplab_detectron2,
}
OPERATORS = ("ops", "ops_mmlab", "ops_tree_filter")  # test_golden_ops.py


@pytest.mark.parametrize("name", [name for name in case_names() if name.split("/")[0] not in OPERATORS])
def test_golden_case(name: str) -> None:
    case = load_case(name)
    if (system := name.split("/")[0]) not in RUNNERS:
        pytest.skip("system not implemented yet")
    RUNNERS[system](case).finish()
