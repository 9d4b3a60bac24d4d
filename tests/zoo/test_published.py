"""What rows publish: files that can be had, figures that their makers state, torchvision's own networks in them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import urlparse

import pytest
import torch
import torchvision
from torch import Tensor
from weights import reading
from zoo.systems import FACTS

from cvzoo.nn.resnet import ResNetConfig
from cvzoo.tasks import task_of
from cvzoo.weights.class_count import class_count
from cvzoo.zoo import ROWS, system_of
from cvzoo.zoo.system import Published

FILES = [(row, entry) for row in ROWS for entry in ROWS[row].published]
PUBLISHED = [pytest.param(*pair, id=f"{pair[0]}-{pair[1].name}") for pair in FILES]
OF_TORCHVISION = [param for pair, param in zip(FILES, PUBLISHED) if pair[1].name.startswith("torchvision")]
DIGITS = {"sha256": 8, "md5": 6}
"""Of a checksum that are published: by torchvision and OpenMMLab; by detectron2, as its model zoo page says."""
METRICS = {"box_map": "box_AP", "mask_map": "mask_AP", "miou": "mIoU"}
"""torchvision's names of figures in percent."""
PLAUSIBLE = {"mIoU": (0.4, 0.9), "box_AP": (0.2, 0.65), "mask_AP": (0.2, 0.5), "gps_AP": (0.4, 0.7)}
FROZEN = 222_400
"""Parameters that detectron2 does not train in a ResNet-50: those of the stem and of the first stage."""


@pytest.mark.parametrize(("row", "entry"), PUBLISHED)
def test_files_can_be_had_and_verified(row: str, entry: Published) -> None:
    url = urlparse(entry.file.url)
    assert url.scheme == "https"
    assert url.netloc
    assert entry.file.name.endswith((".pth", ".pkl"))
    assert len(entry.file.digest) == DIGITS[entry.file.algorithm]
    assert int(entry.file.digest, 16) > 0
    assert (entry.file.algorithm == "md5") == entry.name.startswith("detectron2")


@pytest.mark.parametrize(("row", "entry"), PUBLISHED)
def test_results_are_of_the_rows_task(row: str, entry: Published) -> None:
    kinds = {"detection": {"box_AP"}, "instance": {"box_AP", "mask_AP"}, "segmentation": {"mIoU"}}
    kinds["pose"] = {"box_AP", "gps_AP"}
    assert entry.results.keys() <= kinds[ROWS[row].task]
    assert entry.results.keys() == kinds[ROWS[row].task] or entry.other_measure
    for metric, value in entry.results.items():
        low, high = PLAUSIBLE[metric]
        assert low < value < high


@pytest.mark.parametrize("row", ROWS)
def test_names_are_told_apart_and_pages_are_addresses(row: str) -> None:
    names = [entry.name for entry in ROWS[row].published]
    assert len(set(names)) == len(names)
    assert not any("/" in name or "." in name for name in names), "could be meant as a path"
    pages = [entry.page for entry in ROWS[row].published] + [reference.page for reference in ROWS[row].references]
    assert all(page.startswith("https://") for page in pages if page is not None)


@pytest.mark.parametrize("row", [name for name, row in ROWS.items() if row.published])
def test_the_classes_of_published_weights_have_names(row: str) -> None:
    recipe = ROWS[row].recipe()
    count = class_count(recipe.model)
    names = task_of(recipe).class_names(recipe, count)
    assert names is not None
    assert len(set(names)) == count


@pytest.mark.parametrize(
    ("row", "ends"),
    [
        ("mask_rcnn_r50_fpn_1x", ("person", "toothbrush")),
        ("mask_rcnn_r50_fpn_cityscapes", ("person", "bicycle")),
        ("faster_rcnn_r50_c4_voc", ("aeroplane", "tvmonitor")),
        ("mask_rcnn_r50_fpn_lvis_v05_1x", ("acorn", "zucchini")),
        ("mask_rcnn_r50_fpn_lvis_v1_2x", ("aerosol_can", "zucchini")),
    ],
)
def test_the_first_and_the_last_class_of_data_sets_of_objects(row: str, ends: tuple[str, str]) -> None:
    recipe = ROWS[row].recipe()
    names = task_of(recipe).class_names(recipe, recipe.model.num_classes)
    assert names is not None
    assert (names[0], names[-1]) == ends


def builders() -> dict[str, tuple[str, Any]]:
    """Address of a file of torchvision to the name of its builder and the entry of its enum."""
    models = torchvision.models
    names = models.list_models(module=models.detection) + models.list_models(module=models.segmentation)
    return {entry.url: (name, entry) for name in names for entry in models.get_model_weights(name)}


BUILDERS = builders()


@pytest.mark.parametrize(("row", "entry"), OF_TORCHVISION)
def test_figures_of_torchvision_are_its_own(row: str, entry: Published) -> None:
    _, weights = BUILDERS[entry.file.url]
    (metrics,) = weights.meta["_metrics"].values()
    assert entry.results == pytest.approx({METRICS[name]: value / 100 for name, value in metrics.items()})


def built(entry: Published, **options: Any) -> dict[str, Tensor]:
    """The keys and shapes of the network in a file of torchvision."""
    name, _ = BUILDERS[entry.file.url]
    with torch.device("meta"):
        return torchvision.models.get_model(name, weights=None, weights_backbone=None, **options).state_dict()


@pytest.mark.parametrize(("row", "entry"), OF_TORCHVISION)
def test_torchvision_models_fit_and_their_version_is_seen(row: str, entry: Published) -> None:
    state = built(entry)
    assert reading.readers(state) == {(system_of(row).key, "torchvision")}
    config = reading.loads(state, row)
    # without ImageNet weights torchvision trains its norms, which the counters in the file tell
    assert config.backbone == ResNetConfig(norm="batch")
    frozen = {key: x for key, x in state.items() if not key.endswith("num_batches_tracked")}
    published = reading.loads(state if "_v2_" in entry.file.name else frozen, row)
    assert published in reading.conventions(row)
    assert published.backbone.norm == ("batch" if "_v2_" in entry.file.name else "frozen")
    assert class_count(published) == 80


@pytest.mark.parametrize(("row", "entry"), OF_TORCHVISION)
@pytest.mark.parametrize("num_classes", [3, 91])
def test_torchvisions_own_data_sets_count_from_one(row: str, entry: Published, num_classes: int) -> None:
    """Its dense detectors score the background, too; from an R-CNN it is taken away when the file is read."""
    config = reading.loads(built(entry, num_classes=num_classes), row)
    is_dense = not hasattr(config, "rpn")
    if num_classes == 91:
        (published,) = {c.class_ids for c in reading.conventions(row) if c.num_classes == 91 - (not is_dense)}
        assert config.class_ids == published
        assert class_count(config) == 80
    else:
        assert config.class_ids == ((-1, 0, 1) if is_dense else ())
        assert class_count(config) == 2


COUNTED = [(row, count) for facts in FACTS.values() for row, count in facts.PARAMETERS.items()]


@pytest.mark.parametrize(("row", "count"), COUNTED)
def test_parameter_counts_are_the_references(row: str, count: int) -> None:
    with torch.device("meta"):
        model = ROWS[row].recipe().model.build()
    assert sum(p.numel() for p in model.parameters()) == count
    frozen = sum(p.numel() for p in model.parameters() if not p.requires_grad)
    if ROWS[row].task == "segmentation":
        assert frozen == 0
    elif any(entry.name.startswith("detectron2") for entry in ROWS[row].published):
        assert frozen == FROZEN


def test_own_files_have_their_results_from_the_same_place() -> None:
    """A file that several rows publish is published with the same figures everywhere."""
    stated: dict[str, Published] = {}
    for row in ROWS.values():
        for entry in row.published:
            same = stated.setdefault(entry.file.url, entry)
            assert replace(same, note=entry.note) == entry
