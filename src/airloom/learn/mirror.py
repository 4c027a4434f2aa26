"""The world in a mirror: one more for a network to learn from, whose air obeys the same laws."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

EASTWARD, NORTHWARD, TURNING = {"u10", "u"}, {"v10", "v"}, {"vo"}


class Mirror(NamedTuple):
    """Which axes run backwards."""

    east_west: bool = False
    north_south: bool = False

    @classmethod
    def drawn(cls, seed: Sequence[int]) -> "Mirror":
        """One of the four, by a seed."""
        return cls(*(bool(b) for b in np.random.default_rng(list(seed)).integers(0, 2, 2)))

    @property
    def axes(self) -> tuple[int, ...]:
        """Axes of (…, y, x) that run backwards."""
        return tuple(axis for axis, backwards in ((-1, self.east_west), (-2, self.north_south)) if backwards)

    def maps(self, values: np.ndarray) -> np.ndarray:
        """Fields on (…, y, x) in the mirror."""
        return np.flip(values, self.axes)

    def turn(self, values: Tensor, names: Sequence[str], axis: int, calm: np.ndarray) -> None:
        """Change the sign of winds and vorticity, in place; `values` are normalised and shown by `field`, their channels `names` along
        `axis`, and `calm` is what a 0 is in them, on (channel,) or (channel, level).
        """
        for channel, name in enumerate(names):
            if self._sign(name) < 0:
                zero = torch.tensor(calm[channel], dtype=values.dtype)[..., None, None]
                values.select(axis, channel).neg_().add_(2 * zero)

    def field(self, values: Tensor) -> Tensor:
        """A network's field on (…, y, x) in the mirror."""
        return values.flip(self.axes) if self.axes else values

    def _sign(self, name: str) -> int:
        turned = (name in EASTWARD and self.east_west) or (name in NORTHWARD and self.north_south)
        turned = turned or (name in TURNING and self.east_west != self.north_south)
        return -1 if turned else 1


AS_IT_IS = Mirror()
