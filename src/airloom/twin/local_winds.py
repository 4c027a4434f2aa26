"""Winds that terrain and coasts make: blocking and channelling, slope winds, sea and land breeze."""

from dataclasses import dataclass

import numpy as np

from airloom.twin.boundary_layer import BoundaryLayer

REACH = 36e3  # over which winds feel terrain, roughness and warmth [m, standard deviation]
DEPTH = 400.0  # of a local wind; it flows back above [m]
BARRIER = 800.0  # height above ground to which terrain blocks; what it stops passes above [m]


def gradient(field: np.ndarray, cell: float) -> tuple[np.ndarray, np.ndarray]:
    """Derivatives along x and y (northward) of (…, y, x), per metre; central, one-sided at the edges."""
    step = np.float32(cell)
    return np.gradient(field, step, axis=-1), -np.gradient(field, step, axis=-2)


class Terrain:
    """How the ground steers the wind.

    Arguments:
        elevation: m, float32, on (y, x), on cells of `cell` metres.
    """

    def __init__(self, elevation: np.ndarray, cell: float) -> None:
        self.cell = cell
        self.rows, self.columns = (_bells(n, cell) for n in elevation.shape)
        self.elevation = self.smooth(elevation)  # m, as the air some way above the ground feels it
        self.slope = gradient(self.elevation, cell)
        steep = np.maximum(np.hypot(*self.slope), 1e-6)
        self.uphill = (self.slope[0] / steep, self.slope[1] / steep)
        self.barrier = 0.65 * np.tanh(steep / 0.008)  # share of the wind across that the terrain stops
        self.steep = np.tanh(steep / 0.006)

    def smooth(self, field: np.ndarray) -> np.ndarray:
        """(…, y, x) smoothed over REACH."""
        return self.rows @ field @ self.columns.T

    def climb(self, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Vertical wind [m s⁻¹] where wind (u, v) follows the slope."""
        return u * self.slope[0] + v * self.slope[1]

    def steered(self, u: np.ndarray, v: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Wind (u, v) at heights above ground `z` [m] without what blocking takes: it runs along the slopes, not across."""
        ux, uy = self.uphill
        across = (u * ux + v * uy) * self.barrier * _overturning(z, BARRIER)
        return u - across * ux, v - across * uy


def _overturning(z: np.ndarray, depth: float) -> np.ndarray:
    """1 at the ground, reversed above `depth` [m], 0 when summed over height: what is taken below goes back above."""
    height = np.maximum(z, 0) / np.float32(depth)
    return (1 - height) * np.exp(-height)


def _bells(n: int, cell: float) -> np.ndarray:
    """Matrix on (n, n) that smooths n cells by a Gaussian over REACH, its rows summing to one."""
    apart = np.subtract.outer(np.arange(n), np.arange(n)) * cell / REACH
    bell = np.exp(-0.5 * apart**2)
    return (bell / bell.sum(1, keepdims=True)).astype(np.float32)


@dataclass(frozen=True, eq=False)
class LocalWind:
    """Near-surface wind along x and y [m s⁻¹] on (time, y, x) that warmth drives."""

    u: np.ndarray
    v: np.ndarray

    @classmethod
    def of(cls, terrain: Terrain, layer: BoundaryLayer, speed: np.ndarray, land: np.ndarray) -> "LocalWind":
        """Breeze towards the warmer side of a coast, and up the slopes by day, down at night; weak where it blows anyway.

        `speed` is the wind above the boundary layer [m s⁻¹], on (time, y, x).
        """
        warm = terrain.smooth(layer.warming(np.full((1, 1, 1), 20, np.float32))[:, 0])
        tx, ty = gradient(warm, terrain.cell)
        turn = np.radians(25)  # by the Earth's rotation, to the right
        strength = 3.7e4
        u = strength * (tx * np.cos(turn) + ty * np.sin(turn))
        v = strength * (ty * np.cos(turn) - tx * np.sin(turn))
        up = land * terrain.steep * np.clip(np.where(layer.heat > 0, layer.heat / 60, layer.heat / 12), -1.3, 2.5)
        u, v = u + up * terrain.uphill[0], v + up * terrain.uphill[1]
        blown = np.hypot(u, v)
        limit = 6 * np.tanh(blown / 6) / np.maximum(blown, 0.1) / (1 + (speed / 13) ** 2)
        return cls((u * limit).astype(np.float32), (v * limit).astype(np.float32))

    def at(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The wind on (time, level, y, x) at heights above ground `z` [m]; summed over height it carries nothing."""
        shape = _overturning(z, DEPTH)
        return self.u[:, None] * shape, self.v[:, None] * shape
