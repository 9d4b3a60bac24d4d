"""Launching Triton kernels at a third of the time that Triton itself takes, most of it to find the variant that fits.

A step of few images is bound by what the host does for each of its small maps.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from torch import Tensor
from triton.runtime.jit import JITFunction

_READY: dict[Hashable, Any] = {}
"""Compiled kernels, by all that Triton compiles another variant for."""


def launch(
    kernel: Any, grid: tuple[int, ...], *arguments: Any, warps: int = 4, fused: bool = True, **constants: Any
) -> None:
    """Run `kernel[grid](*arguments, **constants)`; the constants are the kernel's last parameters.

    With `fused` a product and the sum after it may be rounded once; PyTorch's operations, one by one, round twice.
    """
    options = {"num_warps": warps, "enable_fp_fusion": fused}
    if not isinstance(kernel, JITFunction):  # Triton's interpreter
        kernel[grid](*arguments, **constants, **options)
        return
    key = kernel, arguments[0].device, tuple(map(_kind, arguments)), tuple(constants.values())
    ready = _READY.get(key)
    if ready is None:
        assert [*constants] == kernel.arg_names[len(arguments) :]
        _READY[key] = kernel[grid](*arguments, **constants, **options)
    else:
        ready[(*grid, 1, 1)[:3]](*arguments, *constants.values())


def _kind(argument: Any) -> Hashable:
    """What Triton knows of an argument when it compiles; more than it tells apart does no harm."""
    if isinstance(argument, Tensor):
        return argument.dtype, argument.data_ptr() % 16 == 0
    if isinstance(argument, int):
        return argument == 1, argument % 16 == 0, argument.bit_length() > 31
    return type(argument)


def blocks_of(count: int, size: int) -> int:
    """How many blocks of `size` hold `count`; Triton's own is made for kernels and takes 2 us."""
    return -(-count // size)


def power_of_2(number: int) -> int:
    """The smallest that is not below `number`, which is 1 or more; as for `blocks_of`."""
    return 1 << (number - 1).bit_length()
