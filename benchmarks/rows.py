"""`cvzoo bench` of many rows, one after the other in one process, which writes their row files.

    python benchmarks/rows.py [ROW ...] [--precision bf16 fp32] [--iterations 10] [--seconds 300] [--device cuda]

Without names all full rows. After so many seconds no other row begins, and the rows that are left are named.
"""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import product
from typing import Literal

import torch
import tyro

import cvzoo
from cvzoo.engine.bench import bench
from cvzoo.recipes.recipe import Precision
from cvzoo.zoo import ROWS


def main(
    rows: tyro.conf.Positional[tuple[str, ...]] = (),
    precision: tuple[Precision, ...] = ("bf16", "fp32"),
    iterations: int = 10,
    seconds: float = 300,
    device: Literal["cpu", "cuda"] = "cuda",
) -> None:
    end = time.monotonic() + seconds
    names = rows or tuple(name for name, row in ROWS.items() if not row.is_small)
    for name, number in product(names, precision):
        if time.monotonic() > end:
            print(f"left: {name} in {number}")
            continue
        recipe = cvzoo.recipe(name)
        run = replace(recipe.run, device=device, precision=number)
        try:
            cost = bench(replace(recipe, run=run), iterations).cost
        except torch.OutOfMemoryError as error:
            print(f"{name} in {number}: {error}")
            continue
        figures = (f"{key} {value:.4g}" for key, value in cost.items() if isinstance(value, float))
        print(name, number, "  ".join(figures), flush=True)


if __name__ == "__main__":
    tyro.cli(main)
