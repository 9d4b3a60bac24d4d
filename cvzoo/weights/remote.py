"""A file on a server, and the stores that published weights lie in. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlparse


@dataclass(frozen=True, kw_only=True)
class Remote:
    """A file on a server and the checksum its publisher states."""

    url: str
    algorithm: Literal["sha256", "md5"]
    digest: str
    """The checksum's first hex digits, as many as are published. Six of an md5 (detectron2) tell a damaged file from a
    whole one, not a forged one from a true one; what is read from it is arrays only (see files.py)."""

    @property
    def name(self) -> str:
        """Of the file."""
        return Path(urlparse(self.url).path).name


def named_by_sha256(url: str) -> Remote:
    """A file whose name ends in the first digits of its sha256: torchvision's, and what OpenMMLab has published."""
    return Remote(url=url, algorithm="sha256", digest=Path(urlparse(url).path).stem.rpartition("-")[2])


def named_by_md5(url: str) -> Remote:
    """A file of detectron2: "any model on this page contains its md5 prefix in its file name" (MODEL_ZOO.md)."""
    return Remote(url=url, algorithm="md5", digest=Path(urlparse(url).path).stem.rpartition("_")[2])
