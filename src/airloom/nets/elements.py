"""Functions of single cells and of 3 × 3 cells, in the form that a processor computes fastest."""

import torch
from torch import Tensor
from torch.nn import functional


def tanh(x: Tensor) -> Tensor:
    """Hyperbolic tangent to 4e-7: on a processor as 2 · sigmoid(2x) − 1, for torch computes sigmoids several times as fast.

    >>> tanh(torch.tensor([0.0, 100.0])).tolist()
    [0.0, 1.0]
    """
    if x.device.type != "cpu":
        return torch.tanh(x)
    return torch.add(x.new_tensor(-1.0), torch.sigmoid(2 * x), alpha=2)


def largest_around(x: Tensor) -> Tensor:
    """The largest of the 3 × 3 cells around each, on (batch, channel, y, x).

    Where nothing is to be learnt through it a processor takes rows, then columns; max pooling, whose gradient is quicker,
    is itself faster in float32 than in bfloat16.
    """
    if x.device.type != "cpu":
        return functional.max_pool2d(x, 3, 1, 1)
    if x.requires_grad and torch.is_grad_enabled():
        wide = x.float() if x.dtype == torch.bfloat16 else x
        return functional.max_pool2d(wide, 3, 1, 1).to(x.dtype)
    return _larger_along(_larger_along(x, 2), 3)


def _larger_along(x: Tensor, axis: int) -> Tensor:
    """The largest of a cell and its two neighbours along an axis."""
    found = x.detach().clone()
    length = x.shape[axis] - 1
    ahead, behind = found.narrow(axis, 1, length), found.narrow(axis, 0, length)
    torch.maximum(ahead, x.narrow(axis, 0, length), out=ahead)
    torch.maximum(behind, x.narrow(axis, 1, length), out=behind)
    return found
