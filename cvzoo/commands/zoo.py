"""Commands on the zoo, finished runs and the machine: list, table, report, doctor."""

from __future__ import annotations

from pathlib import Path

import tyro

import cvzoo


# plain strings: for `str | None` tyro imports a type checker, which takes a fifth of the time
def list_rows(task: str = "", sort: str = "") -> None:
    """List the zoo: rows, reference results, measured values.

    Args:
        task: show the rows of this task only; all without.
        sort: order by this column; without, as the table does.
    """
    from cvzoo.report.lines import list_lines

    lines = list_lines(task or None, sort or None)
    if not lines:
        return
    cells = [list(lines[0]), *(list(line.values()) for line in lines)]
    widths = [max(map(len, column)) for column in zip(*cells)]
    for line in cells:
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths)).rstrip())


def table(output: Path = Path("docs")) -> None:
    """Write the zoo's table, MODEL_ZOO.md and SMALL_ROWS.md, from the recipes and row files.

    Args:
        output: the folder of the two pages.
    """
    from cvzoo.report.table import write_tables

    print(*write_tables(output), sep="\n")


def report(run: tyro.conf.Positional[Path]) -> None:
    """Write report.html of a run folder anew.

    Args:
        run: the run folder.
    """
    from cvzoo.engine.finish import read_run
    from cvzoo.report.run_report import write_report

    print(write_report(read_run(run, cvzoo.recipe(str(run / "recipe.json")))))


def doctor() -> None:
    """Say what cvzoo finds on this machine: versions, devices, weights."""
    from cvzoo.engine.doctor import findings

    for name, value in findings().items():
        print(f"{name:<20} {value}")
