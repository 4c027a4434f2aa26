"""Z-scores from sums that add, so that any set of years gives its statistics at once."""

from dataclasses import dataclass
from typing import Any

import numpy as np

LEAST_DEVIATION = 1e-6  # of the mean: what varies less cannot be told from the rounding of the sums


@dataclass(frozen=True)
class Sums:
    """Count, Σx and Σx² of each channel, or of each channel and level; `a + b` are those of both sets together."""

    n: np.ndarray
    x: np.ndarray
    xx: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, leading: int = 1) -> "Sums":
        """Sums over all but the first `leading` axes, which are the channel and perhaps the level; NaN is left out."""
        sums = np.zeros((3, *values.shape[:leading]))
        for at in np.ndindex(values.shape[:leading]):  # one by one: float64 copies of all would not fit
            one = values[at].astype(np.float64, order="C").ravel()
            there = np.isfinite(one)
            one = np.where(there, one, 0)
            sums[:, *at] = there.sum(), one.sum(), (one * one).sum()
        return cls(*sums)

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(self.n + other.n, self.x + other.x, self.xx + other.xx)

    def scale(self) -> "Scale":
        """Mean and standard deviation of each channel."""
        mean = self.x / self.n
        deviation = np.sqrt(np.maximum(self.xx / self.n - mean**2, 0))
        return Scale(mean, np.where(deviation > LEAST_DEVIATION * np.abs(mean), deviation, 1.0))

    def to_json(self) -> dict[str, Any]:
        """Plain numbers."""
        return {"n": self.n.tolist(), "x": self.x.tolist(), "xx": self.xx.tolist()}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Sums":
        """The inverse of `to_json`."""
        return cls(*(np.asarray(content[k], float) for k in ("n", "x", "xx")))


@dataclass(frozen=True)
class Scale:
    """Mean and standard deviation in the physical unit, on (channel,) or (channel, level); deviation 1 where all is the same."""

    mean: np.ndarray
    deviation: np.ndarray

    def apply(self, values: np.ndarray, axis: int, out: np.ndarray | None = None) -> np.ndarray:
        """(value − mean) / deviation, float32, written to `out` where it is given; channels lie along `axis`, levels along the
        next one.

        In float32 throughout: a batch in float64 between would cost more than to read it.
        """
        after = values.ndim - axis % values.ndim - self.mean.ndim
        shape = (*self.mean.shape, *[1] * after)
        mean, factor = (x.astype(np.float32).reshape(shape) for x in (self.mean, 1 / self.deviation))
        out = np.subtract(values, mean, out=out, dtype=np.float32, casting="same_kind")
        return np.multiply(out, factor, out=out)

    def but(self, plain: np.ndarray) -> "Scale":
        """The same, but with mean 0 and deviation 1 for the channels where `plain`, bool on (channel,), is true."""
        return Scale(np.where(plain, 0.0, self.mean), np.where(plain, 1.0, self.deviation))

    def to_json(self) -> dict[str, Any]:
        """Plain numbers."""
        return {"mean": self.mean.tolist(), "deviation": self.deviation.tolist()}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Scale":
        """The inverse of `to_json`."""
        return cls(np.asarray(content["mean"], float), np.asarray(content["deviation"], float))
