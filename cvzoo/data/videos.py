"""Videos and cameras through PyAV, which is an extra: frames in, one after the other, and drawn frames out."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from PIL import Image

from cvzoo.data.image_files import CAMERA
from cvzoo.data.inputs import Frame
from cvzoo.data.problems import DataError, Problem

RATE = 25
"""Frames a second of a video that does not tell its times."""
TICKS = 60_000
"""Of a second, to which times are rounded; 24, 25, 30, 50, 60 and 29.97 frames a second are whole numbers of them."""


def read_video(path: Path) -> Iterator[Frame | DataError]:
    """The frames of a video, upright, with numbers and times; and last what is wrong where it breaks off.

    ValueError where PyAV is not installed.
    """
    av = _pyav(f"{path} is a video")
    try:
        with av.open(str(path)) as video:
            yield from _frames(video, path)
    except (av.error.FFmpegError, IndexError) as error:  # IndexError: it has sound alone
        yield DataError([Problem(path, f"is no video that can be decoded ({error})", "replace or remove it")])


def read_camera(name: str) -> Iterator[Frame]:
    """The frames of the camera `camera:0` (/dev/video0), `camera:1` ..., until it is taken away.

    ValueError where it cannot be read.
    """
    av = _pyav(f"{name} is a camera")
    number = name.removeprefix(CAMERA)
    if sys.platform != "linux":
        raise ValueError(
            f"{name}: cameras are read by Linux's v4l2 alone; elsewhere give predictor.stream a generator of the"
            " frames, with batch=1"
        )
    if not number.isdecimal():
        raise ValueError(f"{name}: a camera is {CAMERA} and its number, such as {CAMERA}0")
    device = Path(f"/dev/video{number}")
    if not device.exists():
        known = ", ".join(f"{CAMERA}{path.name.removeprefix('video')}" for path in sorted(Path("/dev").glob("video*")))
        raise ValueError(f"{name}: there is no {device}; " + (f"there are {known}" if known else "attach a camera"))
    seen = 0
    try:
        with av.open(str(device), format="v4l2") as video:
            for frame in _frames(video, Path(name)):
                seen += 1
                yield frame
    except av.error.FFmpegError as error:
        if seen:
            raise ValueError(f"{name}: {device} has stopped after {seen} frames ({error}); attach it anew") from error
        raise ValueError(
            f"{name}: {device} cannot be read ({error}); close what else uses it, and see that you may read it (group"
            " video)"
        ) from error


def _pyav(what: str) -> ModuleType:
    try:
        import av
        import av.error
    except ImportError as error:
        raise ValueError(f"{what}, which needs a package: pip install 'cvzoo[video]'") from error
    return av


def _frames(video: Any, path: Path) -> Iterator[Frame]:
    start, first = time.perf_counter(), None
    for number, image in enumerate(video.decode(video=0)):
        shown = number / RATE if image.time is None else image.time
        first = shown if first is None else first
        turned = np.rot90(image.to_ndarray(format="rgb24"), round(image.rotation / 90))
        pixels = torch.from_numpy(turned.copy()).permute(2, 0, 1)
        yield Frame(pixels, path, number, time.perf_counter() - start, shown - first)
        start = time.perf_counter()


def frame_count(path: Path) -> int | None:
    """How many frames a video says that it has."""
    av = _pyav(f"{path} is a video")
    try:
        with av.open(str(path)) as video:
            return video.streams.video[0].frames or None
    except (av.error.FFmpegError, IndexError):
        return None


class VideoFile:
    """An MP4 that is written frame by frame, and whole up to the last one when it is closed.

    Its size is the first frame's, less a row or column where that is odd.
    """

    def __init__(self, path: Path) -> None:
        """Nothing is written before the first frame. ValueError where PyAV is not installed."""
        self.path = path
        self._av = _pyav(f"{path} is a video")
        self._file: Any = None
        self._last = -1

    @property
    def begun(self) -> bool:
        """Whether it has a frame."""
        return self._file is not None

    def add(self, image: Image.Image, seconds: float) -> None:
        """The next frame, seen so long after the first one."""
        if not self.begun:
            self._open(*image.size)
        frame = self._av.VideoFrame.from_ndarray(np.asarray(image.convert("RGB")), format="rgb24")
        self._last = max(round(seconds * TICKS), self._last + 1)
        frame.pts, frame.time_base = self._last, Fraction(1, TICKS)
        self._file.mux(self._stream.encode(frame))

    def _open(self, width: int, height: int) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._av.open(str(self.path), "w", format="mp4")
        # browsers play H.264; FFmpegs built without it have MPEG-4
        self._stream = self._file.add_stream(
            "libx264" if "libx264" in self._av.codecs_available else "mpeg4", rate=RATE
        )
        self._stream.width, self._stream.height = (max(side - side % 2, 2) for side in (width, height))
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.time_base = Fraction(1, TICKS)

    def close(self) -> None:
        """Write what the encoder still holds, and the file's end."""
        if self.begun:
            self._file.mux(self._stream.encode())
            self._file.close()
