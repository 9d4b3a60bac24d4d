"""The page of a data set: its numbers, and in a real browser."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest
from data.conftest import Folder
from data.maps import Maps, save_image, save_map, some_map
from report.browser import needs_browser, opened, probe

from cvzoo.cli import main
from cvzoo.files import write_json

WHERE = ("--train.images", "train", "--train.annotations", "train.json")
WHERE += ("--val.images", "val", "--val.annotations", "val.json")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """With a tiny box, a box without area, and a class name that must be escaped."""
    found = Folder(tmp_path_factory.mktemp("data") / "set")
    for split in ("train", "val"):
        content = found.content()
        content["categories"][0]["name"] = "cat <&>"
        if split == "train":
            content["annotations"][1]["bbox"] = [10, 10, 2, 8]
            content["annotations"][2]["bbox"] = [5, 5, 0, 7]
        found.write(content, split)
    return found


@pytest.fixture(scope="module")
def page(folder: Folder) -> Path:
    output = folder.root.parent / "view.html"
    assert (
        main(["data", "view", str(folder.root), *WHERE, "--row", "retinanet_r18_fpn_shapes", "--output", str(output)])
        == 0
    )
    return output


@pytest.fixture(scope="module")
def pixel_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("maps")
    maps = Maps(root / "set")
    where = [f"--{split}.images={split}/images" for split in ("train", "val")]
    where += [f"--{split}.annotations={split}/labels" for split in ("train", "val")]
    options = ["--source", "label_maps", *where, "--output", str(root / "view.html")]
    assert main(["data", "view", str(maps.root), *options]) == 0
    return root / "view.html"


def cells(text: str) -> dict[str, list[int]]:
    """The lines of the classes: by name the amounts and images of both splits."""
    number = r'<td class="number">(\d+)</td>'
    lines = re.findall(rf"</i>(.*?)</td>{number}{number}.*?{number}{number}", text)
    return {name: list(map(int, numbers)) for name, *numbers in lines}


def headline(text: str) -> dict[str, str]:
    return dict(re.findall(r'<div class="card">(.*?)<b>(.*?)</b>', text))


def test_the_numbers_are_those_of_the_files(page: Path, folder: Folder) -> None:
    text = page.read_text()
    counts = {}
    for split in ("train", "val"):
        content = json.loads((folder.root / f"{split}.json").read_text())
        counts[split] = Counter(a["category_id"] for a in content["annotations"] if a["bbox"][2] > 0)
    assert cells(text) == {
        "cat &lt;&amp;&gt;": [counts["train"][7], 4, counts["val"][7], 4],
        "dog": [counts["train"][3], 3, counts["val"][3], 4],
    }
    shown = headline(text)
    assert (shown["classes"], shown["images, train"], shown["objects, train"]) == ("2", "4", "7")
    assert "annotation 20: the box [5, 5, 0, 7] has no area" in text
    assert "Tiny boxes: 1" in text
    assert "Images that are there several times: 8" in text  # the splits of the fixture have the same
    assert text.index("Worth a look") < text.index("<h2>Classes")
    assert "As retinanet_r18_fpn_shapes sees them in training" in text


def test_label_maps_are_counted_in_pixels(pixel_page: Path) -> None:
    text = pixel_page.read_text()
    assert cells(text)["road"] == [20 * 30 + 40 * 30, 2, 20 * 30 + 40 * 30, 2]
    assert "Tiny boxes" not in text
    assert re.findall("<h3>(Sizes.*?)</h3>", text) == ["Sizes of the images"]


def test_errors_are_on_the_page_and_without_data_there_is_none(
    folder: Folder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = folder.content()
    wrong["annotations"][0]["bbox"] = [0, 0, -4, 4]
    write_json(folder.root / "wrong.json", wrong)
    options = [*WHERE, "--train.annotations", "wrong.json", "--output", str(tmp_path / "view.html")]
    assert main(["data", "view", str(folder.root), *options]) == 0
    text = (tmp_path / "view.html").read_text()
    assert "Errors, which stop a training: " in text
    assert "has a negative size" in text
    assert main(["data", "view", str(tmp_path / "nowhere"), "--output", str(tmp_path / "none.html")]) == 2
    assert "the folder of the data set is missing" in capsys.readouterr().out
    assert not (tmp_path / "none.html").exists()


def test_a_row_of_another_task_is_refused(folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "view", str(folder.root), *WHERE, "--row", "pspnet_lite0_camvid"]) == 2
    assert "gives every pixel a class, but the data are objects" in capsys.readouterr().err


@needs_browser
@pytest.mark.parametrize(("kind", "width"), [("page", 400), ("page", 1400), ("pixel_page", 400)])
def test_a_browser_shows_it_without_errors_or_requests(
    kind: str, width: int, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    page = request.getfixturevalue(kind)
    assert "CONSOLE" not in opened(page, tmp_path / "profile", width).stderr
    shown = probe(page, tmp_path, width)
    assert (shown["errors"], shown["requests"]) == ([], [])
    assert len(shown["images"]) == page.read_text().count("<figure>") >= 7
    assert all(min(size) > 50 for size in shown["images"])
    assert len(shown["charts"]) == (5 if kind == "page" else 1)
    assert min(shown["charts"]) > 80
    assert shown["wide"] <= 0


def test_a_row_made_for_the_data_knows_their_classes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for part in ("train", "val"):
        save_image(tmp_path / part / "a.jpg")
        save_map(tmp_path / f"{part}annot/a.png", some_map(0, 3, 11))
        (tmp_path / f"{part}.txt").write_text(f"{part}/a.jpg {part}annot/a.png")
    command = ["data", "view", str(tmp_path), "--output", str(tmp_path / "view.html")]
    assert main(command) == 0
    assert "1 images, the numbers 0, 3, 11, 0.0% of the pixels" in capsys.readouterr().out
    assert main([*command, "--row", "fcn_lite0_camvid"]) == 0
    assert "1 images, 11 classes (without a pixel: " in capsys.readouterr().out
    assert set(cells((tmp_path / "view.html").read_text())) > {"sky", "road"}
