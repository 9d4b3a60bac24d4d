"""The benchmark measures without data, and never replaces what a real run recorded."""

import json
from pathlib import Path

import pytest
import torch
from engine.tiny import tiny

from cvzoo.engine import bench as bench_module
from cvzoo.engine.bench import bench, image_size, settle
from cvzoo.engine.measure import median_seconds, peak_memory_gb, reset_peak_memory
from cvzoo.engine.train import train
from cvzoo.recipes import Recipe

pytestmark = pytest.mark.usefixtures("inside")
CPU = torch.device("cpu")
ROWS = {"retinanet_r18_fpn_shapes": "coco", "fcn_r18_shapes": "label_maps"}


def without_data(out: Path, row: str = "retinanet_r18_fpn_shapes") -> Recipe:
    return tiny(out, row, data__source=ROWS[row], data__root=Path("/nowhere"))


@pytest.mark.parametrize("row", ROWS)
def test_measures_everything_without_a_data_set(tmp_path: Path, row: str) -> None:
    cost, row_file, profiles = bench(without_data(tmp_path, row), iterations=2, profile=row == "fcn_r18_shapes")
    assert cost.keys() >= {"mem_gb", "train_s_per_iter", "inf_s_per_im", "throughput", "gflops", "peak_share"}
    assert cost["train_batch"] == 2
    assert cost["precision"] == "fp32"
    assert 0 < float(cost["peak_share"] or 0) < 1.5
    assert row_file
    assert json.loads(row_file.read_text())["cost"] == cost
    for profile in profiles.values():
        assert 1 < len(profile.rows) <= 10
        assert [row[1] for row in profile.rows] == sorted((row[1] for row in profile.rows), reverse=True)
        assert sum(row[1] for row in profile.rows) <= profile.total
        assert "convolution" in str(profile)
        assert profile.host_share(4 * profile.total) == pytest.approx(0.75)
    assert list(profiles) == (["train", "inf"] if row == "fcn_r18_shapes" else [])


def test_parameters_and_flops_do_not_depend_on_the_weights(tmp_path: Path) -> None:
    first, second = (bench(recipe, 1).cost for recipe in (without_data(tmp_path), tiny(tmp_path, run__seed=1)))
    assert (first["params_m"], first["gflops"]) == (second["params_m"], second["gflops"])


def test_inference_is_measured_with_all_the_detections_that_a_row_may_make(tmp_path: Path) -> None:
    """Weights of a few steps find nothing, and what follows the boxes, such as masks, would cost nothing."""
    threshold = "model__box_head__detect__score_threshold"
    recipes = (tiny(tmp_path, "mask_rcnn_r18_fpn_shapes", **{threshold: value}) for value in (0.0, 1.0))
    first, second = (bench(recipe, 1).cost["gflops"] for recipe in recipes)
    assert first == second


def test_random_weights_of_a_deep_body_give_maps_like_trained_ones(tmp_path: Path) -> None:
    recipe = tiny(tmp_path, model__backbone__depth=101)
    torch.manual_seed(0)
    model = recipe.model.build()
    image = bench_module._drawn(recipe, (64, 64), 1, seed=0)

    def largest() -> float:
        with torch.no_grad():
            maps = model.backbone(model.config.pixels(image.images, image.sizes))
        return max(float(x.abs().max()) for x in maps)

    assert largest() > 1000
    settle(model, image)
    assert largest() < 300


def test_its_steps_learn_nothing(tmp_path: Path) -> None:
    recipe = tiny(tmp_path, "mask_rcnn_r50_fpn_gcb_shapes")
    model = recipe.model.build()
    before = [parameter.detach().clone() for parameter in model.parameters()]
    iterate = bench_module._iterations(recipe, model, 2, CPU)
    iterate()
    iterate()
    torch.testing.assert_close([parameter.detach() for parameter in model.parameters()], before, rtol=0, atol=0)


def test_training_figures_of_a_real_run_stay(tmp_path: Path) -> None:
    recipe = tiny(tmp_path / "runs", schedule__iterations=2)
    row_file = train(recipe).row_file
    assert row_file
    trained = json.loads(row_file.read_text())["cost"]
    cost, same_file, _ = bench(recipe, iterations=1, batch=1)
    stored = json.loads(row_file.read_text())["cost"]
    assert same_file == row_file
    assert cost["train_batch"] == 1
    assert stored["train_batch"] == trained["train_batch"] == 4
    assert stored["train_s_per_iter"] == trained["train_s_per_iter"]
    assert stored["inf_s_per_im"] == cost["inf_s_per_im"]


def test_size_of_the_images() -> None:
    from cvzoo.data.config import Data

    assert image_size(Data()) == (800, 1333)
    assert image_size(Data(canvas=(320, 320))) == (320, 320)
    assert image_size(Data(test_short_side=512, max_long_side=2048, short_sides=(512,))) == (512, 1024)


def test_peak_memory_sees_an_allocation_and_can_be_reset() -> None:
    reset_peak_memory(CPU)
    before = peak_memory_gb(CPU)
    block = torch.ones(50_000_000)  # 0.2 GB
    assert peak_memory_gb(CPU) == pytest.approx(before + 0.2, abs=0.02)
    del block
    reset_peak_memory(CPU)
    assert peak_memory_gb(CPU) < before + 0.1


def test_warm_up_is_not_timed() -> None:
    calls = []
    median_seconds(lambda: calls.append(1), CPU, warmup=3, iterations=4)
    assert len(calls) == 7
