"""`cvzoo prove` and `cvzoo eval` with published weights: small ones, in a store of files, on real images."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from guides import BLOCK, ROOT
from report.browser import needs_browser, opened, probe
from weights.as_mmdetection import save
from zoo.systems import narrow

from cvzoo import zoo
from cvzoo.cli import main
from cvzoo.files import file_digest
from cvzoo.recipes import Recipe
from cvzoo.results import published
from cvzoo.weights.remote import Remote
from cvzoo.zoo.system import Published

COCO = Path(os.environ.get("CVZOO_DATA", ROOT.parent / "shared" / "data")) / "coco"
IMAGES = 6
RETINANET, FCOS = "retinanet_r50_fpn_1x", "fcos_r50_fpn_1x"
pytestmark = pytest.mark.skipif(not COCO.exists(), reason=f"{COCO} is absent; set CVZOO_DATA")


@pytest.fixture
def root(inside: Path) -> Path:
    """A few images of COCO where the full rows look for val2017."""
    folder = inside / "coco"
    (folder / "annotations").mkdir(parents=True)
    (folder / "val2017").symlink_to(COCO / "val")
    content = json.loads((COCO / "annotations/instances_val.json").read_text())
    content["images"] = content["images"][:IMAGES]
    kept = {image["id"] for image in content["images"]}
    content["annotations"] = [found for found in content["annotations"] if found["image_id"] in kept]
    (folder / "annotations/instances_val2017.json").write_text(json.dumps(content))
    return folder


@pytest.fixture
def store(inside: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """RetinaNet and FCOS alone publish weights, of narrow models, in mmdetection's format; those of FCOS are gone."""
    folder = inside / "store"
    folder.mkdir()
    for name, row in zoo.ROWS.items():
        monkeypatch.setitem(zoo.ROWS, name, replace(row, published=()))
    for name, system in ((RETINANET, "retinanet"), (FCOS, "fcos")):
        recipe = small(name)
        file = folder / f"{system}.pth"
        torch.manual_seed(0)
        save(file, recipe.model.build().state_dict(), system)
        remote = Remote(url=f"file:///nowhere/{system}.pth", algorithm="sha256", digest=file_digest(file)[:8])
        entry = Published(name="mmdetection", file=remote, results={"box_AP": 0.001}, page="https://a.b")
        row = replace(zoo.ROWS[name], recipe=named(name, recipe), published=(entry,))
        monkeypatch.setitem(zoo.ROWS, name, row)
    (folder / "fcos.pth").rename(folder / "hidden")
    (folder / "nowhere").symlink_to(folder)  # a mirror keeps the paths of the addresses
    monkeypatch.setenv("CVZOO_MIRROR", f"file://{folder}")
    return folder


def guide() -> list[list[str]]:
    """The commands of docs/published.md that are to be executed."""
    blocks = BLOCK.findall((ROOT / "docs/published.md").read_text())
    return [shlex.split(line) for *_, text in blocks for line in text.splitlines()]


def small(name: str) -> Recipe[Any]:
    recipe = narrow(name, num_classes=80, class_ids=zoo.ROWS[name].recipe().model.class_ids)
    data = replace(recipe.data, short_sides=(96,), test_short_side=96, max_long_side=128, workers=0)
    return replace(recipe, data=data, run=replace(recipe.run, device="cpu"))


def named(name: str, recipe: Recipe[Any]) -> Callable[[], Recipe[Any]]:
    """A function that gives the recipe, of the row's name."""

    def made() -> Recipe[Any]:
        return recipe

    made.__name__ = name
    return made


def said(capsys: pytest.CaptureFixture[str], *words: str, status: int = 0) -> tuple[str, str]:
    assert main(list(words)) == status
    return capsys.readouterr()


@pytest.mark.usefixtures("store")
def test_an_evaluation_prints_what_is_published(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = said(capsys, "eval", RETINANET, "--weights", "mmdetection", "--data.root", str(root))
    line = next(line for line in out.splitlines() if line.startswith("mmdetection: "))
    found = re.fullmatch(
        r"mmdetection: box AP (\d\.\d{4}), published 0\.0010, difference ([+-]\d\.\d{4})"
        r" \(on 6 images, the published figures are of 5000\)",
        line,
    )
    assert found
    assert float(found[1]) - 0.001 == pytest.approx(float(found[2]), abs=1e-4)


def test_all_are_proven_but_one_that_is_gone_and_the_command_goes_on(
    root: Path, store: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(published.IMAGES, "annotations/instances_val2017.json", IMAGES)
    monkeypatch.setattr(published, "CLOSE", 0.1)
    assert root == Path.cwd() / "coco"
    ((_, *command),) = guide()
    out, err = said(capsys, *command, status=2)
    assert f"{RETINANET} mmdetection: box AP 0." in out
    assert out.endswith("1 agrees, 1 failed\nruns/prove/prove.html\n")
    assert re.search(rf"{FCOS} --weights mmdetection: failed: cannot download fcos\.pth", err)
    page = Path("runs/prove/prove.html").read_text()
    assert "cannot download fcos.pth" in page
    assert "<td>agrees</td>" in page
    kept = Path(f"runs/prove/{RETINANET}-mmdetection/row.json")
    assert Path(f"runs/prove/{RETINANET}-mmdetection/{RETINANET}-eval/report.html").exists()
    before = kept.stat().st_mtime_ns

    (store / "hidden").rename(store / "fcos.pth")
    out, err = said(capsys, *command)
    assert out.endswith("2 agrees\nruns/prove/prove.html\n")
    assert f"{RETINANET} --weights mmdetection: done before" in err
    assert kept.stat().st_mtime_ns == before
    assert "cannot download" not in Path("runs/prove/prove.html").read_text()
    assert list(Path("runs/rows").glob(f"{RETINANET}+weights=mmdetection@*.json")), "the table shows it"


@pytest.mark.usefixtures("store")
def test_another_precision_and_other_data_are_evaluated_anew(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("prove", RETINANET, "--data.root")
    assert "done before" not in said(capsys, *command, str(root))[1]
    assert "done before" in said(capsys, *command, str(root))[1]
    assert "done before" not in said(capsys, *command, str(root), "--precision", "bf16")[1]
    root.rename("elsewhere")
    out, err = said(capsys, *command, "elsewhere", "--json")
    assert "done before" not in err
    (proof,) = json.loads(out)
    assert (proof["row"], proof["weights"], proof["state"]) == (RETINANET, "mmdetection", "other data")
    assert proof["reservation"] == "on 6 images, the published figures are of 5000"
    (figure,) = proof["figures"]
    assert figure["difference"] == figure["ours"] - figure["published"]
    assert Path(proof["report"]).exists()


@pytest.mark.usefixtures("store")
def test_what_cannot_be_proven_is_refused(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, err = said(capsys, "prove", "--data.root", str(root / "annotations"), status=2)
    assert "holds no validation split of these rows" in err
    assert "annotations/instances_val2017.json" in err
    _, err = said(capsys, "prove", "atss_r50_fpn_1x", "--data.root", str(root), status=2)
    assert "nothing is published for atss_r50_fpn_1x" in err
    _, err = said(capsys, "prove", "retina", "--data.root", str(root), status=2)
    assert "retinanet" in err


@needs_browser
@pytest.mark.usefixtures("store")
def test_the_page_in_a_browser(root: Path, inside: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said(capsys, "prove", "--data.root", str(root), status=2)
    page = inside / "runs/prove/prove.html"
    act = "one('.sortable thead th:nth-child(5) button').click();"
    act += "seen.sort = one('.sortable thead th:nth-child(5)').ariaSort;"
    for width in (400, 1280):
        found = probe(page, inside, width, act)
        assert not found["errors"]
        assert not found["requests"]
        assert found["wide"] == 0
        assert found["sort"] == "descending"
    assert "Published weights" in opened(page, inside / "profile", 800).stdout
