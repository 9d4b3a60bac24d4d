"""What a model computes on a GPU it computes of the GPU's tensors alone: tried without one, see `pretended_gpu`."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from pretended_gpu import pretended_gpu
from zoo.systems import narrow
from zoo.test_waits import ROWS, batch_of

from cvzoo.engine.place import for_inference, place
from cvzoo.engine.state import State
from cvzoo.engine.train import step


@pytest.mark.parametrize("row", ROWS)
def test_a_step_and_a_prediction_meet_no_tensor_of_the_cpu(row: str) -> None:
    torch.manual_seed(0)
    recipe = narrow(row)
    recipe = replace(recipe, run=replace(recipe.run, device="cuda"))
    batch = batch_of(recipe, images=2, objects=2)
    with pretended_gpu() as gpu:
        state = State.begin(recipe, recipe.model.build(), gpu)
        step(state.model, place(batch, recipe.run, gpu), state, recipe)
        state.read()
        assert {tensor.device for tensor in state.model.state_dict().values()} == {gpu}
        fast = for_inference(state.model.eval(), recipe.run)
        with torch.no_grad():
            answers = fast.predict(place(batch, recipe.run, gpu))
    assert len(answers) == 2


def test_tensors_that_meet_are_found() -> None:
    with pretended_gpu() as gpu:
        x, y = torch.ones(3, 4, device=gpu), torch.ones(3, 4)
        assert x.device == (x + 1).device == x.clone().device == y.to(gpu).device == gpu
        assert torch.equal(x.cpu(), y)
        assert x[y[:, 0].long()].device == gpu
        for meeting in (lambda: x + y, lambda: torch.cat([x, y]), lambda: y[x[:, 0].long()], lambda: x.numpy()):
            with pytest.raises((RuntimeError, TypeError), match="GPU"):
                meeting()
