"""Many images, one after the other: folders, patterns, videos, lists and generators of all these."""

from __future__ import annotations

import glob
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from cvzoo.data.image_files import SUFFIXES, VIDEO_SUFFIXES
from cvzoo.data.inputs import ADDRESS, IMAGES, Frame, ImageLike, read_file, read_frame
from cvzoo.data.problems import DataError, Problem

Source = ImageLike | Iterable[ImageLike]
"""An image, a folder, a pattern (`images/*.jpg`) or a video, or any number of all these."""
Item = TypeVar("Item")


def frames_of(source: Source, bgr: bool = False) -> Iterator[Frame | ValueError]:
    """Every image of a source, one after the other, or why it cannot be read.

    ValueError at once for what is no source, a pattern that nothing matches, and a folder without images.
    """
    match source:
        case str() | Path() if not str(source).startswith(ADDRESS):
            for path in _files(Path(source)):
                yield from read_video(path) if path.suffix.lower() in VIDEO_SUFFIXES else [_tried(path, bgr)]
        case str() | Path() | Image.Image() | np.ndarray() | Tensor():
            yield _tried(source, bgr)
        case Iterable() if not isinstance(source, bytes | bytearray | dict):
            for one in source:
                yield from frames_of(one, bgr)
        case _:
            raise ValueError(f"{IMAGES}, a folder, a pattern, a video, or a list of them, not {type(source).__name__}")


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


def read_video(path: Path) -> Iterator[Frame | ValueError]:
    """The frames of a video, upright, with their numbers; and last what is wrong where it breaks off.

    ValueError where PyAV is not installed.
    """
    try:
        import av
        from av.error import FFmpegError
    except ImportError as error:
        raise ValueError(f"{path} is a video, which needs a package: pip install 'cvzoo[video]'") from error
    try:
        with av.open(str(path)) as video:
            start = time.perf_counter()
            for number, image in enumerate(video.decode(video=0)):
                turned = np.rot90(image.to_ndarray(format="rgb24"), round(image.rotation / 90))
                pixels = torch.from_numpy(turned.copy()).permute(2, 0, 1)
                yield Frame(pixels, path, number, time.perf_counter() - start)
                start = time.perf_counter()
    except (FFmpegError, IndexError) as error:  # IndexError: it has sound alone
        yield DataError([Problem(path, f"is no video that can be decoded ({error})", "replace or remove it")])


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
