"""Commands on the zoo, finished runs and the machine: list, table, report, doctor."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import tyro

import cvzoo
from cvzoo.commands.printing import print_json, print_table


# plain strings: for `str | None` tyro imports a type checker, which takes a fifth of the time
def list_rows(task: str = "", sort: str = "", json: bool = False) -> None:
    """List the zoo: rows, reference results, measured values.

    Args:
        task: show the rows of this task only; all without.
        sort: order by this column; without, as the table does.
        json: print JSON: one object for each line, with every figure by its name.
    """
    from cvzoo.report.lines import list_lines

    lines = list_lines(task or None, sort or None)
    if json:
        print_json([line.values for line in lines])
    elif lines:
        print_table([list(lines[0].cells), *(list(line.cells.values()) for line in lines)])


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


def doctor(out: Path = Path("runs"), json: bool = False) -> int:
    """Look for what would fail or be slow on this machine, and say what to do about it.

    Args:
        out: where run folders go.
        json: print JSON: one object for each finding.
    """
    from cvzoo.engine.doctor import findings

    found = findings(out)
    if json:
        print_json([asdict(one) for one in found])
    else:
        for one in found:
            hint = f" ({one.remedy})" if one.remedy and one.state == "ok" else ""
            print(f"{one.state:<7}  {one.name:<16}  {one.found}{hint}")
            if one.state != "ok":
                print(f"{'':<27}{one.cause}: {one.remedy}")
    return 2 if any(one.state == "fault" for one in found) else 0
