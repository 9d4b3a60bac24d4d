"""One image seen several times, resized and mirrored: test-time augmentation, whatever the answer is."""

from __future__ import annotations

from typing import NamedTuple

from cvzoo.structures import Batch, Size


class View(NamedTuple):
    """One way of looking at an image."""

    batch: Batch
    """Of this image alone, its canvas as large as itself."""
    flipped: bool
    """It has been mirrored left and right."""

    @property
    def size(self) -> Size:
        return self.batch.sizes[0]


def flipped(view: View) -> View:
    """The mirrored view."""
    batch = view.batch
    images = Batch(batch.images.flip(-1), batch.sizes, batch.original_sizes, batch.targets, batch.image_ids)
    return View(images, not view.flipped)
