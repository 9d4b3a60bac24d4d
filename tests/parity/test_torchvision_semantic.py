"""FCN and DeepLab v3 side by side with torchvision's: its random weights, through our importer, give its outputs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from cvzoo.weights.load import load_state, to_ours
from parity.golden import Report
from torch import Tensor, nn
from torchvision.models import segmentation

from cvzoo.parts.semantic.head import DILATED, AuxiliaryConfig
from cvzoo.parts.semantic.logits import PixelLossConfig, logits_of_images
from cvzoo.structures import IGNORE, Batch, Sample, Target
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
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return model


@pytest.mark.parametrize("name", CONFIGS)
def test_torchvision(name: str) -> None:
    report, images, theirs = Report(), batch(), reference(name)
    ours: Any = CONFIGS[name].build()
    load_state(ours, to_ours(theirs.state_dict()), name)
    images = ours.config.pixels(images.images, images.sizes)
    with torch.no_grad():
        expected: Tensor = theirs.eval()(images)["out"]
        raw = ours.eval().raw(images)
    sizes = images.sizes, images.original_sizes, SIZE
    report.close("out", torch.stack(list(logits_of_images(raw.logits, *sizes, False))), expected)
    for labels, found in zip(expected.argmax(dim=1), ours.predict(images), strict=True):
        report.equal("labels", found.labels, labels)
    labels_NHW = torch.stack([t.label_map for t in images.targets if t.label_map is not None]).long()
    outputs = theirs.train()(images)
    losses = {part: F.cross_entropy(x, labels_NHW, ignore_index=IGNORE) for part, x in outputs.items()}
    (losses["out"] + 0.5 * losses["aux"]).backward()
    found_losses: dict[str, Tensor] = ours.train()(images)
    report.close("loss", found_losses["loss_seg"].detach(), losses["out"].detach())
    report.close("aux loss", found_losses["loss_aux"].detach(), 0.5 * losses["aux"].detach())
    sum(found_losses.values()).backward()  # type: ignore[union-attr]
    first: Any = theirs.get_submodule("backbone.conv1")
    report.close("gradient", ours.backbone.conv1.weight.grad, first.weight.grad, 1e-2)
    report.finish()
