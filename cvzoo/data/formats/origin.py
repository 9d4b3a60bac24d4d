"""Problems of a converted file, told of the files that it was made from, which the user knows."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from cvzoo.data.problems import Problem

MADE_FROM = "made_from"
"""Key of a converted file's images and of its info: the user's file or folder that annotates it."""
KEEPS_IDS = "coco_export"
"""Files made from this source begin with its name, and have the ids that the user knows."""


def notes_of(file: Path) -> Path:
    """The warnings about what a converted file was made from, beside it."""
    return file.with_suffix(".warnings.json")


def of_originals(problems: Sequence[Problem], files: Collection[Path]) -> list[Problem]:
    """The problems of data in these COCO-format files: of converted ones with the originals' names."""
    converted = [file for file in files if notes_of(file).exists()]
    if not problems or not converted:
        return list(problems)
    origins: dict[Path, dict[int | None, Path]] = {}
    for file in converted:
        content = json.loads(file.read_bytes())
        origins[file] = {image["id"]: Path(image[MADE_FROM]) for image in content["images"]}
        origins[file][None] = Path(content["info"][MADE_FROM])
    known = all(file.name.startswith(KEEPS_IDS) for file in converted)
    return [_of_original(problem, origins.get(problem.file), known) for problem in problems]


def _of_original(problem: Problem, origins: dict[int | None, Path] | None, ids_known: bool) -> Problem:
    file = problem.file if origins is None else origins.get(problem.image_id, origins[None])
    if ids_known:
        return replace(problem, file=file)
    return Problem(file, problem.reason, problem.remedy)
