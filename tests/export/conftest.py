from __future__ import annotations

import pytest
from export.pairs import RETINANET, Pair, exported


@pytest.fixture(scope="session")
def retinanet(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """On canvases of any size."""
    return exported(RETINANET, tmp_path_factory.mktemp("export"))
