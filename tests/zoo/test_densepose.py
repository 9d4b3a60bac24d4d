"""DensePose R-CNN: what its branch learns, and what becomes of its maps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch.distributions import MultivariateNormal
from zoo.people import people, surface_in
from zoo.systems import narrow, overfits, same_detections, total
from zoo.test_waits import Waits

from cvzoo.ops.surfaces import surfaces_of
from cvzoo.structures import Surface, Target, View
from cvzoo.zoo import ROWS
from cvzoo.zoo.densepose.head import SurfaceHeadConfig, SurfaceOutput, outputs_of
from cvzoo.zoo.densepose.loss import at_places, surface_losses, uncertain_loss
from cvzoo.zoo.densepose.model import DensePose, DensePoseConfig
from cvzoo.zoo.densepose.targets import Matched, coarse_targets, match_surfaces
from cvzoo.zoo.densepose.weights import DETECTRON2, Variant, detectron2, from_detectron2

R50, SHAPES = "densepose_r50_fpn_s1x", "densepose_r18_fpn_shapes"
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "deeplab": {"dilations": (2, 40), "non_local": True, "conv_norm": "group", "coarse_parts": 2},
    "isotropic": {"uv_confidence": "isotropic"},
    "anisotropic": {"uv_confidence": "anisotropic", "part_confidence": True},
}


def config_of(row: str, **options: Any) -> DensePoseConfig:
    config = narrow(row).model
    return replace(config, surface_head=replace(config.surface_head, **options))


NETWORKS = {name: config_of(R50, **options) for name, options in OPTIONS.items()} | {"decoder": config_of(SHAPES)}


def built(network: str) -> DensePose:
    return NETWORKS[network].build()


@pytest.mark.parametrize("network", NETWORKS)
def test_trains_and_predicts_in_odd_sizes(network: str) -> None:
    model, batch = built(network).train(), people((97, 131), (64, 120))
    losses = model(batch)
    total(losses).backward()
    assert all(loss.isfinite() and loss > 0 for loss in losses.values())
    assert {"loss_coarse", "loss_part"} < losses.keys()
    assert ("loss_uv" in losses) == ("tropic" in network)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters() if p.requires_grad)
    for prediction in model.eval().predict(batch):
        assert len(prediction) > 0
        check_surfaces(prediction.boxes, prediction.surfaces)


def check_surfaces(boxes: torch.Tensor, surfaces: list[torch.Tensor] | None) -> None:
    assert surfaces is not None
    assert len(surfaces) == len(boxes)
    for surface, (x1, y1, x2, y2) in zip(surfaces, boxes.tolist()):
        assert surface.dtype is torch.uint8
        assert surface.shape == (3, max(int(y2 - y1), 1), max(int(x2 - x1), 1))
        assert surface[0].max() <= 24
        assert not surface[1:, surface[0] == 0].any()


@pytest.mark.parametrize("network", NETWORKS)
def test_images_that_nobody_has_annotated_train(network: str) -> None:
    model = built(network).train()
    batch = people((96, 96), (96, 96))
    nobody, unknown = replace(Target.empty(), surfaces=[]), replace(batch.targets[1], surfaces=[None] * 3)
    losses = model(replace(batch, targets=[nobody, unknown]))
    total(losses).backward()
    assert all(losses[name] == 0 for name in losses.keys() - {"loss_rpn_cls", "loss_rpn_box", "loss_cls", "loss_box"})
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters() if p.requires_grad)


def test_people_whose_surfaces_were_not_asked_for_are_an_error() -> None:
    batch = people((96, 96))
    with pytest.raises(ValueError, match=r"--data\.surfaces"):
        built("plain").train()(replace(batch, targets=[replace(batch.targets[0], surfaces=None)]))


def test_surfaces_do_not_depend_on_the_batch() -> None:
    model, batch = built("decoder").eval(), people((96, 128), (96, 128))
    together = model.predict(batch)
    for n, found in enumerate(together):
        own = slice(n, n + 1)
        alone = replace(batch, images=batch.images[own], sizes=batch.sizes[own], targets=batch.targets[own])
        (prediction,) = model.predict(replace(alone, original_sizes=batch.original_sizes[own]))
        assert prediction.surfaces is not None
        assert found.surfaces is not None
        same = [(one == other).float().mean() for one, other in zip(prediction.surfaces, found.surfaces, strict=True)]
        assert torch.stack(same).mean() > 0.99


def test_an_inference_model_sees_the_same_surfaces() -> None:
    model, batch = built("deeplab").eval(), people((96, 128))
    (plain,), (fast,) = model.predict(batch), model.for_inference().predict(batch)
    assert plain.surfaces is not None
    assert fast.surfaces is not None
    assert (plain.surfaces[0] == fast.surfaces[0]).float().mean() > 0.99


def matched_to(boxes: torch.Tensor, target: Target, images: int = 1) -> Matched:
    """Every box is on the object of its row, in each of so many equal images."""
    from cvzoo.parts.rcnn.box_head import Sampled

    rows = torch.arange(len(boxes))
    sampled = Sampled(boxes, torch.zeros_like(rows), rows, rows, target.boxes, rows < 0)
    return match_surfaces([sampled] * images, [target] * images, above=0.7)


def outputs(config: SurfaceHeadConfig, regions: int) -> SurfaceOutput:
    return SurfaceOutput(**{name: torch.randn(regions, n, 16, 16) for name, n in outputs_of(config).items()})


def test_regions_learn_that_overlap_an_annotated_person_enough() -> None:
    boxes = torch.tensor([[0.0, 0, 40, 40], [50, 0, 90, 40], [0, 50, 40, 90], [50, 50, 90, 90]])
    surfaces: list[Surface | None] = [surface_in(box) for box in boxes]
    surfaces[1] = None
    surfaces[2] = surface_in(boxes[2], points=0)
    moved = boxes + torch.tensor([0, 0, 10.0, 0])
    target = Target(boxes, torch.zeros(4, dtype=torch.int64), surfaces=surfaces)
    matched = matched_to(torch.stack([moved[0], boxes[1], boxes[2], boxes[3] + 8]), target)
    assert matched.boxes[0].tolist() == [moved[0].tolist()]
    assert matched.surfaces.frame_O4[matched.person_R].tolist() == [boxes[0].tolist()]


def test_losses_are_those_of_an_image_however_many_there_are() -> None:
    config = SurfaceHeadConfig()
    target = people((96, 96)).targets[0]
    raw = outputs(config, len(target))
    one = surface_losses(raw, matched_to(target.boxes, target), config)
    twice = SurfaceOutput._make(None if maps is None else maps.repeat(2, 1, 1, 1) for maps in raw)
    two = surface_losses(twice, matched_to(target.boxes, target, images=2), config)
    for name, loss in one.items():
        torch.testing.assert_close(two[name], loss)


def test_points_outside_of_a_region_and_people_without_outline_cost_nothing() -> None:
    config, box = SurfaceHeadConfig(), torch.tensor([[10.0, 10, 50, 50]])
    surface = surface_in(box[0])
    moved = torch.where(surface.points_P2[:, :1] < 30, surface.points_P2 * 0, surface.points_P2)  # left of the region
    region, raw = box + torch.tensor([4.0, 0, 0, 0]), outputs(config, 1)
    found = []
    for points, coarse in ((surface.points_P2, surface.coarse), (moved, surface.coarse), (moved, None)):
        own = replace(surface, points_P2=points, coarse=coarse)
        target = Target(box, torch.zeros(1, dtype=torch.int64), surfaces=[own])
        found.append(surface_losses(raw, matched_to(region, target), config))
    inside = surface.points_P2[:, 0] >= 25.6
    assert (moved[:, 0][~inside] == 0).all()
    for name in ("loss_part", "loss_u", "loss_v"):
        assert found[1][name] == found[2][name] != 0
    assert found[0]["loss_coarse"] == found[1]["loss_coarse"] > 0
    assert found[2]["loss_coarse"] == 0


def test_maps_are_read_between_their_cells() -> None:
    ramp = torch.arange(8.0).expand(1, 1, 8, 8)
    place = torch.tensor([[[0.0, 0], [2.5, 3], [7, 7], [7.9, 0]]])
    torch.testing.assert_close(at_places(ramp, place)[0, 0], torch.tensor([0, 2.5, 7, 7]))


def test_coarse_parts_of_a_region_are_the_nearest_and_none_outside_of_the_frame() -> None:
    box = torch.tensor([[10.0, 20, 26, 36]])
    coarse = torch.zeros(256, 256, dtype=torch.uint8)
    coarse[:, 128:] = 3
    surface = replace(surface_in(box[0]), coarse=coarse)
    target = Target(box, torch.zeros(1, dtype=torch.int64), surfaces=[surface])
    matched = matched_to(box, target)
    region = torch.tensor([[2.0, 20, 34, 36]])  # half a frame more on either side
    parts = coarse_targets(matched.surfaces, matched.person_R, region, side=8)
    assert parts[0].tolist() == [[0, 0, 0, 0, 3, 3, 3, 0]] * 8


def test_with_half_cells_a_surface_is_learnt_where_it_is_predicted() -> None:
    """Maps that are U itself at the cells' centres cost nothing, and give back U."""
    config, box = SurfaceHeadConfig(coarse_parts=2, half_cells=True), torch.tensor([[0.0, 0, 64, 64]])
    surface = surface_in(box[0])
    u = (surface.points_P2[:, 0] / 256).clamp(0.1, 0.9)
    points_P2 = torch.stack([256 * u, surface.points_P2[:, 1]], dim=1)
    surface = replace(surface, points_P2=points_P2, uv_P2=torch.stack([u, u], dim=1))
    target = Target(box, torch.zeros(1, dtype=torch.int64), surfaces=[surface])
    ramp = ((torch.arange(16) + 0.5) / 16).expand(1, 25, 16, 16)
    raw = outputs(config, 1)._replace(
        u=ramp, v=ramp, coarse=torch.tensor([0.0, 1])[None, :, None, None].expand(1, 2, 16, 16)
    )
    losses = surface_losses(raw, matched_to(box, target), config)
    assert (
        losses["loss_u"]
        < 1e-6
        < surface_losses(raw, matched_to(box, target), replace(config, half_cells=False))["loss_u"]
    )
    (pixels,) = surfaces_of(raw, torch.tensor([0]), box)
    shown = pixels[0] > 0
    expected = (255 * (torch.arange(64) + 0.5) / 64).expand(64, 64)
    inner = shown & (expected > 10) & (expected < 245)
    assert (pixels[1] - expected)[inner].abs().max() <= 1.01


@pytest.mark.parametrize("skewed", [False, True])
def test_uncertain_losses_are_likelihoods_of_gaussians(skewed: bool) -> None:
    error, spread, skew = torch.randn(3, 5, 2), torch.randn(3, 5), torch.randn(3, 5, 2)
    variance = F.softplus(spread) + 0.01
    covariance = variance[..., None, None] * torch.eye(2)
    if skewed:
        covariance = covariance + skew.unsqueeze(3) * skew.unsqueeze(2)
    expected = -MultivariateNormal(torch.zeros(2), covariance).log_prob(error)
    found = uncertain_loss(error, spread, skew if skewed else None, floor=0.01)
    constant = 0.5 * torch.log(torch.tensor(2 * torch.pi))
    torch.testing.assert_close(found + constant, expected, atol=1e-4, rtol=1e-4)


def test_pixels_are_those_of_maps_resized_as_a_whole() -> None:
    config = SurfaceHeadConfig(coarse_parts=2)
    raw = outputs(config, 3)
    boxes = torch.tensor([[3.2, 4.9, 40.1, 60.3], [5, 5, 5.5, 90], [0, 0, 9.99, 10.01]])
    for row, surface in zip((2, 0, 1), surfaces_of(raw, torch.tensor([2, 0, 1]), boxes)):
        coarse, parts, *uv = (
            F.interpolate(maps[row : row + 1], surface.shape[1:], mode="bilinear")[0]
            for maps in (raw.coarse, raw.parts, raw.u, raw.v)
        )
        part = parts.argmax(0) * (coarse.argmax(0) > 0)
        assert torch.equal(surface[0].long(), part)
        for found, maps in zip(surface[1:], uv):
            value = (255 * maps.gather(0, part.unsqueeze(0))[0]).clamp(0, 255) * (part > 0)
            assert (found - value).abs().max() < 1.001


def test_views_are_averaged_and_mirrored_ones_refused() -> None:
    model, batch = built("plain").eval(), people((96, 128))
    (plain,), view = model.predict(batch), View(batch, flipped=False)
    merged = model.predict_views([view, view])
    torch.testing.assert_close(merged.boxes, plain.boxes)
    assert merged.surfaces is not None
    assert plain.surfaces is not None
    assert all(torch.equal(one, other) for one, other in zip(merged.surfaces, plain.surfaces, strict=True))
    with pytest.raises(ValueError, match=r"--data\.test-flip"):
        model.predict_views([view, view.mirrored()])


def test_the_branch_waits_for_nothing_but_which_regions_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    config = SurfaceHeadConfig()
    for images, count in ((1, 2), (3, 5)):
        target = people((96, 96), count=count).targets[0]
        raw = outputs(config, len(target) * images)
        with Waits(monkeypatch) as waits:
            surface_losses(raw, matched_to(target.boxes, target, images), config)
        assert waits.found == ["tolist"]  # which regions learn


@pytest.mark.parametrize("row", [SHAPES])
def test_overfits_four_images(row: str) -> None:
    config = ROWS[row].recipe().model
    config = replace(config, backbone=replace(config.backbone, width=config.backbone.width // 2))
    overfits(config, people(*[(96, 96)] * 4))


@pytest.mark.parametrize(("deeplab", "parameters"), [(False, 63_821_090), (True, 66_055_970)])
def test_the_reference_counts_as_many_parameters(deeplab: bool, parameters: int) -> None:
    config = DETECTRON2[Variant(decoder=True, deeplab=deeplab, uv_confidence=None, part_confidence=False)]
    with torch.device("meta"):
        model = config.build()
    assert sum(p.numel() for p in model.parameters()) == parameters


def test_a_state_tells_of_the_non_local_block() -> None:
    """No published file has one."""
    model = narrow(R50).model
    head = replace(model.surface_head, dilations=(6, 12, 56), conv_norm="group", non_local=True)
    with torch.device("meta"):
        names = dict(replace(model, surface_head=head).build().state_dict())
    theirs = {"query": "theta", "key": "phi.0", "value": "g.0", "out.conv": "W.0", "out.norm": "W.1"}
    prefix = "surface_head.around.1."
    assert sum(key.startswith(prefix) for key in names) == 10
    for name, other in theirs.items():
        for kind in ("weight", "bias"):
            state = from_detectron2({f"roi_heads.densepose_head.NLBlock.{other}.{kind}": torch.zeros(1)})
            assert set(state) == {f"{prefix}{name}.{kind}"} < set(names)
    assert detectron2(names, model).surface_head.non_local


def test_options_that_cannot_be() -> None:
    with pytest.raises(ValueError, match=r"surface-head\.pool\.strides"):
        SurfaceHeadConfig(decoder_channels=16)
    with pytest.raises(ValueError, match=r"coarse-parts"):
        SurfaceHeadConfig(coarse_parts=1)


@pytest.mark.gpu
@pytest.mark.parametrize("network", NETWORKS)
def test_cuda_gives_what_the_cpu_gives(network: str) -> None:
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    model, batch = built(network).train(), people((96, 128), (80, 100))
    expected = model(batch)
    model.cuda()
    losses = model(batch.to("cuda"))
    total(losses).backward()
    for name, loss in losses.items():
        torch.testing.assert_close(loss.cpu(), expected[name], atol=1e-3, rtol=1e-3)
    (found, _), (other, _) = model.eval().predict(batch.to("cuda")), model.cpu().predict(batch)
    assert found.surfaces is not None
    assert other.surfaces is not None
    same_detections(found, other)
