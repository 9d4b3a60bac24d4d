"""Training: one recipe from its first iteration, or its last checkpoint, to its row file.

Reading order: `train` says what happens, `learn` is the loop, `step` is one iteration.
"""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Generator
from contextlib import closing, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from cvzoo.data.build import build_datasets
from cvzoo.data.dataset import Dataset, identity
from cvzoo.data.loader import training_batches
from cvzoo.engine import dist
from cvzoo.engine.evaluate import Evaluator
from cvzoo.engine.finish import Result, finish
from cvzoo.engine.log import Log, say
from cvzoo.engine.measure import peak_memory_gb, reset_peak_memory
from cvzoo.engine.optim import lr_factor, peak_lr, set_lr
from cvzoo.engine.place import autocast, place, split
from cvzoo.engine.prepare import build_model, check_batch, check_classes, in_order_of_weights, open_run
from cvzoo.engine.state import State
from cvzoo.engine.stop import Interrupted, StopSignal, TrainingError, whole_workers
from cvzoo.ops.seeds import stream_seed
from cvzoo.recipes import Recipe
from cvzoo.structures import Batch
from cvzoo.tasks import task_of


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
        check_batch(recipe, dist.world())
        task_of(recipe).check(recipe)
        train_set, val_set = build_datasets(recipe.data)
        datasets = {"train": train_set, "val": val_set}
        recipe = replace(recipe, schedule=recipe.schedule.of_epochs(len(train_set)))
        loaded = build_model(recipe)
        model, recipe = loaded.model, loaded.recipe
        check_classes(recipe, datasets["train"])
        task_of(recipe).check_model(model, recipe)
        datasets = in_order_of_weights(loaded, datasets)
        state = State.begin(recipe, model, device, identity(datasets))
        folder = recipe.folder
        state.resume(recipe, folder, device)
        with open_run(recipe, folder, device):
            _introduce(recipe, state, datasets, folder, device)
            learn(recipe, state, datasets, folder, device)
            return finish(recipe, state, datasets, folder, device)


def _introduce(recipe: Recipe, state: State, datasets: dict[str, Dataset], folder: Path, device: torch.device) -> None:
    optim, schedule = recipe.optim, recipe.schedule
    processes = f"{dist.world()} x {device.type}, {recipe.run.precision}"
    say(f"{recipe.row}: iteration {state.iteration} of {schedule.iterations}, {processes}, {folder}")
    peak = peak_lr(optim, schedule)
    say(f"learning rate {peak:g} = {optim.lr:g} * batch {schedule.batch} / base batch {schedule.base_batch}")
    epochs = schedule.iterations * schedule.batch / len(datasets["train"])
    say(f"{epochs:.3g} epochs of {len(datasets['train'])} images")


def learn(recipe: Recipe, state: State, datasets: dict[str, Dataset], folder: Path, device: torch.device) -> None:
    """The loop: from `state.iteration` to the schedule's end."""
    schedule, run = recipe.schedule, recipe.run
    model = DistributedDataParallel(state.model) if dist.world() > 1 else state.model
    if run.compile:
        model.compile()
    reset_peak_memory(device)
    with (
        whole_workers(partial(_saved, recipe, state, folder)),
        StopSignal() as stop,
        Log(recipe, folder, state.iteration) as log,
        closing(_batches(datasets["train"], recipe, state.iteration, device)) as batches,
        closing(Evaluator(datasets["val"], recipe, device, folder)) as evaluate,
    ):
        clock = time.perf_counter()
        for batch in batches:
            waited = time.perf_counter() - clock
            losses, stopped = step(model, place(batch, run, device), state, recipe, stop.received)
            state.count(losses, time.perf_counter() - clock, waited)
            log.advance(state.iteration)

            last = state.iteration == schedule.iterations
            if last or state.iteration % run.log_every == 0:
                state.memory_gb = max(state.memory_gb, peak_memory_gb(device))
                log.write(state.line())
            if run.eval_every and state.iteration % run.eval_every == 0 and not last:
                state.memory_gb = max(state.memory_gb, peak_memory_gb(device))
                found = evaluate(state.result)
                reset_peak_memory(device)  # what an evaluation takes is no cost of training
                stats = found.figures.stats if found else {}  # the main process has them, which logs
                log.write({"iteration": state.iteration} | {f"val/{name}": value for name, value in stats.items()})
            if last or stopped or state.iteration % run.checkpoint_every == 0:
                state.save(recipe, folder)
            if stopped:
                say(f"stopped and saved at iteration {state.iteration}; the same command continues")
                raise Interrupted(stop.received or signal.SIGTERM)
            clock = time.perf_counter()


def _saved(recipe: Recipe, state: State, folder: Path) -> str:
    """Save what can be saved when a loader worker has died, and say what is."""
    if state.in_step or dist.world() > 1:  # others are not here to agree on it
        return "the last checkpoint is kept"
    state.save(recipe, folder)
    return f"the run is saved at iteration {state.iteration}"


def _batches(dataset: Dataset, recipe: Recipe, start: int, device: torch.device) -> Generator[Batch, None, None]:
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


def step(
    model: nn.Module, batch: Batch, state: State, recipe: Recipe, received: int = 0
) -> tuple[dict[str, float], bool]:
    """One optimiser step on this process's share of a batch.

    Returns: the losses, averaged over the processes, and whether any of them has `received` a signal.
    """
    state.in_step = True
    # The same random numbers on every process and after a resume, without keeping random states.
    torch.manual_seed(stream_seed(recipe.run.seed, state.iteration + 1))
    set_lr(state.optimiser, lr_factor(recipe.schedule, state.iteration))
    losses = _backward(model, batch, state.scaler, recipe)
    state.scaler.unscale_(state.optimiser)
    parameters = state.parameters()
    norm = get_total_norm([parameter.grad for parameter in parameters if parameter.grad is not None])
    # One transfer and one collective per step carry all that the processes must agree on. The wait for the device costs
    # nothing to speak of: detection losses wait for it too, when they pick the positive anchors.
    numbers = dist.mean(torch.stack([*losses.values(), norm, torch.full_like(norm, received)])).tolist()
    values = dict(zip(losses, numbers))
    if not _usable(values, numbers[-2], state.scaler):
        raise TrainingError(_non_finite(values, losses, batch, state.iteration))
    if recipe.optim.clip_norm:
        clip_grads_with_norm_(parameters, recipe.optim.clip_norm, norm)
    state.scaler.step(state.optimiser)
    state.scaler.update()
    state.optimiser.zero_grad()
    if state.ema:
        state.ema.update(state.model, state.iteration)
    state.iteration += 1
    state.in_step = False
    return values, numbers[-1] > 0


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


def _usable(losses: dict[str, float], gradient_norm: float, scaler: torch.amp.GradScaler) -> bool:
    """Whether a step may be taken. An overflowing fp16 gradient is the scaler's business: it skips the step."""
    return math.isfinite(losses["loss"]) and (scaler.is_enabled() or math.isfinite(gradient_norm))


def _non_finite(means: dict[str, float], losses: dict[str, Tensor], batch: Batch, iteration: int) -> str:
    """Why the run stops, with the images of the process where it happened. Every process calls this."""
    here = [name for name, loss in losses.items() if not loss.isfinite()]
    image_ids = [i for part in dist.gather(batch.image_ids if here else []) for i in part]
    names = ", ".join(name for name, value in means.items() if not math.isfinite(value) and name != "loss")
    return (
        f"training stopped at iteration {iteration}: {names or 'the gradient'} is not finite"
        f" (image ids {', '.join(map(str, image_ids or batch.image_ids))}). The last good checkpoint is kept."
        " Lower --optim.lr, lengthen --schedule.warmup-iterations, set --optim.clip-norm, or check these images with"
        " `cvzoo data check`"
    )
