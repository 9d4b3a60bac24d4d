"""What the networks for semantic segmentation have in common: sizes, losses, ignored pixels, the auxiliary head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from cvzoo.nn.timm_backbone import TimmConfig
from cvzoo.parts.semantic.head import DILATED, AuxiliaryConfig
from cvzoo.structures import IGNORE, Batch, Sample, Segmentation, Size, Target
from cvzoo.zoo.deeplabv3plus.model import DeepLabV3PlusConfig
from cvzoo.zoo.fcn.model import FCNConfig
from cvzoo.zoo.gcnet.model import GCNetConfig
from cvzoo.zoo.pspnet.model import PSPNetConfig
from cvzoo.zoo.treefilter.model import TreeFilterConfig

BODY = replace(DILATED, depth=18, width=4)
AUX = AuxiliaryConfig(channels=4, dropout=0.0)
COMMON: dict[str, Any] = {"num_classes": 3, "backbone": BODY, "channels": 8, "dropout": 0.0, "aux": AUX}
TREE = TreeFilterConfig(
    num_classes=3, backbone=replace(BODY, output_stride=32), channels=8, embed_channels=8, groups=2, aux=AUX
)
DEEPLAB = DeepLabV3PlusConfig(**COMMON, dilations=(2, 4), low_channels=4)
PLAIN: dict[str, Any] = {
    "fcn": FCNConfig(**COMMON),
    "pspnet": PSPNetConfig(**COMMON),
    "gcnet": GCNetConfig(**COMMON),
    "deeplabv3plus": DEEPLAB,
    "deeplabv3": replace(DEEPLAB, separable=False, low_channels=0, decoder_convs=0),
    "treefilter": TREE,
    "treefilter_extra": replace(TREE, decoder="extra"),
}
GROUPS: dict[str, Any] = {"norm": "group", "norm_groups": 2}
VARIANTS: dict[str, Any] = {
    "one convolution": replace(PLAIN["fcn"], convs=1, concat=False),
    "one dilation": replace(DEEPLAB, dilations=(3,)),
    "four dilations": replace(DEEPLAB, dilations=(1, 2, 3, 4), low_channels=6),
    "separable v3": replace(DEEPLAB, low_channels=0),
    "v3 with a decoder": replace(PLAIN["deeplabv3"], decoder_convs=1),
    "low features to the classifier": replace(DEEPLAB, decoder_convs=0),
    "large separable convolution": replace(DEEPLAB, decoder_convs=1, decoder_kernel=5, low_first=True),
    "wider aspp": replace(DEEPLAB, aspp_channels=12, pool_norm=False, pool_window=(3, 4), fuse_kernel=1),
    "two bins": replace(PLAIN["pspnet"], bins=(2, 5)),
    "corners": replace(PLAIN["pspnet"], align_corners=True),
    "narrow block": replace(PLAIN["gcnet"], ratio=1 / 8),
    "other embedding": replace(TREE, embed_channels=12, groups=4),
    **{f"{name} with group norms": replace(config, **GROUPS) for name, config in PLAIN.items()},
    "group norms everywhere": replace(
        DEEPLAB, **GROUPS, aspp_channels=6, backbone=replace(BODY, norm="group", norm_groups=2)
    ),
}
CONFIGS = PLAIN | VARIANTS
SIZES = ((65, 97), (40, 71))


def batch(sizes: Sequence[Size] = SIZES, original_sizes: Sequence[Size] | None = None) -> Batch:
    """Images of those sizes with random labels, on one canvas."""
    generator = torch.Generator().manual_seed(0)
    samples = []
    for n, size in enumerate(sizes):
        image = torch.randint(256, (3, *size), generator=generator, dtype=torch.uint8)
        labels = torch.randint(3, size, generator=generator, dtype=torch.uint8)
        samples.append(Sample(image, replace(Target.empty(), label_map=labels), n, size))
    return replace(Batch.collate(samples), original_sizes=list(original_sizes or sizes))


@pytest.mark.parametrize("name", CONFIGS)
def test_predictions_have_the_size_of_the_original(name: str) -> None:
    model = CONFIGS[name].build().eval()
    originals = [(130, 190), (40, 71)]
    for found, size in zip(model.predict(batch(original_sizes=originals)), originals, strict=True):
        assert isinstance(found, Segmentation)
        assert found.labels.shape == size
        assert found.labels.dtype == torch.uint8
        assert found.labels.max() < 3


@pytest.mark.parametrize("name", CONFIGS)
def test_training_reaches_every_parameter(name: str) -> None:
    model = CONFIGS[name].build().train()
    losses = model(batch())
    assert set(losses) == {"loss_seg", "loss_aux"}
    torch.stack(list(losses.values())).sum().backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key


@pytest.mark.parametrize("name", VARIANTS)
def test_inference_models_of_variants_are_equal(name: str) -> None:
    model = CONFIGS[name].build().eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 1.5)  # type: ignore[union-attr]
    image = torch.randn(2, 3, *SIZES[0])
    with torch.no_grad():
        plain, fast = model.raw(image).logits, model.for_inference().raw(image).logits
    torch.testing.assert_close(fast, plain, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", PLAIN)
def test_without_an_auxiliary_head_there_is_one_loss(name: str) -> None:
    model = replace(CONFIGS[name], aux=None).build().train()
    assert set(model(batch())) == {"loss_seg"}


@pytest.mark.parametrize("name", PLAIN)
def test_on_a_timm_body(name: str) -> None:
    model = replace(CONFIGS[name], backbone=TimmConfig(name="resnet10t", norm="batch")).build().eval()
    assert model.predict(batch())[0].labels.shape == SIZES[0]


@pytest.mark.parametrize("name", PLAIN)
def test_groups_that_do_not_divide_the_channels_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"channels cannot be divided into 3 groups; set .*norm-groups"):
        replace(CONFIGS[name], norm="group", norm_groups=3).build()


def test_the_auxiliary_head_runs_in_training_only() -> None:
    model = CONFIGS["fcn"].build()
    image = torch.randn(2, 3, 33, 33)
    assert model.train().raw(image).aux.shape == (2, 3, 5, 5)
    assert model.eval().raw(image).aux is None


def test_padding_is_ignored() -> None:
    """The loss of a small image is that of its label map filled up with the ignored label."""
    model = CONFIGS["fcn"].build().train()
    raw = model.raw(torch.randn(2, 3, 65, 97))
    targets = batch().targets
    small = targets[1].label_map
    assert small is not None
    filled = F.pad(small, (0, 97 - 71, 0, 65 - 40), value=IGNORE)
    full = [targets[0], replace(targets[1], label_map=filled)]
    assert model.losses(raw, targets, (65, 97)) == model.losses(raw, full, (65, 97))


def test_an_image_without_label_map_is_an_error() -> None:
    images = batch()
    model = CONFIGS["fcn"].build().train()
    with pytest.raises(ValueError, match="has no label map"):
        model(replace(images, targets=[images.targets[0], Target.empty()]))
