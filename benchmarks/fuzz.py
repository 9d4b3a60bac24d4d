"""Spoilt files and numbers, thousands for each reader: each is read right or refused in a line, and soon.

PYTHONPATH=tests python benchmarks/fuzz.py --examples 2000
"""

from __future__ import annotations

import logging
import tempfile
import time
from pathlib import Path

import tyro
from common import report
from fuzzing.readers import READERS, campaign


def main(examples: int = 2000, seed: int = 0) -> None:
    """Try so many values for each reader; the first that is neither read nor refused ends in a traceback.

    Args:
        examples: how many.
        seed: of all that is random.
    """
    logging.disable()  # warnings about the data
    figures = {}
    for name, reader in READERS.items():
        begun = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            counts = campaign(reader, examples, Path(folder), seed)
        figures[name] = dict(counts) | {"seconds": round(time.perf_counter() - begun, 1)}
        print(name, figures[name], flush=True)
    report("fuzz", **figures)


if __name__ == "__main__":
    tyro.cli(main)
