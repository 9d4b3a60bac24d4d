"""CUDA graphs at inference: all that a part of a network launches for maps of one size, launched at once.

A GPU finishes the kernels of few images sooner than the host can launch them one by one.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn

PARTS = "backbone", "neck", "rpn", "head"
"""What depends on nothing but images or maps; how much comes after them depends on what is found."""
MOST = 8
"""Of so many canvases and batch sizes graphs are kept, since each holds its maps; others are launched as ever."""
_RECORDING = threading.Lock()
_OWN = threading.local()


class Recorded(NamedTuple):
    """A graph; its inputs and outputs stay at one place in memory, where each replay reads and writes them."""

    graph: torch.cuda.CUDAGraph
    inputs: list[Tensor]
    outputs: Any


def replay_parts(model: nn.Module) -> None:
    """From now on record the model's parts for each new size of their input, where no gradient is asked for.

    What a part returns is overwritten when it is next called in the same thread with an input of that size.

    Raises: ValueError for a model that has no such parts: an exported file.
    """
    parts: list[Any] = [part for name in PARTS if (part := getattr(model, name, None)) is not None]
    if not parts:
        raise ValueError("run.cuda-graphs does nothing for an exported file; leave it out")
    for part in parts:
        if not isinstance(part.forward, Replay):  # as in a copy of a model that has been here
            part.forward = Replay(part.forward)


class Replay:
    """A function of one map or a list of them, by the graphs that each thread has recorded of it."""

    def __init__(self, forward: Callable[[Any], Any]) -> None:
        self.forward = forward
        self.own = threading.local()

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Of the copied part, whose graphs are yet to be recorded."""
        return type(self)(copy.deepcopy(self.forward, memo))

    def __call__(self, given: Tensor | list[Tensor]) -> Any:
        maps = [given] if isinstance(given, Tensor) else given
        if torch.is_grad_enabled() or not maps[0].is_cuda:
            return self.forward(given)
        known: dict[Any, Recorded] = vars(self.own)
        kind = str([(x.shape, x.stride(), x.dtype) for x in maps])
        if kind not in known:
            if len(known) == MOST:
                return self.forward(given)
            known[kind] = self._record(given, maps)
        recorded = known[kind]
        for place, x in zip(recorded.inputs, maps):
            if place.data_ptr() != x.data_ptr():  # else it is what the part before writes
                place.copy_(x)
        recorded.graph.replay()
        return recorded.outputs

    def _record(self, given: Tensor | list[Tensor], maps: list[Tensor]) -> Recorded:
        """Recorded on `maps` themselves, which become the place of this size's inputs."""
        queue, side = torch.cuda.current_stream(), torch.cuda.Stream()
        side.wait_stream(queue)
        with torch.cuda.stream(side):  # kernels are compiled and chosen, constants copied
            self.forward(given)
        queue.wait_stream(side)
        torch.clear_autocast_cache()  # whose weights would be gone when the graph is replayed
        graph = torch.cuda.CUDAGraph()
        pool = vars(_OWN).setdefault("pool", torch.cuda.graph_pool_handle())
        with _RECORDING, torch.cuda.graph(graph, pool, capture_error_mode="thread_local"):
            outputs = self.forward(given)
        torch.clear_autocast_cache()
        return Recorded(graph, maps, outputs)
