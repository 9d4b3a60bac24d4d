"""Files of OpenVINO: several threads may use one at a time."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from threading import Barrier, Thread

import numpy as np
import pytest
import torch
from export.pairs import Pair

from cvzoo.runtime.facts import KEY, Facts
from cvzoo.runtime.formats import openvino
from cvzoo.runtime.model import Exported
from cvzoo.structures import LabelMaps

if find_spec("openvino") is None:
    pytest.skip("openvino is not installed", allow_module_level=True)
ov = openvino()

FIRST_QUESTIONS = """
import os, signal, sys, threading
from pathlib import Path
import torch
from cvzoo.runtime import formats

def ask():
    both.wait()
    run(torch.zeros(1, 3, 32, 32, dtype=torch.uint8), torch.tensor([[32, 32]]))

for _ in range(8):  # the fault needs two threads at one moment: half of the children meet it
    child = os.fork()
    if child == 0:
        signal.alarm(60)  # ends it whoever holds the GIL
        assert "openvino" not in sys.modules
        _, run = formats.open_exported(Path(sys.argv[1]))
        both = threading.Barrier(4)
        threads = [threading.Thread(target=ask, daemon=True) for _ in range(4)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        os._exit(sys.modules["openvino_telemetry"] is not None)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""


def label_maps(path: Path, facts: Facts) -> Exported:
    """A model whose label maps are the images' red."""
    from openvino import opset13 as op

    images = op.parameter([-1, 3, -1, -1], np.uint8, name="images")
    sizes = op.parameter([-1, 2], np.int64, name="sizes")
    labels = op.gather(images, np.int64(0), np.int64(1))
    labels.output(0).set_names({"labels"})
    model = ov.Model([labels], [images, sizes])
    model.set_rt_info(replace(facts, outputs=["labels"], task="label_maps").to_json(), [KEY])
    ov.save_model(model, path)
    return Exported(path)


def test_two_threads_get_their_own_answers(retinanet: Pair, tmp_path: Path) -> None:
    file = label_maps(tmp_path / "model.xml", retinanet.file.facts)
    wrong: list[object] = []
    both = Barrier(2)

    def ask(value: int) -> None:
        images = torch.full((1, 3, 256, 256), value, dtype=torch.uint8)
        both.wait()
        try:
            for _ in range(30):
                found = file.infer(images, torch.tensor([[256, 256]]))
                assert isinstance(found, LabelMaps)
                assert (found.labels == value).all()
        except Exception as error:
            wrong.append(error)

    threads = [Thread(target=ask, args=[value]) for value in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_the_first_questions_may_come_at_once_and_nothing_is_reported(retinanet: Pair, tmp_path: Path) -> None:
    """In processes of their own: OpenVINO looks NumPy up once, and two threads that do so at once wait for ever."""
    file = label_maps(tmp_path / "model.xml", retinanet.file.facts)
    subprocess.run([sys.executable, "-c", FIRST_QUESTIONS, file.path], check=True)
