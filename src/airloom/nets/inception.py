"""Inception blocks: parallel convolutions of several reaches, concatenated (paper 000, §2.3.2).

Batch norm, activation and dropout work channel by channel, so one of each behind the concatenation is the same as one
behind each branch, and costs a fifth of the passes over memory.
"""

import torch
from torch import Tensor, nn


def shares(total: int, parts: int) -> list[int]:
    """Split `total` channels over `parts` branches, the first ones taking what does not divide.

    >>> shares(16, 5)
    [4, 3, 3, 3, 3]
    """
    return [total // parts + (i < total % parts) for i in range(parts)]


class Inception(nn.Module):
    """Branches of convolutions `kernels`, and a max-pool with a pointwise convolution; then norm, SiLU and dropout.

    (batch, inputs, …) → (batch, outputs, …). Whole channels are dropped, for neighbouring cells say nearly the same.
    """

    def __init__(
        self, inputs: int, outputs: int, *, kernels: list[list[tuple[int, ...]]], pool: tuple[int, ...], dropout: float = 0.0
    ) -> None:
        super().__init__()
        flat = len(pool) == 2
        convolution: type[nn.Conv2d | nn.Conv3d] = nn.Conv2d if flat else nn.Conv3d
        widths = shares(outputs, len(kernels) + 1)
        self.branches = nn.ModuleList(
            nn.Sequential(
                *(
                    convolution(width if i else inputs, width, k, padding=tuple(n // 2 for n in k), bias=False)  # type: ignore[arg-type]
                    for i, k in enumerate(path)
                )
            )
            for width, path in zip(widths, kernels, strict=False)
        )
        pooling = (nn.MaxPool2d if flat else nn.MaxPool3d)(pool, 1, tuple(n // 2 for n in pool))
        ones = tuple(1 for _ in pool)
        self.branches.append(nn.Sequential(pooling, convolution(inputs, widths[-1], ones, bias=False)))  # type: ignore[arg-type]
        self.norm = (nn.BatchNorm2d if flat else nn.BatchNorm3d)(outputs)
        self.dropout = (nn.Dropout2d if flat else nn.Dropout3d)(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Concatenate the branches."""
        joined = torch.cat([branch(x) for branch in self.branches], 1)
        return self.dropout(nn.functional.silu(self.norm(joined)))


def inception_2d(inputs: int, outputs: int, *, dropout: float = 0.0) -> Inception:
    """1 × 1, 3 × 3, 5 × 5, 1 × 7 then 7 × 1, and pooling, on (batch, channel, y, x)."""
    kernels: list[list[tuple[int, ...]]] = [[(1, 1)], [(3, 3)], [(5, 5)], [(1, 7), (7, 1)]]
    return Inception(inputs, outputs, kernels=kernels, pool=(3, 3), dropout=dropout)


def inception_lstm(inputs: int, outputs: int, *, dropout: float = 0.0) -> Inception:
    """1 × 1, 3 × 3, 5 × 5 and pooling, on (frame, channel, y, x): what a ConvLSTM takes in."""
    kernels: list[list[tuple[int, ...]]] = [[(1, 1)], [(3, 3)], [(5, 5)]]
    return Inception(inputs, outputs, kernels=kernels, pool=(3, 3), dropout=dropout)


def inception_3d(inputs: int, outputs: int, *, dropout: float = 0.0) -> Inception:
    """1 × 1 × 1, 1 × 3 × 3, 3 × 1 × 1, and pooling, on (batch, channel, level, y, x)."""
    kernels: list[list[tuple[int, ...]]] = [[(1, 1, 1)], [(1, 3, 3)], [(3, 1, 1)]]
    return Inception(inputs, outputs, kernels=kernels, pool=(1, 3, 3), dropout=dropout)
