"""Dense pose as a task: scored, kept, read back and reported, from answers that are exact or nearly."""

from __future__ import annotations

import json
import pickle
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from data.body import write_body
from PIL import Image
from tasks.people import answers, people, recipe
from torchvision.transforms.functional import to_pil_image

import cvzoo
from cvzoo.data.build import build_dataset
from cvzoo.data.smpl import MESH_FILES, SYMMETRY_FILES
from cvzoo.data.surfaces import BOUNDS
from cvzoo.engine.evaluate import evaluate
from cvzoo.engine.finish import Result
from cvzoo.files import write_json
from cvzoo.loading import Loaded
from cvzoo.ops.masks import to_rle
from cvzoo.ops.rle import encode
from cvzoo.predict import predict_files
from cvzoo.recipes.codec import to_json
from cvzoo.recipes.data_sets import FIGURES
from cvzoo.report.run_report import write_report
from cvzoo.structures import Batch, Prediction, Target
from cvzoo.tasks import boxes, dense_pose, task_of
from cvzoo.tasks.boxes import BoxEvaluation


@pytest.fixture(scope="module")
def evaluation() -> BoxEvaluation:
    dataset = people()
    return dense_pose.score(answers(dataset).items(), dataset, recipe())


def perturbed(found: dict[int, Prediction], **noise: float) -> dict[int, Prediction]:
    """With `shift` in U and V, and a share of `wrong` parts."""
    generator = torch.Generator().manual_seed(0)
    changed = {}
    for image_id, prediction in found.items():
        maps = []
        for surface in prediction.surfaces or ():
            moved = surface.clone()
            moved[1:] = (moved[1:] + 255 * noise.get("shift", 0.0)).clamp(0, 255).to(torch.uint8)
            wrong = torch.rand(surface.shape[1:], generator=generator) < noise.get("wrong", 0.0)
            moved[0] = torch.where((surface[0] > 0) & wrong, surface[0] % 24 + 1, surface[0])
            maps.append(moved)
        changed[image_id] = replace(prediction, surfaces=maps)
    return changed


def test_exact_answers_score_everything(evaluation: BoxEvaluation) -> None:
    stats = evaluation.figures.stats
    for name in ("box_AP", "gps_AP", "gps_AP50", "gpsm_AP", "gps_AR", "point_covered", "point_accuracy"):
        assert stats[name] == pytest.approx(1), name
    assert stats["point_uv_error"] < 0.01
    assert set(evaluation.figures.per_class) == {"box", "gps", "gpsm"}


def test_worse_answers_score_less(evaluation: BoxEvaluation) -> None:
    dataset = people()
    exact = answers(dataset)
    shifted, wrong = (
        dense_pose.score(perturbed(exact, **noise).items(), dataset, recipe()).figures.stats
        for noise in ({"shift": 0.1}, {"wrong": 0.3})
    )
    for stats in (shifted, wrong):
        assert stats["box_AP"] == pytest.approx(1)
        assert 0.2 < stats["gps_AP"] < 0.95
    assert 0.08 < shifted["point_uv_error"] < 0.15
    assert shifted["point_accuracy"] == pytest.approx(1)
    assert wrong["point_accuracy"] == pytest.approx(0.7, abs=0.06)


def test_masks_of_answers_decide_gpsm(evaluation: BoxEvaluation) -> None:
    """A model may say where a person is apart from the parts: those masks then count, not the parts' pixels."""
    dataset = people()
    exact = answers(dataset)
    size = (128, 128)
    full = {
        image_id: replace(p, masks=[to_rle([torch.tensor([0.0, 0, 128, 0, 128, 128, 0, 128]).numpy()], size)] * len(p))
        for image_id, p in exact.items()
    }
    own = {}
    for index, (image_id, prediction) in enumerate(exact.items()):
        painting = dataset.painting(index)
        own[image_id] = replace(prediction, masks=[encode(painting.owner == number) for number in painting.shown()])
    stats_full, stats_own = (dense_pose.score(p.items(), dataset, recipe()).figures.stats for p in (full, own))
    assert stats_full["gps_AP"] == stats_own["gps_AP"] == evaluation.figures.stats["gps_AP"]
    assert stats_own["gpsm_AP"] == pytest.approx(1)
    assert stats_full["gpsm_AP"] < 0.9


def test_what_is_kept_of_an_answer_survives_the_disk(evaluation: BoxEvaluation) -> None:
    dataset = people()
    kept = [dense_pose.kept(i, Target.empty(), answer, dataset) for i, answer in answers(dataset).items()]
    assert dense_pose.score(pickle.loads(pickle.dumps(kept)), dataset, recipe()).figures == evaluation.figures


def test_a_run_folder_keeps_everything(evaluation: BoxEvaluation, tmp_path: Path) -> None:
    dataset = people()
    evaluation.write(tmp_path, "val")
    figures = json.loads(json.dumps(evaluation.figures.to_json()))
    again = dense_pose.read(tmp_path, "val", dataset, figures)
    assert again.figures == evaluation.figures
    for image_id, prediction in evaluation.predictions.items():
        other = again.prediction(image_id)
        assert torch.equal(other.boxes, prediction.boxes)
        for one, two in zip(prediction.surfaces or (), other.surfaces or (), strict=True):
            assert torch.equal(one, two)
    (first, *_) = json.loads((tmp_path / "predictions_val.json").read_text())
    assert set(first) == {"image_id", "category_id", "bbox", "score", "uv_shape", "uv_data"}
    assert first["uv_shape"] == [3, int(first["bbox"][3]), int(first["bbox"][2])]


def test_answers_without_surfaces_are_refused() -> None:
    dataset = people()
    bare = {image_id: replace(prediction, surfaces=None) for image_id, prediction in answers(dataset).items()}
    with pytest.raises(ValueError, match="predicts boxes without surfaces"):
        dense_pose.score(bare.items(), dataset, recipe())


def test_the_body_decides_distances(tmp_path: Path) -> None:
    """Made-up files of a body: other places have other distances, the same place has none."""
    write_body(tmp_path)
    dataset = people(2)
    data = replace(recipe().data, source="coco", charts="smpl", smpl=tmp_path)
    stats = dense_pose.score(answers(dataset).items(), dataset, replace(recipe(), data=data)).figures.stats
    assert stats["gps_AP"] == pytest.approx(1)


def test_checks() -> None:
    dense_pose.check(recipe())
    coco: dict[str, Any] = {"source": "coco", "charts": "smpl", "smpl": Path("nowhere")}
    for changed, reason in (
        ({"surfaces": False}, "which the data leave out; give data of DensePose's format and --data.surfaces"),
        (coco, r"needs SMPL_subdiv\.mat, .*Pdist_matrix\.pkl in nowhere .*instead: --data\.charts flat"),
        ({"test_flip": True}, "cannot merge views"),
        ({"test_scales": (64,)}, "cannot merge views"),
    ):
        with pytest.raises(ValueError, match=reason):
            dense_pose.check(recipe(**changed))


def test_the_report(evaluation: BoxEvaluation, tmp_path: Path) -> None:
    dataset = people()
    row = cvzoo.recipe("densepose_r18_fpn_shapes")
    result = Result(tmp_path, row, {"val": dataset}, {"val": evaluation})
    write_json(tmp_path / "metrics.json", {"val": evaluation.figures.to_json()})
    write_json(tmp_path / "recipe.json", to_json(row))
    write_json(tmp_path / "env.json", {"hardware": "a test"})
    page = write_report(result).read_text()
    for text in ("gps AP", "point accuracy", "surfaces (GPSm)", "GPS 0.50:0.95", "torso, front", "uv_error"):
        assert text in page, text
    assert page.count("data:image/jpeg") == 2 * len(dataset)
    assert len(dense_pose.study(evaluation, dataset).gallery.legend) > 8


class Stub(torch.nn.Module):
    """A model that knows the drawn people of the validation split."""

    def __init__(self) -> None:
        super().__init__()
        self.known = answers(people())

    def for_inference(self) -> Stub:
        return self

    def predict(self, batch: Batch) -> list[Prediction]:
        return [self.known[image_id] for image_id in batch.image_ids]


def stubbed() -> Any:
    return replace(recipe(shapes=replace(FIGURES.shapes, val_images=6), workers=0), model=Config())


class Config:
    """Of the stub."""

    answer = "dense_pose"
    num_classes = 1


def test_the_engine_evaluates_it(evaluation: BoxEvaluation, tmp_path: Path) -> None:
    recipe = stubbed()
    found = evaluate(Stub(), build_dataset(recipe.data, "val"), recipe, torch.device("cpu"), tmp_path)  # type: ignore[arg-type]
    assert found
    assert found.figures.stats == evaluation.figures.stats


@pytest.mark.parametrize("atlas", [False, True])
def test_prediction_draws_surfaces_and_textures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, atlas: bool) -> None:
    monkeypatch.setattr("cvzoo.predictor.with_weights", lambda recipe: recipe)
    monkeypatch.setattr("cvzoo.predictor.build_model", lambda recipe: Loaded(Stub(), recipe, {"classes": ["person"]}))
    texture = tmp_path / "atlas.png" if atlas else None
    if texture is not None:
        Image.new("RGB", (40, 60), (250, 0, 250)).save(texture)
    to_pil_image(people()[0].image).save(tmp_path / "image.png")
    out = tmp_path / "out"
    written = list(predict_files(stubbed(), [tmp_path / "image.png"], out, 0.0, "texture", texture))
    assert [path.name for path in written] == ["image.png", "image_texture.png", "predictions.json"]
    (known, *_) = answers(people()).values()
    content = json.loads((out / "predictions.json").read_text())
    assert content["categories"] == [{"id": 1, "name": "person"}]
    assert [record["uv_shape"] for record in content["annotations"]] == [[*s.shape] for s in known.surfaces or ()]
    worn = np.asarray(Image.open(out / "image_texture.png"))
    before = people()[0].image.permute(1, 2, 0).numpy()
    person = people().painting(0).owner > 0
    assert (worn[~person] == before[~person]).all()
    assert (worn[person] != before[person]).any(-1).mean() > 0.99
    if atlas:
        assert (worn[person] == (250, 0, 250)).all()


def test_a_row_without_surfaces_has_no_texture() -> None:
    with pytest.raises(ValueError, match=r"has no surfaces, which --show texture asks for; leave that out, or choose"):
        boxes.look("texture", Stub(), recipe(), None)
    with pytest.raises(ValueError, match="has no heat maps"):
        dense_pose.look("heatmaps", Stub(), recipe(), None)


def test_the_guide_draws_people(inside: Path) -> None:
    guide = (Path(__file__).parents[2] / "docs" / "dense_pose.md").read_text()
    (block,) = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)
    exec(block, {})
    assert Image.open(inside / "people.png").size == (480, 480)
    for field in BOUNDS:
        assert f"`{field}`" in guide
    for name in (*MESH_FILES, *SYMMETRY_FILES):
        assert f"`{name}`" in guide


def test_it_is_a_task() -> None:
    assert task_of(stubbed()) is dense_pose
    assert dense_pose.class_names(recipe(), 1) == ["person"]
    assert dense_pose.views(recipe().data) == []
