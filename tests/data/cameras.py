"""A camera where there is none: FFmpeg's test picture in real time, read as a device is."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest

PICTURE = "testsrc=size=64x48:rate=20,realtime"


class Camera:
    """Opened by PyAV in place of /dev/video0."""

    def __init__(self, av: Any) -> None:
        self._av = av
        self._picture = av.open(PICTURE, format="lavfi")
        self.lasts: int | None = None
        """Frames after which it is taken away."""
        self.closed = Event()

    def __enter__(self) -> Camera:
        return self

    def __exit__(self, *_: object) -> None:
        self._picture.close()
        self.closed.set()

    def decode(self, video: int) -> Iterator[Any]:
        yield from itertools.islice(self._picture.decode(video=video), self.lasts)
        self._av.error.err_check(-19)  # what a read of a device that is gone ends with


def attach(monkeypatch: pytest.MonkeyPatch) -> Camera:
    """/dev/video0, or a skipped test where PyAV's FFmpeg has no test picture."""
    av = pytest.importorskip("av")
    if "lavfi" not in av.formats_available:
        pytest.skip("PyAV's FFmpeg has no lavfi")
    camera, exists = Camera(av), Path.exists
    monkeypatch.setattr(Path, "exists", lambda path, **how: str(path) == "/dev/video0" or exists(path, **how))
    monkeypatch.setattr(av, "open", _opened(camera, av.open))
    return camera


def _opened(camera: Camera, others: Any) -> Any:
    def opened(file: str, *rest: Any, **how: Any) -> Any:
        return camera if (file, how.get("format")) == ("/dev/video0", "v4l2") else others(file, *rest, **how)

    return opened
