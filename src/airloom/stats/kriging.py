"""Ordinary kriging of each day's stations, with one variogram for all days."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

NEAREST = 1.0  # two places closer than this count as so far apart [m]


@dataclass(frozen=True)
class Variogram:
    """Exponential variogram γ(h) = nugget + sill·(1 − exp(−h/reach)) of two places; in the squared unit of the values."""

    nugget: float
    sill: float
    reach: float  # [m]; the practical range, where 95 % of the sill is met, is three times this

    def __call__(self, distance: np.ndarray) -> np.ndarray:
        """γ between different places."""
        return self.nugget + self.sill * (1 - np.exp(-distance / self.reach))

    def among(self, distance: np.ndarray) -> np.ndarray:
        """γ on (station, station), 0 for a station with itself."""
        gamma = self(distance)
        np.fill_diagonal(gamma, 0)
        return gamma


def distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Between places with projected coordinates on (station,), on (station, station) [m]."""
    return np.hypot(x[:, None] - x, y[:, None] - y)


def fit(values: np.ndarray, distance: np.ndarray, *, least: float = 0.0) -> Variogram:
    """One variogram for values on (time, station), NaN where there is none; `distance` on (station, station) [m];
    `least` is the smallest reach that is looked for [m]: what varies within less is nugget.

    A day's few stations cannot carry one, so the semivariance of each pair of stations is averaged over all its days, and
    the pairs are fitted by least squares weighted by their days. Only the ratios of its numbers matter to the weights.
    The nugget is at least a hundredth of the sill, since no two stations of one cell agree exactly. With no pair to fit (one
    station, or no common day) it is a pure nugget: kriging is then the mean of the stations.
    """
    there = np.isfinite(values).astype(float)
    z = np.where(there > 0, values, 0)
    days = there.T @ there
    squares = (z * z).T @ there + there.T @ (z * z) - 2 * z.T @ z  # Σ over common days of (a − b)²
    i, j = np.triu_indices(len(days), k=1)
    i, j = i[days[i, j] > 0], j[days[i, j] > 0]
    if not len(i):
        return Variogram(1.0, 0.0, 1.0)
    semivariance, weight = squares[i, j] / days[i, j] / 2, np.sqrt(days[i, j])
    apart = np.maximum(distance[i, j], NEAREST)
    fits = []
    shortest = max(apart.min() / 3, least)
    for reach in np.geomspace(shortest, max(apart.max(), shortest), 40):
        shape = np.stack([np.ones_like(apart), 1 - np.exp(-apart / reach)], axis=1)
        (nugget, sill), misfit = nnls(shape * weight[:, None], semivariance * weight)
        fits.append((misfit, nugget, sill, reach))
    _, nugget, sill, reach = min(fits)
    return Variogram(max(nugget, sill / 100, np.finfo(float).tiny), sill, reach)


def at_stations(gamma: np.ndarray, there: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Kriged values on (time, station) out of values on (time, station there) and γ on (station, station).

    A station that is there is predicted from the others: its leave-one-out error is (B z)ᵢ / Bᵢᵢ, with B the inverse of
    the kriging matrix bordered by ones (Dubrule, 1983), exactly what solving without it gives.
    """
    n = int(there.sum())
    inverse = np.linalg.inv(_bordered(gamma[np.ix_(there, there)]))[:n]
    predicted = np.full((len(values), len(there)), np.nan)
    border = np.concatenate([gamma[np.ix_(there, ~there)], np.ones((1, int((~there).sum())))])
    predicted[:, ~there] = values @ inverse @ border
    if n > 1:
        predicted[:, there] = values - values @ inverse[:, :n] / np.diag(inverse)
    return predicted


def from_others(gamma: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Values on (time, station) kriged from those of `values` that are there at the time, each of these from the others; NaN where
    there is none to say.
    """
    found = np.full(values.shape, np.nan)
    patterns, which = np.unique(np.isfinite(values), axis=0, return_inverse=True)
    for index, pattern in enumerate(patterns):  # times with the same stations share one inverse
        if pattern.any():
            same = which.ravel() == index
            found[same] = at_stations(gamma, pattern, values[same][:, pattern])
    return found


def coefficients(gamma: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What kriged maps are made of: a day's is base + Σ coefficient · γ(place, station), the dual form of kriging.

    Takes γ on (station, station) and values on (time, station), NaN where there is none; gives coefficients on
    (time, station), 0 where there is no value, and the base on (time,), NaN on a day without any value.
    """
    found, base = np.zeros(values.shape), np.full(len(values), np.nan)
    for day, of_day in enumerate(values):
        there = np.isfinite(of_day)
        if there.any():
            solved = np.linalg.solve(_bordered(gamma[np.ix_(there, there)]), np.append(of_day[there], 0))
            found[day, there], base[day] = solved[:-1], solved[-1]
    return found, base


def on_grid(
    variogram: Variogram,
    x: np.ndarray,
    y: np.ndarray,
    found: tuple[np.ndarray, np.ndarray],
    grid_x: np.ndarray,
    grid_y: np.ndarray,
) -> np.ndarray:
    """Kriged maps on (time, y, x) of days whose `coefficients` were `found`.

    `x`, `y` are the stations' coordinates [m], `grid_x`, `grid_y` the cells' centres.
    """
    return by_rows(found, (variogram(np.hypot(x[:, None] - grid_x, (y - centre)[:, None])) for centre in grid_y))


def by_rows(found: tuple[np.ndarray, np.ndarray], gammas: Iterable[np.ndarray]) -> np.ndarray:
    """Kriged maps on (time, y, x) of days whose `coefficients` were `found`, row by row, for γ of all cells may not fit memory.

    `gammas` are those of the stations and each row's cells, on (station, x), between different places. What the nugget stands for, a
    station's own share, is left out everywhere: a map has no spike in a station's cell.
    """
    weights, base = found
    maps = np.stack([weights @ gamma for gamma in gammas], axis=1)
    maps += base[:, None, None]
    return maps


def _bordered(gamma: np.ndarray) -> np.ndarray:
    """The kriging matrix: γ bordered by ones, so that weights sum to one."""
    n = len(gamma)
    matrix = np.ones((n + 1, n + 1))
    matrix[:n, :n], matrix[n, n] = gamma, 0
    return matrix
