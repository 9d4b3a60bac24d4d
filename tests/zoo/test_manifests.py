"""Every published checkpoint's keys and shapes map onto our models: none missing, none left over."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from parity.golden import GOLDEN
from torch import Tensor
from weights import reading
from zoo.systems import FACTS, Fits

import cvzoo
from cvzoo import loading
from cvzoo.nn.resnet import ResNetConfig
from cvzoo.parts.rcnn.c4 import C5_BODY
from cvzoo.parts.semantic.head import DILATED
from cvzoo.recipes import Recipe
from cvzoo.weights import files
from cvzoo.weights.errors import WeightsError
from cvzoo.weights.source import Source
from cvzoo.zoo import ROWS, SYSTEMS, system_of
from cvzoo.zoo.system import Published

FOLDER = GOLDEN / "manifests"
if not FOLDER.exists():
    pytest.skip(f"NO MANIFESTS: {FOLDER} is absent; CVZOO_GOLDEN names another folder", allow_module_level=True)

LISTED: dict[str, Fits] = {name: fits for facts in FACTS.values() for name, fits in facts.MANIFESTS.items()}
KEYS = {name: key for key, facts in FACTS.items() for name in facts.MANIFESTS}
"""Which system names a manifest."""
ALL = sorted(str(path.relative_to(FOLDER).with_suffix("")) for path in FOLDER.glob("*/*.json"))
TOOLBOXES = {"detectron2": {"detectron2"}, "mmlab": {"mmdetection", "mmsegmentation"}}
"""By folder: whose files they list."""
SYSTEM = {system.key: system for system in SYSTEMS}
SHARING = {
    ("mmdetection", "RetinaNet"): "freeanchor",  # which trains RetinaNet's network with other targets
    ("mmdetection", "FreeAnchor"): "retinanet",
    ("detectron2", "Faster R-CNN on C4"): "tridentnet",  # whose branches share the weights of one
    ("detectron2", "TridentNet"): "faster_rcnn",
}
"""Source of a state to the one other system that reads it, too."""


def manifest(name: str) -> dict[str, Tensor]:
    return reading.manifest(FOLDER, name)


def source_of(name: str, state: dict[str, Tensor]) -> Source[Any]:
    """The source by which its system reads a listed manifest."""
    return next(source for source in SYSTEM[KEYS[name]].sources() if source.reads(state, ""))


def test_every_named_manifest_is_there() -> None:
    assert not LISTED.keys() - set(ALL)
    assert len(LISTED) == sum(len(facts.MANIFESTS) for facts in FACTS.values()), "two systems name a manifest"


@pytest.mark.parametrize("name", LISTED)
def test_published_checkpoints_fit(name: str) -> None:
    fits = LISTED[name]
    config = reading.loads(manifest(name), fits.row)
    assert config.num_classes == fits.classes
    assert type(config) is type(ROWS[fits.row].recipe().model)
    assert system_of(fits.row).key == KEYS[name]
    assert {option: getattr(config.backbone, option) for option in fits.body} == fits.body
    if name.startswith("detectron2") and not config.backbone.deep_stem:
        # the MSRA's ResNets, or Caffe2's, which have their strides and one of them its pixels elsewhere
        body = config.backbone
        assert (body.output_stride, body.contract_dilation) == ((16, False) if "_DC5_" in name else (32, True))
        assert body.stride_in_1x1 == (body.groups == 1 and body.norm != "group")
        of_x101 = (body.depth, body.groups) == (101, 32)
        assert config.pixels.std == ((57.375, 57.12, 58.395) if of_x101 else (1, 1, 1))


@pytest.mark.parametrize("name", LISTED)
def test_other_systems_read_it_only_where_they_share_weights(name: str) -> None:
    state = manifest(name)
    source = source_of(name, state)
    found = reading.readers(state)
    others = {key for key, _ in found} - {KEYS[name]}
    shared = SHARING.get((source.name, source.what))
    assert others == ({shared} if shared else set())
    assert {toolbox for _, toolbox in found} <= TOOLBOXES[name.split("/")[0]]


FIRST = {(KEYS[name], name.split("/")[0], ROWS[LISTED[name].row].recipe().model): name for name in reversed(LISTED)}
"""One manifest of each source."""


@pytest.mark.parametrize("name", FIRST.values())
def test_keys_that_nobody_knows_are_left_over(name: str) -> None:
    fits = LISTED[name]
    unknown = {"a.layer.of_ones.own": torch.zeros(1), "backbone.another": torch.zeros(1)}
    with pytest.raises(WeightsError, match=r"nothing was loaded\. 2 left over: (a\.layer|backbone\.another)"):
        reading.loads(manifest(name) | unknown, fits.row)


def test_every_pair_that_shares_weights_is_seen() -> None:
    sources = [source_of(name, manifest(name)) for name in LISTED]
    assert SHARING.keys() <= {(source.name, source.what) for source in sources}


KEY_POINTS = "a Keypoint R-CNN: cvzoo has no system that answers with key points"
PANOPTIC = "a Panoptic FPN, which answers with things and stuff at once: cvzoo has no such system"
SEMANTIC = "a Semantic FPN: cvzoo has no segmenter on a feature pyramid"
TRANSFORMERS = "a DETR: cvzoo has no detector with a transformer"
PROPOSALS = "a region proposal network alone: it finds boxes without a class, and every row is measured by classes"
GIVEN_BOXES = (
    "a Fast R-CNN, which looks at boxes from a file that another network has written: Faster R-CNN finds its own"
)
REASONS = {
    "detectron2/keypoint_rcnn_": KEY_POINTS,
    "detectron2/panoptic_fpn_": PANOPTIC,
    "detectron2/semantic_": SEMANTIC,
    "detectron2/rpn_": PROPOSALS,
    "detectron2/fast_rcnn_": GIVEN_BOXES,
    "mmlab/detr_": TRANSFORMERS,
    "mmlab/deformable-detr": TRANSFORMERS,
}
"""How the names of the manifests begin that load nowhere, and why."""


NO_FILE = "a config of which no file is published"
UNNAMED = {
    "detectron2/pascal_voc_faster_rcnn_R_50_FPN": NO_FILE,
    "detectron2/mask_rcnn_R_50_FPN_1x_giou": NO_FILE,
    "detectron2/mask_rcnn_R_50_FPN_1x_cls_agnostic": NO_FILE,
    "detectron2/fcos_": NO_FILE,
    "mmlab/fcos_r50-caffe_fpn_gn-head-center_": NO_FILE,
    "mmlab/reppoints-minmax_": NO_FILE,
    "mmlab/reppoints-partial-minmax_": NO_FILE,
}
"""How the names of the manifests begin that load by the path of a file alone, and why no row has a name for them."""


def told_of(name: str, reasons: dict[str, str]) -> list[str]:
    """What is said of a manifest in one of the lists."""
    return [reason for begin, reason in reasons.items() if name.startswith(begin)]


@pytest.mark.parametrize("name", ALL)
def test_every_manifest_loads_or_stands_in_the_list_of_reasons(name: str) -> None:
    """`test_published_checkpoints_fit` loads what is listed; were another one to load, it would have to be, too."""
    assert len(told_of(name, REASONS)) == (name not in LISTED)
    if name in LISTED:
        return
    state = manifest(name)
    for system in SYSTEMS:
        for source in system.sources():
            row = next((row.name for row in system.rows if source.fits(row.recipe().model)), None)
            if row is not None and source.reads(state, ""):
                with pytest.raises(WeightsError, match="does not fit the model, nothing was loaded"):
                    reading.loads(state, row)


def test_the_guide_counts_what_loads_and_gives_every_reason() -> None:
    guide = " ".join((Path(cvzoo.__file__).parents[1] / "docs/published.md").read_text().split())
    assert f"{len(LISTED)} of the {len(ALL)} checkpoints" in guide
    for reasons in (REASONS, UNNAMED):
        for reason in set(reasons.values()):
            count = sum(reason in told_of(name, reasons) for name in ALL)
            assert f"| {count} | {reason} |" in guide


PUBLISHED = [(row.name, entry) for row in ROWS.values() for entry in row.published if "torchvision" not in entry.name]
"""torchvision's are compared with its own models in test_published.py."""
TOLD_APART = [
    *{(row, entry.name.split("_")[0]): (row, entry) for row, entry in reversed(PUBLISHED)}.values(),
    *((row, entry) for row, entry in PUBLISHED if entry.config),
]
"""The first of each toolbox in a row, and those of which more is known than their keys tell."""


OF_DATA = {
    "Cityscapes": "cityscapes_",
    "LVISv0.5-InstanceSegmentation": "lvis_v0.5_",
    "PascalVOC-Detection": "pascal_voc_",
}
"""How the names of manifests begin that are of the configs in these folders of detectron2."""


def manifest_of(row: str, entry: Published) -> str | None:
    """The manifest of a published file's network: one of the row's kind, by its name."""
    classes = ROWS[row].recipe().model.num_classes
    if entry.name.startswith("detectron2"):
        folder, config = entry.file.url.split("/")[-4:-2]
        name = f"detectron2/{OF_DATA.get(folder, '')}{config}"
        return name if name in LISTED else None
    fitting = [
        name
        for name, fits in LISTED.items()
        if name.startswith("mmlab/") and kind_of(fits.row) == kind_of(row) and fits.classes == classes
    ]
    stem = entry.file.url.split("/")[-2]
    return min(fitting, key=lambda name: len(words(name.split("/")[1]) ^ words(stem)), default=None)


def test_all_that_load_have_a_name_or_stand_in_the_list_of_reasons() -> None:
    named = {manifest_of(row, entry) for row, entry in PUBLISHED}
    assert [name for name in LISTED if len(told_of(name, UNNAMED)) != (name not in named)] == []


def given_manifest(row: str, entry: Published) -> str:
    """`manifest_of` for a test of one network; of those whose file nobody has listed there is nothing to test."""
    name = manifest_of(row, entry)
    if name is None:
        pytest.skip("no manifest of this network")
    return name


@cache
def kind_of(row: str) -> list[str]:
    """What a row is of, in the words of its system's sources."""
    model = ROWS[row].recipe().model
    return [source.what for source in system_of(row).sources() if source.fits(model)]


def words(name: str) -> set[str]:
    return set(re.split(r"[-_+]|%2B", name))


@pytest.mark.parametrize(("row", "entry"), [pytest.param(*pair, id=f"{pair[0]}-{pair[1].name}") for pair in TOLD_APART])
def test_published_weights_bring_the_config_of_their_manifest(
    row: str, entry: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through the name that a user gives, with what the name of the file tells."""
    name = given_manifest(row, entry)
    state = manifest(name)
    resolved = published(row, entry, state, monkeypatch)
    assert resolved.model == reading.loads(state, row, f"{entry.file.name}\n{entry.config}")
    own = ROWS[row].recipe().model
    assert resolved.model.num_classes == own.num_classes
    plain = LISTED[name].row == row and not LISTED[name].body
    # the size in which toolboxes state their conventions
    if own.backbone in (ResNetConfig(), DILATED, C5_BODY) and plain:
        known = [config for config in reading.conventions(row) if config.num_classes == own.num_classes]
        assert not known or resolved.model in known


def published(row: str, entry: Published, state: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch) -> Recipe[Any]:
    """The recipe after `--weights <published name>`, were this state in the file."""
    file = files.WeightsFile(state, None, f"{entry.file.name}\n", {})
    monkeypatch.setattr(loading, "download", lambda remote: FOLDER / remote.name)
    monkeypatch.setattr(loading, "read_weights", lambda path: file)
    with torch.device("meta"):
        return loading.build_with_weights(replace(ROWS[row].recipe(), weights=entry.name))[1]


@pytest.mark.parametrize(
    ("row", "entry"), [(row, entry) for row, entry in PUBLISHED if ROWS[row].data.startswith("LVIS")]
)
def test_weights_of_lvis_answer_with_its_many_detections(
    row: str, entry: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever toolbox has trained them: thresholds are the row's."""
    name = given_manifest(row, entry)
    model = published(row, entry, manifest(name), monkeypatch).model
    assert (model.box_head.detect.score_threshold, model.box_head.detect.detections) == (1e-4, 300)


FASTER_RCNN, FASTER_RCNN_C4, TRIDENTNET = "faster_rcnn_r50_fpn_1x", "faster_rcnn_r50_c4_1x", "tridentnet_r50_c4_1x"
FASTER_RCNN_DC5, MASK_RCNN_DC5 = "faster_rcnn_r50_dc5_1x", "mask_rcnn_r50_dc5_1x"
MASK_RCNN, MASK_RCNN_C4, MASK_RCNN_GCB = "mask_rcnn_r50_fpn_1x", "mask_rcnn_r50_c4_1x", "mask_rcnn_r50_fpn_gcb_r16_1x"
CASCADE_RCNN, CASCADE_MASK_RCNN = "cascade_rcnn_r50_fpn_1x", "cascade_mask_rcnn_r50_fpn_1x"
RETINANET, FREEANCHOR, ATSS = "retinanet_r50_fpn_1x", "freeanchor_r50_fpn_1x", "atss_r50_fpn_1x"
CENTERNET, TENSORMASK = "centernet_r18_512", "tensormask_r50_fpn_1x"
FCOS, FCOS_IMPROVED = "fcos_r50_fpn_1x", "fcos_r50_fpn_improved_1x"
REPPOINTS, REPPOINTS_MINMAX = "reppoints_r50_fpn_moment_1x", "reppoints_r50_fpn_minmax_1x"
REPPOINTS_PARTIAL = "reppoints_r50_fpn_partial_minmax_1x"


def test_histograms_of_a_loss_are_no_weights() -> None:
    """mmdetection's GHM keeps some in its files."""
    keys = (f"bbox_head.{loss}.{kind}" for loss in ("loss_cls", "loss_bbox") for kind in ("edges", "acc_sum"))
    histograms = {key: torch.zeros(31) for key in keys}
    reading.loads(manifest("mmlab/retinanet_r50_fpn_1x_coco") | histograms, RETINANET)


def test_one_file_fits_faster_rcnn_on_c4_and_tridentnet() -> None:
    from cvzoo.zoo.faster_rcnn import weights as faster_rcnn
    from cvzoo.zoo.tridentnet import weights as tridentnet

    state = manifest("detectron2/faster_rcnn_R_50_C4_1x")
    assert reading.loads(state, FASTER_RCNN_C4) == faster_rcnn.DETECTRON2_C4
    assert reading.loads(state, TRIDENTNET) == tridentnet.DETECTRON2


def test_where_files_of_two_systems_have_the_same_keys_the_row_decides() -> None:
    from cvzoo.zoo.freeanchor import weights as freeanchor
    from cvzoo.zoo.retinanet import weights as retinanet

    state = manifest("mmlab/freeanchor_r50_fpn_1x_coco")
    assert state.keys() == manifest("mmlab/retinanet_r50_fpn_1x_coco").keys()
    assert reading.loads(state, RETINANET) == retinanet.MMDETECTION
    assert reading.loads(state, FREEANCHOR) == freeanchor.MMDETECTION


def test_where_files_of_two_systems_have_the_same_keys_their_config_decides() -> None:
    state = manifest("mmlab/freeanchor_r50_fpn_1x_coco")
    record = "w.pth\nmodel = dict(bbox_head=dict(type='FreeAnchorRetinaHead', num_classes=80))"
    reading.loads(state, FREEANCHOR, record)
    with pytest.raises(WeightsError, match=rf"holds weights of FreeAnchor, .*\({FREEANCHOR}"):
        reading.loads(state, RETINANET, record)


def test_what_no_file_of_reppoints_tells_is_the_rows() -> None:
    state = manifest("mmlab/reppoints-partial-minmax_r50_fpn-gn_head-gn_1x_coco")
    assert reading.loads(state, REPPOINTS_PARTIAL).points_to_box == "partial_minmax"
    assert reading.loads(state, REPPOINTS_MINMAX).points_to_box == "minmax"


@pytest.mark.parametrize(
    ("record", "points_to_box"),
    [
        ("reppoints_partial_minmax_r50_fpn_gn-neck+head_1x_coco_20200329-1.pth\n", "partial_minmax"),
        ("reppoints-minmax_r50_fpn.pth\n", "minmax"),
        ("w.pth\nbbox_head=dict(type='RepPointsHead', transform_method='minmax')", "minmax"),
        ("w.pth\n", "partial_minmax"),
    ],
)
def test_what_a_file_of_reppoints_says_of_itself_comes_first(record: str, points_to_box: str) -> None:
    state = manifest("mmlab/reppoints-minmax_r50_fpn-gn_head-gn_1x_coco")
    assert reading.loads(state, REPPOINTS_PARTIAL, record).points_to_box == points_to_box


@pytest.mark.parametrize(
    ("record", "radius"),
    [
        ("fcos_center_r50_caffe_fpn_gn-head_1x_coco-ae7c6b0b.pth\n", 1.5),
        ("fcos_r50-caffe_fpn_gn-head-center_1x_coco.pth\n", 1.5),
        ("w.pth\nbbox_head=dict(type='FCOSHead', center_sampling=True)", 1.5),
        ("w.pth\nbbox_head=dict(type='FCOSHead', center_sampling=False)", None),
    ],
)
def test_centre_sampling_is_what_a_file_of_fcos_says_of_itself(record: str, radius: float | None) -> None:
    state = manifest("mmlab/fcos_r50-caffe_fpn_gn-head-center_1x_coco")
    assert reading.loads(state, FCOS, record).centre_radius == radius


REFUSED = [
    ("detectron2/faster_rcnn_R_50_FPN_1x", RETINANET, f"Faster R-CNN, .* of that system .*{FASTER_RCNN}"),
    ("mmlab/retinanet_r50_fpn_1x_coco", FCOS, f"RetinaNet or FreeAnchor, .*{RETINANET}.*{FREEANCHOR}"),
    ("detectron2/retinanet_R_50_FPN_1x", FREEANCHOR, rf"RetinaNet, .*\({RETINANET}"),
    ("mmlab/fcos_r50-caffe_fpn_gn-head_1x_coco", ATSS, rf"FCOS, .*\({FCOS}, {FCOS_IMPROVED}"),
    ("mmlab/atss_r50_fpn_1x_coco", FCOS, rf"ATSS, .*\({ATSS}"),
    ("mmlab/centernet_r18_8xb16-crop512-140e_coco", RETINANET, rf"CenterNet, .*\({CENTERNET}"),
    ("detectron2/fcos_R_50_FPN_1x", RETINANET, rf"FCOS, .*{FCOS}"),
    ("mmlab/reppoints-moment_r50_fpn_1x_coco", REPPOINTS_MINMAX, rf"RepPoints with moments, .*\({REPPOINTS}"),
    (
        "mmlab/reppoints-minmax_r50_fpn-gn_head-gn_1x_coco",
        REPPOINTS,
        rf"RepPoints, .*\({REPPOINTS_MINMAX}, {REPPOINTS_PARTIAL}",
    ),
    ("detectron2/retinanet_R_50_FPN_1x", CASCADE_RCNN, f"RetinaNet, .*{RETINANET}"),
    (
        "detectron2/faster_rcnn_R_50_C4_1x",
        FASTER_RCNN,
        f"Faster R-CNN on C4 or TridentNet, .*{FASTER_RCNN_C4}.*{TRIDENTNET}",
    ),
    ("detectron2/faster_rcnn_R_50_FPN_1x", TRIDENTNET, f"Faster R-CNN, .*{FASTER_RCNN}"),
    ("detectron2/mask_rcnn_R_50_FPN_1x", FASTER_RCNN, f"Mask R-CNN, .*{MASK_RCNN}"),
    ("mmlab/faster-rcnn_r50_fpn_1x_coco", MASK_RCNN, f"Faster R-CNN, .*{FASTER_RCNN}"),
    ("detectron2/mask_rcnn_R_50_C4_1x", MASK_RCNN, f"Mask R-CNN on C4, .*{MASK_RCNN_C4}"),
    ("detectron2/mask_rcnn_R_50_C4_1x", MASK_RCNN_DC5, f"Mask R-CNN on C4, .*{MASK_RCNN_C4}"),
    ("detectron2/faster_rcnn_R_50_DC5_1x", FASTER_RCNN_C4, f"Faster R-CNN on a dilated C5, .*{FASTER_RCNN_DC5}"),
    ("detectron2/mask_rcnn_R_50_DC5_1x", FASTER_RCNN_DC5, f"Mask R-CNN on a dilated C5, .*{MASK_RCNN_DC5}"),
    ("detectron2/cascade_mask_rcnn_R_50_FPN_1x", CASCADE_RCNN, f"Cascade Mask R-CNN, .*{CASCADE_MASK_RCNN}"),
    ("mmlab/mask-rcnn_r50_fpn_1x_coco", MASK_RCNN_GCB, f"Mask R-CNN, .*{MASK_RCNN}"),
    (
        "mmlab/mask-rcnn_r50-gcb-r4-c3-c5_fpn_1x_coco",
        MASK_RCNN,
        rf"Mask R-CNN with context blocks, .*\({MASK_RCNN_GCB}",
    ),
    ("mmlab/cascade-rcnn_r50_fpn_1x_coco", CASCADE_MASK_RCNN, f"Cascade R-CNN, .*{CASCADE_RCNN}"),
    ("detectron2/tensormask_R_50_FPN_1x", RETINANET, f"TensorMask, .*{TENSORMASK}"),
]
"""A manifest, a row it is not for, and what the error says."""


@pytest.mark.parametrize(("name", "row", "message"), REFUSED)
def test_another_system_is_an_error_that_names_its_rows(name: str, row: str, message: str) -> None:
    remedy = r"or start from the backbone alone: --weights None --backbone-weights the file$"
    with pytest.raises(WeightsError, match=f"the file holds weights of {message}.*{remedy}"):
        reading.loads(manifest(name), row)


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("mmlab/detr_r50_8xb2-150e_coco", RETINANET),
        ("detectron2/semantic_R_50_FPN_1x", FCOS),
        ("detectron2/rpn_R_50_FPN_1x", FASTER_RCNN),
        ("detectron2/rpn_R_50_C4_1x", TRIDENTNET),
    ],
)
def test_a_system_that_is_not_known(name: str, row: str) -> None:
    with pytest.raises(WeightsError, match=r"no weights of a model that cvzoo knows.*--backbone-weights"):
        reading.loads(manifest(name), row)


def test_a_network_that_a_toolbox_has_but_the_zoo_does_not_read() -> None:
    """mmdetection's Grid R-CNN."""
    keys = ["rpn_head.rpn_conv.weight", "neck.fpn_convs.0.conv.weight", "roi_head.grid_head.convs.0.conv.weight"]
    with pytest.raises(WeightsError, match=r"no weights of a model that cvzoo knows; 3 keys: .*mmdetection"):
        reading.loads(dict.fromkeys(keys, torch.zeros(1)), FASTER_RCNN_C4)
