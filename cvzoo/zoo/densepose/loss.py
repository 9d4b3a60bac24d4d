"""The losses of dense pose (1802.00434, section 3.2), and of U and V with a confidence (Neverova et al., NeurIPS 2019).

Parts, U and V are learnt at the annotated points, the coarse segmentation everywhere.
Shape suffixes: R regions, P points, K parts and none, Z cells per side of a region's maps.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from cvzoo.ops.distributed import mean_over_processes
from cvzoo.zoo.densepose.head import SurfaceHeadConfig, SurfaceOutput
from cvzoo.zoo.densepose.targets import Matched, coarse_targets, places_of_points


def surface_losses(raw: SurfaceOutput, matched: Matched, config: SurfaceHeadConfig) -> dict[str, Tensor]:
    """`loss_coarse`, `loss_part`, and `loss_u` and `loss_v`, or `loss_uv` of outputs with a confidence.

    Without an annotated point in any region all are 0.
    """
    surfaces, person_R = matched.surfaces, matched.person_R
    boxes_R4, side = torch.cat(matched.boxes), raw.u.shape[-1]
    points_RP2, frame_R4 = surfaces.points_OP2[person_R], surfaces.frame_O4[person_R]
    place_RP2, inside_RP = places_of_points(points_RP2, frame_R4, boxes_R4, side, config.half_cells)
    part_RP = surfaces.part_OP[person_R]
    learnt_RP = (inside_RP & (part_RP > 0)).float()
    images = mean_over_processes(boxes_R4.new_full((), len(matched.boxes)))
    uv_weight = config.uv_loss_weight * config.uv_images / images
    uv = _uv_losses(raw, config, place_RP2, part_RP, surfaces.uv_OP2[person_R])
    coarse = _coarse_loss(raw.coarse, matched, coarse_targets(surfaces, person_R, boxes_R4, side, config.half_cells))
    return {
        "loss_coarse": config.coarse_loss_weight * coarse * learnt_RP.any(),
        "loss_part": config.part_loss_weight * _part_loss(raw.parts, place_RP2, part_RP, learnt_RP),
        **{name: uv_weight * (loss_RP * learnt_RP).sum() for name, loss_RP in uv.items()},
    }


def _part_loss(logits_RKZZ: Tensor, place_RP2: Tensor, part_RP: Tensor, learnt_RP: Tensor) -> Tensor:
    loss_RP = F.cross_entropy(at_places(logits_RKZZ, place_RP2), part_RP, reduction="none")
    return (loss_RP * learnt_RP).sum() / mean_over_processes(learnt_RP.sum()).clamp(min=1)


def _coarse_loss(logits: Tensor, matched: Matched, part_RZZ: Tensor) -> Tensor:
    """The mean over all cells of the regions whose person is outlined; of two outputs the second is for any part."""
    outlined_R = matched.surfaces.outlined_O[matched.person_R].float()
    truth_RZZ = part_RZZ.clamp(max=logits.shape[1] - 1)
    loss_R = F.cross_entropy(logits, truth_RZZ, reduction="none").mean(dim=(1, 2))
    return (loss_R * outlined_R).sum() / mean_over_processes(outlined_R.sum()).clamp(min=1)


def _uv_losses(
    raw: SurfaceOutput, config: SurfaceHeadConfig, place_RP2: Tensor, part_RP: Tensor, truth_RP2: Tensor
) -> dict[str, Tensor]:
    """(R, P) each."""

    def of_part(maps_RKZZ: Tensor) -> Tensor:
        return at_places(maps_RKZZ, place_RP2).gather(1, part_RP.unsqueeze(1)).squeeze(1)

    u_RP, v_RP = of_part(raw.u), of_part(raw.v)
    truth_u_RP, truth_v_RP = truth_RP2.unbind(dim=2)
    if raw.spread is None:
        losses = [F.smooth_l1_loss(*pair, reduction="none") for pair in ((u_RP, truth_u_RP), (v_RP, truth_v_RP))]
        return dict(zip(("loss_u", "loss_v"), losses))
    error_RP2 = torch.stack([u_RP - truth_u_RP, v_RP - truth_v_RP], dim=2)
    skew_RP2 = None
    if raw.skew_u is not None and raw.skew_v is not None:
        skew_RP2 = torch.stack([of_part(raw.skew_u), of_part(raw.skew_v)], dim=2)
    return {"loss_uv": uncertain_loss(error_RP2, of_part(raw.spread), skew_RP2, config.uv_confidence_floor)}


def uncertain_loss(error_RP2: Tensor, spread_RP: Tensor, skew_RP2: Tensor | None, floor: float) -> Tensor:
    """(R, P): how unlikely errors of U and V are (negative log-likelihood), were they as they are said to be.

    They are said to have variance s = softplus(spread) + floor; with a skew r the covariance s I + r r^T. Both but for
    a constant: the reference's normaliser is that of one dimension.
    """
    variance_RP = F.softplus(spread_RP) + floor
    square_RP = error_RP2.square().sum(dim=2)
    if skew_RP2 is None:
        return 0.5 * (math.log(2 * math.pi) + 2 * variance_RP.log() + square_RP / variance_RP)
    determinant_RP = variance_RP * (variance_RP + skew_RP2.square().sum(dim=2))
    along_RP = (error_RP2 * skew_RP2).sum(dim=2).square() / determinant_RP
    return 0.5 * (math.log(2 * math.pi) + determinant_RP.log() + square_RP / variance_RP - along_RP)


def at_places(maps_RKZZ: Tensor, place_RP2: Tensor) -> Tensor:
    """(R, K, P): maps between their cells, bilinearly; beyond the last cell's centre that cell's value."""
    grid_RP12 = (2 * place_RP2 / (maps_RKZZ.shape[-1] - 1) - 1).unsqueeze(2)
    return F.grid_sample(maps_RKZZ, grid_RP12, padding_mode="border", align_corners=True).squeeze(3)
