"""Options that people type by habit of other libraries, and what they are called here. Imports no torch."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence

SIZES = "--data.short-sides {size} --data.test-short-side {size} --data.max-long-side {size}"
COLOURS = "--data.colour-jitter 0.4, of brightness, contrast and saturation, or --data.distort-colours, of the hue too"
HALF = "--precision bf16 (or fp16)"
ROW_FIRST = "the row comes first, `cvzoo {command} ROW` (`cvzoo list` shows them), or a run's folder or recipe.json"
CONTINUES = "leave it out: the same command continues an interrupted run"
SOURCES = "--weights NAME or FILE for the whole model, --backbone-weights imagenet for its body"
DATA = "--data.root FOLDER (what lies where in it: --data.train.images, --data.train.annotations ...)"
EVALUATE = "a command of its own: `cvzoo eval ROW`, or `cvzoo eval RUN_FOLDER`"
SCORE = "an option of `cvzoo predict` alone, --min-score"
PROCESSES = "given to the launcher: `torchrun --nproc-per-node 8 -m cvzoo {command} ROW ...`"
PART = "the validation part is evaluated; --data.val.images, --data.val.annotations, --data.val.lists choose another"
PYTHON = "an argument of the Python predictor, `predictor(images, {argument})` (docs/python.md)"
FIELDS = "each an option of its own, such as --optim.lr 0.01 --schedule.iterations 1000"

HABITS: dict[str, str] = {
    **dict.fromkeys(("epochs", "epoch", "max-epochs", "num-epochs"), "--schedule.epochs"),
    **dict.fromkeys(("iters", "iterations", "max-iter", "max-iters", "steps"), "--schedule.iterations"),
    **dict.fromkeys(("batch", "batch-size", "batchsize", "ims-per-batch"), "--schedule.batch"),
    **dict.fromkeys(("imgsz", "img-size", "img", "image-size", "input-size", "img-scale"), SIZES),
    **dict.fromkeys(("lr", "lr0", "learning-rate", "base-lr"), "--optim.lr"),
    **dict.fromkeys(("optimizer", "optimiser", "opt"), "--optim.name"),
    **dict.fromkeys(("wd", "weight-decay"), "--optim.weight-decay"),
    **dict.fromkeys(("warmup", "warmup-iters", "warmup-steps"), "--schedule.warmup-iterations"),
    "warmup-epochs": "--schedule.warmup-iterations, counted in iterations",
    **dict.fromkeys(("cos-lr", "lr-scheduler", "scheduler"), "--schedule.policy cosine (or step, poly)"),
    **dict.fromkeys(("ema", "model-ema"), "--optim.ema-decay 0.999"),
    **dict.fromkeys(("clip-grad", "clip-max-norm", "grad-clip"), "--optim.clip-norm"),
    **dict.fromkeys(("accumulate", "grad-accum", "accumulation-steps"), "--schedule.accumulate"),
    **dict.fromkeys(("workers", "num-workers", "nw"), "--data.workers"),
    **dict.fromkeys(("data", "dataset", "data-path", "data-dir", "dataset-dir", "coco-path"), DATA),
    **dict.fromkeys(("format", "dataset-type", "dataset-format"), "--data.source, if a folder is not recognised"),
    "cache": "--data.cache",
    **dict.fromkeys(("model", "arch", "config", "config-file", "cfg"), ROW_FIRST),
    **dict.fromkeys(("cfg-options", "opts", "options", "set"), FIELDS),
    **dict.fromkeys(("num-classes", "nc", "classes-count"), "--model.num-classes"),
    **dict.fromkeys(("pretrained", "checkpoint", "load-from", "ckpt"), SOURCES),
    **dict.fromkeys(("resume", "auto-resume", "resume-from"), CONTINUES),
    **dict.fromkeys(("project", "work-dir", "output-dir", "save-dir", "output", "out"), "--run.out"),
    **dict.fromkeys(("name", "exp-name"), "--run.name"),
    "seed": "--run.seed",
    **dict.fromkeys(("amp", "half", "fp16", "bf16", "mixed-precision"), HALF),
    "compile": "--run.compile",
    "wandb": "--run.wandb",
    "patience": "--run.patience, with --run.keep-best and --run.eval-every",
    **dict.fromkeys(("save-best", "keep-best"), "--run.keep-best"),
    **dict.fromkeys(("save-period", "save-every", "checkpoint-every"), "--run.checkpoint-every"),
    **dict.fromkeys(("eval-every", "eval-interval", "val-interval", "val-period"), "--run.eval-every"),
    **dict.fromkeys(("eval-only", "eval", "test-only", "val"), EVALUATE),
    **dict.fromkeys(("conf", "conf-thres", "score-thr", "threshold"), SCORE),
    **dict.fromkeys(("gpus", "num-gpus", "launcher", "nproc"), PROCESSES),
    **dict.fromkeys(("classes", "class-names"), "--data.classes"),
    **dict.fromkeys(("single-cls", "single-class"), "--data.rename cat=object dog=object"),
    "freeze-backbone": "--freeze backbone",
    "momentum": "no option: it is 0.9 of SGD, the betas of AdamW are 0.9 and 0.999",
    **dict.fromkeys(("flip", "fliplr", "hflip"), "--data.flip, a probability"),
    **dict.fromkeys(("flipud", "vflip"), "--data.vertical-flip, a probability"),
    **dict.fromkeys(("degrees", "rotate", "rotation"), "--data.rotation -15 15"),
    **dict.fromkeys(("translate", "shift"), "--data.shift"),
    **dict.fromkeys(("scale", "zoom"), "--data.zoom 0.5 1.5"),
    "shear": "--data.shear",
    "mosaic": "--data.mosaic",
    "mixup": "--data.mixup",
    "copy-paste": "--data.copy-paste",
    "close-mosaic": "--data.mixed-until, a share of the run",
    "erasing": "--data.cutout",
    "multi-scale": "--data.short-sides 480 560 640, from which each is drawn",
    **dict.fromkeys(("hsv-h", "hsv-s", "hsv-v", "color-jitter"), COLOURS),
}
"""What to say, by the option's name."""
OF_COMMANDS: dict[str, dict[str, str]] = {
    "predict": {
        **dict.fromkeys(("conf", "conf-thres", "score-thr", "threshold"), "--min-score"),
        **dict.fromkeys(("project", "work-dir", "output-dir", "save-dir", "out"), "--output"),
        **dict.fromkeys(("source", "input"), "no option: `cvzoo predict ROW FILES_OR_FOLDERS`"),
        **dict.fromkeys(("camera", "webcam"), "no option: `cvzoo predict ROW camera:0`"),
        **dict.fromkeys(("classes", "data.classes"), PYTHON.format(argument='classes=["person"]')),
        **dict.fromkeys(("iou", "iou-thres"), PYTHON.format(argument="iou=0.5")),
        **dict.fromkeys(("max-det", "max-detections"), PYTHON.format(argument="max_detections=10")),
        **dict.fromkeys(
            ("batch", "batch-size"), "one image at a time; of Python's `predictor.stream(images, batch=8)`"
        ),
        **dict.fromkeys(("save", "save-txt", "save-json"), "leave it out: all that is found is written, to --output"),
    },
    "eval": dict.fromkeys(("split", "test", "test-dir"), PART),
    "bench": {
        **dict.fromkeys(("batch-size", "batchsize", "ims-per-batch"), "--batch"),
        **dict.fromkeys(("iters", "max-iter", "steps"), "--iterations"),
    },
}
"""Where a command has an option of its own for it."""
DEVICE = "--device takes auto, cpu or cuda; for one of several GPUs set CUDA_VISIBLE_DEVICES={value} before the command"


def check(command: str, arguments: Sequence[str], known: Collection[str], dotted: Sequence[str] = ()) -> None:
    """ValueError with a hint for each option typed by habit, or misspelt; others that do not exist are named along.

    Args:
        known: the command's own options without a dot in their names.
        dotted: the row's fields with one. What is like none of them is left to the parser.
    """
    table = HABITS | OF_COMMANDS.get(command, {})
    hints, unknown = [], []
    for word, value in zip(arguments, [*arguments[1:], ""]):
        option, equals, own = word.partition("=")
        name = option.removeprefix("--").replace("_", "-").lower()
        if name == "device" and (own or value).removeprefix("cuda:").replace(",", "").isdigit():
            hints.append(DEVICE.format(value=(own or value).removeprefix("cuda:")))
        elif name in known or not (word.startswith("--") or (equals and name in table)):
            continue
        elif name in table:
            typed = own or value
            hint = table[name].format(command=command, size=typed if typed.isdigit() else 640)
            hints.append(f"{option} is {hint}" if hint.startswith("--") else f"{option}: {hint}")
        elif "." not in name:
            unknown.append(f"there is no {option}")
        elif not any(field == name or field.startswith(f"{name}.") for field in dotted):
            near = difflib.get_close_matches(name, dotted, n=1)
            hints += [f"there is no {option}, did you mean --{meant}?" for meant in near]
    if hints:
        raise ValueError(f"{'; '.join(hints + unknown)} (`cvzoo {command} ROW --help` lists all options)")


def check_data(command: str, arguments: Sequence[str]) -> None:
    """ValueError for options of a training's data, as messages name them, given to a command that has data alone."""
    words = [word.partition("=")[0] for word in arguments]
    if hints := [f"{word} is --{word.removeprefix('--data.')} here" for word in words if word.startswith("--data.")]:
        raise ValueError(f"{'; '.join(hints)} (`cvzoo {command} --help` lists all options)")
