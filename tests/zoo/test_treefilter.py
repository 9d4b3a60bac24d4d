"""The network of the learnable tree filter: its steps beside the paper's formula, and what must not change them.

Comparisons are in float64: between two edges that are almost equal a rounding error would choose another tree. The
keys and shapes of the authors' networks, in files beside this one, were listed by building `model/*/network.py` of
TreeFilter-Torch 4c91491.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from weights.reading import loads, manifest

from cvzoo.nn.timm_backbone import TimmConfig
from cvzoo.parts.semantic.segmenter import Segmenter
from cvzoo.structures import Batch, Sample, Target, size_of
from cvzoo.weights.errors import WeightsError
from cvzoo.zoo import ROWS
from cvzoo.zoo.treefilter import model as treefilter
from cvzoo.zoo.treefilter.model import BODY, Finer, Scene, TreeFilterConfig
from cvzoo.zoo.treefilter.tree import Tree, minimum_spanning_tree, tree_filter

BASIC = TreeFilterConfig(
    num_classes=3, backbone=replace(BODY, depth=18, width=4, stem_channels=8), channels=8, embed_channels=12, groups=4
)
EXTRA = replace(BASIC, decoder="extra")
LITE0 = replace(BASIC, backbone=TimmConfig(name="tf_efficientnet_lite0", norm="batch"))
CONFIGS = {"basic": BASIC, "extra": EXTRA, "lite0": LITE0, "lite0_extra": replace(LITE0, decoder="extra")}
SIZES = ((65, 97), (41, 71))
VOC, CITYSCAPES = "treefilter_r50_voc", "treefilter_r101_cityscapes"
HERE = Path(__file__).parent

each_config = pytest.mark.parametrize("name", CONFIGS)


def batch_of(images: Tensor) -> Batch:
    """They are pixels of 0 to 255; their labels are random."""
    samples = []
    for n, image in enumerate(images):
        labels = torch.randint(3, size_of(image), dtype=torch.uint8)
        samples.append(Sample(image, replace(Target.empty(), label_map=labels), n, size_of(image)))
    return Batch.collate(samples)


def noise(size: tuple[int, int]) -> Tensor:
    return torch.randint(256, (2, 3, *size), dtype=torch.uint8)


def built(name: str) -> Segmenter:
    """In eval mode, with statistics of batch norm that scale and shift."""
    model = CONFIGS[name].build().eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 1.5)  # type: ignore[union-attr]
    return model


@each_config
@pytest.mark.parametrize("size", SIZES)
def test_any_size_is_a_canvas(name: str, size: tuple[int, int]) -> None:
    model = CONFIGS[name].build().eval()
    batch = batch_of(noise(size))
    assert model.raw(batch.images.float()).logits.shape == (2, 3, -(-size[0] // 4), -(-size[1] // 4))
    assert [found.labels.shape for found in model.predict(batch)] == [size, size]


@each_config
def test_training_reaches_every_parameter(name: str) -> None:
    model = CONFIGS[name].build().train()
    model(batch_of(noise(SIZES[0])))["loss_seg"].backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
        assert parameter.grad.any(), key


@each_config
def test_a_prediction_does_not_depend_on_the_other_images(name: str) -> None:
    model, images = built(name).double(), torch.randn(3, 3, 65, 97, dtype=torch.float64)
    together = model.raw(images).logits
    for n in range(3):
        torch.testing.assert_close(model.raw(images[n : n + 1]).logits, together[n : n + 1], rtol=0, atol=1e-11)


@each_config
def test_for_inference_is_equal(name: str) -> None:
    model, images = built(name), torch.randn(2, 3, 65, 97, dtype=torch.float64)
    fast = model.for_inference().double()  # it folds in float32
    expected = model.double().raw(images).logits
    torch.testing.assert_close(fast.raw(images).logits, expected, rtol=0, atol=1e-4)  # type: ignore[operator]


@each_config
def test_bf16_filters_along_the_trees_of_its_maps(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A map's values are rounded, the differences between them are not."""
    trees: list[tuple[Tree, Tensor]] = []

    def noted(guidance: Tensor) -> Tree:
        trees.append((minimum_spanning_tree(guidance), guidance))
        return trees[-1][0]

    monkeypatch.setattr(treefilter, "minimum_spanning_tree", noted)
    model = CONFIGS[name].build().train()
    with torch.autocast("cpu", torch.bfloat16):
        loss = model(batch_of(noise(SIZES[0])))["loss_seg"]
    loss.backward()
    assert loss.isfinite()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())  # type: ignore[union-attr]
    assert len(trees) == 3
    for tree, guidance in trees:
        assert guidance.dtype == torch.bfloat16
        assert tree.parent.equal(minimum_spanning_tree(guidance.double()).parent)


@each_config
def test_an_image_of_one_colour(name: str) -> None:
    """Far from the border all edges are equal."""
    model = CONFIGS[name].build().train()
    batch = batch_of(torch.full((2, 3, *SIZES[0]), 128, dtype=torch.uint8))
    loss = model(batch)["loss_seg"]
    loss.backward()
    assert loss.isfinite()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())  # type: ignore[union-attr]
    assert model.eval().raw(batch.images.float()).logits.isfinite().all()


def mean_along(tree: Tree, x_CHW: Tensor, embedding_EHW: Tensor, groups: int) -> Tensor:
    """Every cell's mean with similarities from the lengths of all paths (1909.12513, equations 2 to 4)."""
    vertices = x_CHW[0].numel()
    way_VV = torch.zeros(vertices, vertices, dtype=x_CHW.dtype)  # the edges, by their lower end, between V and the root
    for vertex in tree.order[0, 1:].tolist():
        way_VV[vertex] = way_VV[tree.parent[0, vertex]]
        way_VV[vertex, vertex] = 1
    means = []
    for x_DV, e_EV in zip(x_CHW.flatten(1).chunk(groups), embedding_EHW.flatten(1).chunk(groups)):
        length_V = (e_EV - e_EV[:, tree.parent[0]]).square().sum(dim=0)
        differing_VVV = (way_VV[:, None] - way_VV[None]).abs()
        similarity_VV = (-differing_VVV @ length_V).exp()
        means.append(x_DV @ similarity_VV / similarity_VV.sum(dim=0))
    return torch.cat(means).view_as(x_CHW)


@pytest.mark.parametrize("config", [BASIC, EXTRA], ids=["basic", "extra"])
def test_a_step_is_the_papers(config: TreeFilterConfig) -> None:
    """The coarse map is filtered, and embedded; the finer one grows the tree: in `basic` after its convolution."""
    step = Finer(6, config).double().eval()
    coarse, fine = (torch.randn(1, *shape, dtype=torch.float64) for shape in ((8, 4, 5), (6, 7, 9)))
    x = torch.nn.functional.interpolate(coarse, size=(7, 9), mode="bilinear", align_corners=True)
    latent = step.latent(fine)
    tree = minimum_spanning_tree(fine if config.decoder == "extra" else latent)
    expected = step.refine(latent + mean_along(tree, x[0], step.embed(x)[0], config.groups))
    torch.testing.assert_close(step(coarse, fine), expected, rtol=0, atol=1e-12)


def test_a_filter_would_leave_the_scene_as_it_is() -> None:
    """The authors' `extra` filters the mean of the image, too."""
    scene, c5 = Scene(6, EXTRA).double().eval(), torch.randn(2, 6, 4, 5, dtype=torch.float64)
    mean = scene.context(c5.mean(dim=(2, 3), keepdim=True)).expand(-1, -1, 4, 5)
    filtered = tree_filter(mean, torch.randn(2, 12, 4, 5, dtype=torch.float64), minimum_spanning_tree(c5), EXTRA.groups)
    torch.testing.assert_close(scene(c5), scene.refine(scene.latent(c5) + filtered), rtol=0, atol=1e-12)


def test_groups_share_the_channels_evenly() -> None:
    with pytest.raises(ValueError, match=r"model.groups 5: take a divisor of model.channels 8"):
        replace(BASIC, groups=5)


def test_embeddings_may_start_small() -> None:
    he, small = (replace(BASIC, embed_std=std).build().head.finer for std in (None, 0.01))
    assert all(step.embed.conv.weight.std() > 0.2 for step in he)  # type: ignore[union-attr]
    assert all(0.005 < step.embed.conv.weight.std() < 0.02 for step in small)  # type: ignore[union-attr]


@pytest.mark.parametrize(("row", "decoder"), [(VOC, "basic"), (CITYSCAPES, "extra")])
def test_the_authors_networks_are_the_rows(row: str, decoder: str) -> None:
    assert loads(manifest(HERE, f"treefilter_{decoder}"), row) == ROWS[row].recipe().model


def test_sizes_are_those_of_the_file() -> None:
    """All but the body, which is the row's."""
    body = replace(ROWS[VOC].recipe().model.backbone, depth=101)
    assert loads(manifest(HERE, "treefilter_extra"), VOC, backbone=body) == ROWS[CITYSCAPES].recipe().model


def test_another_row_is_refused() -> None:
    with pytest.raises(WeightsError, match=r"holds weights of TreeFilter.*treefilter_r50_voc"):
        loads(manifest(HERE, "treefilter_basic"), "fcn_r50_d8_cityscapes")


def test_their_network_without_filters_is_refused() -> None:
    state = {k: x for k, x in manifest(HERE, "treefilter_basic").items() if not k.startswith("embed_layers")}
    with pytest.raises(WeightsError, match="holds no weights of a model that cvzoo knows"):
        loads(state, VOC)
