"""The world in a mirror: one more for a network to learn from, whose air obeys the same laws."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
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

    def weather(self, values: np.ndarray, names: Sequence[str], axis: int) -> np.ndarray:
        """Weather in physical units in the mirror, its channels `names` along `axis`: winds and vorticity change sign."""
        if not self.axes:
            return values
        signs = np.array([self._sign(n) for n in names], values.dtype)
        return self.maps(values) * signs.reshape(-1, *[1] * (-axis - 1))

    def field(self, values: Tensor) -> Tensor:
        """A network's field on (…, y, x) in the mirror."""
        return values.flip(self.axes)

    def _sign(self, name: str) -> int:
        turned = (name in EASTWARD and self.east_west) or (name in NORTHWARD and self.north_south)
        turned = turned or (name in TURNING and self.east_west != self.north_south)
        return -1 if turned else 1


AS_IT_IS = Mirror()
