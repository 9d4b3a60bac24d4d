"""Semantic segmentation beside torchvision and mmsegmentation, alternating in one process.

    python benchmarks/semantic_inference.py deeplabv3 [--precision bf16] [--rounds 5] [--height 512 --width 1024]
        [--device cuda]

From the decoded image to the map of classes. Peers with the same network and weights: torchvision's
`deeplabv3_resnet50`, and mmsegmentation's `pspnet_r50-d8` and `deeplabv3plus_r50-d8`, where it can be imported;
`agree` is the share of pixels whose class is the same. torchvision runs beside all three, as the fastest other way to
the same result. In bf16 only ours changes on a CPU, all sides on CUDA. Where other processes compute,
OMP_WAIT_POLICY=PASSIVE keeps threads that wait for each other from counting as CPU time. mmsegmentation needs no
compiled extension for these networks:

    pip install --no-deps --target DIR mmsegmentation==1.2.2 mmcv-lite==2.1.0 mmengine==0.10.7 \\
        addict ftfy opencv-python-headless prettytable regex rich scipy termcolor wcwidth yapf
    PYTHONPATH=DIR python benchmarks/semantic_inference.py pspnet
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import torch
import tyro
from common import FP32, alternate, built, report
from side_by_side import batch_of, sample
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torchvision.models.segmentation import deeplabv3_resnet50
from torchvision.transforms.functional import normalize

from cvzoo.engine.place import autocast, for_inference, place
from cvzoo.loading import read_state
from cvzoo.nn.model import Model
from cvzoo.recipes import Recipe, Run
from cvzoo.structures import Batch
from cvzoo.weights.strict import load_state
from cvzoo.zoo.deeplabv3plus import weights as deeplabv3plus
from cvzoo.zoo.deeplabv3plus.model import DeepLabV3PlusConfig
from cvzoo.zoo.pspnet import weights as pspnet
from cvzoo.zoo.pspnet.model import PSPNetConfig

System = Literal["deeplabv3", "pspnet", "deeplabv3plus"]
CONFIGS: dict[System, DeepLabV3PlusConfig | PSPNetConfig] = {
    "deeplabv3": deeplabv3plus.TORCHVISION_V3,
    "pspnet": pspnet.MMSEGMENTATION,
    "deeplabv3plus": deeplabv3plus.MMSEGMENTATION,
}
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
"""ImageNet's, as torchvision's presets have them."""
MMSEG = "{0}/{0}_r50-d8_4xb2-40k_cityscapes-512x1024.py"
MMCV_OPS = ("point_sample", "sigmoid_focal_loss", "CrissCrossAttention", "PSAMask")
"""What mmsegmentation imports, and these networks do not call, of the extension that mmcv-lite has not."""


def main(
    system: tyro.conf.Positional[System],
    precision: Literal["fp32", "bf16"] = "fp32",
    rounds: int = 5,
    height: int = 512,
    width: int = 1024,
    device: Literal["cpu", "cuda"] = "cpu",
) -> None:
    run, on = Run(precision=precision, device=device), torch.device(device)
    batch = batch_of([sample((height, width))])
    opposites = normalize(torch.cat([batch.images, ~batch.images]) / 255, MEAN, STD)
    torch.manual_seed(0)
    theirs: dict[str, nn.Module] = {
        "torchvision": deeplabv3_resnet50(weights=None, weights_backbone=None, aux_loss=True)
    }
    if system != "deeplabv3":
        if find_spec("mmseg") is None:
            raise SystemExit(f"skipped: the peer of {system} is mmsegmentation, which cannot be imported")
        theirs["mmsegmentation"] = mmsegmentation(system)
    for name, model in theirs.items():
        spread_classes(model.get_submodule(CLASSIFIERS[name]), RUNS[name](calibrate(model, opposites), batch.images[0]))
    twin = list(theirs)[-1]
    ours = CONFIGS[system].build()
    state, _ = read_state(theirs[twin].state_dict(), Recipe(row="a row of none", model=CONFIGS[system]), twin)
    load_state(ours, state, twin)
    builders: dict[str, Callable[[], Callable[[], Tensor]]] = {"ours": lambda: our_side(ours, batch, run, on)}
    for name, model in theirs.items():
        builders[name] = partial(their_side, name, model, batch.images[0], run if device == "cuda" else FP32, on)
    sides, memory = built(builders, on)
    found, expected = sides["ours"](), sides[twin]()
    times = alternate(sides, rounds, device=on)
    figures = {f"{name}_{clock}_s": seconds for name, side in times.items() for clock, seconds in side.items()}
    for name in theirs:
        for clock in ("cpu", "wall"):
            figures[f"ratio_{name}_{clock}"] = times["ours"][clock] / times[name][clock]
    figures |= {"agree": (found == expected).float().mean().item(), "classes": len(expected.unique())}
    report(f"semantic_inference_{system}_{precision}", on, **figures, **memory, same_network=twin, size=[height, width])


def our_side(model: Model, batch: Batch, run: Run, device: torch.device) -> Callable[[], Tensor]:
    fast = for_inference(model, run).to(device)

    def label() -> Tensor:
        with autocast(run, device):
            return fast.predict(place(batch, run, device))[0].labels.cpu()

    return label


def their_side(name: str, model: nn.Module, image_3HW: Tensor, run: Run, device: torch.device) -> Callable[[], Tensor]:
    side = RUNS[name](model.to(device), image_3HW)

    def label() -> Tensor:
        with autocast(run, device):
            return side().cpu()

    return label


def calibrate(model: nn.Module, images_N3HW: Tensor) -> nn.Module:
    """In eval mode, with norms that standardise what they see in the images, as trained ones do.

    What a block adds to its shortcut is small: rounding would decide the classes of a chaotic network.
    """
    for name, module in model.named_modules():
        if isinstance(module, _BatchNorm):
            module.momentum = 1.0
            nn.init.constant_(module.weight, 0.1 if name.endswith("bn3") else 1.0)
    with torch.no_grad():
        model.train()(images_N3HW)
    return model.eval()


def spread_classes(classifier: nn.Module, run: Callable[[], Tensor]) -> None:
    """Logits of random weights with mean 0 and deviation 1 in each class, so that many classes win somewhere."""
    assert isinstance(classifier, nn.Conv2d)
    seen: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen.append(output)

    handle = classifier.register_forward_hook(keep)
    run()
    handle.remove()
    assert classifier.bias is not None
    deviation, mean = torch.std_mean(seen[0], dim=(0, 2, 3))
    classifier.weight.data /= deviation[:, None, None, None]
    classifier.bias.data.sub_(mean).div_(deviation)


def mmsegmentation(system: System) -> nn.Module:
    """mmsegmentation's network for Cityscapes with random weights."""
    stub = types.ModuleType("mmcv.ops")
    for name in MMCV_OPS:
        setattr(stub, name, None)
    sys.modules["mmcv.ops"] = stub
    models = import_module("mmseg.models")
    configs = Path(models.__file__ or "").parents[1] / ".mim/configs"
    config = import_module("mmengine.config").Config.fromfile(configs / MMSEG.format(system))
    config.model.pretrained = None
    import_module("mmengine.registry").init_default_scope("mmseg")
    return import_module("mmengine.model").revert_sync_batchnorm(models.build_segmentor(config.model))


def run_torchvision(model: nn.Module, image_3HW: Tensor) -> Callable[[], Tensor]:
    def run() -> Tensor:
        with torch.no_grad():
            x = normalize(image_3HW[None].to(next(model.parameters()).device) / 255, MEAN, STD)
            return model(x)["out"].argmax(1)[0]

    return run


def run_mmsegmentation(model: Any, image_3HW: Tensor) -> Callable[[], Tensor]:
    """Its preprocessor takes what OpenCV reads."""
    size = tuple(image_3HW.shape[1:])
    sample = import_module("mmseg.structures").SegDataSample(metainfo={"ori_shape": size, "img_shape": size})
    data = {"inputs": [image_3HW.flip(0).contiguous()], "data_samples": [sample]}

    def run() -> Tensor:
        with torch.no_grad():
            return model.test_step(data)[0].pred_sem_seg.data[0]

    return run


RUNS = {"torchvision": run_torchvision, "mmsegmentation": run_mmsegmentation}
CLASSIFIERS = {"torchvision": "classifier.4", "mmsegmentation": "decode_head.conv_seg"}

if __name__ == "__main__":
    tyro.cli(main)
