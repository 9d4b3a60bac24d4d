"""Many images, one after the other: folders, patterns, videos, cameras, lists and generators of all these."""

from __future__ import annotations

import glob
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from queue import Empty, Queue
from threading import Event, Thread
from typing import TypeVar

import numpy as np
from PIL import Image
from torch import Tensor

from cvzoo.data.image_files import SUFFIXES, VIDEO_SUFFIXES, is_camera, is_moving
from cvzoo.data.inputs import ADDRESS, IMAGES, Frame, ImageLike, read_file, read_frame
from cvzoo.data.problems import DataError
from cvzoo.data.videos import read_camera, read_video

Source = ImageLike | Iterable[ImageLike]
"""An image, a folder, a pattern (`images/*.jpg`), a video, a camera (`camera:0`), or any number of all these."""
Item = TypeVar("Item")
PATIENCE = 10.0
"""Seconds without a frame after which a camera has stopped."""
GRACE = 1.0
"""Seconds in which it may give a last frame before its device is closed."""


def frames_of(source: Source, bgr: bool = False) -> Generator[Frame | ValueError]:
    """Every image of a source, one after the other, or why it cannot be read.

    ValueError at once for what is no source, a pattern that nothing matches, and a folder without images.
    """
    match source:
        case str() | Path() if not str(source).startswith(ADDRESS):
            for path in _files(Path(source)):
                yield from moving(path) if is_moving(path) else [_tried(path, bgr)]
        case str() | Path() | Image.Image() | np.ndarray() | Tensor():
            yield _tried(source, bgr)
        case Iterable() if not isinstance(source, bytes | bytearray | dict):
            for one in source:
                yield from frames_of(one, bgr)
        case _:
            raise ValueError(f"{IMAGES}, a folder, a pattern, a video, or a list of them, not {type(source).__name__}")


def moving(path: Path) -> Iterator[Frame | DataError]:
    """The frames of a video or a camera; see `read_video` and `read_camera`."""
    return read_camera(str(path)) if is_camera(path) else read_video(path)


def try_file(path: Path) -> Frame | DataError:
    """An image file, or what is wrong with it."""
    try:
        start = time.perf_counter()
        return Frame(read_file(path), path, seconds=time.perf_counter() - start)
    except DataError as error:
        return error


def _tried(image: ImageLike, bgr: bool) -> Frame | ValueError:
    try:
        return read_frame(image, bgr)
    except ValueError as error:
        return error


def _files(path: Path) -> list[Path]:
    """Files of images and videos: the one, those below a folder, or those that match a pattern."""
    if path.is_dir():
        found = sorted(path.rglob("*"))
    elif glob.has_magic(str(path)) and not path.exists():
        found = [Path(name) for name in sorted(glob.glob(str(path), recursive=True))]
    else:
        return [path]
    files = [file for file in found if file.suffix.lower() in SUFFIXES | VIDEO_SUFFIXES and file.is_file()]
    if not files:
        raise ValueError(f"there are no images in {path}")
    return files


def ahead(items: Iterator[Item], count: int) -> Generator[Item]:
    """The items, of which a thread fetches `count` before they are asked for."""
    end = object()
    waiting: deque[Future[Item | object]] = deque()
    with ThreadPoolExecutor(1) as reader:
        try:
            waiting.extend(reader.submit(next, items, end) for _ in range(count))
            while (item := waiting.popleft().result()) is not end:
                waiting.append(reader.submit(next, items, end))
                yield item  # type: ignore[misc]
        finally:
            for future in waiting:
                future.cancel()


def newest(items: Generator[Item]) -> Generator[Item]:
    """Of the items, which a thread fetches as they come, the latest one each time one is asked for.

    For what is live: answers that take longer than a frame do not fall behind. An error ends it, and ValueError tells
    when nothing comes any more. Whoever closes it does not wait for a device that has stopped to answer.
    """
    end = object()
    latest: Queue[Future[Item | object]] = Queue(1)
    left = Event()

    def fetch() -> None:
        with closing(items):
            while not left.is_set():
                fetched: Future[Item | object] = Future()
                try:
                    fetched.set_result(next(items, end))
                except Exception as error:
                    fetched.set_exception(error)
                with suppress(Empty):
                    latest.get_nowait()
                latest.put(fetched)
                if fetched.exception() or fetched.result() is end:
                    return

    reader = Thread(target=fetch, daemon=True)  # a device may keep it from ever ending
    reader.start()
    try:
        while (item := latest.get(timeout=PATIENCE).result()) is not end:
            yield item  # type: ignore[misc]
    except Empty:
        raise ValueError(f"the camera has given no frame for {PATIENCE:g} s; attach it anew, or try another") from None
    finally:
        left.set()
        reader.join(GRACE)
