"""Parts that are replayed as CUDA graphs give what they gave before; without a GPU, where they are replayed."""

from __future__ import annotations

import copy
import threading
from dataclasses import replace
from typing import Any

import pytest
import torch
from engine.test_compile import batch_of
from zoo.systems import narrow

from cvzoo.engine.cuda_graphs import Replay
from cvzoo.engine.dist import device_of
from cvzoo.engine.place import autocast, compiled, for_inference, place
from cvzoo.nn.model import Model
from cvzoo.recipes import Run
from cvzoo.structures import Batch, Prediction
from cvzoo.tasks.limits import Limits, with_limits
from cvzoo.zoo import ROWS

RUN = Run(cuda_graphs=True)
CUDA = torch.device("cuda")
REPLAYED = "mask_rcnn_r18_fpn_shapes", "reppoints_moment_r18_fpn_shapes", "treefilter_r18_shapes"


@pytest.mark.parametrize("row", ["mask_rcnn_r18_fpn_shapes", "faster_rcnn_r50_c4_shapes", "fcn_r18_shapes"])
def test_a_model_that_is_not_on_a_gpu_answers_as_ever(row: str) -> None:
    config = narrow(row).model
    plain = config.build().for_inference()
    batch = batch_of(2, config.num_classes)
    expected = plain.predict(batch)
    replayed = compiled(copy.deepcopy(plain), RUN)
    assert isinstance(replayed.backbone.forward, Replay)
    assert [str(vars(found)) for found in replayed.predict(batch)] == [str(vars(found)) for found in expected]


def test_a_model_in_training_is_left_alone() -> None:
    model = compiled(narrow("fcn_r18_shapes").model.build().train(), RUN)
    assert not isinstance(model.backbone.forward, Replay)


def test_a_copy_replays_its_own_parts() -> None:
    model = compiled(narrow("retinanet_r18_fpn_shapes").model.build().for_inference(), RUN)
    changed: Any = with_limits(model, Limits(conf=0.0), "row")
    assert changed is not model
    forward = changed.head.forward
    assert forward.forward.__self__ is changed.head
    assert forward.own is not model.head.forward.own
    compiled(changed, RUN)
    assert changed.head.forward is forward


def test_it_is_refused_where_it_does_not_help_or_gives_wrong_results() -> None:
    with pytest.raises(ValueError, match=r"does not go with run\.compile"):
        replace(RUN, compile=True)
    recipe = ROWS["mask_rcnn_r18_fpn_shapes"].recipe()
    with pytest.raises(ValueError, match=r"overwrites the maps .* data\.test-scales and data\.test-flip"):
        replace(recipe, run=RUN, data=replace(recipe.data, test_flip=True))
    with pytest.raises(ValueError, match=r"cuda-graphs needs a CUDA device.*--run\.no-cuda-graphs"):
        device_of(replace(RUN, device="cpu"))
    with pytest.raises(ValueError, match="nothing for an exported file"):
        compiled(torch.nn.Identity().eval(), RUN)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize(
    "row", ["mask_rcnn_r18_fpn_shapes", "reppoints_moment_r18_fpn_shapes", "treefilter_r18_shapes"]
)
def test_replayed_parts_answer_the_same(row: str, precision: str) -> None:
    run = replace(RUN, precision=precision)
    config = narrow(row).model
    plain = for_inference(config.build().to(CUDA), run)
    replayed = compiled(copy.deepcopy(plain), run)
    batches = [batch_of(images, config.num_classes) for images in (2, 1, 2, 1)]  # two sizes, recorded and then replayed
    for number, batch in enumerate(batches):
        batch.images = batch.images.flip(-1) if number > 1 else batch.images  # the second time with other pixels
        assert_same(answers(replayed, batch, run), answers(plain, batch, run))


@pytest.mark.gpu
def test_threads_replay_graphs_of_their_own() -> None:
    config = narrow("retinanet_r18_fpn_shapes").model
    plain = for_inference(config.build().to(CUDA), RUN)
    replayed = compiled(copy.deepcopy(plain), RUN)
    batches = [batch_of(1, config.num_classes) for _ in range(4)]
    for number, batch in enumerate(batches):
        batch.images = batch.images.roll(number, -1)
    found: dict[int, list[Prediction]] = {}

    def look(number: int) -> None:
        for _ in range(5):
            found[number] = answers(replayed, batches[number], RUN)

    threads = [threading.Thread(target=look, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, batch in enumerate(batches):
        assert_same(found[number], answers(plain, batch, RUN))


def answers(model: Model, batch: Batch, run: Run) -> list[Prediction]:
    with autocast(run, CUDA):
        return [found.to("cpu") for found in model.predict(place(batch, run, CUDA))]


def assert_same(found: list[Prediction], expected: list[Prediction]) -> None:
    for one, other in zip(found, expected, strict=True):
        for name, value in vars(other).items():
            if isinstance(value, torch.Tensor):
                torch.testing.assert_close(getattr(one, name), value, rtol=1e-3, atol=1e-3, msg=name)
