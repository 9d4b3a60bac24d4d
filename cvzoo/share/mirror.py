"""A folder with the published weights of rows, for machines without a network: see `cvzoo.weights.download`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cvzoo.weights.backbones import imagenet_file
from cvzoo.weights.download import cache_folder, fetch, is_whole, path_of, places_of
from cvzoo.weights.errors import WeightsError
from cvzoo.weights.remote import Remote
from cvzoo.zoo.system import Row


@dataclass(frozen=True)
class Copy:
    """A published file in a mirror."""

    url: str
    path: Path
    bytes: int
    """Its size; 0 of a file that no place has."""
    was_there: bool
    failures: list[str]
    """Why it is not there, place by place."""


def fill(folder: Path, files: Sequence[Remote]) -> Iterator[Copy]:
    """Bring published files into a mirror, verified, one after the other.

    A file that is there and whole is not fetched again, one that was cut off goes on where it stopped. What lies in the
    cache is copied. WeightsError where the folder cannot be written.
    """
    for file in files:
        path = folder / path_of(file).lstrip("/")
        there = is_whole(path, file)
        failures = [] if there else _fetched(file, path)
        yield Copy(file.url, path, 0 if failures else path.stat().st_size, there, failures)


def _fetched(file: Remote, path: Path) -> list[str]:
    """Why no place has a file, the cache among them."""
    cached = cache_folder() / file.name
    try:
        return fetch(file, path, [*([str(cached)] if is_whole(cached, file) else []), *places_of(file)])
    except OSError as error:
        raise WeightsError(f"{path} cannot be written ({error}); once it can, the same command goes on") from error


def files_of(rows: Iterable[Row]) -> tuple[list[Remote], list[str]]:
    """All files that rows have published or start from, each once, and what to know of those that are no such file."""
    files: dict[str, Remote] = {}
    notes: dict[str, list[str]] = {}
    for row in rows:
        files |= {entry.file.url: entry.file for entry in row.published}
        recipe = row.recipe()
        if recipe.backbone_weights != "imagenet":
            continue
        try:
            file = imagenet_file(recipe.model.backbone)
            files[file.url] = file
        except WeightsError as error:
            notes.setdefault(str(error), []).append(row.name)
    return list(files.values()), [f"for {', '.join(names)}: {note}" for note, names in notes.items()]
