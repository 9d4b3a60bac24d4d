"""The report of a run: its parts, and the page in a real browser."""

import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from report.runs import CLASSES, make_images, make_label_maps, make_run

from cvzoo.report.run_report import write_report
from cvzoo.report.training_charts import smoothed
from cvzoo.tasks import boxes, label_maps
from cvzoo.tasks.draw_boxes import colour_of

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--enable-logging=stderr", "--dump-dom"),
]
PROBE = """<script>
const errors = [];
addEventListener("error", event => errors.push(event.message || event.target.outerHTML.slice(0, 80)), true);
addEventListener("load", () => {
  const images = [...document.images].map(image => [image.naturalWidth, image.naturalHeight]);
  const loaded = performance.getEntriesByType("resource").map(entry => entry.name);
  const requests = loaded.filter(name => !name.startsWith("data:"));
  const charts = [...document.querySelectorAll("svg")].map(svg => svg.getBoundingClientRect().height);
  const wide = document.documentElement.scrollWidth - innerWidth;
  document.title = JSON.stringify({errors, images, requests, charts, wide});
});
</script>"""


@pytest.fixture(scope="module")
def images():
    return make_images()


@pytest.fixture(scope="module")
def page(tmp_path_factory, images):
    return write_report(make_run(tmp_path_factory.mktemp("run"), images), boxes, images, CLASSES)


def test_the_page_shows_the_runs_figures(page):
    text = page.read_text()
    stats = json.loads((page.parent / "metrics.json").read_text())["val"]["stats"]
    assert f"{stats['box_AP']:.3f}" in text
    assert "retinanet_r18_fpn_shapes" in text
    for heading in ("Losses", "Learning rate", "Precision and recall of boxes, val", "AP of boxes by class, val"):
        assert heading in text
    assert "Cost of training" in text
    assert "2000, 16 images each" in text
    assert "8.3 min" in text  # 2000 iterations of 0.25 s
    assert "schedule.iterations" in text
    assert "triangle &lt;&amp;&gt;" in text  # class names are escaped


def test_the_page_stands_alone(page):
    text = page.read_text()
    assert not re.findall(r"(?:src|href)=[\"'](?!data:|#)", text.replace('xlink:href="#', 'href="#'))
    assert text.count("data:image/jpeg;base64,") == 8
    assert "<script" not in text
    assert [path.name for path in page.parent.glob("*report*")] == ["report.html"]


def test_an_evaluation_alone_has_a_report_too(tmp_path, images):
    text = write_report(make_run(tmp_path, images, trained=False), boxes, [], CLASSES).read_text()
    assert "Losses" not in text
    assert "Cost of training" not in text
    assert "Precision and recall of boxes, val" in text
    assert "of masks" not in text


def test_masks_have_figures_and_curves_too(tmp_path):
    images = make_images(masks=True)
    text = write_report(make_run(tmp_path, images), boxes, images, CLASSES).read_text()
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
    images = make_label_maps()
    return write_report(make_run(tmp_path_factory.mktemp("run"), images), label_maps, images, CLASSES)


def test_label_maps_have_their_own_figures_and_charts(pixel_page):
    text = pixel_page.read_text()
    stats = json.loads((pixel_page.parent / "metrics.json").read_text())["val"]["stats"]
    ((compared, cells),) = re.findall(r"<tr><td>val</td><td>(\w+)</td>(.*?)</tr>", text)
    assert compared == "pixels"
    assert re.findall("<td>(.*?)</td>", cells) == [f"{value:.3f}" for value in stats.values()]
    for name in ("mIoU", "mAcc", "aAcc"):
        assert f'<div class="card">{name}<b>{stats[name]:.3f}</b>' in text
        assert f"<th>{name}</th>" in text
    assert re.findall("<h3>(.*?)</h3>", text) == [
        *("Losses", "Learning rate", "IoU by class, val", "Classes taken for others, val"),
    ]
    assert "Detections of score" not in text


def test_label_maps_are_shown_with_a_legend_of_the_classes_that_occur(pixel_page):
    text = pixel_page.read_text()
    names = [f'<li><i style="background: rgb{colour_of(label)}"></i>{CLASSES[label]}</li>' for label in (0, 1)]
    assert re.findall("<li>.*</li>", text) == names
    assert text.count("data:image/jpeg;base64,") == 8
    _, target, found = make_label_maps()[0]
    right = (target.label_map == found.labels).sum() / (target.label_map != 255).sum()
    assert f"prediction: {right:.1%} right" in text


def test_an_evaluation_of_label_maps_alone_has_a_report_too(tmp_path):
    text = write_report(make_run(tmp_path, make_label_maps(), trained=False), label_maps, [], CLASSES).read_text()
    assert "Losses" not in text
    assert "IoU by class, val" in text
    assert "Ground truth beside" not in text


@pytest.mark.parametrize(("classes", "charted"), [(30, True), (31, False)])
def test_confusion_of_many_classes_is_left_out(tmp_path, classes, charted):
    make_run(tmp_path, make_label_maps(), trained=False)
    figures = {"stats": {}, "per_class": {f"c{k}": 0.5 for k in range(classes)}}
    figures["confusion"] = np.eye(classes, dtype=int).tolist()
    (tmp_path / "metrics.json").write_text(json.dumps({"train": figures}))
    text = write_report(tmp_path, label_maps, [], [f"c{k}" for k in range(classes)]).read_text()
    assert "IoU by class, train" in text
    assert ("Classes taken for others, train" in text) is charted


def test_smoothing_keeps_constants_and_lessens_noise():
    assert smoothed([2.0] * 100) == pytest.approx([2.0] * 100)
    noise = np.random.default_rng(0).normal(size=600)
    assert np.std(smoothed(noise.tolist())[100:]) < 0.4 * np.std(noise)
    assert smoothed([]) == []


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
@pytest.mark.parametrize("kind", ["page", "pixel_page"])
@pytest.mark.parametrize("width", [400, 1280])
def test_a_browser_shows_it_without_errors_or_requests(kind, request, tmp_path, width):
    page = request.getfixturevalue(kind)
    policy = re.findall(r"<meta http-equiv=.*>\n", page.read_text())[0]
    probed = tmp_path / "probed.html"
    probed.write_text(page.read_text().replace(policy, PROBE))
    as_written, seen = (_open(path, tmp_path / path.stem, width) for path in (page, probed))
    assert "CONSOLE" not in as_written.stderr
    found = json.loads(re.findall("<title>(.*?)</title>", seen.stdout)[0])
    assert found["errors"] == []
    assert found["requests"] == []
    assert len(found["images"]) == 8
    assert all(min(size) > 100 for size in found["images"])
    assert len(found["charts"]) == 4
    assert min(found["charts"]) > 80
    assert found["wide"] <= 0  # nothing sticks out sideways


def _open(path, profile, width):
    arguments = [CHROMIUM, *QUIET, f"--user-data-dir={profile}", f"--window-size={width},900", path.as_uri()]
    return subprocess.run(arguments, capture_output=True, text=True, check=True, timeout=60)
