"""The recipe of a row: everything that decides its result, frozen and fully resolved. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, Protocol, TypeVar

from cvzoo.data.config import Data

if TYPE_CHECKING:
    from cvzoo.nn.model import Model
    from cvzoo.structures import AnswerKind


class ModelConfig(Protocol):
    """Hyper-parameters of a system; lives beside its model class."""

    answer: ClassVar[AnswerKind]

    @property
    def num_classes(self) -> int: ...
    @property
    def backbone(self) -> Any: ...

    def build(self) -> Model:
        """A freshly initialised model of this configuration."""
        ...


Config = TypeVar("Config", bound=ModelConfig)


@dataclass(frozen=True, kw_only=True)
class Optim:
    """The optimiser. Frozen parameters are left out; norm layers have their own weight decay."""

    name: Literal["sgd", "adamw"] = "sgd"
    """`sgd` has momentum 0.9, no Nesterov."""
    lr: float = 0.02
    """Peak learning rate for `schedule.base_batch` images per step; scaled linearly with the real batch."""
    weight_decay: float = 1e-4
    """Weight decay of all weights and biases but those of norm layers."""
    norm_weight_decay: float = 0.0
    """Weight decay of the weights and biases of norm layers."""
    backbone_lr_factor: float = 1.0
    """Learning rate of the backbone relative to the rest."""
    clip_norm: float | None = None
    """Clip the gradient's 2-norm to this; None does not clip."""
    ema_decay: float | None = None
    """Evaluate an exponential moving average of the weights with this decay; None evaluates the weights themselves."""

    def __post_init__(self) -> None:
        if self.lr <= 0:
            raise ValueError(f"optim.lr must be positive, not {self.lr}")
        if self.ema_decay is not None and not 0 < self.ema_decay < 1:
            raise ValueError(f"optim.ema-decay must lie between 0 and 1, not {self.ema_decay}")


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How long, in which batches, and how the learning rate moves. Iterations are optimiser steps."""

    iterations: int = 90_000
    """Optimiser steps of the whole run."""
    batch: int = 16
    """Images per optimiser step, over all processes."""
    base_batch: int = 16
    """The batch that `optim.lr` is meant for."""
    policy: Literal["step", "cosine", "poly"] = "step"
    """`step`: times `gamma` at each milestone. `cosine`: half a cosine down to 0 after the warm-up. `poly`: what is
    left of the run, to the power of 0.9, down to `floor`."""
    milestones: tuple[int, ...] = (60_000, 80_000)
    """Policy `step`: iterations at which the learning rate drops."""
    gamma: float = 0.1
    """Policy `step`: the factor of a drop."""
    floor: float = 0.0
    """Policy `poly`: the share of the peak learning rate that the run ends with."""
    warmup_iterations: int = 1000
    """Iterations over which the learning rate rises linearly to its peak."""
    warmup_factor: float = 0.001
    """Share of its peak that the learning rate rises from."""
    accumulate: int = 1
    """Split each step's batch into this many forward and backward passes, to save memory."""

    def __post_init__(self) -> None:
        problems = []
        if self.iterations < 1:
            problems.append(f"schedule.iterations must be 1 or more, not {self.iterations}")
        if self.batch < 1 or self.base_batch < 1:
            problems.append("schedule.batch and schedule.base-batch must be 1 or more")
        if self.accumulate < 1 or self.batch % self.accumulate:
            problems.append(f"schedule.batch {self.batch} must be a multiple of schedule.accumulate {self.accumulate}")
        if list(self.milestones) != sorted(self.milestones):
            problems.append(f"schedule.milestones must rise, not {self.milestones}")
        if problems:
            raise ValueError("; ".join(problems))


@dataclass(frozen=True, kw_only=True)
class Run:
    """Where and how a run is carried out; nothing here should change what is learnt."""

    out: Path = Path("runs")
    """The run folder is `out/<row>`."""
    seed: int = 0
    """Seeds weights, order of images and augmentation."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto` takes CUDA where there is one."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Autocast precision; fp16 scales the loss."""
    channels_last: bool | None = None
    """Memory layout of images and convolutions in training. None: on CUDA and on CPUs with AVX-512, where it saves 7
    to 9 % of a step; on older CPUs ordinary convolutions train slower that way, but depthwise ones faster."""
    compile: bool = False
    """Run the model through torch.compile."""
    log_every: int = 20
    """Iterations between two lines of metrics.jsonl."""
    checkpoint_every: int = 5000
    """Iterations between two checkpoints."""
    eval_every: int = 0
    """Iterations between two evaluations during training; 0 evaluates at the end only."""
    wandb: bool = False
    """Log to Weights & Biases too (needs the extra `wandb`)."""


@dataclass(frozen=True, kw_only=True)
class Recipe(Generic[Config]):
    """One row of the zoo, resolved: `cvzoo train` runs it, `cvzoo show` prints it, every result stores it."""

    row: str
    """Name of the row, the same everywhere."""
    model: Config
    """Hyper-parameters of the system."""
    backbone_weights: str | None = None
    """Start the backbone from these: `imagenet` (torchvision's or timm's store), a file or a folder; None is random."""
    weights: str | None = None
    """Start the whole model from these: a published name (torchvision, detectron2 ...) or a path."""
    data: Data = field(default_factory=Data)
    """What it is trained and evaluated on, and how images are resized and varied."""
    optim: Optim = field(default_factory=Optim)
    """How a gradient changes the weights."""
    schedule: Schedule = field(default_factory=Schedule)
    """How long it is trained, and how the learning rate goes."""
    run: Run = field(default_factory=Run)
    """Where and how a run is carried out."""
