"""Point convolution: values that stand scattered on a grid become a field (paper 001, §2.3, Eqs. 1–3)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

NOTHING = 1e-10  # what rounding leaves of a sum of no weights
EPSILON = 1e-5  # what is added to the weights' sum, so that a cell out of reach is 0 and not undefined


@dataclass(frozen=True)
class Step:
    """One pass over the stations: a kernel of `size` × `size` blocks of `block` × `block` cells; `size` is odd."""

    size: int
    block: int = 1


PAPER = (Step(21), Step(11))


class PointConv(nn.Module):
    """Field of scattered values: each step adds the weighted mean of what the steps before have left.

    PC ← PC + (w ∗ m·(x − PC)) / (w ∗ m + ε), from PC = 0, with x the values, m their weights (1 at a plain station, 0 where
    none is) and w the step's kernel. With `PAPER`'s steps these are Eqs. 1–3, the sign of Eq. 2 set right: as printed it
    would add what should be taken away. Cells beyond the border weigh nothing. The weights of a kernel are positive, and
    begin as an exponential of distance.

    Arguments:
        steps: from far to near.
        cautious: learn ε as well, one a step, beginning at `start`: few or far stations then correct less than they say, as
            the weight of the background does in optimal interpolation. Otherwise ε is EPSILON.
    """

    def __init__(self, steps: Sequence[Step] = PAPER, *, cautious: bool = False, start: float = 0.3) -> None:
        super().__init__()
        if even := [s.size for s in steps if s.size % 2 == 0]:
            raise ValueError(f"kernels of {even} cells have no middle; sizes must be odd")
        self.steps = tuple(steps)
        self.logs = nn.ParameterList(nn.Parameter(_exponential(step.size)) for step in steps)
        spare = torch.full((len(steps),), start if cautious else EPSILON).log()
        self.spare = nn.Parameter(spare, requires_grad=cautious)

    def forward(self, values: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Fields on (batch, channel, y, x), and how well each step knows them, in 0 … 1, on (batch, step, y, x).

        Takes values of one or several channels on (batch, channel, y, x), and the weights that they share on (batch, 1, y, x); a value
        of no weight may be anything finite.
        """
        field, known = torch.zeros_like(values), []
        for number, step in enumerate(self.steps):
            seen = torch.cat([weights * (values - field), weights], 1)
            found = self._spread(seen, step, self.kernel(number))
            total, weight = found[:, :-1], found[:, -1:]
            field = field + total / (weight + self.spare[number].exp())
            known.append(weight / (weight + self.centre(number)))
        return field, torch.cat(known, 1)

    def at(self, values: Tensor, weights: Tensor, influence: "Sequence[Influence]") -> Tensor:
        """The field of one channel at the stations alone, on (batch, station): what `forward` has in their cells, at a small share of
        its cost where stations are few.

        `values`, `weights` on (batch, station); `influence` of the stations' cells, a step each.
        """
        field = torch.zeros_like(values)
        for number, told in enumerate(influence):
            share = told.of(self.kernel(number))
            field = field + (weights * (values - field)) @ share.T / (weights @ share.T + self.spare[number].exp())
        return field

    def kernel(self, number: int) -> Tensor:
        """The weights of a step's kernel on (y, x)."""
        return self.logs[number].exp()

    def centre(self, number: int) -> Tensor:
        """The weight of a station in the middle of a step's kernel."""
        size = self.steps[number].size
        return self.logs[number][size // 2, size // 2].exp()

    def _spread(self, seen: Tensor, step: Step, kernel: Tensor) -> Tensor:
        """Each channel convolved with the kernel, on blocks where the step has them, and smooth between these."""
        rows, columns = seen.shape[-2:]
        if step.block > 1:
            short = [-length % step.block for length in (columns, rows)]
            seen = functional.pad(seen, (0, short[0], 0, short[1]))
            seen = functional.avg_pool2d(seen, step.block) * step.block**2
        spread = correlate(seen, kernel)
        if step.block > 1:
            spread = functional.interpolate(spread, scale_factor=step.block, mode="bilinear")[..., :rows, :columns]
        return spread


@dataclass(frozen=True)
class Influence:
    """Which of a step's weights tie stations to one another: `index` into the flat kernel and one more, which is 0, and the `share`
    that it has, each on (station, station, corner); the first hears, the second speaks.
    """

    index: Tensor
    share: Tensor

    @classmethod
    def between(cls, step: Step, row: Tensor, column: Tensor, shape: tuple[int, int]) -> "Influence":
        """Of stations in cells of a grid of `shape`."""
        rows, columns = (_blocks(at, step.block, length) for at, length in zip((row, column), shape, strict=True))
        half, index, share = step.size // 2, [], []
        for y, part in rows:
            for x, piece in columns:
                off = [half + at[None] // step.block - hears[:, None] for at, hears in ((row, y), (column, x))]
                inside = ((off[0] >= 0) & (off[0] < step.size)) & ((off[1] >= 0) & (off[1] < step.size))
                index.append(torch.where(inside, off[0] * step.size + off[1], step.size**2))
                share.append((part * piece)[:, None].expand(inside.shape))
        return cls(torch.stack(index, -1), torch.stack(share, -1))

    def of(self, kernel: Tensor) -> Tensor:
        """Weights on (station that hears, station that speaks)."""
        flat = torch.cat([kernel.flatten(), kernel.new_zeros(1)])
        return (flat[self.index] * self.share).sum(-1)


def _blocks(at: Tensor, block: int, length: int) -> list[tuple[Tensor, Tensor]]:
    """Blocks that cells take their value from, and the share of each: bilinear between the blocks' middles."""
    if block == 1:
        return [(at, torch.ones(len(at)))]
    place = ((at + 0.5) / block - 0.5).clamp_min(0)
    low = place.floor().long()
    high = (low + 1).clamp_max(-(-length // block) - 1)
    return [(low, 1 - (place - low)), (high, place - low)]


def correlate(x: Tensor, kernel: Tensor) -> Tensor:
    """Every channel of (…, y, x) with one kernel of (size, size), zeros beyond the border; the same as a convolution layer's.

    By Fourier transforms, which take an eighth of the time for 21 × 21 cells, gradients included (`benchmarks/fusion.py`);
    in double precision, so that a cell out of every station's reach has a weight of nothing, and not of rounding errors.
    """
    size, half = len(kernel), len(kernel) // 2
    wide = [length + size - 1 for length in x.shape[-2:]]
    waves = torch.fft.rfft2(x.double(), wide) * torch.fft.rfft2(kernel.double().flip(0, 1), wide)
    found = torch.fft.irfft2(waves, wide)[..., half : half + x.shape[-2], half : half + x.shape[-1]]
    return torch.where(found.abs() > NOTHING, found, 0.0).to(x.dtype)


def _exponential(size: int) -> Tensor:
    """Logarithm of exp(−3 d / reach), on (size, size): at the edge of the kernel a twentieth is left."""
    offsets = torch.arange(size, dtype=torch.float32) - size // 2
    distance = torch.hypot(offsets[:, None], offsets[None])
    return -3 * distance / max(1, size // 2)
