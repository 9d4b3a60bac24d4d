"""The lines of the zoo: each row with each of its row files, for `cvzoo list` and the table. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cvzoo.recipes.results import RowFile, load_rows
from cvzoo.recipes.rows import ROWS, Reference, Row

METRICS = {
    "detection": ("box_AP",),
    "instance": ("box_AP", "mask_AP"),
    "segmentation": ("mIoU",),
    "pose": ("box_AP", "GPS_AP"),
}
"""What each task is judged by; `cvzoo list` shows it in one column, `box / mask`, and sorts it by the first."""


@dataclass(frozen=True)
class ZooLine:
    """A row and one measurement of it; a row that nobody measured has an empty one."""

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

    def references(self, metric: str) -> list[Reference]:
        """Those who published this metric for the row's own recipe; none for a changed one."""
        return [r for r in self.row.references if metric in r.results and not self.file.changes]


def zoo_lines(files: Sequence[RowFile] | None = None) -> list[ZooLine]:
    """Every row in the order of the table, its own recipe first, then the changed ones.

    `files` defaults to all row files. ValueError if one belongs to no row.
    """
    files = load_rows() if files is None else files
    strangers = sorted({file.row for file in files} - set(ROWS))
    if strangers:
        raise ValueError(f"row files of rows that do not exist: {', '.join(strangers)}; delete them from zoo/rows")
    lines = []
    for row in ROWS.values():
        measured = [file for file in files if file.row == row.name]
        own = [file for file in measured if not file.changes] or [RowFile(row=row.name, machine="-")]
        lines += [ZooLine(row, file) for file in [*own, *(file for file in measured if file.changes)]]
    return lines


def number(value: float | None, digits: int = 3) -> str:
    """A cell of the table; `-` for what was not measured."""
    return "-" if value is None else f"{value:.{digits}f}"


def list_lines(task: str | None = None, sort: str | None = None) -> list[dict[str, str]]:
    """The cells of `cvzoo list` by column, one dictionary a line; numbers sort from high to low, `-` comes last.

    ValueError for an unknown task or column, with those that exist.
    """
    if task is not None and task not in METRICS:
        raise ValueError(f"there is no task {task!r}; tasks are {', '.join(METRICS)}")
    cells = [_cells(line) for line in zoo_lines() if task in (None, line.row.task)]
    if sort is not None and cells:
        if sort not in cells[0]:
            raise ValueError(f"there is no column {sort!r}; columns are {', '.join(cells[0])}")
        cells.sort(key=lambda line: _order(line[sort]))
    return cells


def _cells(line: ZooLine) -> dict[str, str]:
    metrics = METRICS[line.row.task]
    published = [reference.results for reference in line.references(metrics[0])[:1]]
    return {
        "row": line.name,
        "system": line.row.system,
        "backbone": line.row.backbone,
        "schedule": line.row.lr_schd,
        "reference": _joined([results.get(metric) for results in published for metric in metrics]),
        "result": _joined([line.result(metric) for metric in metrics]),
        "mem_GB": number(line.cost("mem_gb"), 2),
        "train_s/it": number(line.cost("train_s_per_iter")),
        "inf_s/im": number(line.cost("inf_s_per_im")),
        "machine": line.file.machine,
    }


def _joined(values: Sequence[float | None]) -> str:
    known = any(value is not None for value in values)
    return " / ".join(map(number, values)) if known else number(None)


def _order(cell: str) -> tuple[int, float, str]:
    try:
        return (0, -float(cell.partition(" / ")[0]), "")
    except ValueError:
        return (int(cell == "-"), 0.0, cell)
