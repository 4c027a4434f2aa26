"""Fields on pressure levels from one another: hydrostatic height, surface pressure, vorticity, vertical wind."""

import numpy as np

from airloom.twin.local_winds import gradient
from airloom.twin.synoptic import GAS, GRAVITY

LEVELS = np.array([1000, 975, 950, 925, 900, 800, 700, 550], np.float32)  # hPa


def hydrostatic(top: np.ndarray, tv: np.ndarray) -> np.ndarray:
    """Geopotential [m² s⁻²] on (time, level, y, x), from that of the last level downward by the virtual temperature `tv` [K].

    Between levels tv is linear in log-pressure.
    """
    steps = np.log(LEVELS[:-1] / LEVELS[1:])[:, None, None]
    thick = np.float32(GAS) * 0.5 * (tv[:, :-1] + tv[:, 1:]) * steps
    below = np.flip(np.cumsum(np.flip(thick, 1), 1), 1)
    return np.concatenate([top[:, None] - below, top[:, None]], 1)


def surface_pressure(z: np.ndarray, tv: np.ndarray, elevation: np.ndarray) -> np.ndarray:
    """Pressure [Pa] on (time, y, x) where geopotential `z` meets the ground at `elevation` [m].

    Linear in z between levels; below 1000 hPa by its virtual temperature, above the last level by that level's.
    """
    ground = np.float32(GRAVITY) * elevation
    log = np.log(LEVELS)
    found = log[0] + (z[:, 0] - ground) / (np.float32(GAS) * tv[:, 0])
    for k in range(len(LEVELS) - 1):
        share = (ground - z[:, k]) / (z[:, k + 1] - z[:, k])
        found = np.where(share >= 0, log[k] + share * (log[k + 1] - log[k]), found)
    above = log[-1] - (ground - z[:, -1]) / (np.float32(GAS) * tv[:, -1])
    return 100 * np.exp(np.where(ground > z[:, -1], above, found))


def vorticity(u: np.ndarray, v: np.ndarray, cell: float) -> np.ndarray:
    """∂v/∂x − ∂u/∂y [s⁻¹] of winds along the grid's axes on (…, y, x); one-sided at the edges."""
    return gradient(v, cell)[0] - gradient(u, cell)[1]


def divergence(u: np.ndarray, v: np.ndarray, cell: float) -> np.ndarray:
    """∂u/∂x + ∂v/∂y [s⁻¹], likewise."""
    return gradient(u, cell)[0] + gradient(v, cell)[1]


def vertical_wind(spread: np.ndarray, ps: np.ndarray, surface: np.ndarray) -> np.ndarray:
    """ω [Pa s⁻¹] on (time, level, y, x) by continuity, from the ground up.

    Arguments:
        spread: divergence [s⁻¹] on (time, level, y, x), linear in pressure between levels.
        ps: surface pressure [Pa], on (time, y, x).
        surface: ω there, which levels below ground keep [Pa s⁻¹], on (time, y, x).
    """
    p = 100 * LEVELS[:, None, None]
    lower = np.minimum(p[:-1], ps[:, None])
    thick = np.maximum(lower - p[1:], 0)  # of each step above ground [Pa]
    first = surface + spread[:, 0] * np.maximum(ps - p[0], 0)
    rest = 0.5 * (spread[:, :-1] + spread[:, 1:]) * thick
    return np.cumsum(np.concatenate([first[:, None], rest], 1), 1)
