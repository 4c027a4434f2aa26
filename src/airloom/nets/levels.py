"""Levels in the batch: a 3-D tensor seen as 2-D frames, without a copy where its channels come last in memory.

Two-dimensional convolutions, pooling and enlarging are several times as fast on frames as their three-dimensional forms are
on the whole, and give the same, for none of them mixes levels.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


def fold(x: Tensor) -> Tensor:
    """(batch, channel, level, y, x) → (batch·level, channel, y, x), channels last; what has no levels stays as it is."""
    frames = x.transpose(1, 2).flatten(0, 1) if x.dim() == 5 else x
    return frames.contiguous(memory_format=torch.channels_last)


def unfold(frames: Tensor, levels: int) -> Tensor:
    """(batch·level, channel, y, x) → (batch, channel, level, y, x)."""
    return frames.unflatten(0, (-1, levels)).transpose(1, 2)


def pointwise(frames: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """A 1 × 1 convolution with `weight` (outputs, inputs) as a matrix product: half the time where channels are few."""
    return functional.linear(frames.movedim(1, -1), weight, bias).movedim(-1, 1)


def double(x: Tensor) -> Tensor:
    """Twice the cells along y and x, bilinear between cell centres; levels, where there are any, stay.

    Each value four times would cost as much, and leave steps at the edges of the coarsest cells where nothing finer tells
    neighbours apart, as high above ground.
    """
    larger = functional.interpolate(fold(x), scale_factor=2, mode="bilinear")
    return unfold(larger, x.shape[2]) if x.dim() == 5 else larger


def share_levels(taps: Tensor, levels: int) -> Tensor:
    """A 3 × 1 × 1 convolution's sum over levels: each level takes from below, from itself and from above.

    Takes (batch·level, 3·channel, y, x), what each level has for the one above it, for itself and for the one below it;
    returns (batch·level, channel, y, x).
    """
    return _Share.apply(taps, levels)


class _Share(torch.autograd.Function):
    """Written by hand, for the slices' own gradients would fill the whole tensor with zeros, once each."""

    @staticmethod
    def forward(ctx: Any, taps: Tensor, levels: int) -> Tensor:
        ctx.levels = levels
        up, here, down = taps.unflatten(0, (-1, levels)).chunk(3, 2)
        total = here.movedim(2, -1).contiguous().movedim(-1, 2)
        total[:, 1:] += up[:, :-1]
        total[:, :-1] += down[:, 1:]
        return total.flatten(0, 1)

    @staticmethod
    def backward(ctx: Any, towards: Tensor) -> tuple[Tensor, None]:
        given = towards.unflatten(0, (-1, ctx.levels))
        batch, levels, channels, rows, columns = given.shape
        found = given.new_empty(batch, levels, rows, columns, 3 * channels).movedim(-1, 2)
        up, here, down = found.chunk(3, 2)
        here.copy_(given)
        up[:, :-1], up[:, -1] = given[:, 1:], 0
        down[:, 1:], down[:, 0] = given[:, :-1], 0
        return found.flatten(0, 1), None
