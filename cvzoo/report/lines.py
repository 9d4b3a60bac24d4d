"""The lines of the zoo: each row with each of its row files, for `cvzoo list` and the table. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cvzoo.results.row_files import RowFile, load_rows
from cvzoo.tasks.sections import SECTIONS, SUMMARY
from cvzoo.zoo import ROWS, SYSTEMS
from cvzoo.zoo.system import Row, System


@dataclass(frozen=True)
class ZooLine:
    """A row and one measurement of it; a row that nobody measured has an empty one."""

    system: System
    row: Row
    file: RowFile

    @property
    def name(self) -> str:
        """The row, and how the measured recipe differs from its own."""
        changes = (f"{field.rsplit('.', 1)[-1]}={value}" for field, value in self.file.changes.items())
        return " ".join([self.row.name, *changes])

    def result(self, metric: str) -> float | None:
        """Of the validation split; None if it was not measured or has no ground truth."""
        value = self.file.results.get("val", {}).get(metric, -1)
        return None if value < 0 else value

    def cost(self, name: str) -> float | None:
        value = self.file.cost.get(name)
        return value if isinstance(value, int | float) else None


def zoo_lines(files: Sequence[RowFile]) -> list[ZooLine]:
    """Every row in the order of the table, its own recipe first, then the changed ones.

    Row files of no row of the zoo are left out.
    """
    lines = []
    for system, row in [(own, row) for own in SYSTEMS for row in own.rows]:
        measured = [file for file in files if file.row == row.name]
        own = [file for file in measured if not file.changes] or [RowFile(row=row.name, machine="-")]
        lines += [ZooLine(system, row, file) for file in [*own, *(file for file in measured if file.changes)]]
    return lines


def number(value: float | None, digits: int = 3) -> str:
    """A cell of the table; `-` for what was not measured."""
    return "-" if value is None else f"{value:.{digits}f}"


@dataclass(frozen=True)
class Listed:
    """A line of `cvzoo list`."""

    values: dict[str, Any]
    """Names, and figures by metric, as numbers; None for what a row of the user's own has not, or nobody measured."""

    @property
    def cells(self) -> dict[str, str]:
        """What is printed, by column."""
        of, cost = self.values, self.values["cost"]
        metrics = SECTIONS[of["task"]].metrics if of["task"] else [name for name in SUMMARY if name in of["result"]]
        return {
            "row": " ".join([of["row"], *(f"{field.rsplit('.', 1)[-1]}={v}" for field, v in of["changes"].items())]),
            **{name: of[name] or "-" for name in ("system", "backbone", "data", "schedule")},
            **{name: _joined([of[name].get(metric) for metric in metrics]) for name in ("reference", "result")},
            "mem_GB": number(cost.get("mem_gb"), 2),
            "train_s/it": number(cost.get("train_s_per_iter")),
            "inf_s/im": number(cost.get("inf_s_per_im")),
            "machine": of["machine"] or "-",
        }


def list_lines(task: str | None = None, sort: str | None = None) -> list[Listed]:
    """The lines of `cvzoo list`; numbers sort from high to low, `-` comes last.

    ValueError for an unknown task or column, with those that exist.
    """
    if task is not None and task not in SECTIONS:
        raise ValueError(f"there is no task {task!r}; tasks are {', '.join(SECTIONS)}")
    files = load_rows()
    lines = [_listed(line) for line in zoo_lines(files) if task in (None, line.row.task)]
    if task is None:
        lines += [_own(file) for file in files if file.row not in ROWS]
    if sort is not None and lines:
        if sort not in lines[0].cells:
            raise ValueError(f"there is no column {sort!r}; columns are {', '.join(lines[0].cells)}")
        lines.sort(key=lambda line: _order(line.cells[sort]))
    return lines


def _listed(line: ZooLine) -> Listed:
    row = line.row
    reference = {} if line.file.changes else _reference(row, SECTIONS[row.task].metrics[0])
    described = {"row": row.name, "changes": line.file.changes, "task": row.task, "system": line.system.name}
    setting = {"backbone": row.backbone, "data": row.data, "schedule": row.schedule}
    return Listed(described | setting | {"reference": dict(reference)} | _measured(line.file))


def _own(file: RowFile) -> Listed:
    """Of a row that a user has made."""
    described = {"row": file.row, "changes": {}, "task": None, "system": "own"}
    setting = dict.fromkeys(("backbone", "data", "schedule"))
    return Listed(described | setting | {"reference": {}} | _measured(file))


def _measured(file: RowFile) -> dict[str, Any]:
    """A figure below 0 is one that had no ground truth."""
    found = {name: value for name, value in file.results.get("val", {}).items() if value >= 0}
    cost = {name: value for name, value in file.cost.items() if isinstance(value, float)}
    return {"result": found, "cost": cost, "machine": None if file.machine == "-" else file.machine}


def _reference(row: Row, metric: str) -> Mapping[str, float]:
    """What to compare with: what was trained by the row's recipe, weights before figures alone, else anything."""
    known = (*row.published, *row.references)
    own = [found for found in known if not found.note]
    stated = [found.results for found in (*own, *row.references, *row.published) if metric in found.results]
    return stated[0] if stated else {}


def _joined(values: Sequence[float | None]) -> str:
    """One cell of several metrics: `box / mask`."""
    known = any(value is not None for value in values)
    return " / ".join(map(number, values)) if known else number(None)


def _order(cell: str) -> tuple[int, float, str]:
    try:
        return (0, -float(cell.partition(" / ")[0]), "")
    except ValueError:
        return (int(cell == "-"), 0.0, cell)
