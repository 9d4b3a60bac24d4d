"""Options typed by habit of other libraries get one line with what to type instead, and it exists."""

from __future__ import annotations

import re
from dataclasses import fields

import pytest

from cvzoo.cli import ROW_COMMANDS, SHORTHANDS, main
from cvzoo.commands.habits import HABITS, OF_COMMANDS
from cvzoo.recipes.codec import to_json
from cvzoo.zoo import ROWS

ROW = "retinanet_r18_fpn_shapes"
TYPED = [("train", name) for name in HABITS] + [(command, name) for command, own in OF_COMMANDS.items() for name in own]


def said_to(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert not said.out
    assert said.err.count("\n") == 1
    return said.err


def options_of(command: str) -> set[str]:
    """Every option of a command on the row."""

    def leaves(values: dict, prefix: str = "--") -> set[str]:
        found = set()
        for name, value in values.items():
            found |= leaves(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name}
        return found

    kind = ROW_COMMANDS[command][0]
    own = {f"--{field.name}" for field in fields(kind)} if command in OF_COMMANDS else set()
    options = leaves(to_json(ROWS[ROW].recipe())) | own | {*SHORTHANDS, "--help"}
    return {name.replace("_", "-") for name in options}


@pytest.mark.parametrize(("command", "name"), TYPED)
def test_every_habit_gets_options_that_exist(command: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = said_to([command, ROW, f"--{name}", "30"], capsys)
    assert said.startswith(f"cvzoo: error: --{name}")
    suggested = set(re.findall(r"(?<![\w-])--[\w.-]*\w", said.removeprefix(f"cvzoo: error: --{name}")))
    predict = {"--min-score"} if "cvzoo predict" in said else set()  # of the command it names
    launcher = {"--nproc-per-node"}
    assert suggested <= options_of(command) | predict | launcher


def test_all_wrong_options_are_told_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    said = said_to(
        ["train", ROW, "--epochs=3", "--batch_size", "4", "--device", "0", "--foo", "--optim.lr", "1"], capsys
    )
    assert "--epochs is --schedule.epochs; --batch_size is --schedule.batch; --device takes auto, cpu or cuda" in said
    assert "CUDA_VISIBLE_DEVICES=0 before the command; there is no --foo (" in said
    assert "--optim.lr:" not in said


def test_misspelt_fields_get_the_nearest_one(capsys: pytest.CaptureFixture[str]) -> None:
    said = said_to(
        ["train", ROW, "--optim.lrr", "1", "--data.testshort-side=3", "--run.no_compil", "--epochs=2"], capsys
    )
    for typed, meant in (("optim.lrr", "optim.lr"), ("data.testshort-side", "data.test-short-side")):
        assert f"there is no --{typed}, did you mean --{meant}?" in said
    assert "there is no --run.no_compil, did you mean --run.no-compile?" in said
    assert "--epochs is --schedule.epochs" in said


def test_words_without_dashes_are_understood(capsys: pytest.CaptureFixture[str]) -> None:
    assert "imgsz is --data.short-sides 416 --data.test-short-side 416" in said_to(["train", ROW, "imgsz=416"], capsys)
    assert "--img is --data.short-sides 640" in said_to(["train", ROW, "--img", "--data.flip"], capsys)


def test_a_prediction_refuses_the_classes_of_a_training(
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = said_to(["predict", ROW, "street.jpg", "--data.classes", "ellipse"], capsys)
    assert """--data.classes: an argument of the Python predictor, `predictor(images, classes=["person"])`""" in said


@pytest.mark.parametrize(
    "arguments",
    [["bench", ROW, "--batch", "4", "--help"], ["show", ROW, "--run.seed=1"], ["show", ROW, "--device", "cpu"]],
)
def test_options_that_exist_are_left_alone(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    try:
        status = main(arguments)
    except SystemExit as end:
        status = end.code
    assert not status
    assert "error" not in capsys.readouterr().err


def test_commands_on_data_tell_how_a_trainings_options_are_called_there(capsys: pytest.CaptureFixture[str]) -> None:
    said = said_to(["data", "check", "nowhere", "--data.classes=a", "--data.label-maps.ignored", "11"], capsys)
    assert "--data.classes is --classes here; --data.label-maps.ignored is --label-maps.ignored here" in said
