"""A drawn data set is the same boxes and labels, whichever format it was written in."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from data.formats.folders import CLASSES, Drawing, drawings, write_image, write_voc

from cvzoo.data.build import build_datasets
from cvzoo.data.config import Data
from cvzoo.recipes.folder import recognised

TRAIN, VAL = 4, 2


def coco(wanted: Sequence[Drawing], name: Callable[[Drawing], str], first: int = 1) -> dict[str, Any]:
    """A COCO file whose ids count from `first`, with an outline for each box."""
    images, annotations = [], []
    for number, drawing in enumerate(wanted, start=first):
        height, width = drawing.size
        images.append({"id": number, "file_name": name(drawing), "height": height, "width": width})
        for label, (x1, y1, x2, y2) in zip(drawing.labels, drawing.boxes):
            outline = [x1, y1, x2, y1, x2, y2, x1, y2]
            record = {"id": first + len(annotations), "image_id": number, "category_id": first + CLASSES.index(label)}
            annotations.append(record | {"bbox": [x1, y1, x2 - x1, y2 - y1], "segmentation": [outline], "iscrowd": 0})
    categories = [{"id": first + place, "name": name, "supercategory": ""} for place, name in enumerate(CLASSES)]
    return {"images": images, "annotations": annotations, "categories": categories}


def write_images(folder: Path, wanted: Sequence[Drawing]) -> None:
    for drawing in wanted:
        write_image(folder / f"{drawing.name}.jpg", drawing.size)


def write_json(file: Path, content: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))


def jpg(drawing: Drawing) -> str:
    return f"{drawing.name}.jpg"


def plain(root: Path, part: str, wanted: Sequence[Drawing]) -> None:
    write_images(root / f"{part}2017", wanted)
    write_json(root / f"annotations/instances_{part}2017.json", coco(wanted, jpg))


def roboflow(root: Path, part: str, wanted: Sequence[Drawing]) -> None:
    folder = root / ("valid" if part == "val" else part)
    write_images(folder, wanted)
    content = coco(wanted, jpg)
    for category in content["categories"]:
        category["supercategory"] = "project"
    content["categories"].insert(0, {"id": 0, "name": "project", "supercategory": "none"})
    write_json(folder / "_annotations.coco.json", content)


def cvat(root: Path, part: str, wanted: Sequence[Drawing]) -> None:
    write_images(root / "images" / part, wanted)
    write_json(root / f"annotations/instances_{part}.json", coco(wanted, jpg))


def label_studio(root: Path, part: str, wanted: Sequence[Drawing]) -> None:
    write_images(root / part / "images", wanted)
    write_json(root / part / "result.json", coco(wanted, lambda drawing: f"images\\{drawing.name}.jpg", first=0))


def via(root: Path, part: str, wanted: Sequence[Drawing]) -> None:
    write_images(root / part, wanted)
    content = coco(wanted, jpg)
    for record in content["annotations"]:
        record |= {"image_id": str(record["image_id"]), "segmentation": record["segmentation"][0]}
    write_json(root / part / "via_export_coco.json", content)


def voc(root: Path, part: str, wanted: Sequence[Drawing]) -> None:
    write_voc(root, wanted, f"images/{part}", f"annotations/{part}")


def yolo_line(drawing: Drawing, number: int, outline: bool) -> str:
    (height, width), (x1, y1, x2, y2) = drawing.size, drawing.boxes[number]
    box = [(x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height]
    corners = [
        place / side for x, y in ((x1, y1), (x2, y1), (x2, y2), (x1, y2)) for place, side in ((x, width), (y, height))
    ]
    return " ".join(map(repr, [CLASSES.index(drawing.labels[number]), *(corners if outline else box)]))


def yolo(root: Path, part: str, wanted: Sequence[Drawing], outline: bool = False) -> None:
    write_images(root / "images" / part, wanted)
    (root / "labels" / part).mkdir(parents=True)
    for drawing in wanted:
        lines = (yolo_line(drawing, number, outline) for number in range(len(drawing.boxes)))
        (root / "labels" / part / f"{drawing.name}.txt").write_text("\n".join(lines))
    names = "".join(f"  {number}: {name}\n" for number, name in enumerate(CLASSES))
    (root / "data.yaml").write_text(f"path: /content/there\ntrain: images/train\nval: images/val\nnames:\n{names}")


def yolo_outlines(root: Path, part: str, wanted: Sequence[Drawing]) -> None:
    yolo(root, part, wanted, outline=True)


def yolo_poses(root: Path, part: str, wanted: Sequence[Drawing]) -> None:
    """With 3 key points behind each box, the last one out of sight."""
    yolo(root, part, wanted)
    for file in (root / "labels" / part).iterdir():
        file.write_text("".join(f"{line} .1 .2 2 .3 .4 1 0 0 0\n" for line in file.read_text().splitlines()))
    with (root / "data.yaml").open("a") as yaml:
        yaml.write("kpt_shape: [3, 3]\nflip_idx: [0, 2, 1]\n")


def yolo_of_roboflow(root: Path, part: str, wanted: Sequence[Drawing]) -> None:
    yolo(root / "own", part, wanted)
    folder = root / ("valid" if part == "val" else part)
    folder.mkdir()
    for kind in ("images", "labels"):
        (root / "own" / kind / part).rename(folder / kind)
    lines = f"train: ../train/images\nval: ../valid/images\nnc: 3\nnames: {list(CLASSES)}\n"
    (root / "data.yaml").write_text(lines)


def yolo_without_yaml(root: Path, part: str, wanted: Sequence[Drawing]) -> None:
    yolo(root, part, wanted)
    (root / "data.yaml").unlink()
    (root / "classes.txt").write_text("\n".join(CLASSES))


def labelme(root: Path, part: str, wanted: Sequence[Drawing], kind: str = "rectangle") -> None:
    write_images(root / part, wanted)
    for drawing in wanted:
        shapes = []
        for label, (x1, y1, x2, y2) in zip(drawing.labels, drawing.boxes):
            points = [[x2, y1], [x1, y2]] if kind == "rectangle" else [[x1, y1], [x2, y1], [x2, y2], [x1, y2]]
            shapes.append({"label": label, "points": points, "shape_type": kind, "group_id": None})
        content = {"version": "5.4", "shapes": shapes, "imagePath": "x.jpg", "imageData": "AAAA"}
        write_json(root / part / f"{drawing.name}.json", content)


def labelme_outlines(root: Path, part: str, wanted: Sequence[Drawing]) -> None:
    labelme(root, part, wanted, "polygon")


def csv_of_tensorflow(root: Path, part: str, wanted: Sequence[Drawing]) -> None:
    write_images(root / "images", wanted)
    lines = [
        f"{drawing.name}.jpg,{drawing.size[1]},{drawing.size[0]},{label},{','.join(map(str, box))}"
        for drawing in wanted
        for label, box in zip(drawing.labels, drawing.boxes)
    ]
    text = "\n".join(["filename,width,height,class,xmin,ymin,xmax,ymax", *lines])
    (root / f"{part}_labels.csv").write_text(text)


def csv_of_a_spreadsheet(root: Path, part: str, wanted: Sequence[Drawing]) -> None:
    """As it is saved where numbers have decimal commas."""
    csv_of_tensorflow(root, part, wanted)
    table = root / f"{part}_labels.csv"
    header, first, *others = table.read_text().replace(",", ";").splitlines()
    table.write_text("\n".join([header, f"{first},0", *others]), encoding="utf-8-sig")


def csv_by_tabs(root: Path, part: str, wanted: Sequence[Drawing]) -> None:
    csv_of_retinanet(root, part, wanted)
    table = root / part / "annotations.csv"
    table.with_suffix(".tsv").write_text(table.read_text().replace(",", "\t"))
    table.unlink()


def csv_of_retinanet(root: Path, part: str, wanted: Sequence[Drawing]) -> None:
    write_images(root / part, wanted)
    lines = [
        f"/data/{part}/{drawing.name}.jpg,{','.join(map(str, box))},{label}"
        for drawing in wanted
        for label, box in zip(drawing.labels, drawing.boxes)
    ]
    (root / part / "annotations.csv").write_text("\n".join(lines))


FORMATS = {
    plain: "coco",
    roboflow: "coco_export",
    cvat: "coco",
    label_studio: "coco_export",
    via: "coco_export",
    voc: "voc",
    yolo: "yolo",
    yolo_outlines: "yolo",
    yolo_poses: "yolo",
    yolo_of_roboflow: "yolo",
    yolo_without_yaml: "yolo",
    labelme: "labelme",
    labelme_outlines: "labelme",
    csv_of_tensorflow: "csv",
    csv_of_retinanet: "csv",
    csv_of_a_spreadsheet: "csv",
    csv_by_tabs: "csv",
}
WITH_OUTLINES = (plain, roboflow, cvat, label_studio, via, yolo_outlines, labelme_outlines)


@pytest.mark.parametrize("write", FORMATS, ids=lambda write: write.__name__)
@pytest.mark.parametrize("seed", range(3))
def test_the_same_boxes_and_labels(tmp_path: Path, write: Any, seed: int) -> None:
    wanted = drawings(TRAIN + VAL, seed)
    parts = {"train": wanted[:TRAIN], "val": wanted[TRAIN:]}
    for part, own in parts.items():
        write(tmp_path, part, own)
    data, said = recognised(Data(root=tmp_path, masks=write in WITH_OUTLINES), None)
    assert data.source == FORMATS[write], said
    for dataset, own in zip(build_datasets(data), parts.values()):
        assert sorted(dataset.classes) == sorted(CLASSES)
        by_name = {dataset.path(index).name: dataset[index] for index in range(len(dataset))}  # type: ignore[attr-defined]
        assert sorted(by_name) == sorted(map(jpg, own))
        for drawing in own:
            target = by_name[jpg(drawing)].target
            assert [dataset.classes[label] for label in target.labels] == list(drawing.labels)
            for box, expected in zip(target.boxes.tolist(), drawing.boxes):
                assert box == pytest.approx(expected, abs=1e-4)
            if data.masks:
                assert target.masks is not None
                for mask, (x1, y1, x2, y2) in zip(target.masks, drawing.boxes):
                    assert isinstance(mask, list)
                    assert mask[0].tolist() == pytest.approx([x1, y1, x2, y1, x2, y2, x1, y2], abs=1e-4)
