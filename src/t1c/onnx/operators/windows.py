"""What convolutions and pools have in common: kernels, strides and the ways to state a padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from t1c.ir.shapes import Shape

from .call import Call


@dataclass(frozen=True)
class Windows:
    """Along each spatial axis; ``pads`` are (before, after)."""

    kernel: Shape
    stride: Shape
    dilation: Shape
    pads: tuple[tuple[int, int], ...]

    @property
    def even(self) -> bool:
        """As much padding before as after, along every axis."""
        return all(before == after for before, after in self.pads)

    @property
    def before(self) -> Shape:
        """The padding before."""
        return tuple(before for before, _ in self.pads)


def windows_of(call: Call, kernel: Sequence[int] | None, size: Shape) -> Windows:
    """The windows that a node's attributes state.

    Args:
        call: the node.
        kernel: its kernel, where the weight tells; None: it must be stated.
        size: of the map that the windows slide over.
    """
    stated = call.attributes.ints("kernel_shape")
    if kernel is not None and stated is not None and tuple(kernel) != stated:
        raise call.refuse(f"kernel_shape={stated} for a weight of kernel {tuple(kernel)}")
    kernel = stated if kernel is None else tuple(kernel)
    if kernel is None:
        raise call.refuse("no kernel_shape", "the size of the window")
    dims = len(kernel)
    if dims != len(size) or dims not in (1, 2, 3):
        raise call.refuse(
            f"windows of {dims} axes over a map of {len(size)}", "1, 2 or 3 axes, the same"
        )
    stride = call.attributes.ints("strides", (1,) * dims)
    dilation = call.attributes.ints("dilations", (1,) * dims)
    spans = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    how = call.attributes("auto_pad", "NOTSET")
    flat = call.attributes.ints("pads", (0,) * 2 * dims)
    if how in ("SAME_UPPER", "SAME_LOWER"):
        pads = tuple(_same(n, s, k, how) for n, s, k in zip(size, stride, spans, strict=True))
    elif how == "VALID":
        pads = ((0, 0),) * dims
    elif how == "NOTSET":
        pads = tuple(zip(flat[:dims], flat[dims:], strict=True))
    else:
        raise call.refuse(f"auto_pad={how!r}", "NOTSET, VALID, SAME_UPPER or SAME_LOWER")
    if any(pad < 0 for pair in pads for pad in pair):
        raise call.refuse(f"pads={flat}, which cut off", "padding of at least 0")
    return Windows(kernel, stride, dilation, pads)


def of_dims(values: Shape) -> Any:
    """What a node of one spatial axis takes as a number, and others as a tuple."""
    return values[0] if len(values) == 1 else values


def _same(size: int, stride: int, span: int, how: str) -> tuple[int, int]:
    """Padding with which one window begins at every stride."""
    total = max((-(-size // stride) - 1) * stride + span - size, 0)
    less, more = total // 2, total - total // 2
    return (less, more) if how == "SAME_UPPER" else (more, less)
