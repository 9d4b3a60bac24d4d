"""The command line: what it prints, what it refuses, with which status."""

import json
import os
import pty
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from engine.tiny import ROOT, tiny
from PIL import Image

import cvzoo
from cvzoo.cli import PLAIN_COMMANDS, main
from cvzoo.recipes.codec import to_json

pytestmark = pytest.mark.usefixtures("inside")
ROW = "retinanet_r18_fpn_shapes"


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What a command says on stderr that must end with status 2 and without a traceback."""
    try:
        status = main(arguments)
    except SystemExit as end:  # tyro's own refusals
        status = end.code
    said = capsys.readouterr().err
    assert status == 2
    assert "Traceback" not in said
    return " ".join(said.replace("│", " ").split())


@pytest.mark.parametrize("arguments", [[], ["--help"], ["list"], ["list", "--task", "segmentation"]])
def test_help_and_list_start_without_torch(arguments: list[str]) -> None:
    code = (
        "import sys; from cvzoo.cli import main\n"
        f"assert main({arguments}) == 0\n"
        "assert not {'torch', 'numpy', 'matplotlib'} & set(sys.modules), sorted(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    expected = {"": "cvzoo COMMAND", "--help": "cvzoo COMMAND", "list": "retinanet_r50_fpn_1x"}
    expected["list --task segmentation"] = "treefilter_r50_voc"
    assert expected[" ".join(arguments)] in done.stdout


@pytest.mark.parametrize("debug", ["", "1"])
@pytest.mark.parametrize("arguments", [["--help"], ["list"], ["show", ROW], ["train", ROW, "--help"]])
def test_a_closed_pipe_ends_quietly(arguments: list[str], debug: str) -> None:
    command, environment = [sys.executable, "-m", "cvzoo", *arguments], os.environ | {"CVZOO_DEBUG": debug}
    read, write = os.pipe()
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    os.close(read)
    assert process.communicate(timeout=60) == (None, "")
    assert process.returncode == 141


def test_a_pipe_that_is_not_our_output_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise BrokenPipeError("a worker has gone")

    monkeypatch.setitem(PLAIN_COMMANDS, "doctor", fail)
    assert "cvzoo: error: a worker has gone" in refused(["doctor"], capsys)


def test_module_runs_like_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cvzoo", "tran"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr == "cvzoo: error: there is no command 'tran'; did you mean `cvzoo train`?\n"


def test_list_filters_and_sorts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--task", "detection", "--sort", "reference"]) == 0
    header, *lines = capsys.readouterr().out.splitlines()
    names = re.split(r" {2,}", header)
    cells = [dict(zip(names, re.split(r" {2,}", line), strict=True)) for line in lines]
    shown = {line["row"]: line["reference"] for line in cells}
    figures = [float(number) for number in shown.values() if number != "-"]
    assert figures == sorted(figures, reverse=True)
    assert figures[0] > figures[-1]
    assert set(list(shown.values())[len(figures) :]) == {"-"}
    assert shown["faster_rcnn_r50_fpn_ms_1x"] == "0.379"  # detectron2 trained these weights by this recipe
    assert "mask_rcnn_r50_fpn_1x" not in shown
    assert "columns are row" in refused(["list", "--sort", "speed"], capsys)
    assert "detection" in refused(["list", "--task", "detektion"], capsys)


def test_unknown_names_get_suggestions(capsys: pytest.CaptureFixture[str]) -> None:
    assert f"did you mean {ROW}" in refused(["train", "retinanet_r18_fpn_shape"], capsys)
    assert "`cvzoo list`" in refused(["train", "zzz"], capsys)
    assert "which row? usage: cvzoo train ROW" in refused(["train", "--optim.lr", "1"], capsys)
    assert "did you mean --optim.lr?" in refused(["train", ROW, "--optim.lrr", "1"], capsys)


def test_bad_values_name_the_field(capsys: pytest.CaptureFixture[str]) -> None:
    assert "optim.lr must be a number above 0, not -1.0" in refused(["train", ROW, "--optim.lr", "-1"], capsys)
    assert "'fp32', 'bf16', 'fp16'" in refused(["train", ROW, "--precision", "fp8"], capsys)
    assert "run.name must name a folder inside of run.out" in refused(["show", ROW, "--run.name", "../other"], capsys)
    with pytest.raises(ValueError, match=r"row must name a folder inside of run\.out, not '/tmp'"):
        replace(cvzoo.recipe(ROW), row="/tmp")
    assert "--row cannot rename" in refused(["show", ROW, "--row", "other"], capsys)


def test_options_without_effect_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    message = refused(["show", ROW, "--data.window-side", "320"], capsys)
    assert "data.window-side has no effect unless data.window-scales is set; leave it out" in message


@pytest.mark.parametrize(
    ("named", "message"),
    [
        (("--data.root", "/nowhere"), "/nowhere: the folder of the data set is missing"),
        (("--data.root", "/", "--data.train.images", "bin"), "data.train and data.val have no effect"),
        (("--data.val.annotations", "val.json"), "say what they are with --data.source"),
    ],
)
def test_drawn_images_never_stand_in_for_data_that_are_named(
    named: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in refused(["show", ROW, *named], capsys)


def test_missing_data_is_said_before_anything_is_written(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    said = refused(["train", "retinanet_r50_fpn_1x", "--data.root", "/nowhere", "--device", "cpu"], capsys)
    assert said.startswith("cvzoo: error: ")
    assert "/nowhere" in said
    assert not list(tmp_path.iterdir())


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CVZOO_DEBUG", "1")
    with pytest.raises(ValueError, match="no row named"):
        main(["train", "zzz"])


def test_show_prints_the_resolved_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", ROW, "--optim.lr", "0.5", "--precision=bf16"]) == 0
    out = capsys.readouterr().out
    recipe, _ = json.JSONDecoder().raw_decode(out)
    assert recipe["optim"]["lr"] == 0.5
    assert recipe["run"]["precision"] == "bf16"
    assert "M parameters" in out
    assert "1708.02002" in out
    assert main(["show", "atss_r50_fpn_1x"]) == 0
    assert "--weights mmdetection: box_AP 0.394 (https://" in capsys.readouterr().out


def test_recipe_file_stands_for_a_row(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    wanted = to_json(tiny(tmp_path / "runs"))
    (tmp_path / "recipe.json").write_text(json.dumps(wanted))
    assert main(["show", "recipe.json"]) == 0
    assert json.JSONDecoder().raw_decode(capsys.readouterr().out)[0] == wanted
    (tmp_path / "other.json").write_text("[]")
    assert "other.json is not a recipe" in refused(["show", "other.json"], capsys)
    Path("other.json").write_text("[" * 100_000)
    assert "other.json is not JSON (maximum recursion depth" in refused(["show", "other.json"], capsys)
    Path("old.json").write_text(json.dumps({"row": ROW, "model": {"tower_conv": 3}}))
    said = refused(["show", "old.json"], capsys)
    assert "old.json: unknown field model.tower_conv; did you mean model.tower_convs?" in said
    assert "another version of cvzoo" in said
    assert "nothing.json" in refused(["show", "nothing.json"], capsys)


def test_train_eval_report_predict(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    recipe = tiny(tmp_path / "runs", schedule__iterations=2)
    (tmp_path / "wanted.json").write_text(json.dumps(to_json(recipe)))
    assert "Train it with" in refused(["eval", "wanted.json"], capsys)

    assert main(["train", "wanted.json"]) == 0
    line, row_file, report = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{ROW}  box AP 0.")
    assert json.loads(Path(row_file).read_text())["row"] == ROW
    assert Path(report).read_text().startswith("<!doctype html>")

    assert main(["eval", "wanted.json"]) == 0
    line, same_file, report = capsys.readouterr().out.splitlines()
    assert same_file == row_file
    folder, evaluated = recipe.run.out / ROW, recipe.run.out / f"{ROW}-eval"
    assert Path(report) == evaluated / "report.html"
    ours, theirs = (json.loads((f / "metrics.json").read_text())["val"]["stats"] for f in (evaluated, folder))
    assert ours == theirs

    (folder / "report.html").unlink()
    assert main(["report", str(folder)]) == 0
    assert Path(capsys.readouterr().out.strip()) == folder / "report.html"
    assert (folder / "report.html").exists()

    Image.new("RGB", (64, 48)).save(tmp_path / "grey.jpg")
    assert main(["predict", "wanted.json", "grey.jpg", "--output", "drawn"]) == 0
    assert capsys.readouterr().out.split() == ["drawn/grey.png", "drawn/predictions.json"]


def test_data_check(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["data", "check", str(tmp_path / "nowhere")]) == 2
    assert "nowhere" in capsys.readouterr().out


def test_listings_as_json(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["list", "--task", "detection", "--json"]) == 0
    lines = {line["row"]: line for line in json.loads(capsys.readouterr().out)}
    assert lines["faster_rcnn_r50_fpn_ms_1x"]["reference"]["box_AP"] == pytest.approx(0.379, abs=5e-4)
    assert "mask_rcnn_r50_fpn_1x" not in lines

    assert main(["show", "atss_r50_fpn_1x", "--optim.lr", "0.5", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["recipe"]["optim"]["lr"] == 0.5
    assert 30e6 < shown["parameters"] < 35e6
    assert shown["system"] == "ATSS"
    assert shown["published"][0]["results"]["box_AP"] == 0.394
    assert shown["published"][0]["file"]["url"].startswith("https://")

    Image.new("RGB", (64, 48)).save(tmp_path / "grey.jpg")
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 10, 10], "area": 100, "iscrowd": 0}
    image = {"id": 1, "file_name": "grey.jpg", "height": 48, "width": 64}
    coco = {"images": [image, image | {"id": 2, "file_name": "gone.jpg"}], "annotations": [annotation]}
    for split in ("train", "val"):
        (tmp_path / split).mkdir()
        Image.new("RGB", (64, 48)).save(tmp_path / split / "grey.jpg")
        (tmp_path / f"{split}.json").write_text(json.dumps(coco | {"categories": [{"id": 1, "name": "box"}]}))
    assert main(["data", "check", str(tmp_path), "--json"]) == 2
    said = capsys.readouterr()
    checked = json.loads(said.out)
    assert {Path(error["file"]).name for error in checked["errors"]} == {"gone.jpg"}
    assert all(error["reason"] and error["remedy"] for error in checked["errors"])
    assert len(checked["summary"]) == 2
    assert str(tmp_path) in said.err  # what the folder was taken for


@pytest.mark.parametrize(("setting", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True)])
def test_no_color(setting: dict[str, str], coloured: bool) -> None:
    ours, theirs = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"} | setting
    environment |= {"TERM": "xterm", "COLUMNS": "100"}
    command = [sys.executable, "-m", "cvzoo", "data", "check", "--help"]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=theirs, stderr=theirs)
    os.close(theirs)
    said = b""
    while True:
        try:
            said += os.read(ours, 65536)
        except OSError:  # the terminal's other end is closed
            break
    os.close(ours)
    assert process.wait(60) == 0
    assert b"--source" in said
    assert (b"\x1b[" in said) is coloured


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("cvzoo ")
