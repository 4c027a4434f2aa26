"""Inception blocks: parallel convolutions of several reaches, concatenated (paper 000, §2.3.2).

Batch norm, activation and dropout work channel by channel, so one of each behind the concatenation is the same as one
behind each branch, and costs a fifth of the passes over memory.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional


def shares(total: int, parts: int) -> list[int]:
    """Split `total` channels over `parts` branches, the first ones taking what does not divide.

    >>> shares(16, 5)
    [4, 3, 3, 3, 3]
    """
    return [total // parts + (i < total % parts) for i in range(parts)]


class Inception(nn.Module):
    """Branches of convolutions `kernels`, and a max-pool with a pointwise convolution; then norm, SiLU and dropout.

    (batch, inputs, …) → (batch, outputs, …), in two or three dimensions, as many as `pool` has; a pool reaches over y and x
    alone. Whole channels are dropped, for neighbouring cells say nearly the same.
    """

    def __init__(
        self, inputs: int, outputs: int, *, kernels: list[list[tuple[int, ...]]], pool: tuple[int, ...], dropout: float = 0.0
    ) -> None:
        super().__init__()
        flat = len(pool) == 2
        convolution: type[nn.Conv2d | nn.Conv3d] = nn.Conv2d if flat else nn.Conv3d
        widths = shares(outputs, len(kernels) + 1)
        paths = [*kernels, [tuple(1 for _ in pool)]]
        self.pool = pool
        self.branches = nn.ModuleList(
            nn.ModuleList(
                convolution(width if i else inputs, width, k, padding=tuple(n // 2 for n in k), bias=False)  # type: ignore[arg-type]
                for i, k in enumerate(path)
            )
            for width, path in zip(widths, paths, strict=True)
        )
        self.norm = (nn.BatchNorm2d if flat else nn.BatchNorm3d)(outputs)
        self.dropout = (nn.Dropout2d if flat else nn.Dropout3d)(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Concatenate the branches."""
        single = x.dim() == 5 and x.shape[2] == 1  # one level: the same in two dimensions, at half the cost
        x = x.squeeze(2) if single else x
        # channels last: pooling is three times as fast, and convolutions no slower
        x = x.contiguous(memory_format=torch.channels_last if x.dim() == 4 else torch.channels_last_3d)
        found = [_along(path, x) for path in self.branches[:-1]]
        found.append(_along(self.branches[-1], self._pooled(x)))
        joined = torch.cat(found, 1)
        joined = joined.unsqueeze(2) if single else joined
        return self.dropout(functional.silu(self.norm(joined)))

    def _pooled(self, x: Tensor) -> Tensor:
        """Largest value around each cell, along y and x."""
        size = self.pool[-2:]
        around = tuple(n // 2 for n in size)
        if x.dim() == 4:
            return functional.max_pool2d(x, size, 1, around)
        return functional.max_pool3d(x, (1, *size), 1, (0, *around))


def _along(path: nn.Module, x: Tensor) -> Tensor:
    """Convolutions one after the other; those in three dimensions by their middle slice where there is but one level."""
    for layer in path.children():
        if isinstance(layer, nn.Conv3d) and x.dim() == 4:
            x = functional.conv2d(x, layer.weight[:, :, layer.kernel_size[0] // 2], padding=layer.padding[1:])
        else:
            x = layer(x)
    return x


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
