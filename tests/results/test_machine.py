"""What a machine is called."""

from __future__ import annotations

import pytest

from cvzoo.results.machine import machine_slug


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("NVIDIA H100 80GB HBM3", "h100"),
        ("NVIDIA A100-SXM4-80GB", "a100"),
        ("Tesla V100-SXM2-16GB", "v100"),
        ("NVIDIA GeForce RTX 2080 Ti", "rtx2080ti"),
    ],
)
def test_slugs_of_gpus(name: str, slug: str) -> None:
    assert machine_slug(name) == slug
