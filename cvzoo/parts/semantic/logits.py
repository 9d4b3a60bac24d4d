"""From the logits of cells to what is asked of pixels: the loss of each, and its class in the original image.

Shape suffixes: N images, K classes, H W pixels, P pixels of all images.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from cvzoo.fields import Share
from cvzoo.nn.layers import Norm
from cvzoo.nn.pixels import Pixels, inside
from cvzoo.ops.distributed import mean_over_processes
from cvzoo.ops.resize import resize
from cvzoo.parts.semantic.head import AuxiliaryConfig, SemanticOutput
from cvzoo.structures import IGNORE, LabelMaps, Segmentation, Size, Target, size_of

VALUES_AT_ONCE = 2**26
"""Logits of pixels that are compared together on a GPU: 256 MB."""


@dataclass(frozen=True, kw_only=True)
class PixelLossConfig:
    """How the cross-entropies of all pixels become one loss; the defaults are mmsegmentation's."""

    count_ignored: bool = True
    """The mean is over all pixels, of which the ignored ones have loss 0, or over the labelled ones (torchvision)."""
    hardest: Share = 1.0
    """Share of the pixels, those with the highest losses, that learn (detectron2: 0.2)."""


class SemanticConfig(Protocol):
    """What the config of a semantic segmentation model has."""

    @property
    def num_classes(self) -> int: ...
    @property
    def pixels(self) -> Pixels: ...
    @property
    def norm(self) -> Norm: ...
    @property
    def norm_groups(self) -> int: ...
    @property
    def align_corners(self) -> bool: ...
    @property
    def aux(self) -> AuxiliaryConfig | None: ...
    @property
    def loss(self) -> PixelLossConfig: ...


def pixel_loss(logits_NKHW: Tensor, labels_NHW: Tensor, config: PixelLossConfig) -> Tensor:
    """The mean cross-entropy of the pixels that count; 0 where none is labelled.

    The hardest pixels are those of this process' share of the batch, as in the reference.
    """
    loss_P = F.cross_entropy(logits_NKHW, labels_NHW.long(), ignore_index=IGNORE, reduction="none").flatten()
    labelled_P = labels_NHW.flatten() != IGNORE
    count = loss_P.new_full((), len(loss_P)) if config.count_ignored else labelled_P.sum().float()
    if config.hardest < 1:
        loss_P = loss_P if config.count_ignored else loss_P[labelled_P]
        loss_P = loss_P.topk(int(config.hardest * len(loss_P))).values
        count = loss_P.new_full((), len(loss_P))
    return loss_P.sum() / mean_over_processes(count).clamp(min=1)


def semantic_losses(
    raw: SemanticOutput, targets: list[Target], canvas: Size, config: SemanticConfig
) -> dict[str, Tensor]:
    """`loss_seg` and, of a model with an auxiliary head, `loss_aux`.

    Logits are resized to the label maps. ValueError when a target has no label map.
    """
    labels_NHW = _label_maps(targets, canvas, raw.logits.device)
    found = {"loss_seg": pixel_loss(_on_canvas(raw.logits, canvas, config), labels_NHW, config.loss)}
    if config.aux is not None:
        assert raw.aux is not None, "the auxiliary head only runs in training"
        aux = pixel_loss(_on_canvas(raw.aux, canvas, config), labels_NHW, config.loss)
        found["loss_aux"] = config.aux.loss_weight * aux
    return found


def _on_canvas(logits_NKHW: Tensor, canvas: Size, config: SemanticConfig) -> Tensor:
    return resize(logits_NKHW.float(), canvas, config.align_corners)


def _label_maps(targets: list[Target], canvas: Size, device: torch.device) -> Tensor:
    """(N, H, W) uint8; what lies outside an image's own label map is ignored."""
    labels_NHW = torch.full((len(targets), *canvas), IGNORE, dtype=torch.uint8, device=device)
    for own, target in zip(labels_NHW, targets):
        if target.label_map is None:
            raise ValueError("an image has no label map, which a semantic segmentation model learns from")
        height, width = size_of(target.label_map)
        own[:height, :width] = target.label_map
    return labels_NHW


def label_maps_on_canvas(raw: SemanticOutput, sizes_N2: Tensor, canvas: Size, config: SemanticConfig) -> LabelMaps:
    """The best class of every pixel of each image, on the canvas."""
    labels_NHW = _on_canvas(raw.logits, canvas, config).argmax(dim=1)
    return LabelMaps((labels_NHW * inside(canvas, sizes_N2)).to(torch.uint8))


def _of_image(logits_KHW: Tensor, size: Size, original_size: Size, canvas: Size, align_corners: bool) -> Tensor:
    x = resize(logits_KHW[None], canvas, align_corners)[:, :, : size[0], : size[1]]
    return resize(x, original_size, align_corners)[0]


def label_maps_of(
    raw: SemanticOutput, sizes: list[Size], original_sizes: list[Size], canvas: Size, config: SemanticConfig
) -> list[Segmentation]:
    """The best class of every pixel of each original image; of equally good ones the first."""
    found = []
    for own_KHW, size, original_size in zip(raw.logits.float().contiguous(), sizes, original_sizes):
        # a few planes after the others, so that the many classes of a large image are never all there at its size
        on_cpu = own_KHW.device.type == "cpu"
        at_once = 1 if on_cpu else max(1, VALUES_AT_ONCE // max(canvas[0] * canvas[1], math.prod(original_size)))
        parts = (_of_image(x, size, original_size, canvas, config.align_corners) for x in own_KHW.split(at_once))
        found.append(Segmentation(best_planes(parts)))
    return found


def best_planes(parts: Iterable[Tensor]) -> Tensor:
    """(H, W) uint8: at each pixel the number of the highest plane, of equally high ones the first; from parts of them,
    each (P, H, W).
    """
    best, labels, first = None, None, 0
    for planes in parts:
        top, label = planes.max(dim=0) if len(planes) > 1 else (planes[0], torch.zeros_like(planes[0, 0, 0]))
        label = (label + first).to(torch.uint8)
        if best is None or labels is None:
            best, labels = top.clone(), label.expand(top.shape).contiguous()
        else:
            labels = torch.where(top > best, label, labels)
            torch.maximum(best, top, out=best)
        first += len(planes)
    assert labels is not None, "there is a class"
    return labels
