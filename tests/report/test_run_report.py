"""The report of a run: its parts, and the page in a real browser."""

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from report.browser import needs_browser, opened, probe
from report.runs import CLASSES, make_images, make_label_maps, make_result

from cvzoo.engine.finish import Result
from cvzoo.report.run_report import write_report
from cvzoo.report.training_charts import smoothed
from cvzoo.report.training_samples import SAMPLES
from cvzoo.tasks import label_maps
from cvzoo.tasks.box_study import BoxStudy
from cvzoo.tasks.draw_boxes import colour_of
from cvzoo.tasks.study import IMAGES


@pytest.fixture(scope="module")
def images():
    return make_images()


@pytest.fixture(scope="module")
def page(tmp_path_factory, images):
    return write_report(make_result(tmp_path_factory.mktemp("run"), images))


def test_the_page_shows_the_runs_figures(page):
    text = page.read_text()
    stats = json.loads((page.parent / "metrics.json").read_text())["val"]["stats"]
    assert f"{stats['box_AP']:.3f}" in text
    assert "retinanet_r18_fpn_shapes" in text
    for heading in (
        *("Losses", "Evaluations during training", "Learning rate", "What each kind of error costs", "F1 by score"),
        *("Precision and recall of boxes, val", "AP of boxes by class, val", "What was taken for what"),
    ):
        assert heading in text, heading
    assert "Cost of training" in text
    assert "2000, 16 images each" in text
    assert "8.3 min" in text  # 2000 iterations of 0.25 s
    assert "schedule.iterations" in text
    assert "triangle &lt;&amp;&gt;" in text  # class names are escaped


def test_the_page_stands_alone(page):
    text = page.read_text()
    assert not re.findall(r"(?:src|href)=[\"'](?!data:|#)", text.replace('xlink:href="#', 'href="#'))
    assert text.count("data:image/jpeg;base64,") == 4 + SAMPLES
    assert [path.name for path in page.parent.glob("*report*")] == ["report.html"]


def test_an_evaluation_alone_has_a_report_too(tmp_path, images):
    text = write_report(make_result(tmp_path, images, trained=False)).read_text()
    assert "Losses" not in text
    assert "Cost of training" not in text
    assert "Precision and recall of boxes, val" in text
    assert "of masks" not in text


def test_masks_have_figures_and_curves_too(tmp_path):
    text = write_report(make_result(tmp_path, make_images(masks=True), trained=False)).read_text()
    stats = json.loads((tmp_path / "metrics.json").read_text())["val"]["stats"]
    assert stats["mask_AP"] > 0
    rows = re.findall(r"<tr><td>val</td><td>(\w+)</td>(.*?)</tr>", text)
    assert [compared for compared, _ in rows] == ["boxes", "masks"]
    for kind, (_, cells) in zip(("box", "mask"), rows):
        figures = [value for name, value in stats.items() if name.startswith(kind)]
        assert re.findall("<td>(.*?)</td>", cells) == [f"{v:.3f}" if v >= 0 else "–" for v in figures]
        assert f'<div class="card">{kind} AP<b>{stats[f"{kind}_AP"]:.3f}</b>' in text
    for heading in ("Precision and recall of masks, val", "AP of masks by class, val"):
        assert heading in text


@pytest.fixture(scope="module")
def pixel_page(tmp_path_factory):
    return write_report(make_result(tmp_path_factory.mktemp("run"), make_label_maps()))


def test_label_maps_have_their_own_figures_and_charts(pixel_page):
    text = pixel_page.read_text()
    stats = json.loads((pixel_page.parent / "metrics.json").read_text())["val"]["stats"]
    ((compared, cells),) = re.findall(r"<tr><td>val</td><td>(\w+)</td>(.*?)</tr>", text)
    assert compared == "pixels"
    assert re.findall("<td>(.*?)</td>", cells) == [f"{value:.3f}" for value in stats.values()]
    for name in ("mIoU", "mAcc", "aAcc"):
        assert f'<div class="card">{name}<b>{stats[name]:.3f}</b>' in text
        assert f"<th>{name}</th>" in text
    assert re.findall("<h3>(.*?)<span", text) == [
        *(
            "Losses",
            "Evaluations during training",
            "Learning rate",
            "IoU by class, val",
            "Classes taken for others, val",
        ),
    ]
    assert 'id="score"' not in text


def test_label_maps_are_shown_with_a_legend_of_the_classes_that_occur(pixel_page):
    text = pixel_page.read_text()
    names = [f'<li><i style="background: rgb{colour_of(label)}"></i>{CLASSES[label]}</li>' for label in (0, 1)]
    assert re.findall("<li>.*</li>", text) == names
    assert text.count("data:image/jpeg;base64,") == 8 + SAMPLES
    _, target, found = make_label_maps()[0]
    right = (target.label_map == found.labels).sum() / (target.label_map != 255).sum()
    assert f"prediction: {right:.1%} right" in text


def test_an_evaluation_of_label_maps_alone_has_a_report_too(tmp_path):
    text = write_report(make_result(tmp_path, make_label_maps(), trained=False)).read_text()
    assert "Losses" not in text
    assert "IoU by class, val" in text
    assert "Training images" not in text


@pytest.mark.parametrize(("classes", "charted"), [(30, True), (31, False)])
def test_confusion_of_many_classes_is_a_list(tmp_path, classes, charted):
    names = CLASSES + [f"c{k}" for k in range(classes - len(CLASSES))]
    text = write_report(make_result(tmp_path, make_label_maps(), trained=False, classes=names)).read_text()
    assert "IoU by class, val" in text
    assert ("Classes taken for others, val" in text) is charted
    assert "<h2>Mix-ups</h2>" in text


def test_the_worst_images_come_first(tmp_path):
    """Those with the most false positives and misses at the best threshold, and no more than fit."""
    images = [(image, target, found[n % 5 :]) for n, (image, target, found) in enumerate(make_images(IMAGES + 2))]
    result = make_result(tmp_path, images, trained=False)
    study = BoxStudy(result.datasets["val"], result.evaluations["val"].predictions, {})
    drawn = [study.drawn(position) for position in study.worst()]
    assert len(drawn) == IMAGES
    score = study.overall.threshold
    errors = [
        sum(mark.kind != "right" for mark in image.found.marks if mark.score >= score)
        + sum(mark.score < score for mark in image.truth.marks)
        for image in drawn
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > errors[-1]
    page = write_report(result).read_text()
    assert f"The {IMAGES} worst of {IMAGES + 2} images" in page
    assert page.index(f"<b>{drawn[0].name}</b>") < page.index(f"<b>{drawn[1].name}</b>")


def test_the_worst_label_maps_come_first(tmp_path):
    """Image n is found 10 + n pixels too far right."""
    result = make_result(tmp_path, make_label_maps(6), trained=False)
    names = re.findall("<header><b>(.*?)</b>", write_report(result).read_text())
    ious = json.loads((tmp_path / "predictions_val/mIoU.json").read_text())
    assert names == sorted(ious, key=ious.get)
    assert ious[names[0]] < ious[names[-1]]


def test_label_maps_of_older_folders_are_shown_in_order(tmp_path):
    images = make_label_maps()
    result = make_result(tmp_path, images, trained=False)
    (tmp_path / "predictions_val/mIoU.json").unlink()
    figures = json.loads((tmp_path / "metrics.json").read_text())["val"]
    dataset = result.datasets["val"]
    result.evaluations["val"] = label_maps.read(tmp_path, "val", dataset, figures)
    page = write_report(result).read_text()
    assert "evenly spread: a new evaluation would tell" in page
    assert re.findall("<header><b>(.*?)</b>", page) == dataset.names


def test_where_the_data_are_gone_the_rest_is_shown(page, tmp_path):
    for path in page.parent.glob("*.json*"):
        shutil.copy(path, tmp_path)
    recipe = make_result(tmp_path, make_images(), trained=False).recipe
    text = write_report(Result(tmp_path, recipe, {}, {}, absent="shapes.json is <missing>")).read_text()
    assert "left out: shapes.json is &lt;missing&gt;" in text
    for heading in ("Precision and recall of boxes, val", "Resolved recipe"):
        assert heading in text
    assert "Ground truth beside" not in text


def test_what_differs_from_the_rows_own_recipe_is_listed(tmp_path):
    result = make_result(tmp_path, make_images(), trained=False)
    page = write_report(result).read_text()
    assert "nothing that decides a figure differs" in page
    result.recipe = replace(result.recipe, optim=replace(result.recipe.optim, lr=0.5))
    page = write_report(result).read_text()
    ((name, here, own),) = re.findall(
        "<tr><td>(.*?)</td><td>(.*?)</td><td>(.*?)</td></tr>", page.split("the row's own")[-1]
    )
    assert (name, here) == ("optim.lr", "0.5")
    assert float(own) != 0.5


def test_smoothing_keeps_constants_and_lessens_noise():
    assert smoothed([2.0] * 100) == pytest.approx([2.0] * 100)
    noise = np.random.default_rng(0).normal(size=600)
    assert np.std(smoothed(noise.tolist())[100:]) < 0.4 * np.std(noise)
    assert smoothed([]) == []


@needs_browser
@pytest.mark.parametrize("kind", ["page", "pixel_page"])
@pytest.mark.parametrize("width", [400, 1400])
def test_a_browser_shows_it_without_errors_or_requests(kind, request, tmp_path, width):
    page = request.getfixturevalue(kind)
    as_written, found = opened(page, tmp_path / "page", width), probe(page, tmp_path, width)
    assert "CONSOLE" not in as_written.stderr
    assert found["errors"] == []
    assert found["requests"] == []
    assert len(found["images"]) == 8 + SAMPLES
    assert all(min(size) > 100 for size in found["images"])
    assert len(found["charts"]) == {"page": 9, "pixel_page": 5}[kind]
    assert min(found["charts"]) > 80
    assert found["width"] == width
    assert found["wide"] <= 0  # nothing sticks out sideways


@needs_browser
def test_the_slider_and_the_kinds_filter_what_is_shown(page, tmp_path):
    act = """
    const shown = () => [...document.querySelectorAll(".shots .mark:not([hidden])")].map(mark => mark.dataset.kind);
    const slide = value => { score.value = value; score.dispatchEvent(new Event("input")); return shown(); };
    const counts = () => [...document.querySelectorAll(".count")].map(count => count.textContent);
    seen.all = slide(0);
    seen.counts = counts();
    seen.none = slide(1);
    seen.best = (document.getElementById("best").click(), [score.value, score.getAttribute("value")]);
    document.querySelector("[value=right]").click();
    seen.wrong = slide(0);
    document.querySelector("[value=right]").click();
    const select = document.getElementById("class");
    select.value = select.options[1].value;
    select.dispatchEvent(new Event("change"));
    seen.ofClass = shown().length;
    seen.hiddenShots = document.querySelectorAll(".shots > [hidden]").length;
    """
    found = probe(page, tmp_path, 1400, act)
    assert found["errors"] == []
    truth, answers = 4 * 4, 4 * 8
    assert len(found["all"]) == truth + answers
    assert found["none"] == ["missed"] * truth
    assert found["best"][0] == found["best"][1]
    right = found["all"].count("right")
    assert 0 < right < answers
    assert found["wrong"] == [kind for kind in found["all"] if kind != "right"]
    assert found["counts"][0].split()[1::3] == ["right", "wrong", "missed"]
    assert sum(int(count.split()[0]) for count in found["counts"]) == right
    assert 0 < found["ofClass"] < truth + answers


@needs_browser
def test_tables_sort_and_images_open_by_keyboard_too(page, tmp_path):
    act = """
    const heads = [...document.querySelectorAll(".sortable th")];
    const cell = td => td.dataset.value ?? td.textContent;
    const rows = () => [...document.querySelector(".sortable").tBodies[0].rows];
    const column = number => rows().map(row => cell(row.cells[number]));
    const press = number => {
      heads[number].querySelector("button").focus();
      document.activeElement.click();
      return column(number);
    };
    seen.ap = [press(1), heads[1].ariaSort, press(1), heads[1].ariaSort];
    seen.names = [press(0), press(0)];
    const curve = document.querySelector("[data-curve]");
    curve.click();
    seen.curves = document.querySelectorAll(".chart .on").length;
    seen.chosen = document.querySelector(".chart:has(.on) .chosen").textContent;
    const panel = document.querySelector(".panel");
    panel.focus();
    panel.click();
    const title = () => zoom.querySelector("header b").textContent;
    seen.open = [zoom.open, title()];
    zoom.dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowRight"}));
    seen.next = title();
    zoom.dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowLeft"}));
    seen.back = title();
    seen.large = zoom.querySelectorAll(".mark:not([hidden])").length;
    zoom.close();
    seen.focused = document.activeElement === panel;
    const controls = [...document.querySelectorAll("th button, .shots .panel, #score, #class")];
    seen.focusable = controls.every(control => control.tabIndex === 0);
    """
    found = probe(page, tmp_path, 1400, act)
    assert found["errors"] == []
    falling, direction, rising, other = found["ap"]
    assert [float(value) for value in falling] == sorted(map(float, falling), reverse=True)
    assert (rising, direction, other) == (falling[::-1], "descending", "ascending")
    assert found["names"] == [sorted(CLASSES), sorted(CLASSES, reverse=True)]
    assert found["curves"] == 2
    assert found["chosen"].strip("· ") in CLASSES
    assert found["open"][0]
    assert found["next"] != found["open"][1] == found["back"]
    assert found["large"] > 4
    assert found["focused"]
    assert found["focusable"]
