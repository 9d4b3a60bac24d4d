"""Every kind of file, whole, damaged and malicious."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from cvzoo.weights.files import WeightsError, find_file, read_weights

MMENGINE = {"mmengine_version": "0.10.7", "epoch": 12}
"""What says that the average has become the state dict."""
STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(4)}


def same(state: dict[str, Tensor]) -> None:
    assert state.keys() == STATE.keys()
    assert all(state[key].equal(STATE[key]) for key in STATE)


@pytest.mark.parametrize(
    "content",
    [
        STATE,
        {"model": STATE, "iteration": 3},
        {"state_dict": {f"module.{key}": value for key, value in STATE.items()}, "meta": {"epoch": 12}},
        {"model": {"b": torch.tensor(0)}, "ema": STATE},
        {"model": {"b": torch.tensor(0)}, "model_ema": {f"module.{key}": value for key, value in STATE.items()}},
        {f"module._orig_mod.{key}": value for key, value in STATE.items()},
        {"state_dict": {f"model.{key}": value for key, value in STATE.items()}},
        {"model": STATE, "ema": None},
        {"state_dict": {"b": torch.tensor(0)}, "state_dict_ema": STATE},
        {"state_dict": {"b": torch.tensor(0)}, "ema_state_dict": STATE, "meta": {"epoch": 12}},
        {"state_dict": STATE, "ema_state_dict": {"module.b": STATE["b"] * 2, "steps": STATE["b"]}, "meta": MMENGINE},
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_torch_files_and_checkpoints(tmp_path: Path, content: Any, zipped: bool) -> None:
    torch.save(content, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    file = read_weights(tmp_path / "w.pth")
    same(file.state)
    assert file.recipe is None


@pytest.mark.parametrize("name", ["swa_state_dict", "model_averaged"])
def test_weights_under_a_name_that_nobody_knows_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    """An optimiser's state is none."""
    averaged = {f"module.{key}": value for key, value in STATE.items()} | {"n_averaged": torch.tensor(3)}
    optimiser = {"state": {0: {"momentum": STATE["b"]}}, "param_groups": []}
    torch.save({"model": STATE, "optimizer": optimiser}, tmp_path / "w.pth")
    same(read_weights(tmp_path / "w.pth").state)
    assert not caplog.records
    torch.save({"model": STATE, name: averaged}, tmp_path / "w.pth")
    same(read_weights(tmp_path / "w.pth").state)
    (message,) = [record.getMessage() for record in caplog.records]
    assert message.endswith(f"w.pth: the weights under 'model' are read; it has others under {name!r}")


def test_safetensors_bring_their_recipe(tmp_path: Path) -> None:
    metadata = {"recipe": {"row": "x", "model": {}}, "classes": ["a", "b"]}
    save_file(STATE, tmp_path / "w.safetensors", {name: json.dumps(value) for name, value in metadata.items()})
    file = read_weights(tmp_path / "w.safetensors")
    same(file.state)
    assert file.recipe == {"row": "x", "model": {}}
    assert file.data == {"classes": ["a", "b"]}


@pytest.mark.parametrize("recipe", ["sparse, first try", json.dumps("sparse"), json.dumps({"row": "x"}), "[" * 100_000])
def test_what_others_call_a_recipe_is_none_of_ours(tmp_path: Path, recipe: str) -> None:
    save_file(STATE, tmp_path / "w.safetensors", {"recipe": recipe})
    file = read_weights(tmp_path / "w.safetensors")
    same(file.state)
    assert (file.recipe, file.data) == (None, {})


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(tmp_path: Path, value: float) -> None:
    broken = STATE | {"b": torch.full((2,), value)}
    torch.save(broken, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"w\.pth holds numbers that are not finite .* such as b"):
        read_weights(tmp_path / "w.pth")


def test_variances_below_0_are_refused(tmp_path: Path) -> None:
    torch.save(STATE | {"bn1.running_var": torch.tensor([1.0, -1e-6])}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"w\.pth holds variances below 0, in bn1\.running_var"):
        read_weights(tmp_path / "w.pth")


@pytest.mark.parametrize(
    ("meta", "text"),
    [
        ({"cfg": "model = dict(type='FCOS')", "epoch": 12}, "model = dict(type='FCOS')"),
        ({"config": "model = dict(type='FCOS')"}, "model = dict(type='FCOS')"),  # of version 1
        ({"cfg": {"model": 1}}, ""),
        ("not a mapping", ""),
        (None, ""),
    ],
)
def test_files_of_mmdetection_record_their_config(tmp_path: Path, meta: Any, text: str) -> None:
    """Beside the name of the file, which tells something, too."""
    torch.save({"state_dict": STATE, "meta": meta}, tmp_path / "fcos_r50-1234.pth")
    file = read_weights(tmp_path / "fcos_r50-1234.pth")
    same(file.state)
    assert file.record == f"fcos_r50-1234.pth\n{text}"


def test_other_files_record_their_name(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "w.safetensors", {"recipe": json.dumps({"row": "x"})})
    assert read_weights(tmp_path / "w.safetensors").record == "w.safetensors\n"
    torch.save(STATE, tmp_path / "w.pth")
    assert read_weights(tmp_path / "w.pth").record == "w.pth\n"


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickled_arrays(tmp_path: Path, protocol: int) -> None:
    arrays = {key: value.numpy() for key, value in STATE.items()} | {"c": np.zeros((0, 4)), "d": np.float32(2)}
    (tmp_path / "w.pkl").write_bytes(pickle.dumps({"model": arrays, "__author__": "x"}, protocol))
    state = read_weights(tmp_path / "w.pkl").state
    assert state.pop("c").shape == (0, 4)
    assert state.pop("d") == 2
    same(state)


class Malicious:
    """Creates a file when it is unpickled without care."""

    def __init__(self, path: Any) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("suffix", [".pkl", ".pth", ".pt"])
def test_a_malicious_pickle_is_refused_and_not_run(tmp_path: Path, suffix: str) -> None:
    trap, path = tmp_path / "trap", tmp_path / f"w{suffix}"
    content = {"model": {"a": Malicious(trap)}}
    path.write_bytes(pickle.dumps(content)) if suffix == ".pkl" else torch.save(content, path)
    with pytest.raises(WeightsError, match=r"asks for (posix|nt)\.mkdir.*refused and nothing of it was run"):
        read_weights(path)
    assert not trap.exists()
    if suffix == ".pkl":  # the trap does work
        pickle.loads(path.read_bytes())
        assert trap.exists()


@pytest.mark.parametrize("name", ["builtins\neval", "numpy\nsave", "numpy.core.multiarray\nfromfile", "torch\nload"])
def test_only_what_arrays_need_comes_out_of_a_pickle(tmp_path: Path, name: str) -> None:
    (tmp_path / "w.pkl").write_bytes(f"c{name}\n.".encode())
    with pytest.raises(WeightsError, match="refused"):
        read_weights(tmp_path / "w.pkl")


@pytest.fixture(params=[".pth", "legacy.pth", ".pkl", ".safetensors"])
def whole(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A good file of every format."""
    path = tmp_path / f"w{request.param}"
    match request.param:
        case ".safetensors":
            save_file(STATE, path)
        case ".pkl":
            path.write_bytes(pickle.dumps({key: value.numpy() for key, value in STATE.items()}))
        case _:
            torch.save(STATE, path, _use_new_zipfile_serialization=request.param == ".pth")
    return path


@pytest.mark.parametrize("keep", [0.05, 0.5, 0.99])
def test_a_cut_off_file(whole: Path, keep: float) -> None:
    data = whole.read_bytes()
    whole.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(
        WeightsError, match=r"cannot be read as a \w+ file \(.+\); it is cut off.*get it again"
    ) as error:
        read_weights(whole)
    assert str(whole) in str(error.value)
    assert "weights_only" not in str(error.value)


def test_a_web_page_under_the_name_of_weights(whole: Path) -> None:
    whole.write_text("<html>404: not found</html>")
    with pytest.raises(WeightsError, match="cannot be read"):
        read_weights(whole)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "holds no weights but list"),
        ({}, "holds no weights but dict"),
        ({"lr": 0.1, "a": torch.zeros(1)}, "entry 'lr' is of type float"),
        ({1: torch.zeros(1)}, "entry 1 is of type Tensor"),
    ],
)
def test_no_weights_in_it(tmp_path: Path, content: Any, message: str) -> None:
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=message):
        read_weights(tmp_path / "w.pth")


def test_arrays_of_objects_are_no_weights(tmp_path: Path) -> None:
    (tmp_path / "w.pkl").write_bytes(pickle.dumps({"a": np.array([1, "x"], dtype=object)}))
    with pytest.raises(WeightsError, match="entry 'a' is of type ndarray"):
        read_weights(tmp_path / "w.pkl")


def test_empty_missing_and_unknown_files(tmp_path: Path) -> None:
    (tmp_path / "w.pth").touch()
    (tmp_path / "w.onnx").touch()
    with pytest.raises(WeightsError, match=r"w\.pth is empty"):
        read_weights(tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"w\.onnx is not a weights file; cvzoo reads \.safetensors, \.pth"):
        read_weights(tmp_path / "w.onnx")
    with pytest.raises(WeightsError, match="there is no weights file"):
        read_weights(tmp_path / "gone.pth")


def test_a_folder_gives_the_expected_name_or_its_only_file(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(WeightsError, match="it has none"):
        find_file(tmp_path)
    (tmp_path / "b.pth").touch()
    assert find_file(tmp_path) == tmp_path / "b.pth"
    (tmp_path / "a.pth").touch()
    with pytest.raises(WeightsError, match=r"it has a\.pth, b\.pth\. Give the file itself"):
        find_file(tmp_path)
    assert find_file(tmp_path, ("x.pth", "a.pth")) == tmp_path / "a.pth"
    with pytest.raises(WeightsError, match="there is no weights file"):
        find_file(tmp_path / "gone")
