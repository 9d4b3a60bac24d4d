"""Files are whole or absent, whatever happens while they are written."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from engine.tiny import tiny
from safetensors import safe_open

from cvzoo.engine import checkpoint
from cvzoo.engine.train import train
from cvzoo.files import SaveError

pytestmark = pytest.mark.usefixtures("inside")


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """No file may grow beyond `size` bytes: the system refuses the write as it does on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_full_disk_leaves_the_old_checkpoint_intact(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, {"iteration": 1, "weights": torch.ones(10)})
    before = (tmp_path / "checkpoint.pt").read_bytes()
    with full_disk(100_000), pytest.raises(SaveError, match=r"saved before is intact.*Free disk space"):
        checkpoint.save(tmp_path, {"iteration": 2, "weights": torch.ones(1_000_000)})
    assert (tmp_path / "checkpoint.pt").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_full_disk_and_no_weights_yet(tmp_path: Path) -> None:
    with full_disk(100_000), pytest.raises(SaveError, match=r"model\.safetensors.*too large.*nothing"):
        checkpoint.save_weights(tmp_path, {"weights": torch.ones(1_000_000)}, {})
    assert not list(tmp_path.iterdir())


def test_full_disk_stops_a_run_that_then_continues(tmp_path: Path) -> None:
    short = tiny(tmp_path / "runs", run__checkpoint_every=1, schedule__iterations=3)
    with full_disk(200_000), pytest.raises(SaveError):
        train(short)
    assert checkpoint.load(short.run.out / short.row, "cpu") is None
    assert train(short).folder.joinpath("model.safetensors").exists()


def test_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(b"PK\x03\x04 half a file")
    with pytest.raises(ValueError, match=r"checkpoint\.pt is not a readable checkpoint.*delete it"):
        checkpoint.load(tmp_path, "cpu")


def test_weights_carry_their_origin(tmp_path: Path) -> None:
    weights = {"a": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)}
    digest = checkpoint.save_weights(tmp_path, weights, {"row": "some_row", "classes": ["cat", "dog"]})
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        assert file.metadata() == {"row": '"some_row"', "classes": '["cat", "dog"]'}
        assert torch.equal(file.get_tensor("a"), weights["a"])
    assert len(digest) == 64
