"""What a row costs on this machine: memory, seconds, throughput, share of the peak. Needs no data set.

The images are drawn at the recipe's size. Inference is that of an image with as many detections as the row may make;
`--weights` measures it with trained weights, on which it depends how many boxes NMS has to look through.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from cvzoo.data.config import Data
from cvzoo.data.shapes import draw_for
from cvzoo.engine import dist
from cvzoo.engine.log import say
from cvzoo.engine.measure import (
    machine,
    median_seconds,
    parameters_m,
    peak_memory_gb,
    precision,
    reset_peak_memory,
)
from cvzoo.engine.place import DTYPES, autocast, compiled, for_inference, laid_out, place
from cvzoo.engine.prepare import build_model
from cvzoo.engine.profile import Profile, profiled
from cvzoo.engine.state import State
from cvzoo.engine.train import step
from cvzoo.nn.layers import FixedBatchNorm2d
from cvzoo.nn.model import Model
from cvzoo.recipes import Recipe
from cvzoo.recipes.codec import changes
from cvzoo.results.row_files import load_rows, update_row
from cvzoo.structures import Batch, Size
from cvzoo.tasks.limits import Limits, with_limits
from cvzoo.zoo import ROWS

Cost = dict[str, float | str | None]
NO_LR = 1e-50
"""A learning rate, above 0 as a recipe's must be, that is 0 in float32. One that is not makes numbers of weights that
start from 0, such as a context block's, with which a CPU takes five times as long: denormal ones."""


class Measured(NamedTuple):
    """What a row costs."""

    cost: Cost
    row_file: Path | None
    """None of an exported file, which is no row."""
    profiles: dict[str, Profile]
    """What a training step and the inference of an image are made of, if it was asked for or the device is a GPU."""


THROUGHPUT_BATCHES = (1, 2, 4, 8)
WORTH = 1.02
"""What a larger batch must gain in images/s for a still larger one to be tried: minutes on a CPU for the deep rows."""


def bench(recipe: Recipe, iterations: int | None = None, batch: int = 2, profile: bool = False) -> Measured:
    """Measure `recipe` in this process and update its row file.

    Training figures of a real run on this machine, which include the loading of data, stay in the file: only where
    there are none do those measured here stand in for them. Of an exported file, what inference costs.

    Args:
        iterations: timed iterations of each measurement; None is 50 on CUDA and 5 on the CPU.
        batch: images per training iteration. 2 per GPU is what the reference tables state.
        profile: also on a CPU tell what a step is made of.
    """
    device = dist.device_of(recipe.run)
    on_gpu = device.type == "cuda"
    iterations = iterations or (50 if on_gpu else 5)
    warmup = 10 if on_gpu else 2
    # Backbone weights do not change the speed; nothing needs to be downloaded for them.
    model, built, *_ = build_model(replace(recipe, backbone_weights=None))
    recipe = replace(built, backbone_weights=recipe.backbone_weights)
    if model.fixed:
        return Measured({**_rates(recipe, model, device, warmup, iterations)}, None, {})
    cost: Cost = {"precision": precision(recipe.run, device), "params_m": parameters_m(model)}
    image = _drawn(recipe, image_size(recipe.data), 1, seed=0)
    if recipe.weights is None:
        settle(laid_out(model, recipe.run, device), place(image, recipe.run, device))
    say("training step ...")
    iterate = _iterations(recipe, model, batch, device)
    training = _training(iterate, batch, device, warmup, iterations)
    profiles = {"train": profiled(iterate, device)} if profile or on_gpu else {}
    say("inference ...")
    # No score is too low: what it costs must not depend on what these weights happen to find, such as nothing.
    fast = with_limits(for_inference(model, recipe.run), Limits(conf=0.0), recipe.row)
    inference = _inference(recipe, fast, image, device, warmup, iterations)
    if profile or on_gpu:
        profiles["inf"] = profiled(partial(_predict, recipe, fast, image, device), device)
    if on_gpu and profiles["train"].total:  # not every machine lets its kernels be watched
        training["train_host_share"] = profiles["train"].host_share(training["train_s_per_iter"])
        inference["inf_host_share"] = profiles["inf"].host_share(inference["inf_s_per_im"])
    cost |= inference
    here = machine(device)
    stored = cost if _trained_here(recipe, here["machine"]) else {**training} | cost
    return Measured({**training} | cost, update_row(recipe, **here, cost=stored), profiles)


def settle(model: Model, batch: Batch) -> None:
    """Give each norm of the body that is held fixed the statistics of what it sees, as trained weights have them.

    With those that it starts from, activations of random weights grow from block to block, in ResNet-101 ten thousand
    times: boxes leave the image, and there is nothing to find.
    """

    def see(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(norm, FixedBatchNorm2d)
        var_C, mean_C = torch.var_mean(inputs[0], dim=(0, 2, 3))
        norm.running_mean.copy_(mean_C)
        norm.running_var.copy_(var_C)

    norms = [norm for norm in model.backbone.modules() if isinstance(norm, FixedBatchNorm2d)]
    hooks = [norm.register_forward_pre_hook(see) for norm in norms]
    with torch.no_grad():
        model.backbone(model.config.pixels(batch.images, batch.sizes))
    for hook in hooks:
        hook.remove()


def _iterations(recipe: Recipe, model: Model, batch: int, device: torch.device) -> Callable[[], None]:
    """Whole optimiser steps, without loading data, that learn nothing: random weights would diverge within a few, and
    steps that meet infinities, or find no object any more, cost something else.
    """
    recipe = replace(recipe, optim=replace(recipe.optim, lr=NO_LR))
    state = State.begin(recipe, model, device)
    trained = compiled(state.model, recipe.run)
    size = recipe.data.crop or image_size(recipe.data)
    batches = cycle([_drawn(recipe, size, batch, seed) for seed in range(4)])

    def iterate() -> None:
        step(trained, place(next(batches), recipe.run, device), state, recipe)

    return iterate


def _training(
    iterate: Callable[[], None], batch: int, device: torch.device, warmup: int, iterations: int
) -> dict[str, float]:
    """Their seconds and memory."""
    reset_peak_memory(device)
    seconds = median_seconds(iterate, device, warmup=warmup, iterations=iterations)
    return {"train_batch": batch, "train_s_per_iter": seconds, "mem_gb": peak_memory_gb(device)}


def _inference(
    recipe: Recipe, model: Model, image: Batch, device: torch.device, warmup: int, iterations: int
) -> dict[str, float]:
    """Seconds at batch 1, images/s at the best batch, FLOPs."""
    with FlopCounterMode(display=False) as counter:
        _predict(recipe, model, image, device)
    gflops = counter.get_total_flops() / 1e9
    model = compiled(model, recipe.run)
    rates = _rates(recipe, model, device, warmup, iterations)
    share = gflops * 1e9 * rates["throughput"] / _peak_flops(recipe, device)
    return {**rates, "gflops": gflops, "peak_share": share}


def _predict(recipe: Recipe, model: Model, batch: Batch, device: torch.device) -> None:
    """From decoded images to predictions on the CPU."""
    with autocast(recipe.run, device):
        for prediction in model.predict(place(batch, recipe.run, device)):
            prediction.to("cpu")


def _rates(recipe: Recipe, model: Model, device: torch.device, warmup: int, iterations: int) -> dict[str, float]:
    canvas = image_size(recipe.data)
    rates: list[float] = []
    for size in THROUGHPUT_BATCHES:
        images = _drawn(recipe, canvas, size, seed=0)
        try:
            seconds = median_seconds(
                lambda: _predict(recipe, model, images, device),  # noqa: B023
                device,
                warmup=warmup,
                iterations=iterations,
            )
        except torch.OutOfMemoryError:
            break
        rates.append(size / seconds)
        if len(rates) > 1 and rates[-1] < WORTH * rates[-2]:
            break
    best = max(rates)
    return {
        "inf_s_per_im": 1 / rates[0],
        "throughput": best,
        "throughput_batch": THROUGHPUT_BATCHES[rates.index(best)],
    }


def _peak_flops(recipe: Recipe, device: torch.device) -> float:
    """FLOP/s of a large square matrix product or a large 3x3 convolution in the recipe's precision, a multiply-add
    counted as two: of the faster one, since on some CPUs convolutions reach twice the speed of matrix products.
    """
    side, channels, cells = (8192, 256, 512) if device.type == "cuda" else (2048, 256, 96)
    options: dict[str, Any] = {"device": device, "dtype": DTYPES[recipe.run.precision]}
    a = torch.randn(side, side, **options)
    x = torch.randn(1, channels, cells, cells, **options).to(memory_format=torch.channels_last)
    kernel = torch.randn(channels, channels, 3, 3, **options)
    before = torch.get_float32_matmul_precision()
    # Convolutions use TF32 by default on CUDA, matrix products do not: compare like with like.
    torch.set_float32_matmul_precision("high" if torch.backends.cudnn.allow_tf32 else "highest")
    product = median_seconds(lambda: a @ a, device, warmup=2, iterations=5)
    convolution = median_seconds(lambda: F.conv2d(x, kernel, padding=1), device, warmup=2, iterations=5)
    torch.set_float32_matmul_precision(before)
    return max(2 * side**3 / product, 2 * 9 * channels**2 * cells**2 / convolution)


def image_size(data: Data) -> Size:
    """The largest image a recipe evaluates, landscape, twice as wide as high at most: 800 x 1333 for COCO's usual
    setting, 1024 x 2048 for Cityscapes.
    """
    return data.canvas or (data.test_short_side, min(data.max_long_side, 2 * data.test_short_side))


def _drawn(recipe: Recipe, size: Size, count: int, seed: int) -> Batch:
    samples = [draw_for(recipe.data, size, objects=8, seed=seed * count + i) for i in range(count)]
    for number, sample in enumerate(samples):
        sample.image_id = number
        sample.original_size = sample.size
        sample.target.labels %= recipe.model.num_classes
    return Batch.collate(samples)


def _trained_here(recipe: Recipe, name: str) -> bool:
    """Whether a run of this recipe on this machine has recorded what its training cost."""
    different = changes(recipe, ROWS[recipe.row].recipe())
    files = [file for file in load_rows() if (file.row, file.machine, file.changes) == (recipe.row, name, different)]
    return any(file.log for file in files)
