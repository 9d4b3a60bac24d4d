"""Opening COCO-format annotations as many as train2017's or Objects365's: seconds and memory, first and later.

    python benchmarks/annotations.py [--images 118287 --objects 860001 --no-polygons] [--points 25] [--folder DIR]

Writes a file of repeated annotations (or takes the one in DIR) and many names for a few drawn images. Then measures,
in processes of their own: the first open, which reads and checks the file; a later one, which maps what was kept; the
order and the first batches of a training; and, to measure the machine by, Python's `json.loads` of the file. Memory is
the peak of the resident set; the pages of mapped files, which the system may drop, are a part of it, and `anonymous` is
the rest, sampled. Prints a table and a JSON line.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

PARTS = ("first", "later", "batches", "json")
FOLDERS = 50
"""Objects365 has its images in as many."""
ORIGINALS = 40
"""Images that are drawn."""
BODIES = 5000
"""Annotations that are drawn."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=118_287)
    parser.add_argument("--objects", type=int, default=860_001)
    parser.add_argument("--polygons", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--points", type=int, default=25, help="points of a polygon on average")
    parser.add_argument(
        "--folder", type=Path, help="where the data are made, or have been; default: a temporary folder"
    )
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    return parser.parse_args()


def draw(options: argparse.Namespace, folder: Path) -> None:
    """Write train.json and the images of one data set, if they are not there."""
    if (folder / "train.json").exists():
        return
    rng = np.random.default_rng(0)
    names = [f"part{i % FOLDERS}/{i:012}.jpg" for i in range(options.images)]
    _draw_images(folder / "train", names, rng)
    with (folder / "part.json").open("w") as file:
        images = [{"id": i, "file_name": name, "height": 480, "width": 640} for i, name in enumerate(names)]
        file.write(f'{{"info": {{}}, "images": {json.dumps(images)}, "annotations": [')
        for number, text in enumerate(_annotations(options, rng)):
            file.write((", " if number else "") + text)
        file.write(f'], "categories": {json.dumps([{"id": i, "name": f"class {i}"} for i in range(1, 81)])}}}')
    (folder / "part.json").rename(folder / "train.json")


def _draw_images(folder: Path, names: list[str], rng: np.random.Generator) -> None:
    """Many names of a few files."""
    for part in range(FOLDERS):
        (folder / f"part{part}").mkdir(parents=True, exist_ok=True)
    originals = [folder / f"{number}.jpg" for number in range(ORIGINALS)]
    for original in originals:
        Image.fromarray(rng.integers(0, 256, (480, 640, 3), dtype=np.uint8)).save(original, quality=50)
    for number, name in enumerate(names):
        (folder / name).hardlink_to(originals[number % ORIGINALS])


def _annotations(options: argparse.Namespace, rng: np.random.Generator) -> Iterator[str]:
    """Records in the order of COCO's files: none, whatever their image; boxes and polygons are repeated."""
    bodies = [_body(options, rng) for _ in range(BODIES)]
    chunk = 100_000
    for first in range(0, options.objects, chunk):
        count = min(chunk, options.objects - first)
        chosen, images = rng.integers(0, BODIES, count).tolist(), rng.integers(0, options.images, count).tolist()
        for number, (body, image) in enumerate(zip(chosen, images), start=first):
            yield f'{{{bodies[body]}, "image_id": {image}, "id": {number}}}'


def _body(options: argparse.Namespace, rng: np.random.Generator) -> str:
    """The keys of a record but for its ids."""
    box = (rng.uniform(1, 300, 4) + 0.005).round(2).tolist()
    body = f'"area": {box[2] * box[3]:.4f}, "iscrowd": 0, "bbox": {box}, "category_id": {rng.integers(1, 81)}'
    if not options.polygons:
        return body
    points = rng.uniform(0, 480, 2 * int(rng.geometric(1 / (options.points - 2)) + 2)).round(2).tolist()
    return f'"segmentation": [{points}], {body}'


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """One part, in this process."""
    from cvzoo.data.build import build_dataset
    from cvzoo.data.config import Data, Split
    from cvzoo.data.loader import training_batches

    data = Data(
        root=options.folder,
        train=Split(images="train", annotations="train.json"),
        short_sides=(64,),
        test_short_side=64,
        max_long_side=128,
        masks=options.polygons,
        workers=2 if options.part == "batches" else 0,
    )
    wall, cpu = time.perf_counter(), time.process_time()
    dataset = build_dataset(data, "train")
    if options.part == "batches":
        wall, cpu = time.perf_counter(), time.process_time()
        batches = training_batches(dataset, data, batch=16, seed=0, start_step=0, steps=20)
        assert sum(len(batch) for batch in islice(batches, 20)) == 320
    return {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall} | _peak()


def parse(file: Path) -> dict[str, Any]:
    """What Python's parser takes for the file, to measure machines by."""
    wall, cpu = time.perf_counter(), time.process_time()
    json.loads(file.read_bytes())
    return {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall} | _peak()


def _peak() -> dict[str, float]:
    return {"peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20}


def measured_apart(options: argparse.Namespace, part: str) -> dict[str, Any]:
    """One part, in a process of its own."""
    flags = ["--part", part, "--folder", str(options.folder), *([] if options.polygons else ["--no-polygons"])]
    caches = {"CVZOO_CACHE": str(options.folder / "cache"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, *flags]
    anonymous = 0
    with subprocess.Popen(command, env=os.environ | caches, stdout=subprocess.PIPE, text=True) as child:
        while child.poll() is None:
            status = Path(f"/proc/{child.pid}/status").read_text()
            sizes = [int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon")]
            anonymous = max([anonymous, *sizes])
            time.sleep(0.02)
        printed = child.stdout.read() if child.stdout is not None else ""
    if child.returncode:
        raise SystemExit(child.returncode)
    return json.loads(printed.splitlines()[-1]) | {"anonymous_gb": anonymous / 2**20}


def main() -> None:
    options = arguments()
    if options.part is not None:
        print(json.dumps(parse(options.folder / "train.json") if options.part == "json" else measure(options)))
        return
    from common import report

    with tempfile.TemporaryDirectory() as temporary:
        options.folder = options.folder or Path(temporary)
        draw(options, options.folder)
        for kept in (options.folder / "cache" / "data").glob("*"):
            kept.unlink()
        file = (options.folder / "train.json").stat().st_size / 1e6
        print(f"{'':10}{'CPU s':>8}{'wall s':>8}{'peak GB':>9}{'anonymous GB':>14}")
        parts = {}
        for part in PARTS:  # told one by one: of Objects365's size, Python's parser needs more than 18 GB
            parts[part] = found = measured_apart(options, part)
            figures = f"{found['cpu_s']:8.2f}{found['wall_s']:8.2f}{found['peak_gb']:9.2f}{found['anonymous_gb']:14.2f}"
            print(f"{part:10}{figures}", flush=True)
    report("annotations", file_mb=file, objects=options.objects, polygons=options.polygons, **parts)


if __name__ == "__main__":
    main()
