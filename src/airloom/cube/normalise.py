"""Z-scores from sums that add, so that any set of years gives its statistics at once."""

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Sums:
    """Count, Σx and Σx² of each channel; `a + b` are those of both sets together."""

    n: np.ndarray
    x: np.ndarray
    xx: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray) -> "Sums":
        """Sums over all but the channel axis, which comes first; NaN is left out."""
        flat = values.reshape(len(values), -1).astype(np.float64)
        there = np.isfinite(flat)
        flat = np.where(there, flat, 0)
        return cls(there.sum(1).astype(float), flat.sum(1), (flat * flat).sum(1))

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(self.n + other.n, self.x + other.x, self.xx + other.xx)

    def scale(self) -> "Scale":
        """Mean and standard deviation of each channel."""
        mean = self.x / self.n
        deviation = np.sqrt(np.maximum(self.xx / self.n - mean**2, 0))
        return Scale(mean, np.where(deviation > 1e-9 * np.abs(mean), deviation, 1.0))

    def to_json(self) -> dict[str, list[float]]:
        """Plain numbers."""
        return {"n": self.n.tolist(), "x": self.x.tolist(), "xx": self.xx.tolist()}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Sums":
        """The inverse of `to_json`."""
        return cls(*(np.asarray(content[k], float) for k in ("n", "x", "xx")))


@dataclass(frozen=True)
class Scale:
    """Mean and standard deviation of each channel, in its physical unit; a constant channel has deviation 1."""

    mean: np.ndarray
    deviation: np.ndarray

    def apply(self, values: np.ndarray, axis: int) -> np.ndarray:
        """(value − mean) / deviation, channels along `axis`; float32."""
        shape = [1] * values.ndim
        shape[axis] = -1
        return ((values - self.mean.reshape(shape)) / self.deviation.reshape(shape)).astype(np.float32)

    def to_json(self) -> dict[str, list[float]]:
        """Plain numbers."""
        return {"mean": self.mean.tolist(), "deviation": self.deviation.tolist()}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Scale":
        """The inverse of `to_json`."""
        return cls(np.asarray(content["mean"], float), np.asarray(content["deviation"], float))
