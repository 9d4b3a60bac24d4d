"""Training: one recipe from its first iteration, or its last checkpoint, to its row file.

Reading order: `train` says what happens, `learn` is the loop, `step` is one iteration.
"""

from __future__ import annotations

import inspect
import signal
import time
from collections.abc import Generator
from contextlib import closing, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from cvzoo.data.build import build_datasets
from cvzoo.data.dataset import Dataset, identity
from cvzoo.data.loader import check_transform, training_batches
from cvzoo.engine import dist
from cvzoo.engine.best import check_figure, exhausted, keep_best
from cvzoo.engine.evaluate import Evaluator
from cvzoo.engine.finish import Result, finish
from cvzoo.engine.log import Log, say
from cvzoo.engine.measure import peak_memory_gb, reset_peak_memory
from cvzoo.engine.optim import lr_factor, peak_lr, set_lr
from cvzoo.engine.place import autocast, compiled, place, split
from cvzoo.engine.prepare import (
    build_model,
    check_batch,
    for_images,
    in_order_of_weights,
    open_run,
    with_classes,
    with_parts,
)
from cvzoo.engine.state import State
from cvzoo.engine.stop import Interrupted, StopSignal, undisturbed, whole_workers
from cvzoo.engine.unread import Step
from cvzoo.loading import Loaded
from cvzoo.ops.seeds import stream_seed
from cvzoo.recipes import Recipe
from cvzoo.structures import Batch
from cvzoo.tasks import task_of

_RENAMED = "forward_sync_buffers" in inspect.signature(DistributedDataParallel).parameters
OWN_BUFFERS: dict[str, Any] = {"forward_sync_buffers" if _RENAMED else "broadcast_buffers": False}
"""torch 2.14 warns of the name that 2.11 knows."""


def train(recipe: Recipe) -> Result:
    """Train `recipe`, evaluate what came out and write the run folder and the row file.

    Continues by itself where the run folder `run.out/row` holds a checkpoint of the same recipe, on a CPU with the same
    losses and weights, bit for bit, as if it had not stopped. Under torchrun or srun every process calls this.

    Raises:
        ValueError: recipe and data do not fit, or the folder belongs to another recipe; nothing has been written then.
        TrainingError: a loss is no longer finite, or the disk is full; the last good checkpoint is kept.
        Interrupted: SIGTERM or SIGINT came; the run has saved.
    """
    with dist.joined(recipe.run) as device:
        loaded, datasets = ready(recipe)
        recipe = loaded.recipe
        state = State.begin(recipe, loaded.model, device, identity(datasets), loaded.kept)
        folder = recipe.folder
        recipe = state.resume(recipe, folder, device)
        with open_run(recipe, folder, device):
            _introduce(recipe, state, datasets, folder, device)
            with Log(recipe, folder, state.iteration) as log:
                if not exhausted(recipe, state):
                    learn(recipe, state, datasets, folder, device, log)
                return finish(recipe, state, datasets, folder, device, log)


def ready(recipe: Recipe) -> tuple[Loaded, dict[str, Dataset]]:
    """The model to train, with the recipe as data and weights complete it, and the splits. ValueError as of `train`."""
    check_batch(recipe, dist.world())
    task_of(recipe).check(recipe)
    check_figure(recipe)
    recipe = with_parts(recipe)
    train_set, val_set = build_datasets(recipe.data)
    check_transform(train_set, recipe.data, recipe.run.seed)
    if recipe.run.val_loss and len(val_set) < dist.world():
        raise ValueError(
            f"{len(val_set)} validation images are too few for {dist.world()} processes; leave val-loss out"
        )
    recipe = with_classes(for_images(recipe, len(train_set)), train_set)
    loaded = build_model(recipe, train_set)
    task_of(recipe).check_model(loaded.model, loaded.recipe)
    if loaded.model.predicts_masks and not recipe.data.reads_masks:
        raise ValueError(
            f"{recipe.row} learns masks, which --data.no-masks keeps from it; leave that out, or, of objects without"
            " outlines, train a row that finds boxes alone (`cvzoo list --task detection`)"
        )
    return loaded, in_order_of_weights(loaded, {"train": train_set, "val": val_set})


def _introduce(recipe: Recipe, state: State, datasets: dict[str, Dataset], folder: Path, device: torch.device) -> None:
    optim, schedule = recipe.optim, recipe.schedule
    processes = f"{dist.world()} x {device.type}, {recipe.run.precision}"
    say(f"{recipe.row}: iteration {state.iteration} of {schedule.iterations}, {processes}, {folder}")
    peak = peak_lr(optim, schedule)
    say(f"learning rate {peak:g} = {optim.lr:g} * batch {schedule.batch} / base batch {schedule.base_batch}")
    epochs = schedule.iterations * schedule.batch / len(datasets["train"])
    say(f"{epochs:.3g} epochs of {len(datasets['train'])} images")


def learn(
    recipe: Recipe, state: State, datasets: dict[str, Dataset], folder: Path, device: torch.device, log: Log
) -> None:
    """The loop: from `state.iteration` to the schedule's end, or to where the recipe's patience is at its own."""
    run, look_every = recipe.run, looks(recipe, device)
    model = _trained(state.model, recipe)
    reset_peak_memory(device)
    with (
        whole_workers(partial(_saved, recipe, state, folder)),
        StopSignal() as stop,
        closing(batches_of(datasets["train"], recipe, state.iteration, device)) as batches,
        closing(Evaluator(datasets["val"], recipe, device, folder)) as evaluate,
    ):
        state.unread.start()
        clock = time.perf_counter()
        for batch in batches:
            state.unread.waited += time.perf_counter() - clock
            with undisturbed():  # half a step is no state to save
                step(model, place(batch, run, device), state, recipe, stop.received)
            log.advance(state.iteration)
            due = _due(recipe, state.iteration)
            alone = stop.received and dist.world() == 1  # several processes must look after the same step
            looked = any(due) or alone or state.iteration % look_every == 0
            stopped = looked and state.read()
            if any(due):
                state.memory_gb = max(state.memory_gb, peak_memory_gb(device))
            if due.logs:
                log.write(state.line())
            if due.evaluates:
                found, losses = evaluate(state.result), evaluate.losses(state.result)
                figures = log.evaluation(state.iteration, found, datasets["val"], losses)
                keep_best(recipe, state, figures, folder)
                reset_peak_memory(device)  # what an evaluation takes is no cost of training
            if due.saves or stopped:
                state.save(recipe, folder)
            if stopped:
                say(f"stopped and saved at iteration {state.iteration}; the same command continues")
                raise Interrupted(stop.received or signal.SIGTERM)
            if due.evaluates and exhausted(recipe, state):
                say(f"training ends at iteration {state.iteration}: {run.patience} evaluations found nothing better")
                break
            state.unread.start()
            clock = time.perf_counter()


def _trained(model: nn.Module, recipe: Recipe) -> nn.Module:
    """The model as the loop calls it."""
    model = compiled(model, recipe.run)
    if dist.world() > 1:  # every process keeps its own buffers; those of the first one are saved
        model = DistributedDataParallel(model, **OWN_BUFFERS, gradient_as_bucket_view=True)
    return model


class Due(NamedTuple):
    """What comes after an iteration."""

    logs: bool
    saves: bool
    evaluates: bool


def _due(recipe: Recipe, iteration: int) -> Due:
    run, last = recipe.run, iteration == recipe.schedule.iterations
    evaluates = bool(run.eval_every) and iteration % run.eval_every == 0 and not last  # `finish` does after the last
    return Due(last or iteration % run.log_every == 0, last or iteration % run.checkpoint_every == 0, evaluates)


def looks(recipe: Recipe, device: torch.device) -> int:
    """After how many steps the program asks what came of them: where asking costs nothing, after each."""
    waits = device.type == "cuda" and recipe.run.precision != "fp16"  # fp16's scaler waits in any case
    return recipe.run.log_every if waits else 1


def _saved(recipe: Recipe, state: State, folder: Path) -> str:
    """Save what can be saved when a loader worker has died, and say what is."""
    if dist.world() > 1:  # others are not here to agree on it
        return "the last checkpoint is kept"
    state.read()
    state.save(recipe, folder)
    return f"the run is saved at iteration {state.iteration}"


def batches_of(dataset: Dataset, recipe: Recipe, start: int, device: torch.device) -> Generator[Batch, None, None]:
    return training_batches(
        dataset,
        recipe.data,
        batch=recipe.schedule.batch,
        seed=recipe.run.seed,
        start_step=start,
        steps=recipe.schedule.iterations,
        rank=dist.rank(),
        world=dist.world(),
        pin=device.type == "cuda",
    )


def step(model: nn.Module, batch: Batch, state: State, recipe: Recipe, received: int = 0) -> None:
    """One optimiser step on this process's share of a batch; what came of it, `state.read()` tells.

    `received` is the signal that this process has got. A step that cannot be used, and those after it, change nothing.
    """
    # The same random numbers on every process and after a resume, without keeping random states.
    torch.manual_seed(stream_seed(recipe.run.seed, state.iteration + 1))
    set_lr(state.optimiser, lr_factor(recipe.schedule, state.iteration))
    losses = _backward(model, batch, state.scaler, recipe)
    state.scaler.unscale_(state.optimiser)
    parameters = state.parameters()
    norm = get_total_norm([parameter.grad for parameter in parameters if parameter.grad is not None])
    # one collective per step carries all that the processes must agree on
    numbers = dist.mean(torch.stack([*losses.values(), norm, torch.full_like(norm, received)]))
    state.unread.add(Step(state.iteration, losses, numbers, batch.image_ids))
    if recipe.optim.clip_norm:
        clip_grads_with_norm_(parameters, recipe.optim.clip_norm, norm)
    state.optimiser.found_inf = state.unread.bad  # pyright: ignore[reportAttributeAccessIssue] # as torch's scaler does
    state.scaler.step(state.optimiser)
    state.scaler.update()
    state.optimiser.zero_grad()
    if state.ema:
        state.ema.update(state.model, state.iteration)
    state.iteration += 1


def _backward(model: nn.Module, batch: Batch, scaler: torch.amp.GradScaler, recipe: Recipe) -> dict[str, Tensor]:
    """Add up the gradients of the batch's parts; returns the detached losses with their sum, `loss`.

    With `accumulate` k the loss is the mean of the parts' losses. It equals the whole batch's loss where a loss is a
    mean over images; one that is normalised by its positives is normalised within each part.
    """
    parts = split(batch, recipe.schedule.accumulate)
    sums: dict[str, Tensor] = {}
    for number, part in enumerate(parts, start=1):
        # DDP averages the gradients over the processes once, with the last part.
        wait = isinstance(model, DistributedDataParallel) and number < len(parts)
        with model.no_sync() if wait else nullcontext():  # pyright: ignore[reportCallIssue]
            with autocast(recipe.run, batch.images.device):
                losses: dict[str, Tensor] = model(part)
            losses = {name: loss.float() / len(parts) for name, loss in losses.items()}
            losses["loss"] = torch.stack(list(losses.values())).sum()
            scaler.scale(losses["loss"]).backward()
        for name, loss in losses.items():
            sums[name] = sums.get(name, 0) + loss.detach()
    return sums
