"""Inception blocks: parallel convolutions of several reaches, concatenated (paper 000, §2.3.2).

Normalisation, activation and dropout work channel by channel, so one of each behind the concatenation is the same as one
behind each branch, and costs a fifth of the passes over memory.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from airloom.nets.elements import largest_around
from airloom.nets.levels import fold, pointwise, share_levels, unfold
from airloom.nets.norm import BatchRenorm
from airloom.nets.recompute import Recomputed

MERGED = 16  # outputs up to which square kernels run as one: a convolution computes so many at a time anyway


def shares(total: int, parts: int) -> list[int]:
    """Split `total` channels over `parts` branches, the first ones taking what does not divide.

    >>> shares(16, 5)
    [4, 3, 3, 3, 3]
    """
    return [total // parts + (i < total % parts) for i in range(parts)]


@dataclass(frozen=True)
class Lifted:
    """Features that are the same in the `lowest` of so many levels and zero above.

    `features`: (batch, channel, y, x); a batch of 1 is shared by all samples.
    """

    features: Tensor
    lowest: int
    levels: int


class Inception(Recomputed):
    """Branches of convolutions, then batch renormalisation, SiLU and dropout, on (batch, channel, y, x) or with levels before y.

    The branches, concatenated in this order: a convolution for each of `squares`; one along y after one along x where `long`
    is their reach; one along levels where `vertical`; the largest of 3 × 3 cells through a pointwise convolution. Whole
    channels are dropped, for neighbouring cells say nearly the same.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        squares: Sequence[int],
        long: int | None = None,
        vertical: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        widths = iter(shares(outputs, len(squares) + (long is not None) + vertical + 1))
        self.squares = nn.ModuleList(nn.Conv2d(inputs, next(widths), k, padding=k // 2, bias=False) for k in squares)
        self.long: nn.Sequential | None = _crossed(inputs, next(widths), long) if long is not None else None
        self.vertical = nn.Conv3d(inputs, next(widths), (3, 1, 1), padding=(1, 0, 0), bias=False) if vertical else None
        self.pooled = nn.Conv2d(inputs, next(widths), 1, bias=False)
        self.norm = BatchRenorm(outputs)
        self.dropout = (nn.Dropout3d if vertical else nn.Dropout2d)(dropout)

    def forward(self, x: Tensor | Sequence[Tensor | Lifted]) -> Tensor:
        """(batch, inputs, …) → (batch, outputs, …).

        Of parts, the block on their concatenation, (batch, channel, level, y, x), without computing on the zeros of lifted
        ones; they must have as many channels in all as the block has inputs.
        """
        if not isinstance(x, Tensor):
            return self._finish(*self._joined(x))
        levels = x.shape[2] if x.dim() == 5 else None
        return self._finish(self._branches(fold(x), slice(None), levels), levels)

    def _joined(self, parts: Sequence[Tensor | Lifted]) -> tuple[Tensor, int]:
        """All branches of all parts, (batch·level, outputs, y, x), and the levels: convolutions of parts add up."""
        whole: list[Tensor] = []
        lifted: list[_Lifted] = []
        start = levels = 0
        for part in parts:
            features = part.features if isinstance(part, Lifted) else part
            own = slice(start, start := start + features.shape[1])
            if isinstance(part, Lifted):
                levels = part.levels
                lifted.append(_Lifted(*self._horizontal(fold(features), own), min(part.lowest, levels)))
            else:
                levels = features.shape[2]
                whole.append(self._branches(fold(features), own, levels))
        if lifted:
            whole.append(_stand(lifted, levels))
        return sum(whole[1:], whole[0]), levels

    def _finish(self, joined: Tensor, levels: int | None) -> Tensor:
        """Norm, SiLU and dropout of (batch·level, outputs, y, x)."""
        active = functional.silu(self.norm(joined))
        return self.dropout(active if levels is None else unfold(active, levels))

    def _branches(self, frames: Tensor, own: slice, levels: int | None) -> Tensor:
        """All branches of the inputs `own` on frames, concatenated."""
        before, taps, after = self._horizontal(frames, own)
        if taps is None:
            return torch.cat([*before, after], 1)
        vertical = share_levels(taps, levels) if levels and levels > 1 else taps.chunk(3, 1)[1]
        return torch.cat([*before, vertical, after], 1)

    def _horizontal(self, frames: Tensor, own: slice) -> tuple[list[Tensor], Tensor | None, Tensor]:
        """Branches before the vertical one, what levels give each other by it, and the one behind it."""
        before = [_conv(frames, weight) for weight in self._square_weights(own)]
        if self.long is not None:
            along_x, along_y = self.long.parameters()
            before.append(_conv(_conv(frames, along_x[:, own]), along_y))
        taps = None
        if self.vertical is not None:
            # to the level above, to itself, to the one below
            taps = pointwise(frames, self.vertical.weight[:, own, :, 0, 0].movedim(2, 0).flatten(0, 1))
        after = pointwise(largest_around(frames), self.pooled.weight[:, own, 0, 0])
        return before, taps, after

    def _square_weights(self, own: slice) -> list[Tensor]:
        """Kernels of the square branches; as one kernel, the small ones within zeros, where that costs no more."""
        weights = [weight[:, own] for weight in self.squares.parameters()]
        if sum(len(w) for w in weights) > MERGED:
            return weights
        reach = max(w.shape[-1] for w in weights)
        return [torch.cat([functional.pad(w, [(reach - w.shape[-1]) // 2] * 4) for w in weights])]


@dataclass(frozen=True)
class _Lifted:
    """What branches give for features of two dimensions that stand in the `lowest` levels; see `Inception._horizontal`."""

    before: list[Tensor]
    taps: Tensor | None
    after: Tensor
    lowest: int

    def reach(self, level: int) -> tuple[bool, bool, bool]:
        """Whether the features stand below a level, in it, and above it."""
        return 0 < level <= self.lowest, level < self.lowest, level + 1 < self.lowest

    def at(self, reach: tuple[bool, bool, bool]) -> Tensor:
        """The concatenated branches in a level of that reach."""
        around = [self.before, [self.after]] if reach[1] else [_zeros(self.before), _zeros([self.after])]
        if self.taps is not None:
            given = [t for t, there in zip(self.taps.chunk(3, 1), reach, strict=True) if there]
            around.insert(1, [sum(given[1:], given[0])])
        return torch.cat([t for tensors in around for t in tensors], 1)


def _zeros(tensors: Sequence[Tensor]) -> list[Tensor]:
    return [torch.zeros_like(t) for t in tensors]


def _stand(parts: Sequence[_Lifted], levels: int) -> Tensor:
    """The sum of lifted parts, (batch·level, channel, y, x); a level that stands as another does is not computed twice."""
    reaches = [tuple(part.reach(level) for part in parts) for level in range(levels)]
    found: dict[tuple[tuple[bool, bool, bool], ...], Tensor] = {}
    for level in set(reaches):
        given = [part.at(reach) for part, reach in zip(parts, level, strict=True) if any(reach)]
        found[level] = sum(given[1:], given[0]) if given else torch.zeros_like(parts[0].at((False, True, False)))
    batch = max(len(f) for f in found.values())
    stacked = torch.stack([found[r].movedim(1, -1).expand(batch, -1, -1, -1) for r in reaches], 1)
    return stacked.flatten(0, 1).movedim(-1, 1)


def _crossed(inputs: int, width: int, reach: int) -> nn.Sequential:
    """1 × reach, then reach × 1."""
    return nn.Sequential(
        nn.Conv2d(inputs, width, (1, reach), padding=(0, reach // 2), bias=False),
        nn.Conv2d(width, width, (reach, 1), padding=(reach // 2, 0), bias=False),
    )


def _conv(frames: Tensor, weight: Tensor) -> Tensor:
    """A convolution that keeps the cells; a pointwise one as a matrix product."""
    rows, columns = weight.shape[2:]
    if rows == columns == 1:
        return pointwise(frames, weight[:, :, 0, 0])
    return functional.conv2d(frames, weight, padding=(rows // 2, columns // 2))


def inception_2d(inputs: int, outputs: int, *, dropout: float = 0.0) -> Inception:
    """1 × 1, 3 × 3, 5 × 5, 1 × 7 then 7 × 1, and pooling, on (batch, channel, y, x)."""
    return Inception(inputs, outputs, squares=(1, 3, 5), long=7, dropout=dropout)


def inception_lstm(inputs: int, outputs: int, *, levels: bool = False, dropout: float = 0.0) -> Inception:
    """1 × 1, 3 × 3, 5 × 5 and pooling: what a ConvLSTM takes in.

    On (frame, channel, y, x), or on (frame, channel, level, y, x) with a 3 × 1 × 1 branch besides. The paper gives the same
    four to both its ConvLSTMs; the fifth is ours, for without it levels would not meet before the decoder.
    """
    return Inception(inputs, outputs, squares=(1, 3, 5), vertical=levels, dropout=dropout)


def inception_3d(inputs: int, outputs: int, *, dropout: float = 0.0) -> Inception:
    """1 × 1 × 1, 1 × 3 × 3, 3 × 1 × 1, and pooling, on (batch, channel, level, y, x)."""
    return Inception(inputs, outputs, squares=(1, 3), vertical=True, dropout=dropout)
