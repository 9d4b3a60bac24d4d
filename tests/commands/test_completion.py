"""What the tab key offers, asked of the shells themselves where they are installed."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import cvzoo
from cvzoo.cli import OWN_COMMANDS, PLAIN_COMMANDS, ROW_COMMANDS, main

ROW = "retinanet_r18_fpn_shapes"
BASH = 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _cvzoo; printf "%s\\n" "${COMPREPLY[@]}"'
ZSH = """compdef() { : }; source "$1"; shift; words=("$@"); CURRENT=$#
compadd() { shift; for one in $@; do [[ $one == $words[CURRENT]* ]] && print -- $one; done }; _files() { : }; _cvzoo"""
FISH = 'source $argv[1]; complete -C "$argv[2..-1]"'
COMMANDS = {"bash": ["-c", BASH, "bash"], "zsh": ["-f", "-c", ZSH, "zsh"], "fish": ["--no-config", "-c", FISH]}


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The three scripts, each as a file named after its shell."""
    folder = tmp_path_factory.mktemp("scripts")
    for shell in COMMANDS:
        with pytest.MonkeyPatch.context() as patched, (folder / shell).open("w") as file:
            patched.setattr("sys.stdout", file)
            assert main(["completion", shell]) == 0
    return folder


@pytest.fixture(params=COMMANDS)
def offered(request: pytest.FixtureRequest, scripts: Path, tmp_path: Path) -> Callable[..., set[str]]:
    """Asks a shell what may stand in place of the last word, which may be begun."""
    shell = request.param
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed")

    def ask(*words: str) -> set[str]:
        asked = [program, *COMMANDS[shell], str(scripts / shell), "cvzoo", *words]
        done = subprocess.run(asked, cwd=tmp_path, capture_output=True, text=True, check=True, env={"PATH": "/nowhere"})
        assert not done.stderr
        return {word for word in done.stdout.split() if word.startswith(words[-1])}  # fish also offers look-alikes

    return ask


def test_commands(offered: Callable[..., set[str]]) -> None:
    assert offered("tr") == {"train"}
    assert offered("") >= {name.split()[0] for name in (*PLAIN_COMMANDS, *ROW_COMMANDS, *OWN_COMMANDS)}
    assert offered("data", "c") == {"check", "convert"}
    assert offered("completion", "z") == {"zsh"}


def test_rows(offered: Callable[..., set[str]]) -> None:
    for command in (*ROW_COMMANDS, *OWN_COMMANDS):
        assert offered(command, "retinanet_r") == {row for row in cvzoo.rows() if row.startswith("retinanet_r")}
    assert not offered("list", "retinanet_r")


def test_fields_are_those_of_the_row_and_the_command(offered: Callable[..., set[str]]) -> None:
    assert offered("train", ROW, "--optim.lr", "1", "--model.fpn.ex") == {
        *("--model.fpn.extra", "--model.fpn.extra-from", "--model.fpn.extra-norm"),
        *("--model.fpn.extra-relu",),
    }
    assert not offered("train", "fcn_r50_d8_cityscapes", "--model.fpn")
    assert offered("predict", ROW, "image.jpg", "--min") == {"--min-score"}
    assert not offered("train", ROW, "--min")
    assert offered("eval", ROW, "--prec") == {"--precision"}
    assert offered("data", "check", ".", "--label-maps.r") == {"--label-maps.reduce-zero"}
    assert offered("list", "--t") == {"--task"}
    assert offered("serve", ROW, "--max-b") == {"--max-batch", "--max-bytes"}
    assert not offered("serve", ROW, "--optim")


def test_words_that_an_option_takes(offered: Callable[..., set[str]]) -> None:
    assert offered("train", ROW, "--run.precision", "b") == {"bf16"}
    assert offered("train", ROW, "--device", "cu") == {"cuda"}
    assert offered("data", "check", ".", "--source", "yo") == {"yolo"}


def test_a_run_folder_has_the_fields_of_its_row(offered: Callable[..., set[str]], tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/recipe.json").write_text(json.dumps({"row": ROW, "weights": None}, indent=1))
    for name in ("mine", "mine/recipe.json"):
        assert offered("eval", name, "--model.fpn.extra-f") == {"--model.fpn.extra-from"}


@pytest.mark.parametrize(
    "words", [["train", ROW], ["bench", "fcn_r18_shapes"], ["predict", ROW], ["data check", ""], ["prove", ""]]
)
def test_the_options_are_those_of_the_help(
    words: list[str], scripts: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    with pytest.raises(SystemExit):
        main([*words[0].split(), *words[1:], "--help"])
    starts = re.findall(r"(?:^|│|\|) {1,2}(-.*)", capsys.readouterr().out, re.MULTILINE)  # with boxes, or without
    helped = {name for start in starts for name in re.findall(r"(?:^|, )(--[a-z][\w.-]*)", start)}
    assert len(helped) > 4
    ask = f'source {scripts / "bash"}; _cvzoo_answer "command {words[0]}"; _cvzoo_answer "row {words[1]}"'
    bash = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=True)
    either = {"--help", "--precision", "--device", "--freeze"}
    assert set(bash.stdout.split()) - either == helped - either


def test_the_tab_key_starts_no_python(scripts: Path) -> None:
    for shell in COMMANDS:
        assert not re.search(r"\bpython|\$\(cvzoo|\(cvzoo", (scripts / shell).read_text())
