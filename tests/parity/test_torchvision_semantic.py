"""FCN and DeepLab v3 side by side with torchvision's: its random weights, through our importer, give its outputs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from parity.evidence import proves, record
from parity.golden import Report, under_our_keys
from parity.logits import logits_of_images
from torch import Tensor, nn
from torchvision.models import segmentation

from cvzoo.parts.semantic.head import DILATED, AuxiliaryConfig
from cvzoo.parts.semantic.logits import PixelLossConfig
from cvzoo.structures import IGNORE, Batch, Sample, Target
from cvzoo.weights.strict import load_state
from cvzoo.zoo.deeplabv3plus.model import DeepLabV3PlusConfig
from cvzoo.zoo.fcn.model import FCNConfig

CLASSES, SIZE = 5, (97, 129)
COMMON: dict[str, Any] = {
    "num_classes": CLASSES,
    "backbone": replace(DILATED, deep_stem=False),
    "dropout": 0.0,
    "aux": AuxiliaryConfig(dropout=0.0, loss_weight=0.5),
    "loss": PixelLossConfig(count_ignored=False),
}
DEEPLAB: dict[str, Any] = {"separable": False, "fuse_kernel": 1, "low_channels": 0, "decoder_convs": 1}
CONFIGS = {
    "fcn_resnet50": FCNConfig(**COMMON, convs=1, concat=False),
    "deeplabv3_resnet50": DeepLabV3PlusConfig(**COMMON, **DEEPLAB, channels=256),
}
SYSTEMS = {"fcn_resnet50": "fcn", "deeplabv3_resnet50": "deeplabv3plus"}


def batch() -> Batch:
    generator = torch.Generator().manual_seed(0)
    samples = []
    for n in range(2):
        image = torch.randint(256, (3, *SIZE), generator=generator, dtype=torch.uint8)
        labels = torch.randint(CLASSES, SIZE, generator=generator, dtype=torch.uint8)
        labels[:20] = IGNORE
        samples.append(Sample(image, replace(Target.empty(), label_map=labels), n, SIZE))
    return Batch.collate(samples)


def reference(name: str) -> nn.Module:
    """Without dropout, and with norms under which activations stay small."""
    torch.manual_seed(0)
    builder = getattr(segmentation, name)
    model = builder(weights=None, weights_backbone=None, aux_loss=True, num_classes=CLASSES)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.2, 0.5)
            nn.init.uniform_(module.bias, -0.1, 0.1)
            module.running_var.uniform_(0.5, 1.5)  # type: ignore[union-attr]
    return model


@pytest.mark.parametrize("name", [pytest.param(name, marks=proves(SYSTEMS[name], "torchvision")) for name in CONFIGS])
def test_torchvision(name: str, request: pytest.FixtureRequest) -> None:
    report, images, theirs = Report(), batch(), reference(name)
    ours: Any = CONFIGS[name].build()
    load_state(ours, under_our_keys(theirs.state_dict(), CONFIGS[name], name), name)
    normalised = ours.config.pixels(images.images, images.sizes)
    ours.eval()
    with torch.no_grad():
        expected: Tensor = theirs.eval()(normalised)["out"]
        report.close("out", torch.stack(logits_of_images(ours, images)), expected)
    for labels, found in zip(expected.argmax(dim=1), ours.predict(images), strict=True):
        report.equal("labels", found.labels, labels)
    compare_training(report, ours, theirs, images)
    record(request.node, report)


def compare_training(report: Report, ours: Any, theirs: nn.Module, images: Batch) -> None:
    """Losses, and the gradient that has come through all of the network."""
    normalised = ours.config.pixels(images.images, images.sizes)
    labels_NHW = torch.stack([t.label_map for t in images.targets if t.label_map is not None]).long()
    outputs = theirs.train()(normalised)
    losses = {part: F.cross_entropy(x, labels_NHW, ignore_index=IGNORE) for part, x in outputs.items()}
    (losses["out"] + 0.5 * losses["aux"]).backward()
    found_losses: dict[str, Tensor] = ours.train()(images)
    report.close("loss", found_losses["loss_seg"].detach(), losses["out"].detach())
    report.close("aux loss", found_losses["loss_aux"].detach(), 0.5 * losses["aux"].detach())
    sum(found_losses.values()).backward()  # type: ignore[union-attr]
    first: Any = theirs.get_submodule("backbone.conv1")
    report.close("gradient", ours.backbone.conv1.weight.grad, first.weight.grad, 1e-2)
