"""The recipe of a row: everything that decides its result, frozen and fully resolved. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Generic, Literal, Protocol, TypeVar

from cvzoo.data.config import Data
from cvzoo.fields import Count, Fraction, Natural, Needs, NotNegative, Positive, Range, Share, recipe_problems

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
Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["fp32", "bf16", "fp16"]


@dataclass(frozen=True, kw_only=True)
class Optim:
    """The optimiser. Frozen parameters are left out; norm layers have their own weight decay."""

    name: Literal["sgd", "adamw"] = "sgd"
    """`sgd` has momentum 0.9, no Nesterov."""
    lr: Positive = 0.02
    """Peak learning rate for `schedule.base_batch` images per step; scaled linearly with the real batch."""
    weight_decay: NotNegative = 1e-4
    """Weight decay of all weights and biases but those of norm layers."""
    norm_weight_decay: NotNegative = 0.0
    """Weight decay of the weights and biases of norm layers."""
    backbone_lr_factor: NotNegative = 1.0
    """Learning rate of the backbone relative to the rest."""
    layer_decay: Annotated[float, Range(0, 1, above=True)] = 1.0
    """Learning rate of each block of the backbone relative to the next one, of the last one to the rest of the model,
    and of the stem to the first block: blocks near the image change least. 1 treats all alike."""
    kept_lr_factor: Annotated[NotNegative, Needs("weights")] = 1.0
    """Learning rate of what comes from `weights` relative to the outputs that begin anew for other classes."""
    freeze: tuple[Literal["backbone", "neck"], ...] = ()
    """Parts that stay as they are: their weights, and the statistics of their norms."""
    clip_norm: Positive | None = None
    """Clip the gradient's 2-norm to this; None does not clip."""
    ema_decay: Fraction | None = None
    """Evaluate an exponential moving average of the weights with this decay; None evaluates the weights themselves."""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How long, in which batches, and how the learning rate moves. Iterations are optimiser steps."""

    iterations: Count = 90_000
    """Optimiser steps of the whole run."""
    epochs: Positive | None = None
    """Train for so many epochs of the training images instead; iterations and milestones are scaled to them."""
    batch: Count = 16
    """Images per optimiser step, over all processes."""
    base_batch: Count = 16
    """The batch that `optim.lr` is meant for."""
    policy: Literal["step", "cosine", "poly"] = "step"
    """`step`: times `gamma` at each milestone. `cosine`: half a cosine down to 0 after the warm-up. `poly`: what is
    left of the run, to the power of 0.9, down to `floor`."""
    milestones: Annotated[tuple[Natural, ...], Needs("policy=step")] = (60_000, 80_000)
    """Policy `step`: iterations at which the learning rate drops."""
    gamma: Annotated[Positive, Needs("policy=step")] = 0.1
    """Policy `step`: the factor of a drop."""
    floor: Annotated[Share, Needs("policy=poly")] = 0.0
    """Policy `poly`: the share of the peak learning rate that the run ends with."""
    extended_from: Annotated[tuple[Count, ...], Needs("policy=cosine", "policy=poly")] = ()
    """Policies `cosine` and `poly`: lengths in iterations that the run had before it was extended. Up to each of them
    the learning rate goes as in a run of that length, from the last one on as in one of all iterations."""
    warmup_iterations: Natural = 1000
    """Iterations over which the learning rate rises linearly to its peak."""
    warmup_factor: Share = 0.001
    """Share of its peak that the learning rate rises from."""
    accumulate: Count = 1
    """Split each step's batch into this many forward and backward passes, to save memory."""

    def __post_init__(self) -> None:
        problems = recipe_problems(self, "schedule.")
        if not problems and self.batch % self.accumulate:
            problems.append(f"schedule.batch {self.batch} must be a multiple of schedule.accumulate {self.accumulate}")
        if not problems and list(self.milestones) != sorted(self.milestones):
            problems.append(f"schedule.milestones must rise, not {self.milestones}")
        lengths = [*self.extended_from, self.iterations]
        if not problems and lengths != sorted(set(lengths)):
            problems.append(f"schedule.extended-from must rise and stay below the iterations, not {lengths}")
        if problems:
            raise ValueError("; ".join(problems))

    def stretched(self, factor: float) -> Schedule:
        """So many times as long, the drops of the learning rate at the same shares of it."""
        iterations = max(round(self.iterations * factor), 1)
        milestones = self.milestones
        if self.policy == "step":  # others do not look at them
            milestones = tuple(round(milestone * factor) for milestone in milestones)
        return replace(self, iterations=iterations, milestones=milestones)

    def of_epochs(self, images: int) -> Schedule:
        """With the iterations that `epochs`, if they are asked for, take of so many images."""
        if self.epochs is None:
            return self
        return self.stretched(self.epochs * images / self.batch / self.iterations)


@dataclass(frozen=True, kw_only=True)
class Run:
    """Where and how a run is carried out; apart from seed and patience nothing here should change what is learnt."""

    out: Path = Path("runs")
    """The run folder is `out/<row>`, or `out/<name>`."""
    name: str = ""
    """Name of the run folder; without, the row's."""
    seed: Annotated[int, Range(0, 2**32, below=True)] = 0
    """Seeds weights, order of images and augmentation."""
    device: Device = "auto"
    """`auto` takes CUDA where there is one."""
    precision: Precision = "fp32"
    """Autocast precision; fp16 scales the loss."""
    channels_last: bool | None = None
    """Memory layout of images and convolutions in training. None: on CUDA and on CPUs with AVX-512, where it saves 7
    to 9 % of a step; on older CPUs ordinary convolutions train slower that way, but depthwise ones faster."""
    compile: bool = False
    """Compile body, neck and heads with torch.compile, in training, evaluation and prediction: slower to start."""
    cuda_graphs: bool = False
    """At inference replay what body, neck and head launch on a GPU as CUDA graphs, one for each of the first 8 sizes of
    canvas and batch: faster for few images at a time, and more memory."""
    checkpoint_activations: bool = False
    """Keep no activations inside the blocks of the backbone for the backward pass, which computes them again: less
    memory, more time, the same gradients."""
    log_every: Count = 20
    """Iterations between two lines of metrics.jsonl. On a GPU the program asks for the losses no more often, so that a
    run whose loss is no longer finite stops so much later, with the weights from before."""
    checkpoint_every: Count = 5000
    """Iterations between two checkpoints."""
    eval_every: Natural = 0
    """Iterations between two evaluations during training; 0 evaluates at the end only."""
    val_loss: bool = False
    """Measure the loss on the validation split too, at each evaluation during training and at the end."""
    keep_best: str = ""
    """Keep the weights of the best evaluation by this figure (box_AP, mask_AP, mIoU ...) as best.safetensors too."""
    patience: Natural = 0
    """End the training after so many evaluations in a row without a better figure of `keep-best`; 0 never does."""
    wandb: bool = False
    """Log to Weights & Biases too (needs the extra `wandb`)."""

    def __post_init__(self) -> None:
        problems = recipe_problems(self, "run.")
        if self.compile and self.checkpoint_activations:
            problems.append("run.checkpoint-activations does not go with run.compile; leave one of them out")
        if self.compile and self.cuda_graphs:
            problems.append("run.cuda-graphs does not go with run.compile; leave one of them out")
        if self.keep_best and not self.eval_every:
            problems.append("run.keep-best needs evaluations during the training; set --run.eval-every")
        if self.patience and not self.keep_best:
            problems.append("run.patience counts from the best evaluation; say by which figure with --run.keep-best")
        if problems:
            raise ValueError("; ".join(problems))


@dataclass(frozen=True, kw_only=True)
class Recipe(Generic[Config]):
    """One row of the zoo, resolved: `cvzoo train` runs it, `cvzoo show` prints it, every result stores it."""

    row: str
    """Name of the row, the same everywhere."""
    model: Config
    """Hyper-parameters of the system."""
    backbone_weights: Annotated[str | None, Needs("weights=None")] = None
    """Start the backbone from these: `imagenet` (torchvision's or timm's store), a file or a folder; None is random."""
    weights: str | None = None
    """Start the whole model from these: a published name (torchvision, detectron2 ...), a path, or hf:OWNER/NAME
    on the Hugging Face hub."""
    recipe: Literal["finetune"] | None = None
    """`finetune`: train on from `weights` as few images need it, with a lower learning rate for what is kept, a short
    warm-up, a cosine, and iterations by the number of images. Fields that are set stay. None: as the row says."""
    weights_style: Annotated[Literal["caffe", "pytorch"] | None, Needs("weights")] = None
    """How images enter a network of another toolbox, where its file does not say: `caffe` in BGR, less a mean, strides
    in the 1x1 convolutions; `pytorch` in RGB, normalised, strides in the 3x3. None: as that toolbox's first config."""
    data: Data = field(default_factory=Data)
    """What it is trained and evaluated on, and how images are resized and varied."""
    optim: Optim = field(default_factory=Optim)
    """How a gradient changes the weights."""
    schedule: Schedule = field(default_factory=Schedule)
    """How long it is trained, and how the learning rate goes."""
    run: Run = field(default_factory=Run)
    """Where and how a run is carried out."""

    def __post_init__(self) -> None:
        problems = recipe_problems(self)
        if not problems:
            name = Path(self.run.name or self.row)
            if not name.parts or name.is_absolute() or ".." in name.parts:
                field_name = "run.name" if self.run.name else "row"
                problems.append(f"{field_name} must name a folder inside of run.out, not {str(name)!r}")
        if self.run.cuda_graphs and (self.data.test_scales or self.data.test_flip):
            problems.append(
                "run.cuda-graphs overwrites the maps of a view with those of the next, so it does not go with"
                " data.test-scales and data.test-flip; leave it out"
            )
        if problems:
            raise ValueError("; ".join(problems))

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self.run.out / (self.run.name or self.row)
