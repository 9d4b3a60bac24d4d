"""Images that a user names, and names for what is written about them."""

from pathlib import Path

import pytest

from cvzoo.data.image_files import named_files


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def touch(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()


def names(*given: str, output: str = "out") -> list[str]:
    return list(named_files([Path(name) for name in given], Path(output)).values())


def test_folders_keep_their_structure(folder: Path) -> None:
    touch("in/b.jpg", "in/a.PNG", "in/below/deep.tif", "in/notes.txt")
    assert names("in") == ["a", "b", "below/deep"]
    assert names("in/b.jpg") == ["b"]


def test_links_that_lead_nowhere_are_not_left_out(folder: Path) -> None:
    touch("in/a.png")
    Path("in/gone.png").symlink_to("nowhere.png")
    assert names("in") == ["a", "gone"]
    with pytest.raises(ValueError, match="predict which images"):
        names()


def test_files_of_one_name_are_told_apart(folder: Path) -> None:
    touch("a/x.jpg", "a/x.png", "b/x.jpg", "b/y.jpg", "c/b/x.jpg")
    assert names("a") == ["x.jpg", "x.png"]
    assert names("a", "b") == ["a/x.jpg", "x.png", "b/x.jpg", "y"]
    assert names("b", "c/b") == ["b/x.jpg_1", "y", "b/x.jpg_2"]
    assert names("b/x.jpg", "b") == ["x", "y"]  # one file named twice


def test_what_was_drawn_before_is_no_input(folder: Path) -> None:
    touch("in/a.jpg", "in/out/a.png")
    assert names("in", output="in/out") == ["a"]


def test_inputs_are_never_written_to(folder: Path) -> None:
    touch("in/a.png", "in/b.jpg")
    with pytest.raises(ValueError, match="in is the folder of the images; choose another one with --output"):
        names("in", output="in")
    with pytest.raises(ValueError, match=r"would overwrite in/a\.png; choose another --output"):
        names("in/a.png", "in/b.jpg", output="in")
    assert names("in/b.jpg", output="in") == ["b"]


def test_missing_and_empty(folder: Path) -> None:
    touch("empty/notes.txt")
    with pytest.raises(ValueError, match=r"no such image or folder: x, y\.jpg"):
        names("x", "y.jpg")
    with pytest.raises(ValueError, match="no images in empty"):
        names("empty")
