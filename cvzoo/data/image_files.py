"""The image files that a user names, and a name for what is written about each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}
VIDEO_SUFFIXES = {".mp4", ".m4v", ".mov", ".mkv", ".avi", ".webm", ".mpg", ".mpeg"}


def named_files(given: Sequence[Path], output: Path) -> dict[Path, str]:
    """The image files among `given` and below the folders among them, each with a name of its own.

    A name is the path in its folder without suffix; where several files share it, with suffix, then behind its folder.

    Raises: ValueError for what is missing, for folders without images, and where `output` would lie over the images.
    """
    missing = [str(path) for path in given if not path.exists()]
    if missing:
        raise ValueError(f"no such image or folder: {', '.join(missing)}")
    if any(path.is_dir() and path.resolve() == output.resolve() for path in given):
        raise ValueError(f"{output} is the folder of the images; choose another one with --output, or they mix")
    found = dict(entry for path in given for entry in _files(path, output))
    if not found:
        raise ValueError(f"there are no images in {', '.join(map(str, given))}")
    names = _distinct(found)
    inputs = {file.resolve() for file in found}
    spoilt = [str(file) for file, name in names.items() if (output / f"{name}.png").resolve() in inputs]
    if spoilt:
        raise ValueError(f"drawings in {output} would overwrite {', '.join(spoilt[:5])}; choose another --output")
    return names


def _files(path: Path, output: Path) -> Iterator[tuple[Path, Path]]:
    """Image files and their paths in the folder that was given; what an earlier command has drawn is no input."""
    if not path.is_dir():
        yield path, Path(path.name)
        return
    drawn = output.resolve()
    for file in sorted(path.rglob("*")):
        if file.suffix.lower() in SUFFIXES and file.is_file() and drawn not in file.resolve().parents:
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
