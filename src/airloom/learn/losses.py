"""Terms of the loss."""

import torch
from torch import Tensor
from torch.nn import functional

K1, K2, SIGMA = 0.01, 0.03, 1.5


def masked_mse(predicted: Tensor, target: Tensor) -> Tensor:
    """Mean squared error where `target` is no NaN, in tensors of one shape; 0 where it holds no value at all."""
    there = torch.isfinite(target)
    error = torch.where(there, predicted - torch.nan_to_num(target), 0)
    return error.square().sum() / there.sum().clamp(min=1)


def roughness(field: Tensor, cell: float) -> Tensor:
    """Mean squared slope of a field on (batch, level, y, x), per km; `cell` is the edge of a cell [m].

    Between stations nothing else says what a field must not do: without it a network is free to tell every station's cell
    from its neighbours.
    """
    down, across = (field.diff(dim=d).square().mean() for d in (-2, -1))
    return (down + across) / (cell / 1000) ** 2


def structural_dissimilarity(a: Tensor, b: Tensor, *, window: int = 11) -> Tensor:
    """1 − mean SSIM of slices on (batch, level, y, x), each min–max normalised (paper 000, Eq. 1; Wang et al., 2004).

    Gaussian window of `window` cells, σ 1.5, K 0.01 and 0.03 on range 1. A constant slice has no structure to compare and
    is left out; where all are constant the term is 0.
    """
    a, b = a.flatten(0, 1).unsqueeze(1), b.flatten(0, 1).unsqueeze(1)  # (slice, 1, y, x)
    varies = (_range(a) != 0) & (_range(b) != 0)  # a slice with NaN stays in, so that the loss shows it
    a, b = _unit(a[varies]), _unit(b[varies])
    if len(a) == 0:
        return a.sum()
    kernel = gaussian(window).to(a)
    mean_a, mean_b = functional.conv2d(a, kernel), functional.conv2d(b, kernel)
    variance_a = functional.conv2d(a * a, kernel) - mean_a**2
    variance_b = functional.conv2d(b * b, kernel) - mean_b**2
    covariance = functional.conv2d(a * b, kernel) - mean_a * mean_b
    c1, c2 = K1**2, K2**2
    similarity = ((2 * mean_a * mean_b + c1) * (2 * covariance + c2)) / (
        (mean_a**2 + mean_b**2 + c1) * (variance_a + variance_b + c2)
    )
    return 1 - similarity.mean()


def gaussian(window: int) -> Tensor:
    """Normalised Gaussian weights on (1, 1, window, window)."""
    one = torch.exp(-((torch.arange(window) - (window - 1) / 2) ** 2) / (2 * SIGMA**2))
    return torch.outer(one, one)[None, None] / one.sum() ** 2


def _range(x: Tensor) -> Tensor:
    """Largest minus smallest value of each slice, on (slice,)."""
    return (x.amax((1, 2, 3)) - x.amin((1, 2, 3))).detach()


def _unit(x: Tensor) -> Tensor:
    """Each slice brought to 0 … 1."""
    if len(x) == 0:
        return x
    low, high = x.amin((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
    return (x - low) / (high - low)
