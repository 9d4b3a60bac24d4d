"""Many images, one after the other: folders, patterns, videos, cameras, lists and generators of all these."""

from __future__ import annotations

import glob
import time
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future
from contextlib import closing, suppress
from pathlib import Path
from queue import Empty, Queue, SimpleQueue
from threading import Event, Semaphore, Thread
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
"""Seconds in which it, or any other source, may give a last frame before it is left to itself."""


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
    """The items, of which a thread fetches `count` before they are asked for.

    Whoever closes it, or presses Ctrl-C, does not wait for a source that has gone quiet.
    """
    end = object()
    fetched: SimpleQueue[Future[Item | object]] = SimpleQueue()
    room, left = Semaphore(count), Event()

    def fetch() -> None:
        while room.acquire() and not left.is_set():
            fetched.put(one := _fetched(items, end))
            if one.exception() or one.result() is end:
                return

    reader = Thread(target=fetch, daemon=True)  # a source may keep it from ever ending
    reader.start()
    try:
        while (item := fetched.get().result()) is not end:
            room.release()
            yield item  # type: ignore[misc]
    finally:
        left.set()
        room.release()
        reader.join(GRACE)


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
                one = _fetched(items, end)
                with suppress(Empty):
                    latest.get_nowait()
                latest.put(one)
                if one.exception() or one.result() is end:
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


def _fetched(items: Iterator[Item], end: object) -> Future[Item | object]:
    """The next item, the `end`, or the error that comes instead."""
    fetched: Future[Item | object] = Future()
    try:
        fetched.set_result(next(items, end))
    except BaseException as error:  # what a thread does not pass on is lost, and who waits for it waits for ever
        fetched.set_exception(error)
    return fetched
