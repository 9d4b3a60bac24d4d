"""Many clients at once: nothing lost or mixed up, refusals at once, flat memory, and throughput beside offline batches.

    PYTHONPATH=tests python benchmarks/serving.py [--run RUN_FOLDER] [--clients 50] [--seconds 60] [--threads 2]

Without a run it trains RetinaNet-R18 on drawn shapes for a moment. Every client has an image of its own, no two of one
size, and asks for it again and again; its answer must state that size and hold the detections that a predictor finds
in that image. `wrong` and `lost` (no answer, or none but 200) must be 0. `ratio` is the server's images per second over
those of `Predictor.stream` on the same files in the same number of threads, measured before and after; clients and
HTTP use the same cores. 0.9 is asked for. `memory_growth` is the server's largest memory in the second half over that
in the first. Then a server whose queue holds `--overload-queue` images meets the same clients, who do not wait:
`refused_p99_s` is how long a 503 takes, and whoever is answered must be answered rightly. One JSON line.
"""

from __future__ import annotations

import http.client
import json
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import tyro
from common import report
from PIL import Image
from serve.serving import Client, command, form

import cvzoo
from cvzoo.data.shapes import draw
from cvzoo.engine.train import train
from cvzoo.predictor import Predictor
from cvzoo.tasks.detections import Detections

MIN_SCORE = 0.01
COMPARED = 5
"""Detections of an image that its answer must hold."""
TRAINED = {"schedule.iterations": 20, "schedule.batch": 4, "data.shapes.val-images": 4, "run.device": "cpu"}


@dataclass
class Own:
    """A client's image, and what is to be found in it."""

    path: Path
    size: tuple[int, int]
    """Width and height."""
    found: Detections | None = None

    def is_answer(self, answer: dict) -> bool:
        """Whether it is this image's, up to the rounding of another batch."""
        if (answer["width"], answer["height"]) != self.size:
            return False
        assert self.found is not None
        boxes = np.array([one["box"] for one in answer["detections"]]).reshape(-1, 4)
        return all((np.abs(boxes - np.array(one.box)).max(1) < 1).any() for one in self.found[:COMPARED])


@dataclass
class Tally:
    """What clients have seen."""

    seconds: list[float] = field(default_factory=list)
    """Of answers."""
    refused: list[float] = field(default_factory=list)
    """Seconds of 503."""
    wrong: int = 0
    lost: int = 0


def images(folder: Path, clients: int, side: int) -> list[Own]:
    own = []
    for n in range(clients):
        height, width = side - n % 7, side + n
        path = folder / f"{n}.jpg"
        Image.fromarray(draw(height, width, objects=4, seed=n).image.permute(1, 2, 0).numpy()).save(path, quality=90)
        own.append(Own(path, (width, height)))
    return own


def offline(predictor: Predictor, own: Sequence[Own], seconds: float) -> float:
    """Images per second, decoding included."""
    paths = [one.path for one in own]
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        for one, found in zip(own, predictor.stream(paths, conf=MIN_SCORE)):
            assert isinstance(found, Detections)
            one.found = found
            count += 1
    return count / (time.perf_counter() - start)


def client(port: int, own: Own, until: float, tally: Tally) -> None:
    """Ask for one image until the time is up, on one connection."""
    body, headers = form(own.path.read_bytes(), min_score=MIN_SCORE)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    while time.perf_counter() < until:
        start = time.perf_counter()
        try:
            connection.request("POST", "/predict", body, headers)
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException):
            tally.lost += 1
            connection.close()
            continue
        seconds = time.perf_counter() - start
        if response.status == 503:
            tally.refused.append(seconds)
        elif response.status != 200:
            tally.lost += 1
        else:
            tally.seconds.append(seconds)
            tally.wrong += not own.is_answer(json.loads(content))
    connection.close()


def crowd(server: Client, own: Sequence[Own], seconds: float) -> tuple[list[Tally], float, list[float]]:
    """All clients at once. Returns: what each saw, seconds until the last answer, the server's memory on the way."""
    tallies = [Tally() for _ in own]
    start = time.perf_counter()
    until = start + seconds
    threads = [
        threading.Thread(target=client, args=(server.port, one, until, tally)) for one, tally in zip(own, tallies)
    ]
    for thread in threads:
        thread.start()
    memory = []
    while time.perf_counter() < until:
        memory.append(server.metric("process_resident_memory_bytes"))
        time.sleep(min(1, seconds / 20))
    for thread in threads:
        thread.join()
    return tallies, time.perf_counter() - start, memory


def quantile(seconds: Sequence[float], share: float) -> float:
    return float(np.quantile(seconds, share)) if seconds else float("nan")


def main(
    run: Path | None = None,
    clients: int = 50,
    seconds: float = 60,
    threads: int = 2,
    side: int = 320,
    overload_queue: int = 4,
) -> None:
    """See the head of the file."""
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if run is None:
            os.chdir(folder)
            run = train(cvzoo.recipe("retinanet_r18_fpn_shapes", TRAINED)).folder.resolve()
        own = images(folder, clients, side)
        predictor = cvzoo.load(str(run), device="cpu")
        offline(predictor, own, 0)
        rates = [offline(predictor, own, seconds / 4)]
        with command([str(run), "--queue-seconds", "60"], folder, threads) as (_, server):
            crowd(server, own, 2)
            tallies, wall, memory = crowd(server, own, seconds)
            batch = server.metric("cvzoo_batch_images_sum") / server.metric("cvzoo_batch_images_count")
        rates.append(offline(predictor, own, seconds / 4))
        with command([str(run), "--max-queue", str(overload_queue)], folder, threads) as (_, server):
            pressed, _, _ = crowd(server, own, seconds / 4)
    taken = [value for tally in tallies for value in tally.seconds]
    refused = [value for tally in pressed for value in tally.refused]
    half = len(memory) // 2
    report(
        "serving",
        clients=clients,
        seconds=wall,
        images=len(taken),
        wrong=sum(tally.wrong for tally in tallies + pressed),
        lost=sum(tally.lost for tally in tallies + pressed),
        refused=sum(len(tally.refused) for tally in tallies),
        least_per_client=min(len(tally.seconds) for tally in tallies),
        images_per_second=len(taken) / wall,
        offline_images_per_second=statistics.mean(rates),
        ratio=len(taken) / wall / statistics.mean(rates),
        images_in_a_batch=batch,
        p50_s=quantile(taken, 0.5),
        p99_s=quantile(taken, 0.99),
        memory_gb=max(memory) / 1e9,
        memory_growth=max(memory[half:]) / max(memory[:half]),
        overload_answered=sum(len(tally.seconds) for tally in pressed),
        overload_refused=len(refused),
        refused_p50_s=quantile(refused, 0.5),
        refused_p99_s=quantile(refused, 0.99),
    )


if __name__ == "__main__":
    tyro.cli(main)
