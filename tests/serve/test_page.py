"""The web page of a server, in a real browser, used as a person would."""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chrome import Page, browser
from PIL import Image
from report.browser import needs_browser
from serve.serving import Client, Hold, a_run, encoded, pixels, running, served

from cvzoo.serve.models import Served
from cvzoo.serve.settings import Settings
from cvzoo.tasks.draw_boxes import colour_of

pytestmark = needs_browser
BOXES, MAPS = "retinanet_r18_fpn_shapes", "fcn_r18_shapes"
ANSWERED = r"/ in [0-9.]+ s/.test(document.querySelector('#status').innerText) && !document.querySelector('.busy')"
SHOWN = "[...document.querySelectorAll('#objects li:not([hidden])')].map(row => row.innerText.trim().split(/\\s+/))"
COUNTS = SHOWN.replace("#objects li:not([hidden])", "#classes label").join(("Object.fromEntries(", ")"))
LABELLED = (
    "[...document.querySelectorAll('input, select, button')].filter(one => one.checkVisibility())"
    ".filter(one => !(one.labels?.length || one.innerText)).length"
)
FOCUSED = (
    "(() => { const one = document.activeElement, seen = one.id === 'file' ? one.previousElementSibling : one;"
    " return [one.id || one.type || one.localName, getComputedStyle(seen).outlineStyle] })()"
)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Served]:
    """One whose first detections score about as much as its prior, and one of label maps."""
    folder = tmp_path_factory.mktemp("served")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return {BOXES: served(a_run(folder, BOXES, model__prior=0.3)), MAPS: served(a_run(folder, MAPS))}


@pytest.fixture(scope="module")
def client(models: dict[str, Served]) -> Iterator[Client]:
    with running(list(models.values())) as client:
        yield client


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser(tmp_path_factory.mktemp("browser")) as page:
        yield page


@pytest.fixture
def page(chromium: Page) -> Iterator[Page]:
    """The browser, of which no error is expected."""
    yield chromium
    errors, chromium.errors = chromium.errors, []
    assert errors == []


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "street.png"
    path.write_bytes(encoded(pixels(0, 300, 400)))
    return path


def opened(page: Page, client: Client, width: int = 1200, dark: bool = False) -> None:
    page.open(f"http://127.0.0.1:{client.port}/", width, dark=dark)
    page.until("document.querySelector('#model').options.length > 0")


def asked(page: Page, file: Path) -> None:
    page.choose("#file", file)
    page.until(ANSWERED)


def switched(page: Page, model: str) -> None:
    page.ask(f"el('model').value = '{model}'; el('model').dispatchEvent(new Event('change'))")


def tabbed_to(page: Page, wanted: str) -> None:
    for _ in range(30):
        page.press("Tab")
        if page.ask(FOCUSED)[0] == wanted:
            return
    raise AssertionError(f"the tab key does not come to {wanted}")


def colour_at(page: Page, x: float, y: float) -> list[int]:
    """The canvas's colour at a point of the image."""
    at = f"{x} * canvas.width / image.naturalWidth, {y} * canvas.width / image.naturalWidth"
    return page.ask(f"[...canvas.getContext('2d').getImageData({at}, 1, 1).data].slice(0, 3)")


def found(client: Client, file: Path) -> list[dict[str, Any]]:
    return client.predict(file.read_bytes(), min_score=0.05, max_detections=300).json["detections"]


@pytest.mark.parametrize(("width", "dark"), [(400, True), (1200, False)])
def test_boxes_and_the_threshold(page: Page, client: Client, file: Path, width: int, dark: bool) -> None:
    opened(page, client, width, dark)
    asked(page, file)
    wanted = found(client, file)
    scores = [one["score"] for one in wanted]
    assert min(scores) < 0.3 < max(scores)  # or there would be nothing to filter
    images = client.metric("cvzoo_images_total", model=BOXES)
    tabbed_to(page, "score")
    for keys, least in (
        ((), 0.3),
        (("ArrowRight",), 0.31),
        (("ArrowLeft",) * 3, 0.28),
        (("Home",), 0.05),
        (("End",), 1),
    ):
        page.press(*keys)
        left = [[one["class"], f"{one['score']:.2f}"] for one in wanted if one["score"] >= least]
        assert [name for name, _ in page.ask(SHOWN)] == [name for name, _ in left]
        counts = {name: int(count) for name, count in page.ask(COUNTS).items()}
        assert {k: v for k, v in counts.items() if v} == {k: sum(n == k for n, _ in left) for k in {n for n, _ in left}}
        said = page.ask("document.querySelector('[aria-live]').innerText")
        assert said.startswith(f"{len(left)} object" if left else f"Nothing scores {least:.2f}")
    assert client.metric("cvzoo_images_total", model=BOXES) == images  # nothing was asked again
    page.press("Home")
    best = wanted[0]
    x0, _, x1, y1 = best["box"]
    np.testing.assert_allclose(colour_at(page, (x0 + x1) / 2, y1 - 0.3), colour_of(best["label"]), atol=40)
    assert page.ask("document.documentElement.scrollWidth") <= width
    dark_page = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).every(one => one < 60)"
    assert page.ask(dark_page) is dark


def test_the_keyboard_is_enough(page: Page, client: Client, file: Path) -> None:
    opened(page, client)
    asked(page, file)
    assert page.ask(LABELLED) == 0
    page.ask("document.activeElement.blur()")
    seen = []
    for _ in range(8):
        page.press("Tab")
        seen.append(page.ask(FOCUSED))
    assert all(outline == "solid" for _, outline in seen), seen
    assert [name for name, _ in seen if name != "checkbox"][:4] == ["a", "file", "model", "score"]
    opened(page, client)
    asked(page, file)
    before = page.ask(SHOWN)
    tabbed_to(page, "checkbox")
    page.press(" ")
    assert 0 <= len(page.ask(SHOWN)) < len(before)
    page.press(" ")
    assert page.ask(SHOWN) == before
    tabbed_to(page, "button")
    page.press(" ")
    assert page.ask("[...document.querySelectorAll('[aria-pressed=true]')].length") == 1


def test_a_label_map(page: Page, client: Client, file: Path) -> None:
    opened(page, client)
    page.choose("#file", file)
    switched(page, MAPS)
    page.until(f"{ANSWERED} && document.querySelector('#scores').hidden")
    answer = client.predict(file.read_bytes(), model=MAPS).json
    assert page.ask(COUNTS).keys() == {one["class"] for one in answer["classes"]}
    largest = answer["classes"][0]
    page.ask("el('opacity').value = 1; el('opacity').dispatchEvent(new Event('input'))")
    decoded = np.asarray(Image.open(io.BytesIO(base64.b64decode(answer["label_map"]))))
    y, x = np.argwhere(decoded == largest["label"])[len(decoded)]
    assert colour_at(page, x + 0.5, y + 0.5) == list(colour_of(largest["label"]))
    page.ask("document.querySelector('#classes input').click()")
    assert colour_at(page, x + 0.5, y + 0.5) != list(colour_of(largest["label"]))


def test_masks_and_parts_become_layers(page: Page, client: Client) -> None:
    opened(page, client)
    ring, hole = [[0, 0], [9, 0], [9, 9], [0, 9], [0, 0]], [[3, 3], [3, 6], [6, 6], [6, 3], [3, 3]]
    inside = f"[[1, 1], [4, 4], [12, 4]].map(at => brush.isPointInPath(outlined([[{ring}, {hole}]]), ...at, 'evenodd'))"
    assert page.ask(inside) == [True, False, False]
    uv = np.zeros((2, 3, 3), np.uint8)
    uv[0, 1] = (2, 200, 10)
    text = base64.b64encode(encoded(uv)).decode()
    layer = f"surface({{uv_data: '{text}'}}, {{part_colours: ['#010203', '#fedcba']}})"
    seen = page.ask(f"{layer}.then(one => [...one.getContext('2d').getImageData(0, 0, 3, 2).data])")
    np.testing.assert_array_equal(np.reshape(seen, (2, 3, 4))[0], [[0] * 4, [254, 220, 186, 255], [0] * 4])
    assert not np.reshape(seen, (2, 3, 4))[1].any()


@pytest.mark.parametrize("way", ["drop", "paste"])
def test_an_image_is_dropped_or_pasted(page: Page, client: Client, file: Path, way: str) -> None:
    opened(page, client, 400)
    event = {"drop": "new DragEvent('drop', {dataTransfer: data})"}
    event["paste"] = "new ClipboardEvent('paste', {clipboardData: data})"
    content = json.dumps(list(file.read_bytes()))
    page.ask(
        "(() => { const data = new DataTransfer();"
        f" data.items.add(new File([new Uint8Array({content})], 'given.png', {{type: 'image/png'}}));"
        f" dispatchEvent({event[way]}) }})()"
    )
    page.until(ANSWERED)
    assert page.ask("document.querySelector('#name').innerText") == "given.png"
    assert "given.png, with " in page.ask("canvas.getAttribute('aria-label')")


def test_what_goes_wrong_is_said_in_words(page: Page, models: dict[str, Served], file: Path, tmp_path: Path) -> None:
    alert = "(one => one.checkVisibility() && one.innerText)(document.querySelector('[role=alert]'))"
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    model = models[BOXES]
    with running([model], Settings(max_bytes=600_000)) as client:
        opened(page, client, 400)
        page.choose("#file", broken)
        page.until(alert)
        assert "broken.png is no image that this browser can show" in page.ask(alert)
        large = tmp_path / "large.png"
        large.write_bytes(encoded(pixels(1, 500, 500)))
        page.choose("#file", large)
        page.until(f"/more than 600,000: scale it down/.test({alert})")
        asked(page, file)
        assert not page.ask(alert)
    page.ask("document.querySelector('#model').dispatchEvent(new Event('change'))")
    page.until(f"/server cannot be reached/.test({alert})")
    assert page.errors
    page.errors.clear()  # the browser's own word on that


def test_a_full_queue_and_another_try(page: Page, models: dict[str, Served], file: Path) -> None:
    model = models[BOXES]
    with running([model], Settings(max_queue=1, workers=1, max_batch=1)) as client:
        opened(page, client)
        with Hold(model):
            others = [threading.Thread(target=client.predict, args=(file.read_bytes(),)) for _ in range(2)]
            others[0].start()
            client.until("cvzoo_batch_images_count", 1)
            others[1].start()
            client.until("cvzoo_queue_length", 1)
            page.choose("#file", file)
            page.until("/are waiting; try again/.test(document.querySelector('[role=alert]').innerText)")
        for other in others:
            other.join()
        page.ask("document.querySelector('#again').click()")
        page.until(ANSWERED)
    assert [error for error in page.errors if "503" not in error] == []
    page.errors.clear()


def test_a_token(page: Page, models: dict[str, Served], file: Path) -> None:
    with running(list(models.values()), token="secret") as client:
        page.open(f"http://127.0.0.1:{client.port}/", 400)
        for token, said in (("wrong", "That token is wrong"), ("secret", "")):
            page.until("document.activeElement.id === 'token'")
            page.ask(
                f"document.querySelector('#token').value = '{token}'; document.querySelector('#access button').click()"
            )
            if said:
                page.until(f"/{said}/.test(document.querySelector('[role=alert]').innerText)")
        page.until("document.querySelector('#model').options.length > 0")
        assert not page.ask("document.querySelector('#access').checkVisibility()")
        asked(page, file)
        page.ask("sessionStorage.clear()")
    assert [error for error in page.errors if "401" not in error] == []
    page.errors.clear()


def test_it_asks_nobody_else(page: Page, client: Client, file: Path) -> None:
    opened(page, client)
    asked(page, file)
    names = page.ask("performance.getEntriesByType('resource').map(one => one.name)")
    assert {name.partition(":")[0] for name in names if str(client.port) not in name} <= {"data", "blob"}
    assert client.get("/").headers["content-security-policy"].startswith("default-src 'self'")
