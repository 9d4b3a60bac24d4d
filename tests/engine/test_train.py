"""The training loop: the same curve however it is run, interrupted or shared, and clear ends when it cannot go on."""

import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from engine import processes
from engine.tiny import command, logged, losses, tiny, whole_run
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from cvzoo.data.shapes import ShapesDataset, draw
from cvzoo.engine import checkpoint
from cvzoo.engine.state import State
from cvzoo.engine.stop import TrainingError
from cvzoo.engine.train import step, train
from cvzoo.metrics.coco import evaluate_coco
from cvzoo.structures import Batch
from cvzoo.tasks.boxes import BoxEvaluation

pytestmark = pytest.mark.usefixtures("inside")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a whole run; 12 iterations, a checkpoint every 5."""
    return whole_run(tmp_path_factory)


def test_run_folder_explains_the_run(uninterrupted: Path) -> None:
    names = {path.name for path in uninterrupted.iterdir()}
    assert names >= {"recipe.json", "env.json", "metrics.jsonl", "metrics.json", "predictions_val.json"}
    assert names >= {"checkpoint.pt", "model.safetensors", "tensorboard"}
    assert not any(name.endswith(".tmp") for name in names)
    lines = logged(uninterrupted)
    assert [line["iteration"] for line in lines] == list(range(1, 13))
    assert [line["iteration"] for line in lines if "val/box_AP" in line] == [12]
    assert all(line["loss"] == pytest.approx(line["loss_cls"] + line["loss_box"]) for line in lines)
    assert lines[-1]["loss"] < lines[0]["loss"]


def test_row_file_holds_results_cost_and_log(uninterrupted: Path) -> None:
    (row_file,) = (uninterrupted.parent / "rows").glob("*.json")
    row = json.loads(row_file.read_text())
    metrics = json.loads((uninterrupted / "metrics.json").read_text())
    assert row["results"]["val"] == metrics["val"]["stats"]
    assert "train" not in row["results"]  # 20 000 drawn images
    assert row["cost"]["train_batch"] == 4
    assert row["cost"]["mem_gb"] > 0.1
    assert 0 < row["cost"]["train_s_per_iter"] < 10
    assert len(row["log"]) == 12
    assert row["recipe"]["schedule"]["iterations"] == 12


def test_small_training_split_is_evaluated_too(tmp_path: Path) -> None:
    result = train(tiny(tmp_path / "runs", schedule__iterations=1, data__shapes__train_images=6))
    assert set(result.evaluations) == {"val", "train"}
    evaluation, dataset = result.evaluations["train"], result.datasets["train"]
    assert isinstance(evaluation, BoxEvaluation)
    assert isinstance(dataset, ShapesDataset)
    assert len(evaluation.predictions) == 6
    detections = json.loads((result.folder / "predictions_train.json").read_text())
    assert evaluate_coco(dataset.ground_truth, detections).stats == result.evaluations["train"].figures.stats


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_interrupted_run_continues_bit_for_bit(number: signal.Signals, uninterrupted: Path, tmp_path: Path) -> None:
    recipe = tiny(tmp_path / "runs")
    process = command(recipe, tmp_path)
    assert process.stderr
    assert any(line.startswith("[7/12]") for line in process.stderr)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == (143 if number == signal.SIGTERM else -9)
    folder = recipe.run.out / recipe.row
    saved = checkpoint.load(folder, "cpu")
    assert saved
    if number == signal.SIGTERM:
        assert saved["iteration"] >= 7
        assert f"saved at iteration {saved['iteration']}" in said
    assert train(recipe).folder == folder
    assert logged(folder) == logged(uninterrupted)
    ours, theirs = (checkpoint.load(f, "cpu") for f in (folder, uninterrupted))
    assert ours
    assert theirs
    for name, tensor in theirs["model"].items():
        assert torch.equal(ours["model"][name], tensor), name


def test_a_thread_trains_although_it_hears_no_signal(tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as pool:
        result = pool.submit(train, tiny(tmp_path, schedule__iterations=2, data__workers=1)).result()
    assert "box_AP" in result.evaluations["val"].figures.stats


def test_signals_to_the_whole_group_leave_the_workers_alone(tmp_path: Path) -> None:
    recipe = tiny(tmp_path / "runs", schedule__iterations=10_000, data__workers=2)
    process = command(recipe, tmp_path, start_new_session=True)
    assert process.stderr
    assert any(line.startswith("[7/") for line in process.stderr)
    os.killpg(process.pid, signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "stopped and saved at iteration" in said
    assert "Traceback" not in said


def test_a_killed_worker_ends_the_run_with_a_message(tmp_path: Path) -> None:
    recipe = tiny(tmp_path / "runs", schedule__iterations=10_000, data__workers=1)
    process = command(recipe, tmp_path)
    assert process.stderr
    assert any(line.startswith("[7/") for line in process.stderr)
    worker = int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0])
    os.kill(worker, signal.SIGKILL)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "a loader worker was killed" in said
    assert "the run is saved at iteration" in said
    assert "Traceback" not in said
    saved = checkpoint.load(recipe.folder, "cpu")
    assert saved
    assert saved["iteration"] >= 5


EVERY_PROPOSAL = {
    **{f"model__rpn__{count}": 10**5 for count in ("samples", "pre_nms_train", "post_nms_train")},
    **{"model__rpn__nms_threshold": 1.0, "model__box_head__samples": 10**6},
}


@pytest.mark.parametrize(
    ("row", "changed"),
    [
        ("retinanet_r18_fpn_shapes", {"model__normaliser": "moving"}),
        # Sums in another order round differently, and what NMS, a limit or a sample drops may hang on the last bit:
        # here nothing is dropped. A hidden unit that is on in one of them alone makes larger steps part; with these
        # small ones a gradient that is wrong by a hundredth still changes the losses by a hundredth.
        ("faster_rcnn_r18_fpn_shapes", EVERY_PROPOSAL | {"optim__lr": 0.001}),
    ],
)
def test_two_processes_with_half_the_batch_have_the_same_curve(row: str, changed: dict, tmp_path: Path) -> None:
    alone = tiny(tmp_path / "alone", row, schedule__iterations=20, **changed)
    shared = tiny(tmp_path / "shared", row, schedule__iterations=20, **changed)
    started = processes.train(shared, tmp_path, world=2)
    train(alone)
    assert started.wait() == [0, 0], started.said()
    first, second = started.said()
    assert "[20/20] val  box AP " in first
    assert "[20/20]" not in second  # one process speaks
    ours, theirs = losses(shared.run.out / shared.row), losses(alone.run.out / alone.row)
    assert len(ours) == len(theirs) == 20
    for mine, other in zip(ours, theirs):
        assert mine == pytest.approx(other, rel=1e-5)
    figures = [json.loads((r.run.out / r.row / "metrics.json").read_text())["val"]["stats"] for r in (alone, shared)]
    assert figures[0] == pytest.approx(figures[1], abs=1e-3)


def test_torchruns_processes_train_together(tmp_path: Path) -> None:
    shared = tiny(tmp_path / "shared", schedule__iterations=1)
    process = command(shared, tmp_path, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone")
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert out.count("box AP ") == 1  # one process speaks
    assert len(losses(shared.run.out / shared.row)) == 1


def test_accumulation_equals_the_whole_batch_where_losses_are_means_over_images(tmp_path: Path) -> None:
    changed = {"model__normaliser": "image", "schedule__iterations": 3}
    whole = train(tiny(tmp_path / "whole", **changed))
    parts = train(tiny(tmp_path / "parts", schedule__accumulate=2, **changed))
    for mine, other in zip(losses(parts.folder), losses(whole.folder)):
        assert mine == pytest.approx(other, rel=1e-5)


def test_non_finite_loss_stops_and_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    recipe = tiny(tmp_path / "runs", optim__lr=1e12, run__checkpoint_every=1)
    with pytest.raises(TrainingError) as error:
        train(recipe)
    message = str(error.value)
    assert "loss_cls" in message
    assert "image ids" in message
    assert "--optim.lr" in message
    folder = recipe.run.out / recipe.row
    saved = checkpoint.load(folder, "cpu")
    assert saved
    assert saved["iteration"] == int(message.partition("iteration ")[2].partition(":")[0])
    assert all(tensor.isfinite().all() for tensor in saved["model"].values())
    assert not (folder / "model.safetensors").exists()


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_losses_that_are_read_late_stop_the_run_with_the_weights_from_before(name: str, tmp_path: Path) -> None:
    """The second of four steps has a loss that is not finite, and nobody looks before the fourth is done."""
    recipe = tiny(tmp_path / "runs", optim__name=name, schedule__warmup_iterations=0)
    state = State.begin(recipe, recipe.model.build(), torch.device("cpu"))
    samples = [draw(64, 64, objects=3, seed=n) for n in range(8)]
    after_one: dict[str, torch.Tensor] = {}
    for number in range(4):
        batch = Batch.collate([replace(sample, image_id=10 * number + n) for n, sample in enumerate(samples[:2])])
        if number == 1:
            batch.targets[0].boxes[0] = torch.tensor([10.0, 10.0, torch.inf, 30.0])
            after_one = {key: value.clone() for key, value in state.model.state_dict().items()}
        step(state.model, batch, state, recipe)
    with pytest.raises(TrainingError, match=r"iteration 1: loss_box is not finite \(image ids 10, 11\)"):
        state.read()
    assert all(torch.equal(value, after_one[key]) for key, value in state.model.state_dict().items())


def test_another_recipe_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    folder = train(tiny(tmp_path / "runs", schedule__iterations=1)).folder
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    with pytest.raises(ValueError, match=r"optim\.lr is 0\.5, was 0\.01.*--run\.out"):
        train(tiny(tmp_path / "runs", schedule__iterations=1, optim__lr=0.5))
    assert {path: path.read_bytes() for path in before} == before


def test_number_of_classes_is_checked_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"3 categories .* predicts 7; add --model\.num-classes 3"):
        train(tiny(tmp_path / "runs", model__num_classes=7))
    assert not (tmp_path / "runs").exists()


def test_moving_average_is_what_gets_published(tmp_path: Path) -> None:
    result = train(tiny(tmp_path / "runs", optim__ema_decay=0.9, schedule__iterations=3))
    from safetensors.torch import load_file

    saved, published = checkpoint.load(result.folder, "cpu"), load_file(result.folder / "model.safetensors")
    assert saved
    assert all(torch.equal(saved["ema"][name], tensor) for name, tensor in published.items())
    assert not all(torch.equal(saved["model"][name], tensor) for name, tensor in published.items())


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_learns(precision: str, tmp_path: Path) -> None:
    # At 64 pixels P6 has one cell, of which a strided bfloat16 convolution (oneDNN, AVX512-BF16) leaves most of the
    # weights' gradient unwritten.
    larger = {"data__shapes__size": 96, "data__canvas": (96, 96), "data__max_long_side": 96}
    larger |= {"data__short_sides": (96,), "data__test_short_side": 96}
    result = train(tiny(tmp_path / "runs", run__precision=precision, **larger))
    lines = losses(result.folder)
    assert lines[-1]["loss"] < lines[0]["loss"]


def test_evaluation_during_training_changes_nothing(uninterrupted: Path, tmp_path: Path) -> None:
    result = train(tiny(tmp_path / "runs", run__eval_every=4))
    lines = logged(result.folder)
    assert [line["iteration"] for line in lines if "val/box_AP" in line] == [4, 8, 12]
    board = EventAccumulator(str(result.folder / "tensorboard")).Reload()
    assert [event.step for event in board.Scalars("val/box_AP")] == [4, 8, 12]
    shown = board.Tags()["images"]
    assert len(shown) == 4  # all validation images
    assert [(event.step, event.width) for event in board.Images(shown[0])] == [(4, 64), (8, 64), (12, 64)]
    assert losses(result.folder) == losses(uninterrupted)
    assert lines[-1] == logged(uninterrupted)[-1]
