"""What the doctor says of this machine, and of others."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from cvzoo.cli import main
from cvzoo.engine import doctor
from cvzoo.engine.doctor import Finding, findings, folder, judged
from cvzoo.engine.doctor_cuda import driver_and_build


@pytest.fixture
def found(tmp_path: Path) -> dict[str, Finding]:
    return {one.name: one for one in findings(tmp_path / "runs")}


def test_this_machine(found: dict[str, Finding], tmp_path: Path) -> None:
    core = {Requirement(text).name for text in metadata.requires("cvzoo") or () if "extra ==" not in text}
    assert set(found) > core | {"python", "machine", "memory", "shared memory", "open files", "CUDA", "threads"}
    assert found["torch"].found == metadata.version("torch")
    assert {one.state for one in found.values()} <= {"ok", "warning", "fault"}
    for one in found.values():
        assert bool(one.cause) == (one.state != "ok")
        assert one.remedy or one.state == "ok"
    assert found["data cache"].found.startswith(str(tmp_path / "cache/data"))
    assert not (tmp_path / "runs").exists()


def test_the_status_is_that_of_the_worst(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["doctor", "--json", "--out", str(tmp_path / "runs")]) == 0
    assert {one["name"] for one in json.loads(capsys.readouterr().out)} >= {"torch", "run folder"}
    assert main(["doctor", "--out", "/proc/runs"]) == 2
    lines = capsys.readouterr().out.splitlines()
    (place,) = [i for i, line in enumerate(lines) if "run folder" in line]
    assert lines[place].split()[:4] == ["fault", "run", "folder", "/proc/runs:"]
    assert lines[place + 1].strip() == "no run can be written: choose another with --out, and later --run.out"


def test_a_cache_that_cannot_be_written_is_a_warning(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CVZOO_CACHE", "/proc/cache")
    states = {one.name: one.state for one in findings(tmp_path)}
    assert states["weights cache"] == states["data cache"] == "warning"
    assert states["run folder"] in ("ok", "warning")


def test_amounts() -> None:
    limits = (4.0, 1.0)
    assert [judged(value, limits) for value in (0.5, 1, 3.9, 4, 100)] == ["fault", "warning", "warning", "ok", "ok"]
    assert judged(64 * 2**20, doctor.SHARED) == "fault"  # what a container of Docker has
    assert judged(1024, doctor.OPEN_FILES) == "ok"  # what most systems allow


def test_few_open_files(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (800, before[1]))
    try:
        one = doctor._open_files()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert (one.state, one.found) == ("warning", "at most 800")
    assert "ulimit -n" in one.remedy


def test_packages_that_do_not_fit() -> None:
    version = metadata.version("numpy")
    assert doctor._package("numpy", [Requirement("numpy>=1.2")]) == Finding("numpy", version)
    old = doctor._package("numpy", [Requirement("numpy>=999"), Requirement("numpy!=1")])
    assert (old.state, old.found) == ("fault", version)
    assert ">=999" in old.cause
    assert old.remedy == "pip install 'numpy>=999' 'numpy!=1'"
    absent = doctor._package("no-such-package", [Requirement("no-such-package>=1")])
    assert (absent.state, absent.found) == ("fault", "not installed")


def test_a_torch_that_cannot_be_imported_is_told_like_the_rest(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise OSError('libcudart.so.13: cannot open shared object file')")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from cvzoo.cli import main; sys.exit(main(['doctor', '--json']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2, done.stderr
    broken = [one for one in json.loads(done.stdout) if one["state"] == "fault"]
    assert [one["name"] for one in broken] == ["torch"]
    assert "libcudart.so.13" in broken[0]["cause"]
    assert "pytorch.org" in broken[0]["remedy"]


@pytest.mark.parametrize(
    ("build", "driver", "module", "available", "state", "told"),
    [
        ("12.8", None, False, False, "ok", "no NVIDIA driver"),
        (None, None, False, False, "ok", "built for the CPU alone"),
        ("12.8", 13000, True, True, "ok", "driver for CUDA 13.0, torch built for CUDA 12.8"),
        ("12.8", 12040, True, True, "ok", "driver for CUDA 12.4"),  # within one major version all fit
        ("13.0", 12080, True, False, "fault", "too old for torch's CUDA 13.0"),
        (None, 12080, True, False, "warning", "torch does not use the GPU"),
        ("12.8", None, True, False, "warning", "libcuda.so.1 cannot be loaded"),
        ("12.8", 12080, True, False, "fault", "error 804"),
    ],
)
def test_driver_and_torch(
    build: str | None,
    driver: int | None,
    module: bool,
    available: bool,
    state: str,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    one = driver_and_build(build, driver, module, available, "error 804: forward compatibility")
    assert one.state == state
    assert told in one.found + one.cause


def test_hidden_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    one = driver_and_build("12.8", 12080, True, False, "")
    assert (one.state, one.cause[:23]) == ("warning", "CUDA_VISIBLE_DEVICES=7 ")


def test_a_folder_is_left_as_it_was(tmp_path: Path) -> None:
    one = folder("cache", tmp_path / "a/b", "fault", "", "")
    assert one.found.startswith(f"{tmp_path}/a/b, ")
    assert not list(tmp_path.iterdir())


@pytest.mark.gpu
def test_a_device_that_works(found: dict[str, Finding]) -> None:
    assert found["CUDA"].state == "ok"
    assert "compute capability" in found["GPU 0"].found
    assert found["GPU 0"].state != "fault"
