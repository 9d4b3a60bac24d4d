"""What is wrong with a data set, said once and for all: file, ids, reason, remedy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PRINTED = 50
"""A message lists this many problems; the rest is counted."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, and what the user can do about it."""

    file: Path
    reason: str
    remedy: str
    image_id: int | None = None
    annotation_id: int | None = None

    def __str__(self) -> str:
        ids = [f"image {self.image_id}"] if self.image_id is not None else []
        ids += [f"annotation {self.annotation_id}"] if self.annotation_id is not None else []
        return f"{': '.join([str(self.file), *ids])}: {self.reason}; {self.remedy}"


def at(annotation: dict[str, Any], file: Path, reason: str, remedy: str) -> Problem:
    """A problem of one annotation of a COCO-format file."""
    return Problem(file, reason, remedy, annotation["image_id"], annotation["id"])


@dataclass
class Findings:
    """What the checks found: `errors` stop the run, `warnings` tell what was skipped."""

    errors: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)


class DataError(ValueError):
    """The data set cannot be used; the message lists every problem found, not only the first."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(problems)  # the arguments of an exception are what pickles it across processes
        self.problems = list(problems)

    def __str__(self) -> str:
        if len(self.problems) == 1:
            return str(self.problems[0])
        return f"the data has {len(self.problems)} problems:\n{listing(self.problems)}"


def listing(problems: Sequence[Problem]) -> str:
    """The problems one a line, cut at `PRINTED` lines with a count of the rest."""
    lines = [f"  {problem}" for problem in problems[:PRINTED]]
    if len(problems) > PRINTED:
        lines.append(f"  ... and {len(problems) - PRINTED} more")
    return "\n".join(lines)
