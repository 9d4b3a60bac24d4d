"""docs/coming-from.md: every command, option, field, file and function of ours that it names exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from our_names import check_command, check_python, fields

from cvzoo.zoo import ROWS

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "coming-from.md").read_text()
GUIDES = [ROOT / "README.md", *(ROOT / "docs" / f"{name}.md" for name in ("own-data", "training"))]
FILES = {name for guide in GUIDES for name in re.findall(r"`([\w.]+\.\w+)`", guide.read_text())}
WORDS = {"ROW", "fp16"}
"""What stands for something of the reader's, and a value beside an option."""


def ours() -> list[str]:
    """The code in the last column of the tables, and outside of them."""
    lines = [line.rpartition(" | ")[2] if line.startswith("| ") else line for line in PAGE.splitlines()]
    return sorted(set(re.findall(r"`([^`]+)`", "\n".join(lines))) - WORDS)


@pytest.mark.parametrize("text", ours())
def test_what_we_call_it_exists(text: str) -> None:
    if text in ROWS or text in FILES:
        return
    if text.startswith("--"):
        assert {word for word in text.split() if word.startswith("--")} <= fields()
    elif re.search(r"(^|-m )cvzoo ", text):
        check_command(text)
    elif "/" in text and "(" not in text:
        assert (ROOT / text).exists()
    else:
        check_python(text)


@pytest.mark.parametrize("wrong", ["--optim.lrr", "cvzoo trian ROW", "cvzoo eval atss_r50_fpn_1x --weights caffe"])
def test_a_name_that_does_not_exist_is_found(wrong: str) -> None:
    with pytest.raises((AssertionError, KeyError)):
        test_what_we_call_it_exists(wrong)


@pytest.mark.parametrize("wrong", ["Detections.boxs", "predictor(source, confidence=0.3)", 'cvzoo.load("atss_r50")'])
def test_python_that_does_not_exist_is_found(wrong: str) -> None:
    with pytest.raises((AssertionError, KeyError)):
        test_what_we_call_it_exists(wrong)
