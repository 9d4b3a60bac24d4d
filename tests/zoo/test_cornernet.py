"""What CornerNet alone does: whose weights it reads, how its losses and its pairs of corners are defined."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from parity.compare import batch_of
from parity.golden import load_case
from parity.samples import GOLDEN
from torch import Tensor
from weights import reading
from zoo.cornernet import ROW, from_mmdetection
from zoo.systems import narrow

from cvzoo.data.shapes import draw
from cvzoo.loading import read_state
from cvzoo.nn.hourglass import HourglassConfig
from cvzoo.ops.boxes import flip_boxes
from cvzoo.parts.heatmap.frame import Frame
from cvzoo.parts.heatmap.targets import Objects
from cvzoo.recipes import Recipe
from cvzoo.structures import Batch, Sample, Target, View, size_of
from cvzoo.weights.strict import load_state
from cvzoo.zoo.cornernet.head import CornerOutput, PairOutput
from cvzoo.zoo.cornernet.model import CornerNet, CornerNetConfig
from cvzoo.zoo.cornernet.pairs import Corners, boxes_between
from cvzoo.zoo.cornernet.tags import TagLoss, tag_losses
from cvzoo.zoo.cornernet.weights import AUTHORS, MMDETECTION

CASE = "cornernet/cornernet_hourglass"
needs_golden = pytest.mark.skipif(not (GOLDEN / CASE).exists(), reason=f"{CASE} is not there")

TO_AUTHORS = (
    (r"^backbone\.stem\.0\.", "pre.0."),
    (r"^backbone\.stem\.1\.0\.", "pre.1."),
    (r"^backbone\.hourglass_modules\.", "kps."),
    (r"^backbone\.out_convs\.", "cnvs."),
    (r"^backbone\.inters\.", "inters."),
    (r"^backbone\.conv1x1s\.(\d)\.conv\.", r"inters_.\1.0."),
    (r"^backbone\.conv1x1s\.(\d)\.bn\.", r"inters_.\1.1."),
    (r"^backbone\.remap_convs\.(\d)\.conv\.", r"cnvs_.\1.0."),
    (r"^backbone\.remap_convs\.(\d)\.bn\.", r"cnvs_.\1.1."),
    (r"\.downsample\.", ".skip."),
    (r"^bbox_head\.(tl|br)_pool\.(\d)\.direction(\d)_conv\.", r"\1_cnvs.\2.p\3_conv1."),
    (r"^bbox_head\.(tl|br)_pool\.(\d)\.aftpool_conv\.conv\.", r"\1_cnvs.\2.p_conv1."),
    (r"^bbox_head\.(tl|br)_pool\.(\d)\.aftpool_conv\.bn\.", r"\1_cnvs.\2.p_bn1."),
    (r"^bbox_head\.(tl|br)_pool\.(\d)\.conv1\.conv\.", r"\1_cnvs.\2.conv1."),
    (r"^bbox_head\.(tl|br)_pool\.(\d)\.conv1\.bn\.", r"\1_cnvs.\2.bn1."),
    (r"^bbox_head\.(tl|br)_pool\.(\d)\.conv2\.", r"\1_cnvs.\2.conv2."),
    (r"^bbox_head\.(tl|br)_heat\.(\d)\.", r"\1_heats.\2."),
    (r"^bbox_head\.(tl|br)_emb\.(\d)\.", r"\1_tags.\2."),
    (r"^bbox_head\.(tl|br)_off\.(\d)\.", r"\1_regrs.\2."),
    (r"^((?:tl|br)_(?:heats|tags|regrs)\.\d\.1)\.conv\.", r"\1."),
    (r"^", "module."),
)
"""mmdetection's names of layers to those of the authors' repository."""


@needs_golden
def test_the_authors_files_are_read() -> None:
    """Their own names of the same weights lead to the same maps; their pixels and losses come along."""
    case = load_case(CASE)
    state = {}
    for key, tensor in case.weights.items():
        for pattern, replacement in TO_AUTHORS:
            key = re.sub(pattern, replacement, key)
        state[key] = tensor
    config = from_mmdetection({**case.info, "weights": case.weights})
    ours, found = read_state(state, Recipe(row="a row of none", model=config), "a file")
    same = ("num_classes", "backbone", "pool_channels", "branch_channels")
    assert found == replace(AUTHORS, **{name: getattr(config, name) for name in same})
    model = config.build().eval()
    load_state(model, ours, "a file")
    batch = batch_of(case, "gt_labels")
    with torch.no_grad():
        raw = model.raw(config.pixels(batch.images, batch.sizes))
    torch.testing.assert_close(raw.top_left.heat[-1], case.expected["head.tl_heat.1"], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(raw.bottom_right.tag[-1], case.expected["head.br_emb.1"], rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(not GOLDEN.exists(), reason="no manifests")
def test_mmdetections_conventions_are_read_off_its_keys() -> None:
    name = "mmlab/cornernet_hourglass104_10xb5-crop511-210e-mstest_coco"
    state = reading.manifest(GOLDEN / "manifests", name)
    assert reading.readers(state) == {("cornernet", "mmdetection")}
    assert reading.loads(state, ROW) == MMDETECTION


def by_definition(one: Tensor, other: Tensor, epsilon: float) -> tuple[float, float]:
    """What pulls the tags (K,) of both corners of an image's objects together, and pushes the objects apart."""
    count = len(one)
    if not count:
        return 0.0, 0.0
    mean = (one + other) / 2
    pull = ((one - mean) ** 2 + (other - mean) ** 2).sum() / (count + epsilon)
    push = sum(max(0.0, 1 - abs(float(mean[j] - mean[k]))) for j in range(count) for k in range(count) if j != k)
    pairs = count * (count - 1) + epsilon
    return float(pull), push / pairs if count > 1 else 0.0


@settings(max_examples=20)
@given(
    counts=st.lists(st.integers(0, 4), min_size=1, max_size=3),
    stacks=st.integers(1, 2),
    epsilon=st.sampled_from([0.0, 1e-4]),
    seed=st.integers(0, 99),
)
def test_tags_are_pulled_and_pushed_as_defined(counts: list[int], stacks: int, epsilon: float, seed: int) -> None:
    torch.manual_seed(seed)
    images = torch.repeat_interleave(torch.tensor(counts))
    corner = torch.rand(len(images), 2) * 5
    objects = Objects(images, torch.cat([corner, corner + 2], dim=1), torch.zeros_like(images))
    maps = [[torch.rand(len(counts), 1, 7, 7) for _ in range(stacks)] for _ in range(2)]
    config = TagLoss(pull_weight=0.3, push_weight=0.7, images=5, epsilon=epsilon)
    pull, push = tag_losses(maps[0], maps[1], objects, len(counts), config)
    expected = torch.zeros(2)
    for stack in range(stacks):
        for n in range(len(counts)):
            x, y, right, bottom = objects.boxes_O4[images == n].long().unbind(1)
            tags = maps[0][stack][n, 0, y, x], maps[1][stack][n, 0, bottom, right]
            expected += torch.tensor(by_definition(*tags, epsilon)) * 5 / len(counts)
    torch.testing.assert_close(torch.stack([pull, push]), expected * torch.tensor([0.3, 0.7]))


def outputs(config: CornerNetConfig, images: int, cells: int, seed: int = 0) -> PairOutput:
    """Random maps of both kinds of corners."""
    torch.manual_seed(seed)
    stacks = range(config.backbone.stacks)

    def maps(channels: int) -> list[Tensor]:
        return [torch.randn(images, channels, cells, cells) for _ in stacks]

    return PairOutput(*(CornerOutput(maps(config.num_classes), maps(1), maps(2)) for _ in range(2)))


def test_the_authors_losses_of_offsets_count_objects_and_mmdetections_cells() -> None:
    """Two objects share their top-left cell: in mmdetection only the last one learns there."""
    config = CornerNetConfig(num_classes=2, backbone=HourglassConfig(stacks=1))
    with torch.device("meta"):
        model = CornerNet(config)
    raw = outputs(config, images=1, cells=8)
    boxes = torch.tensor([[4.0, 5.0, 20.0, 21.0], [6.0, 6.5, 27.0, 29.0]])
    target = Target(boxes, torch.tensor([0, 1]))
    cells = boxes.reshape(2, 2, 2) / 4
    losses = []  # of an object and a kind of corner
    for k, kind in enumerate(raw):
        for point in cells[:, k]:
            x, y = point.long().tolist()
            losses.append(F.smooth_l1_loss(kind.offset[0][0, :, y, x], point - point.long(), reduction="sum"))
    first, last, one, other = losses
    for offsets_of, expected in (
        ("cells", (last + (one + other) / 2) / 2),
        ("objects", ((first + last) / 2 + (one + other) / 2) / 2),
    ):
        model.config = replace(config, offsets_of=offsets_of)  # type: ignore[arg-type]
        found = model.losses(raw, [target], [(32, 32)], (32, 32))
        torch.testing.assert_close(found["loss_offset"], expected)


@settings(max_examples=30)
@given(seed=st.integers(0, 999), clipped=st.booleans(), count=st.integers(1, 40))
def test_pairs_of_corners_make_boxes_as_defined(seed: int, clipped: bool, count: int) -> None:
    torch.manual_seed(seed)

    def corners(number: int) -> Corners:
        return Corners(
            torch.rand(1, number),
            torch.randint(0, 2, (1, number)),
            torch.rand(1, number, 2) * 40,
            torch.rand(1, number),
        )

    one, other = corners(5), corners(6)
    expected = []
    for i in range(5):
        for j in range(6):
            left, top = ((one.points_NC2[0, i] - torch.tensor([7.0, 3.0])).clamp(min=0)).tolist()
            right, bottom = ((other.points_NC2[0, j] - torch.tensor([7.0, 3.0])).clamp(min=0)).tolist()
            if clipped:
                left, right = min(left, 25.0), min(right, 25.0)
                top, bottom = min(top, 20.0), min(bottom, 20.0)
            alike = one.labels_NC[0, i] == other.labels_NC[0, j] and abs(one.tags_NC[0, i] - other.tags_NC[0, j]) <= 0.5
            if alike and left < right and top < bottom:
                score = float(one.scores_NC[0, i] + other.scores_NC[0, j]) / 2
                expected.append((score, int(one.labels_NC[0, i]), [left, top, right, bottom]))
    expected = sorted(expected, reverse=True)[:count]
    limits = torch.tensor([[25, 20]]) if clipped else None
    boxes, scores, labels = (x[0] for x in boxes_between(one, other, torch.tensor([[3, 7]]), limits, 0.5, count))
    real = scores >= 0
    torch.testing.assert_close(scores[real], torch.tensor([score for score, _, _ in expected]))
    assert labels[real].tolist() == [label for _, label, _ in expected]
    torch.testing.assert_close(boxes[real], torch.tensor([box for _, _, box in expected]).reshape(-1, 4))


@pytest.mark.parametrize("around", ["mean", "black"])
def test_images_lie_in_the_middle_of_their_canvas(around: str) -> None:
    model = narrow(ROW, frame=Frame(extra=0, around=around)).model.build()
    image = torch.randint(0, 255, (3, 40, 50), dtype=torch.uint8)
    images, begins = model.placed(Batch.collate([Sample(image, original_size=(40, 50))]))
    assert size_of(images) == (63, 63)
    assert begins == [(31 - 20, 31 - 25)]
    pixels = model.config.pixels
    mean, std = torch.tensor(pixels.mean)[:, None, None], torch.tensor(pixels.std)[:, None, None]
    torch.testing.assert_close(images[0, :, 11:51, 6:56], (image - mean) / std)
    outside = torch.zeros(3) if around == "mean" else (-mean / std).flatten()
    torch.testing.assert_close(images[0, :, 0, 0], outside)
    torch.testing.assert_close(images[0, :, -1, -1], outside)


def test_only_the_last_hourglass_answers_and_all_learn() -> None:
    model = narrow(ROW).model.build()
    image = torch.rand(1, 3, 64, 64)
    for training, count in ((True, 2), (False, 1)):
        raw = model.train(training).raw(image)
        assert {len(maps) for kind in raw for maps in kind} == {count}
    torch.testing.assert_close(raw.top_left.heat[-1], model.train().raw(image).top_left.heat[-1])


def test_an_object_is_found_between_its_corners() -> None:
    """Of three objects: only one has its class and its tag to itself."""
    config = CornerNetConfig(num_classes=2, backbone=HourglassConfig(stacks=1), frame=None)
    model = CornerNet(config)
    raw = outputs(config, images=1, cells=16)
    for kind in raw:
        kind.heat[0].fill_(-20)
        kind.tag[0].fill_(0)
        kind.offset[0].fill_(0.25)
    for label, (x1, y1, x2, y2), tag in ((0, (2, 3, 9, 12), 1.0), (1, (4, 4, 10, 8), 3.0), (0, (3, 5, 12, 7), 3.0)):
        for kind, x, y in ((raw.top_left, x1, y1), (raw.bottom_right, x2, y2)):
            kind.heat[0][0, label, y, x] = 3.0
            kind.tag[0][0, 0, y, x] = tag
    (found,) = model.decode(raw, [(64, 64)], [(128, 64)], (64, 64))
    best = found[:3]
    order = best.boxes[:, 0].argsort()
    torch.testing.assert_close(
        best.boxes[order],
        torch.tensor([[9.0, 26.0, 37.0, 98.0], [13.0, 42.0, 49.0, 58.0], [17.0, 34.0, 41.0, 66.0]]),
    )
    assert best.labels[order].tolist() == [0, 0, 1]
    assert (found.scores[3:] < 0.1).all()


@pytest.mark.parametrize("frame", [None, Frame(mask=31, extra=0)])
def test_corners_of_the_mirror_image_compete_at_their_place(frame: Frame | None) -> None:
    """In the mirrored image all lies as in the image, mirrored."""
    model = narrow(ROW, frame=frame).model.build().eval()
    sample = replace(draw(60, 91, objects=3, seed=2), original_size=(120, 182))
    one = View(Batch.collate([sample]), flipped=False)
    images, corners = model.placed(one.batch)
    other = model.seen(one.batch, mirrored=True)
    alone = model.seen(one.batch, mirrored=False)
    more = other[torch.arange(len(alone), len(other))]
    with torch.no_grad():
        raw = model.raw(images.flip(-1))
    left = corners[0][1] if corners else 0
    place = [(corners[0][0] if corners else 0, images.shape[3] - left - 91)]
    (expected,) = model.candidates(raw, one.batch.sizes, one.batch.original_sizes, size_of(images), place)
    assert len(more) == len(expected) > 3
    torch.testing.assert_close(flip_boxes(more.boxes, 182), expected.boxes)
    found = model.predict_views([one, one.mirrored()])
    assert found.scores[0] == other.scores.max()
    assert model.predict_views([one]).boxes.equal(model.predict(one.batch)[0].boxes)
