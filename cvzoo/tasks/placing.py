"""Where the plates with names go, so that they do not cover each other where there is room.

Shape suffixes: P places that a plate may take, Q plates that lie already.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

STEPS = 4
"""So many lines further down a box, and up, a plate may go."""


def placed(
    boxes: Sequence[Sequence[float]], sizes: Sequence[tuple[float, float]], image: tuple[int, int]
) -> list[tuple[float, float]]:
    """Top left corners of a plate for each box, the first box choosing first.

    Best on top of the box, at its left; else within it, below it, or at its right end. It is the first place where no
    plate lies, or the one where plates cover least.

    Args:
        boxes: x1, y1, x2, y2 within the image.
        sizes: width and height of each plate.
        image: width and height of the image, which plates do not leave if they fit into it.
    """
    taken_Q4 = np.zeros((len(boxes), 4))
    places = []
    for number, (box, (width, height)) in enumerate(zip(boxes, sizes)):
        corners_P2 = _candidates(box, width, height, image)
        covered_P = _covered(corners_P2, (width, height), taken_Q4[:number])
        x, y = corners_P2[covered_P.argmin()].tolist()  # the first of equals
        taken_Q4[number] = x, y, x + width, y + height
        places.append((x, y))
    return places


def _candidates(box: Sequence[float], width: float, height: float, image: tuple[int, int]) -> np.ndarray:
    """(P, 2): top left corners that a plate of this size may have, the best first."""
    x1, y1, x2, y2 = box
    lines = [y1 - height, y1, y2, y2 - height]
    lines += [y for step in range(1, STEPS + 1) for y in (y1 + step * height, y1 - (step + 1) * height)]
    lines = [y for y in lines if 0 <= y <= image[1] - height] or [min(max(y1, 0), max(image[1] - height, 0))]
    columns = [min(max(x, 0), max(image[0] - width, 0)) for x in (x1, x2 - width)]
    return np.array([(x, y) for y in lines for x in columns])


def _covered(corners_P2: np.ndarray, size: tuple[float, float], taken_Q4: np.ndarray) -> np.ndarray:
    """(P,): how much of a plate at each corner lies on other plates, in pixels, counted for each of them."""
    low = np.maximum(corners_P2[:, None], taken_Q4[:, :2])
    high = np.minimum(corners_P2[:, None] + size, taken_Q4[:, 2:])
    return (high - low).clip(0).prod(-1).sum(-1)
