"""The objects of a COCO-format file, read thousands of records at a time into flat arrays.

record_text.py reads records of the expected form straight to columns, and NumPy judges them together; those are plain.
Any other record, whatever is odd about it, is read and worded on its own, as coco_records.py does it.
Shape suffixes: N records of a chunk.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from cvzoo.data.coco_records import misplaced, problem_of, repeated, value_of
from cvzoo.data.doubts import Totals, doubts, outlines_apart
from cvzoo.data.problems import Findings, Problem, at
from cvzoo.data.segments import NO_SEGMENTATION, Segments, pack, read_mask, rearrange, sound_outlines
from cvzoo.data.surfaces import Annotated, read_surface
from cvzoo.structures import Mask, Size

CHUNK = 10_000
"""Records that are read together."""
MIN_SIDE = 1e-5
"""Boxes with a shorter side, in pixels, have no area (detectron2's threshold)."""
EXACT = 2.0**53
"""Whole numbers from here on are no floats."""
_Object = tuple[list[float], Mask, Annotated | None]
"""Box, mask and surface."""


class Positions:
    """Where ids stand in a list without repeats."""

    def __init__(self, ids: np.ndarray) -> None:
        self.order = np.argsort(ids, kind="stable")
        self.ascending = ids[self.order]

    def __call__(self, wanted: np.ndarray) -> np.ndarray:
        """Int64 positions, -1 of ids that are not in the list."""
        if not len(self.ascending):
            return np.full(len(wanted), -1)
        places = np.searchsorted(self.ascending, wanted).clip(max=len(self.ascending) - 1)
        return np.where(self.ascending[places] == wanted, self.order[places], -1)


@dataclass
class Frames:
    """The images of a file, in which its objects lie."""

    ids: np.ndarray
    """(M,) int64."""
    names: list[str]
    sizes: np.ndarray
    """(M, 2) int32 height and width."""


@dataclass
class Objects:
    """Sound objects."""

    positions: np.ndarray
    """(G,) int64: of their records."""
    rows: np.ndarray
    """(G,) int64: of their images."""
    numbers: np.ndarray
    """(G,) int64: of their categories, by ascending id."""
    boxes: np.ndarray
    """(G, 4) float32 xyxy, clipped."""
    segments: Segments | None
    surfaces: list[Annotated | None] | None


class ObjectReader:
    """Reads the annotations of one file, with or without masks and surfaces."""

    def __init__(self, file: Path, frames: Frames, categories: dict[int, str], masks: bool, surfaces: bool) -> None:
        self.file, self.frames, self.categories = file, frames, categories
        self.masks, self.surfaces = masks, surfaces
        self.row_of = Positions(frames.ids)
        self.number_of = Positions(np.array(sorted(categories), np.int64))
        self.parts: list[Objects] = []
        nothing = np.zeros(0, np.int64)
        self.ids = [(nothing, nothing)]
        """Positions and ids of records that have one."""
        self.errors: list[tuple[int, Problem]] = []
        """Each with the position of its record."""
        self.warnings: list[tuple[int, Problem]] = []
        self.totals = Totals()
        self._keep(nothing, nothing, nothing, [])  # so that there is a part, whatever the file holds

    def read(self, records: list[Any], release: Callable[[], None], findings: Findings) -> Objects:
        """The sound objects sorted by image, else in the order of the file, crowds left out; empties `records`, and
        calls `release` whenever it has read thousands of them."""
        with _uncollected():
            for start in range(0, len(records), CHUNK):
                self._read_chunk(start, records[start : start + CHUNK])
                release()
        repeats = np.zeros(0, np.int64) if self.surfaces else self._refuse_repeats(records)
        records.clear()  # with them the file leaves the memory, and what follows needs room
        if self.masks:
            self._sum_up_boxes()
        findings.errors += _in_order(self.errors)
        findings.warnings += _in_order(self.warnings)
        if not findings.errors and not self.totals.boxes:
            findings.errors.append(Problem(self.file, "there is not a single box in it", "annotate some images"))
        elif not findings.errors:
            findings.warnings += doubts(self.totals, self.categories.values(), self.file)
        found = self._sorted(repeats)
        if found.segments is not None and not findings.errors:
            findings.warnings += outlines_apart(found.boxes, found.segments, self.file)
        return found

    def _read_chunk(self, start: int, chunk: list[Any]) -> None:
        if len(odd := self._read_plain(start, chunk)):
            self._read_singly(start, chunk, odd)

    def _read_plain(self, start: int, chunk: list[Any]) -> np.ndarray:
        """Read what is plain of a chunk that begins at position `start`; the places in it of all other records."""
        if self.surfaces or not isinstance(chunk[0], msgspec.Raw) or not len(self.frames.ids):
            return np.arange(len(chunk))
        from cvzoo.data.record_text import records_in  # not before there is something to compile

        plain, whole_N4, xywh_N4, areas, segments = records_in(chunk, self.masks)
        ids, image_ids, category_ids, crowds = whole_N4.T
        rows, numbers = self.row_of(image_ids), self.number_of(category_ids)
        sizes_N2 = self.frames.sizes[rows]
        boxes_N4, inside = _clipped(xywh_N4, sizes_N2)
        plain &= inside & (rows >= 0) & (numbers >= 0) & (areas >= 0) & (areas < EXACT)
        if self.masks:
            plain &= sound_outlines(segments, sizes_N2) | (crowds == 1)
        kept = np.flatnonzero(plain & (crowds == 0))
        boxes, masks = boxes_N4[kept].astype(np.float32), segments.take(kept) if self.masks else None
        self.parts.append(Objects(start + kept, rows[kept], numbers[kept], boxes, masks, None))
        seen = np.flatnonzero(plain)
        self.ids.append((start + seen, ids[seen]))
        self.totals.add(xywh_N4[seen], sizes_N2[seen], int(crowds[seen].sum()))
        return np.flatnonzero(~plain)

    def _read_singly(self, start: int, chunk: list[Any], places: np.ndarray) -> None:
        """Read these records of a chunk one by one."""
        by_position = dict(self._with_keys(start, chunk, places))
        positions, records = np.array(list(by_position), np.int64), list(by_position.values())
        ids, image_ids, category_ids = (
            np.array([record[key] for record in records], np.int64) for key in ("id", "image_id", "category_id")
        )
        self.ids.append((positions, ids))
        rows, numbers = self.row_of(image_ids), self.number_of(category_ids)
        placed: list[int] = []
        found: list[tuple[int, _Object]] = []
        for place, (position, record) in enumerate(by_position.items()):
            own = Findings()
            size = tuple(self.frames.sizes[rows[place]].tolist()) if rows[place] >= 0 else None
            if (problem := misplaced(record, size, self.categories, self.file)) is not None:
                own.errors.append(problem)
            elif size is not None:
                placed.append(place)
                one = self._object(record, size, own)
                found += [] if one is None else [(place, one)]
            self.errors += [(position, problem) for problem in own.errors]
            self.warnings += [(position, problem) for problem in own.warnings]
        boxes = np.array([records[place]["bbox"] for place in placed], np.float64).reshape(-1, 4)
        crowds = sum(bool(records[place].get("iscrowd", 0)) for place in placed)
        self.totals.add(boxes, self.frames.sizes[rows[placed]], crowds)
        kept = np.array([place for place, _ in found], np.int64)
        self._keep(positions[kept], rows[kept], numbers[kept], [one for _, one in found])

    def _with_keys(self, start: int, chunk: list[Any], places: np.ndarray) -> Iterator[tuple[int, dict[str, Any]]]:
        """Those that have an annotation's keys, each with its position."""
        for place in places.tolist():
            position, record = start + place, value_of(chunk[place])
            problem = problem_of("annotations", position, record, self.file)
            if problem is None:
                yield position, record
            else:
                self.errors.append((position, problem))

    def _keep(self, positions: np.ndarray, rows: np.ndarray, numbers: np.ndarray, objects: Sequence[_Object]) -> None:
        boxes = np.array([box for box, _, _ in objects], np.float32).reshape(-1, 4)
        segments = pack([mask for _, mask, _ in objects]) if self.masks else None
        surfaces = [surface for _, _, surface in objects] if self.surfaces else None
        self.parts.append(Objects(positions, rows, numbers, boxes, segments, surfaces))

    def _object(self, record: dict[str, Any], size: Size, findings: Findings) -> _Object | None:
        """Box, mask and surface of a record that is not misplaced; None of crowds and of what is not sound."""
        x, y, w, h = record["bbox"]
        box = [max(x, 0.0), max(y, 0.0), min(x + w, size[1]), min(y + h, size[0])]
        if min(box[2] - box[0], box[3] - box[1]) <= MIN_SIDE:
            reason = f"the box {record['bbox']} has no area"
            findings.warnings.append(at(record, self.file, reason, "it is skipped; give it an area or remove it"))
            return None
        if record.get("iscrowd", 0):
            return None
        mask = read_mask(record, size, self.file, findings) if self.masks else []
        surface = read_surface(record, self.file, findings) if self.surfaces else None
        return None if mask is None else (box, mask, surface)

    def _refuse_repeats(self, records: list[Any]) -> np.ndarray:
        """The positions of records that have the id of one before them, which is an error of theirs, and the only."""
        ids = np.sort(np.concatenate([part for _, part in self.ids]))
        if (ids[1:] != ids[:-1]).all():
            return np.zeros(0, np.int64)
        positions, ids = (np.concatenate([part[column] for part in self.ids]) for column in (0, 1))
        by_position = np.argsort(positions, kind="stable")
        positions, ids = positions[by_position], ids[by_position]
        repeats = np.delete(positions, np.unique(ids, return_index=True)[1])
        gone = set(repeats.tolist())
        self.errors = [(position, problem) for position, problem in self.errors if position not in gone]
        self.warnings = [(position, problem) for position, problem in self.warnings if position not in gone]
        for position in gone:
            record = value_of(records[position])
            self.errors.append((position, repeated("annotations", position, record, self.file)))
        return repeats

    def _sum_up_boxes(self) -> None:
        """Where not one object has a segmentation, that is one error, and not one of each."""
        others = [(position, problem) for position, problem in self.errors if problem.reason != NO_SEGMENTATION]
        boxes = len(self.errors) - len(others)
        if boxes > 1 and not any(len(part.positions) for part in self.parts):
            reason = f"none of its {boxes} objects has a segmentation, from which masks are learnt"
            remedy = (
                "outline the objects, or train a row that finds boxes alone (`cvzoo list --task detection`), without"
                " --data.copy-paste; `cvzoo eval` scores boxes alone with --data.no-masks"
            )
            self.errors = [*others, (0, Problem(self.file, reason, remedy))]

    def _sorted(self, repeats: np.ndarray) -> Objects:
        """All that was read but the records at these positions."""
        if len(repeats):
            self.parts = [_at(part, np.flatnonzero(~np.isin(part.positions, repeats))) for part in self.parts]
        positions, rows = self._column("positions"), self._column("rows")
        order = np.lexsort((positions, rows))
        surfaces = [surface for part in self.parts for surface in part.surfaces or ()]
        return Objects(
            positions[order],
            rows[order],
            self._column("numbers")[order],
            self._column("boxes")[order],
            rearrange(self._segments(), order) if self.masks else None,
            [surfaces[place] for place in order.tolist()] if self.surfaces else None,
        )

    def _segments(self) -> list[Segments]:
        """Of all parts, which lose them: twice they might not fit into memory."""
        found = [part.segments for part in self.parts if part.segments is not None]
        for part in self.parts:
            part.segments = None
        return found

    def _column(self, name: str) -> np.ndarray:
        return np.concatenate([getattr(part, name) for part in self.parts])


def _at(part: Objects, places: np.ndarray) -> Objects:
    """The objects at these places, of a part that was read without surfaces."""
    segments = None if part.segments is None else part.segments.take(places)
    positions, rows = part.positions[places], part.rows[places]
    return Objects(positions, rows, part.numbers[places], part.boxes[places], segments, None)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Python looks for no cycles, of which records have none: among so many lists that takes an eighth of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _clipped(xywh_N4: np.ndarray, sizes_N2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, 4) xyxy inside the images, and (N,) bool: what `misplaced` and the warning of no area have nothing to say of.

    Numbers as large as whole numbers that are no floats are not plain.
    """
    starts, sides = xywh_N4[:, :2], xywh_N4[:, 2:]
    ends, limits = starts + sides, sizes_N2[:, ::-1].astype(np.float64)
    inside = np.where(starts < 0, 0.0, starts), np.where(limits < ends, limits, ends)
    plain = (abs(xywh_N4) < EXACT).all(1) & (sides >= 0).all(1) & (starts < limits).all(1) & (ends >= 0).all(1)
    return np.concatenate(inside, 1), plain & ((inside[1] - inside[0]).min(1) > MIN_SIDE)


def _in_order(found: list[tuple[int, Problem]]) -> list[Problem]:
    """By the positions of their records."""
    return [problem for _, problem in sorted(found, key=itemgetter(0))]
