"""How errors of a field go together from place to place, as the chemistry model that taught the network shows; not in paper 000.

A variogram knows distances alone, but errors of a day follow valleys, coasts and winds. Where the network misses its teacher on
days of training it misses the truth in like patterns, and of these the teacher shows whole fields, where stations show points. As in
ensemble optimal interpolation (Evensen, 2003) their covariance is tapered by distance, for few days make distant places alike by
chance; it takes a share of the variogram's place.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr

from airloom.cube.regrid import bilinear, block_mean
from airloom.cube.store import Cube
from airloom.grid import Grid
from airloom.infer.fields import surface
from airloom.stats.kriging import Variogram, distances, from_others
from airloom.stats.sample import evenly
from airloom.stats.standing import log_ratio

# days of training on which network and teacher are compared: at most, and of which a covariance says something
DAYS, FEWEST = 96, 12
SHARES = 0.25, 0.5, 0.75  # of the misses; something is left to the variogram, whose nugget is the stations' own
TAPERS = 100_000.0, 200_000.0, 400_000.0  # [m]
ASKED, STATIONS = 24, 30  # days of which as many stations, left out in turn, say what share and taper are best


@dataclass(frozen=True)
class Misses:
    """What the chemistry model has and the network lacks, of some days and on the chemistry model's cells.

    `deviations`: log ratios of the lowest level less each cell's mean, divided by √(days − 1), so that products summed over days are
    covariances; on (day, y, x), 0 where there is none. `factor`: grid cells along one of the cells.
    """

    deviations: np.ndarray
    factor: int

    @classmethod
    def of(cls, field: xr.Dataset, cube: Cube, days: np.ndarray, factor: int, pollutant: str = "no2") -> "Misses":
        """Of a field [µg m⁻³] that holds `days`, indices into the cube, all of them and no others."""
        ground = surface(field, pollutant)
        found = np.empty((len(days), *(n // factor for n in cube.grid.shape)), np.float32)
        for i, day in enumerate(days):
            found[i] = log_ratio(cube.chemistry(int(day))[0], block_mean(ground.isel(time=i).to_numpy(), factor))
        return cls(np.nan_to_num(found - found.mean(0)) / math.sqrt(len(days) - 1), factor)

    def at(self, row: np.ndarray, column: np.ndarray) -> np.ndarray:
        """In cells of the grid, bilinear, on (place, day)."""
        _, rows, columns = self.deviations.shape
        y, x = ((np.asarray(cell) + 0.5) / self.factor - 0.5 for cell in (row, column))
        weights = bilinear(np.arange(rows), np.arange(columns), y, x)
        return weights @ self.deviations.reshape(len(self.deviations), -1).T


@dataclass(frozen=True)
class Sites:
    """Of stations: `x`, `y` [m], and `row`, `column` of the grid's cells, all on (station,)."""

    x: np.ndarray
    y: np.ndarray
    row: np.ndarray
    column: np.ndarray


@dataclass(frozen=True)
class Likeness:
    """γ of two places, up to a number that kriging does not see: a variogram's, and `share` of it the misses' covariance instead,
    tapered by exp(−(distance / `taper`)² / 2); `taper` [m].
    """

    variogram: Variogram
    misses: Misses | None = None
    share: float = 0.0
    taper: float = math.inf

    def among(self, sites: Sites) -> np.ndarray:
        """On (station, station)."""
        apart = distances(sites.x, sites.y)
        missed = self._missed(sites.row, sites.column)
        return self._blend(self.variogram.among(apart), apart, missed, missed)

    def rows(self, sites: Sites, grid: Grid) -> Iterator[np.ndarray]:
        """Of the stations and the cells of each of the grid's rows in turn, on (station, x)."""
        columns, missed = np.arange(grid.shape[1]), self._missed(sites.row, sites.column)
        for row, centre in enumerate(grid.y):
            apart = np.hypot(sites.x[:, None] - grid.x, (sites.y - centre)[:, None])
            yield self._blend(self.variogram(apart), apart, missed, self._missed(np.full_like(columns, row), columns))

    def _missed(self, row: np.ndarray, column: np.ndarray) -> np.ndarray | None:
        """On (place, day)."""
        return self.misses.at(row, column) if self.misses else None

    def _blend(self, gamma: np.ndarray, apart: np.ndarray, one: np.ndarray | None, other: np.ndarray | None) -> np.ndarray:
        """Of places that are so far `apart`, where the misses are those of `one` and `other`."""
        if one is None or other is None:
            return gamma
        return (1 - self.share) * gamma - self.share * (one @ other.T) * np.exp(-((apart / self.taper) ** 2) / 2)


def likeness(variogram: Variogram, misses: Misses | None, sites: Sites, values: np.ndarray) -> Likeness:
    """Of `values` on (time, station), NaN where there is none: with that share and taper of the misses with which stations err least when
    each is left out and kriged from the others of its time; with none where these err less by no more than chance would have it, or
    where stations are few.
    """
    alone = Likeness(variogram)
    asked = values[evenly(np.flatnonzero(np.isfinite(values).sum(1) >= STATIONS), ASKED)]
    if misses is None or len(asked) < 2:
        return alone
    scaled = _as_large_as(variogram, misses, sites)
    candidates = [Likeness(variogram, scaled, share, taper) for share in SHARES for taper in TAPERS]

    def errors(one: Likeness) -> np.ndarray:
        return np.nanmean((asked - from_others(one.among(sites), asked)) ** 2, axis=1)

    each = [errors(one) for one in candidates]
    best = min(range(len(each)), key=lambda i: each[i].mean())
    gained = errors(alone) - each[best]
    return candidates[best] if gained.mean() > gained.std(ddof=1) / math.sqrt(len(gained)) else alone


def _as_large_as(variogram: Variogram, misses: Misses, sites: Sites) -> Misses:
    """The misses times a number, so that between stations they vary as the variogram has it: a share says then what it is worth."""
    missed, pairs = misses.at(sites.row, sites.column), np.triu_indices(len(sites.x), k=1)
    covariance = missed @ missed.T
    own = covariance.diagonal()
    vary = ((own[:, None] + own) / 2 - covariance)[pairs].mean()
    expected = variogram(distances(sites.x, sites.y)[pairs]).mean()
    return replace(misses, deviations=misses.deviations * math.sqrt(expected / vary)) if vary > 0 else misses
