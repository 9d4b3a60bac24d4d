"""What the networks for semantic segmentation have in common: sizes, losses, ignored pixels, the auxiliary head."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from cvzoo.nn.timm_backbone import TimmConfig
from cvzoo.parts.semantic.head import DILATED, AuxiliaryConfig
from cvzoo.parts.semantic.logits import PixelLossConfig, pixel_loss
from cvzoo.structures import IGNORE, Batch, Sample, Segmentation, Target
from cvzoo.zoo.deeplabv3plus.model import DeepLabV3PlusConfig
from cvzoo.zoo.fcn.model import FCNConfig
from cvzoo.zoo.gcnet.model import GCNetConfig
from cvzoo.zoo.pspnet.model import PSPNetConfig
from cvzoo.zoo.treefilter.model import TreeFilterConfig

BODY = replace(DILATED, depth=18, width=4)
COMMON = {"num_classes": 3, "backbone": BODY, "channels": 8, "dropout": 0.0}
COMMON["aux"] = AuxiliaryConfig(channels=4, dropout=0.0)
TREE = TreeFilterConfig(
    num_classes=3,
    backbone=replace(BODY, output_stride=32),
    channels=8,
    embed_channels=8,
    groups=2,
    aux=AuxiliaryConfig(channels=4, dropout=0.0),
)
CONFIGS = {
    "fcn": FCNConfig(**COMMON),
    "pspnet": PSPNetConfig(**COMMON),
    "gcnet": GCNetConfig(**COMMON),
    "deeplabv3plus": DeepLabV3PlusConfig(**COMMON, dilations=(2, 4), low_channels=4),
    "deeplabv3": DeepLabV3PlusConfig(**COMMON, dilations=(2, 4), separable=False, low_channels=0, decoder_convs=0),
    "treefilter": TREE,
    "treefilter_extra": replace(TREE, decoder="extra"),
}
SIZES = ((65, 97), (40, 71))


def batch(sizes=SIZES, original_sizes=None):
    """Images of those sizes with random labels, on one canvas."""
    generator = torch.Generator().manual_seed(0)
    samples = []
    for n, size in enumerate(sizes):
        image = torch.randint(256, (3, *size), generator=generator, dtype=torch.uint8)
        labels = torch.randint(3, size, generator=generator, dtype=torch.uint8)
        samples.append(Sample(image, replace(Target.empty(), label_map=labels), n, size))
    return replace(Batch.collate(samples), original_sizes=list(original_sizes or sizes))


@pytest.mark.parametrize("name", CONFIGS)
def test_predictions_have_the_size_of_the_original(name):
    torch.manual_seed(0)
    model = CONFIGS[name].build().eval()
    originals = [(130, 190), (40, 71)]
    for found, size in zip(model.predict(batch(original_sizes=originals)), originals, strict=True):
        assert isinstance(found, Segmentation)
        assert found.labels.shape == size
        assert found.labels.dtype == torch.uint8
        assert found.labels.max() < 3


@pytest.mark.parametrize("name", CONFIGS)
def test_training_reaches_every_parameter(name):
    torch.manual_seed(0)
    model = CONFIGS[name].build().train()
    losses = model(batch())
    assert set(losses) == {"loss_seg", "loss_aux"}
    sum(losses.values()).backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key


@pytest.mark.parametrize("name", CONFIGS)
def test_without_an_auxiliary_head_there_is_one_loss(name):
    model = replace(CONFIGS[name], aux=None).build().train()
    assert set(model(batch())) == {"loss_seg"}


@pytest.mark.parametrize("name", CONFIGS)
def test_on_a_timm_body(name):
    model = replace(CONFIGS[name], backbone=TimmConfig(name="resnet10t", norm="batch")).build().eval()
    assert model.predict(batch())[0].labels.shape == SIZES[0]


def test_the_auxiliary_head_runs_in_training_only():
    model = CONFIGS["fcn"].build()
    image = torch.randn(2, 3, 33, 33)
    assert model.train().raw(image).aux.shape == (2, 3, 5, 5)
    assert model.eval().raw(image).aux is None


def test_padding_is_ignored():
    """The loss of a small image is that of its label map filled up with the ignored label."""
    torch.manual_seed(0)
    model = CONFIGS["fcn"].build().train()
    raw = model.raw(torch.randn(2, 3, 65, 97))
    targets = batch().targets
    filled = F.pad(targets[1].label_map, (0, 97 - 71, 0, 65 - 40), value=IGNORE)
    full = [targets[0], replace(targets[1], label_map=filled)]
    assert model.losses(raw, targets, (65, 97)) == model.losses(raw, full, (65, 97))


def test_a_image_without_label_map_is_an_error():
    images = batch()
    model = CONFIGS["fcn"].build().train()
    with pytest.raises(ValueError, match="has no label map"):
        model(replace(images, targets=[images.targets[0], Target.empty()]))


@pytest.fixture
def pixels():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 4, 5, generator=generator)
    labels = torch.randint(3, (2, 4, 5), generator=generator, dtype=torch.uint8)
    labels[0, 0] = IGNORE
    return logits, labels, F.cross_entropy(logits, labels.long(), ignore_index=IGNORE, reduction="none")


def test_the_mean_counts_ignored_pixels_or_not(pixels):
    logits, labels, loss = pixels
    torch.testing.assert_close(pixel_loss(logits, labels, PixelLossConfig()), loss.sum() / 40)
    labelled = PixelLossConfig(count_ignored=False)
    torch.testing.assert_close(pixel_loss(logits, labels, labelled), loss.sum() / 35)


def test_the_hardest_pixels(pixels):
    logits, labels, loss = pixels
    hardest = PixelLossConfig(hardest=0.2)
    torch.testing.assert_close(pixel_loss(logits, labels, hardest), loss.flatten().sort().values[-8:].mean())
    hardest = replace(hardest, count_ignored=False)
    torch.testing.assert_close(pixel_loss(logits, labels, hardest), loss.flatten().sort().values[-7:].mean())


@pytest.mark.parametrize("count_ignored", [True, False])
@pytest.mark.parametrize("hardest", [1.0, 0.2])
def test_nothing_labelled_is_no_loss(pixels, count_ignored, hardest):
    logits = pixels[0].requires_grad_()
    loss = pixel_loss(
        logits, torch.full((2, 4, 5), IGNORE), PixelLossConfig(count_ignored=count_ignored, hardest=hardest)
    )
    assert loss == 0
    loss.backward()
    assert (logits.grad == 0).all()


def test_label_maps_stay_with_their_target():
    target = batch().targets[0]
    assert target[torch.zeros(0, dtype=torch.int64)].label_map is target.label_map
    assert target.to("cpu").label_map.equal(target.label_map)
    assert target.to("meta").label_map.device.type == "meta"
