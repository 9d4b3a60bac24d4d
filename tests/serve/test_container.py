"""The container's files: linted, and true to the command line and the checkout. Nothing is built."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tyro
import yaml

import cvzoo
from cvzoo.commands.serve import STOPPING, Options, _split

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE = ["compose.yaml", "compose.gpu.yaml"]


def linted(program: str, *arguments: str) -> None:
    path = Path(sys.executable).with_name(program)
    if not path.exists():
        pytest.skip(f"{program} is not installed")
    done = subprocess.run([path, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dockerfile_has_no_fault() -> None:
    linted("hadolint", "--failure-threshold", "style", "Dockerfile")


@pytest.mark.parametrize("name", COMPOSE)
def test_compose_files_have_no_fault(name: str) -> None:
    linted("check-jsonschema", "--builtin-schema", "vendor.compose-spec", name)


def service(name: str) -> dict[str, Any]:
    return yaml.safe_load((ROOT / name).read_text())["services"]["cvzoo"]


def stated(instruction: str) -> list[str]:
    return re.findall(rf"^{instruction} (.*)$", DOCKERFILE, re.MULTILINE)


@pytest.mark.parametrize("command", [json.loads(stated("CMD")[-1]), service("compose.yaml")["command"]])
def test_it_starts_what_the_command_line_knows(command: list[str]) -> None:
    assert json.loads(stated("ENTRYPOINT")[0]) == ["cvzoo", "serve"]
    ((row, weights),), rest = _split(command)
    assert set(weights) <= {published.name for published in cvzoo.zoo.ROWS[row].published}
    options = tyro.cli(Options, args=rest)
    assert options.host == "0.0.0.0"
    assert stated("EXPOSE") == [str(options.port)]
    assert service("compose.yaml")["ports"] == [f"127.0.0.1:{options.port}:{options.port}"]
    assert f"127.0.0.1:{options.port}/readyz" in DOCKERFILE
    stop = options.queue_seconds + options.upload_seconds + STOPPING
    assert service("compose.yaml")["stop_grace_period"] == f"{stop + 5:.0f}s"


def test_it_runs_without_rights() -> None:
    assert int(stated("USER")[-1]) > 0
    compose = service("compose.yaml")
    assert compose["read_only"]
    assert compose["cap_drop"] == ["ALL"]
    assert {volume.partition(":")[2] for volume in compose["volumes"]} == {"/cache", "/runs:ro"}
    assert {"/cache"} == set(stated("VOLUME"))


def test_what_is_copied_is_there() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    names = [name for line in stated("COPY") if not line.startswith("--from") for name in line.split()[:-1]]
    assert names
    for name in names:
        assert (ROOT / name).exists()
        assert f"!{name}" in ignored
    extras = re.findall(r"\.\[(.*?)\]", DOCKERFILE)[0].split(",")
    declared = (ROOT / "pyproject.toml").read_text()
    assert all(re.search(rf"^{extra} = \[", declared, re.MULTILINE) for extra in extras)
