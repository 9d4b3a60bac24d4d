"""The files of images and videos that a user names, and a name for what is written about each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}
VIDEO_SUFFIXES = {".mp4", ".m4v", ".mov", ".mkv", ".avi", ".webm", ".mpg", ".mpeg"}
CAMERA = "camera:"
"""Begins what stands for a camera where a file may be named: `camera:0` is the first one."""


def is_camera(path: str | Path) -> bool:
    """Whether no file is meant, but a camera."""
    return str(path).startswith(CAMERA)


def is_moving(path: Path) -> bool:
    """Whether it has frames: a video or a camera."""
    return is_camera(path) or path.suffix.lower() in VIDEO_SUFFIXES


def drawn_suffix(path: Path) -> str:
    """Of the file that it is drawn into."""
    return ".mp4" if is_moving(path) else ".png"


def named_files(given: Sequence[Path], output: Path) -> dict[Path, str]:
    """The images and videos among `given` and below the folders among them, each with a name of its own.

    A name is the path in its folder without suffix; where several files share it, with suffix, then behind its folder.

    Raises: ValueError for what is missing, for folders without images, for a camera beside others, and where `output`
        would lie over the images.
    """
    missing = [str(path) for path in given if not (is_camera(path) or path.exists())]
    if missing:
        raise ValueError(f"no such image or folder: {', '.join(missing)}")
    if len(given) > 1 and any(map(is_camera, given)):
        raise ValueError("a camera has no end; name it alone, and files in another command")
    if any(path.is_dir() and path.resolve() == output.resolve() for path in given):
        raise ValueError(f"{output} is the folder of the images; choose another one with --output, or they mix")
    found = dict(entry for path in given for entry in _files(path, output))
    if not given:
        raise ValueError("predict which images? name files or folders behind the row")
    if not found:
        raise ValueError(f"there are no images in {', '.join(map(str, given))}")
    names = _distinct(found)
    inputs = {file.resolve() for file in found}
    drawn = {file: output / f"{name}{drawn_suffix(file)}" for file, name in names.items()}
    spoilt = [str(file) for file, path in drawn.items() if path.resolve() in inputs]
    if spoilt:
        raise ValueError(f"drawings in {output} would overwrite {', '.join(spoilt[:5])}; choose another --output")
    return names


def _files(path: Path, output: Path) -> Iterator[tuple[Path, Path]]:
    """Files and their paths in the folder that was given; what an earlier command has drawn is no input.

    A link that leads nowhere is one, too: an image that cannot be read is told, not left out.
    """
    if not path.is_dir():
        yield path, Path(str(path).replace(":", "_") if is_camera(path) else path.name)
        return
    drawn = output.resolve()
    for file in sorted(path.rglob("*")):
        shown = file.suffix.lower() in SUFFIXES | VIDEO_SUFFIXES and (file.is_file() or not file.exists())
        if shown and drawn not in file.resolve().parents:
            yield file, file.relative_to(path)


def _distinct(found: dict[Path, Path]) -> dict[Path, str]:
    """Names without suffix where they are distinct, else longer ones."""
    names = {file: str(inside.with_suffix("")) for file, inside in found.items()}
    for longer in (lambda file: str(found[file]), lambda file: str(Path(file.parent.name, found[file].name))):
        counts = Counter(names.values())
        names = {file: name if counts[name] == 1 else longer(file) for file, name in names.items()}
    counts, seen = Counter(names.values()), Counter[str]()
    for file, name in names.items():
        seen[name] += 1
        if counts[name] > 1:
            names[file] = f"{name}_{seen[name]}"
    return names
