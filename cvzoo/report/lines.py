"""The lines of the zoo: each row with each of its row files, for `cvzoo list` and the table. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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


def list_lines(task: str | None = None, sort: str | None = None) -> list[dict[str, str]]:
    """The cells of `cvzoo list` by column, one dictionary a line; numbers sort from high to low, `-` comes last.

    ValueError for an unknown task or column, with those that exist.
    """
    if task is not None and task not in SECTIONS:
        raise ValueError(f"there is no task {task!r}; tasks are {', '.join(SECTIONS)}")
    files = load_rows()
    cells = [_cells(line) for line in zoo_lines(files) if task in (None, line.row.task)]
    if task is None:
        cells += [_own_cells(file) for file in files if file.row not in ROWS]
    if sort is not None and cells:
        if sort not in cells[0]:
            raise ValueError(f"there is no column {sort!r}; columns are {', '.join(cells[0])}")
        cells.sort(key=lambda line: _order(line[sort]))
    return cells


def _cells(line: ZooLine) -> dict[str, str]:
    row = line.row
    metrics = SECTIONS[line.row.task].metrics
    reference = {} if line.file.changes else _reference(row, metrics[0])
    return {
        "row": line.name,
        "system": line.system.name,
        "backbone": row.backbone,
        "data": row.data,
        "schedule": row.schedule,
        "reference": _joined([reference.get(metric) for metric in metrics]),
        "result": _joined([line.result(metric) for metric in metrics]),
        **_costs(line.file),
    }


def _own_cells(file: RowFile) -> dict[str, str]:
    """Of a row that a user has made."""
    found = file.results.get("val", {})
    return {
        **dict.fromkeys(("row", "system", "backbone", "data", "schedule", "reference"), "-"),
        "row": file.row,
        "system": "own",
        "result": _joined([found.get(metric) for metric in SUMMARY if metric in found]),
        **_costs(file),
    }


def _costs(file: RowFile) -> dict[str, str]:
    costs = {name: value for name, value in file.cost.items() if isinstance(value, float)}
    return {
        "mem_GB": number(costs.get("mem_gb"), 2),
        "train_s/it": number(costs.get("train_s_per_iter")),
        "inf_s/im": number(costs.get("inf_s_per_im")),
        "machine": file.machine,
    }


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
