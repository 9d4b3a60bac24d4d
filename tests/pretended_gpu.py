"""A GPU where there is none: tensors that compute on the CPU, say that they lie on cuda:0, and refuse to meet others.

To PyTorch's C++ they lie on the CPU; so it lays what it makes for its own use, in a gradient's formula or for
`pad_sequence`, there, and such tensors are let in.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from cvzoo.engine import place
from cvzoo.ops import kernels

GPU, CPU = torch.device("cuda", 0), torch.device("cpu")
LEAVING = torch.device("meta")
"""In the place of the CPU, which every call without a device names, too."""
BETWEEN = ("_to_copy", "copy_", "index", "index_put", "index_put_")
"""Operations that may take a GPU's tensors and the CPU's together; indices may lie on the CPU."""


class OnGPU(Tensor):
    """Numbers of the CPU that pass for a GPU's."""

    inner: Tensor
    device = property(lambda self: GPU)  # type: ignore[assignment]
    is_cuda = property(lambda self: True)  # type: ignore[assignment]
    is_cpu = property(lambda self: False)  # type: ignore[assignment]
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, inner: Tensor, requires_grad: bool = False) -> OnGPU:
        layout = {"strides": inner.stride(), "storage_offset": inner.storage_offset(), "dtype": inner.dtype}
        self = Tensor._make_wrapper_subclass(cls, inner.shape, **layout, device=CPU, requires_grad=requires_grad)  # type: ignore[attr-defined]
        self.inner = inner
        return self

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return compute(func, args, kwargs or {})

    def to(self, *args: Any, **kwargs: Any) -> Tensor:  # type: ignore[override]
        given = [*args, kwargs.get("device"), kwargs.get("dtype")]
        given += [part for other in args if isinstance(other, Tensor) for part in (other.device, other.dtype)]
        device = next((torch.device(x) for x in given if isinstance(x, str | torch.device)), GPU)
        dtype = next((x for x in given if isinstance(x, torch.dtype)), self.dtype)
        format = kwargs.get("memory_format")
        if device.type == "cuda" and dtype == self.dtype and format is None:
            return self
        target = LEAVING if device.type == "cpu" else GPU
        return torch.ops.aten._to_copy.default(self, dtype=dtype, device=target, memory_format=format)

    def cpu(self) -> Tensor:  # type: ignore[override]
        return self.to("cpu")

    def tolist(self) -> Any:
        return self.inner.tolist()

    def numpy(self, *_: Any, **__: Any) -> Any:
        raise TypeError("a GPU's tensor cannot become NumPy's")

    __array__ = numpy


class WithGPU(TorchDispatchMode):
    """Operations that are asked for cuda:0 make its tensors."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return compute(func, args, kwargs or {})


def compute(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """An operation where its tensors lie. RuntimeError where they lie here and there; a number may lie anywhere."""
    name, device = func.overloadpacket.__name__, kwargs.get("device")
    tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
    there, gradient = [x for x in tensors if isinstance(x, OnGPU)], torch._C._current_autograd_node() is not None
    here = [tuple(x.shape) for x in tensors if not isinstance(x, OnGPU) and x.dim()]
    indexed_here = name.startswith("index") and not isinstance(args[0], OnGPU)
    if there and here and not gradient and (name not in BETWEEN or indexed_here):
        raise RuntimeError(f"{name} of tensors {here} of the CPU and {[tuple(x.shape) for x in there]} of a GPU")
    if name == "_to_copy" or not there:
        on_gpu = device != LEAVING if there else device is not None and device.type == "cuda"
    else:
        on_gpu = gradient or name not in BETWEEN or isinstance(args[0], OnGPU)
    options = kwargs | ({} if device is None else {"device": CPU})
    found = func(*tree_map(_inner, args), **tree_map(_inner, options))
    own = {id(_inner(x)): x for x in tensors}  # what an operation has changed in place is itself

    def outer(x: Any) -> Any:
        return own.get(id(x), OnGPU(x) if on_gpu else x) if isinstance(x, Tensor) else x

    return tree_map(outer, found)


def _inner(x: Any) -> Any:
    return x.inner if isinstance(x, OnGPU) else x


@contextmanager
def pretended_gpu() -> Iterator[torch.device]:
    """A GPU within. Its kernels of Triton and its copies on a stream of their own need a real one and are left out."""
    plainly = torch._C._nn.pad_sequence

    def padded(sequences: list[Tensor], *args: Any, **kwargs: Any) -> Tensor:
        found = plainly([_inner(x) for x in sequences], *args, **kwargs)
        return OnGPU(found) if isinstance(sequences[0], OnGPU) else found

    before = torch.__future__.get_swap_module_params_on_conversion()
    torch.__future__.set_swap_module_params_on_conversion(True)
    try:
        with pytest.MonkeyPatch.context() as patch, WithGPU():
            patch.setattr(torch.cuda, "_lazy_init", lambda: None)
            patch.setattr(torch._C._nn, "pad_sequence", padded)
            patch.setattr(kernels, "_installed", lambda: False)
            patch.setattr(place, "_copied", lambda batch, device: batch.to(device))
            yield GPU
    finally:
        torch.__future__.set_swap_module_params_on_conversion(before)
