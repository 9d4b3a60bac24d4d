"""What R-CNNs have in common: a body, proposals, heads on the regions, and the model protocol.

A system adds its heads, its `forward`, and where it differs, its maps and detections.
"""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar

import torch
from torch import Tensor

from cvzoo.nn.bodies import Body
from cvzoo.nn.fpn import FPN
from cvzoo.nn.model import Model
from cvzoo.nn.pixels import Pixels
from cvzoo.nn.resnet import ResNet
from cvzoo.nn.roi_pool import RoIPoolConfig, flat, roi_pool
from cvzoo.ops.boxes import flip_boxes, scale_boxes, xyxy
from cvzoo.ops.detect import suppress, suppress_batch, to_original
from cvzoo.parts.rcnn.box_head import BoxHead, BoxHeadConfig
from cvzoo.parts.rcnn.rpn import RPN, RPNConfig, RPNOutput
from cvzoo.structures import Batch, Boxes, BoxesWithMasks, BoxesWithSurfaces, Prediction, Size, View, size_of


class TwoStageConfig(Protocol):
    """What the config of such a detector has."""

    @property
    def num_classes(self) -> int: ...
    @property
    def class_ids(self) -> tuple[int, ...]: ...
    @property
    def pixels(self) -> Pixels: ...
    @property
    def rpn(self) -> RPNConfig: ...
    @property
    def box_head(self) -> BoxHeadConfig: ...


Config = TypeVar("Config", bound=TwoStageConfig)


class TwoStage(Model, Generic[Config]):
    """The whole detector; see the model protocol in docs/models.md."""

    config: Config
    box_head: BoxHead

    def __init__(self, config: Config, backbone: Body, neck: FPN | None) -> None:
        """Without a pyramid (`neck`) the only map is the body's last one; where that is C4, its `layer4` runs on every
        region."""
        super().__init__()
        self.config = config
        self.backbone, self.neck = backbone, neck
        channels = backbone.channels
        self.ends_at_c4 = isinstance(backbone, ResNet) and backbone.stages < 4
        map_channels = neck.config.channels if neck else channels[2 if self.ends_at_c4 else 3]
        self.region_channels = neck.config.channels if neck else channels[3]
        self.rpn = RPN(config.rpn, map_channels)

    def maps(self, images_N3HW: Tensor) -> list[Tensor]:
        """[P2, ..., P6], [C4] or [C5], of normalised, padded images."""
        maps = self.backbone(images_N3HW)
        return maps[-1:] if self.neck is None else self.neck(maps)

    def raw(self, images_N3HW: Tensor) -> RPNOutput:
        """Outputs of the first stage for normalised, padded images: a pure tensor function."""
        return self.rpn(self.maps(images_N3HW))

    def regions(self, maps: list[Tensor], boxes: list[Tensor], pool: RoIPoolConfig) -> Tensor:
        """(R, C, S, S): the features under the boxes of each image."""
        return self.regions_at(maps, *flat(boxes), pool)

    def regions_at(self, maps: list[Tensor], boxes_R4: Tensor, image_R: Tensor, pool: RoIPoolConfig) -> Tensor:
        """(R, C, S, S): the features under boxes of those images."""
        pooled_RCSS = roi_pool(maps, boxes_R4, image_R, pool)
        if not self.ends_at_c4:
            return pooled_RCSS
        assert isinstance(self.backbone, ResNet)
        return self.backbone.layer4(pooled_RCSS)

    @torch.no_grad()
    def detections(self, batch: Batch) -> tuple[list[Prediction], list[Tensor]]:
        """In network pixels, labelled by network output; and the maps, for `masks`."""
        images = self.config.pixels(batch.images, batch.sizes)
        maps = self.maps(images)
        proposals = self.rpn.proposals(maps, batch.sizes, size_of(images))
        outputs = self.box_head(self.regions(maps, proposals, self.config.box_head.pool))
        return self.box_head.decode(outputs.scores(), outputs.deltas, proposals, batch.sizes), maps

    @torch.no_grad()
    def masks(self, maps: list[Tensor], found: list[Prediction]) -> list[Tensor] | None:
        """Per image (D, S, S): the probability of the pixels under each box (network pixels); None without masks."""
        if not self.predicts_masks:
            return None
        labels_D = torch.cat([f.labels for f in found])
        return list(self.masks_at(maps, *flat([f.boxes for f in found]), labels_D).split([len(f) for f in found]))

    def masks_at(self, maps: list[Tensor], boxes_D4: Tensor, image_D: Tensor, labels_D: Tensor) -> Tensor:
        """(D, S, S): the probability of the pixels under each box of those images; labels are network outputs."""
        raise NotImplementedError  # a model that predicts no masks is never asked

    def scored(self, maps: list[Tensor], boxes_NP4: Tensor, limits_N14: Tensor) -> Boxes:
        """What the second stage makes of the proposals of a batch; see `BoxHead.candidates`."""
        outputs = self.box_head(self.regions_at(maps, *flat(boxes_NP4), self.config.box_head.pool))
        return self.box_head.candidates(outputs.scores(), outputs.deltas, boxes_NP4)

    @torch.no_grad()
    def infer(self, images_N3HW: Tensor, sizes_N2: Tensor) -> Boxes | BoxesWithMasks | BoxesWithSurfaces:
        maps, canvas = self.maps(self.config.pixels.in_graph(images_N3HW, sizes_N2)), size_of(images_N3HW)
        found, pair_ND = self.found(maps, sizes_N2, canvas, self.config.class_ids)
        if not self.predicts_masks:
            return found
        row_V, boxes_V4, image_V = there(found)
        masks_VSS = self.masks_at(maps, boxes_V4, image_V, pair_ND.flatten()[row_V] % self.config.num_classes)
        masks_MSS = masks_VSS.new_zeros(pair_ND.shape[0] * pair_ND.shape[1], *masks_VSS.shape[1:])
        return BoxesWithMasks(*found, masks_MSS.index_copy(0, row_V, masks_VSS).unflatten(0, pair_ND.shape))

    def found(
        self, maps: list[Tensor], sizes_N2: Tensor, canvas: Size, class_ids: tuple[int, ...]
    ) -> tuple[Boxes, Tensor]:
        """The detections of `infer`, and of which pairs (N, D) of proposal and class they are made."""
        limits_N14 = xyxy(sizes_N2).float()
        boxes_NP4, logits_NP = self.rpn.best(self.rpn(maps), limits_N14, canvas)
        candidates = self.scored(maps, boxes_NP4, limits_N14)
        real_NP1 = (logits_NP != -torch.inf)[..., None]  # an image may have fewer proposals
        scores_NM = (candidates.scores.unflatten(1, (-1, self.config.num_classes)) * real_NP1).flatten(1)
        return suppress_batch(candidates._replace(scores=scores_NM), self.config.box_head.detect, sizes_N2, class_ids)

    @torch.no_grad()
    def predict(self, batch: Batch) -> list[Prediction]:
        detect = self.config.box_head.detect
        class_ids = self.config.class_ids
        found, maps = self.detections(batch)
        masks = self.masks(maps, found) or [None] * len(found)
        parts = zip(found, batch.sizes, batch.original_sizes, masks)
        return [to_original(f, detect, size, original, class_ids, mask) for f, size, original, mask in parts]

    @torch.no_grad()
    def predict_views(self, views: list[View]) -> Prediction:
        """The detections of the image in original pixels.

        Boxes of all views compete in one NMS; the masks of those that are left are predicted in every view and
        averaged (detectron2's GeneralizedRCNNWithTTA).
        """
        detect, original = self.config.box_head.detect, views[0].batch.original_sizes[0]
        merged, maps = self.merged_detections(views)
        masks = [mask for of_view, view in zip(maps, views) for mask in self._masks_in(of_view, merged, view)]
        mean = torch.stack(masks).mean(dim=0) if masks else None
        return to_original(merged, detect, original, original, self.config.class_ids, mean)

    def merged_detections(self, views: list[View]) -> tuple[Prediction, list[list[Tensor]]]:
        """The detections of all views of an image after one NMS, in original pixels; and the maps of each view."""
        seen = [self.detections(view.batch) for view in views]
        boxes = torch.cat([_in_original(found[0].boxes, view) for (found, _), view in zip(seen, views)])
        scores = torch.cat([found[0].scores for found, _ in seen])
        labels = torch.cat([found[0].labels for found, _ in seen])
        original = views[0].batch.original_sizes[0]
        merged = suppress(Prediction(boxes, scores, labels), self.config.box_head.detect, original)
        return merged, [maps for _, maps in seen]

    def _masks_in(self, maps: list[Tensor], merged: Prediction, view: View) -> list[Tensor]:
        """One (D, S, S): what a view makes of the masks of the merged boxes; none from a model without masks."""
        masks = self.masks(maps, [Prediction(in_view(merged.boxes, view), merged.scores, merged.labels)]) or []
        return [mask_DSS.flip(-1) if view.flipped else mask_DSS for mask_DSS in masks]


def there(found: Boxes) -> tuple[Tensor, Tensor, Tensor]:
    """Of a batch's detections that are there: which (V,) of N * D they are, their boxes (V, 4), and their images."""
    row_V = torch.where(found.scores.flatten() > 0)[0]
    boxes_M4, image_M = flat(found.boxes)
    return row_V, boxes_M4[row_V], image_M[row_V]


def in_view(boxes_D4: Tensor, view: View) -> Tensor:
    """Boxes in original pixels in those of a view."""
    boxes_D4 = scale_boxes(boxes_D4, view.batch.original_sizes[0], view.size)
    return flip_boxes(boxes_D4, view.size[1]) if view.flipped else boxes_D4


def _in_original(boxes_D4: Tensor, view: View) -> Tensor:
    """Boxes of a view in the pixels of the original image."""
    boxes_D4 = flip_boxes(boxes_D4, view.size[1]) if view.flipped else boxes_D4
    return scale_boxes(boxes_D4, view.size, view.batch.original_sizes[0])
