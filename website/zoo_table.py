"""The page with the zoo's table and chart. Its data are what `cvzoo table` prints, put into the page as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from cvzoo.report.lines import ZooLine, zoo_lines
from cvzoo.results.row_files import RowFile
from cvzoo.tasks.sections import SECTIONS, metric_title
from cvzoo.zoo import SYSTEMS
from cvzoo.zoo.system import Published, Reference, Row, System

PLACE = "ZOO_DATA"
METRICS = tuple(dict.fromkeys(metric for section in SECTIONS.values() for metric in section.metrics))
COSTS = ("mem_gb", "train_s_per_iter", "train_batch", "inf_s_per_im", "throughput", "params_m", "gflops")


def zoo_page(template: str, files: Sequence[RowFile]) -> str:
    """The page, from its text and the row files."""
    text = json.dumps(zoo_data(files), separators=(",", ":"))
    return template.replace(PLACE, text.replace("<", "\\u003c"))  # a tag would end the script that holds it


def zoo_data(files: Sequence[RowFile]) -> dict[str, Any]:
    """`ours`: an entry for each line of the zoo. `published`: one for each row and what others state for it.

    Figures are numbers, None where there is none: AP and mIoU of 0..1, seconds, GB.
    """
    return {
        "metrics": {metric: metric_title(metric) for metric in METRICS},
        "ours": [_ours(line) for line in zoo_lines(files)],
        "published": [
            _published(system, row, found)
            for system in SYSTEMS
            for row in system.rows
            for found in (*row.published, *row.references)
        ],
    }


def _head(system: System, row: Row) -> dict[str, Any]:
    page = "SMALL_ROWS.html" if row.is_small else "MODEL_ZOO.html"
    head = {"row": row.name, "system": system.name, "task": SECTIONS[row.task].title, "page": f"{page}#{row.name}"}
    return head | {"backbone": row.backbone, "data": row.data, "schedule": row.schedule}


def _ours(line: ZooLine) -> dict[str, Any]:
    results = {metric: line.result(metric) for metric in METRICS}
    costs = {name: line.cost(name) for name in COSTS}
    machine = {"machine": line.file.machine, "hardware": line.file.hardware}
    return _head(line.system, line.row) | {"name": line.name} | results | costs | machine


def _published(system: System, row: Row, found: Published | Reference) -> dict[str, Any]:
    results = {metric: found.results.get(metric) for metric in METRICS}
    costs = {name: getattr(found, name, None) for name in ("mem_gb", "train_s_per_iter", "inf_s_per_im")}
    who = {"who": found.name, "note": found.note, "source": found.page, "weights": isinstance(found, Published)}
    return _head(system, row) | {"name": row.name} | results | costs | who
