"""From stations to fields: a trained network on the values of some days."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from airloom.methods.pointconv.network import PointConvFusion
from airloom.stations import Stations

CELLS = 2**18  # cells of all days that are computed at once


@dataclass(frozen=True)
class Observed:
    """Stations of one variable: their daily `values` on (time, station), NaN where there is none, and their cells."""

    values: np.ndarray
    row: np.ndarray
    column: np.ndarray

    @classmethod
    def of(cls, stations: Stations) -> "Observed":
        """Screened stations."""
        table = stations.table
        return cls(stations.daily.to_numpy(), table["row"].to_numpy(), table["column"].to_numpy())

    def without(self, left_out: np.ndarray) -> "Observed":
        """The stations that are not left out; bool on (station,)."""
        keep = ~left_out
        return Observed(self.values[:, keep], self.row[keep], self.column[keep])

    def on_grid(self, days: np.ndarray, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Values and weights of some days on (time, y, x), 0 where no station has a value; a cell holds one station at most."""
        values, weights = (np.zeros((len(days), *shape), np.float32) for _ in range(2))
        there = np.isfinite(self.values[days])
        weights[:, self.row, self.column] = there
        values[:, self.row, self.column] = np.where(there, self.values[days], 0)
        return values, weights


@dataclass(frozen=True)
class Fuser:
    """A trained network over a region.

    `maps` as the network sees them on (map, y, x), and `places`, the same in the cells of stations as these have them: a station
    may stand above its cell.
    """

    network: PointConvFusion
    maps: np.ndarray
    places: np.ndarray
    shape: tuple[int, int]

    def fields(self, networks: Sequence[Observed], days: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Blocks of days: which days, their fields on (time, y, x), and how well stations know each cell, 0 … 1, alike.

        Concentrations are not below 0. A day without any station of the target is NaN throughout.
        """
        for some in self._blocks(days):
            yield some, *self._fused(networks, some, self.maps)

    def at(
        self, networks: Sequence[Observed], days: np.ndarray, row: np.ndarray, column: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Values at the places of some stations, and how well the others know these, each on (time, station)."""
        found, known = np.full((2, len(days), len(row)), np.nan)
        done = 0
        for some in self._blocks(days):
            block = slice(done, done := done + len(some))
            found[block], known[block] = (a[:, row, column] for a in self._fused(networks, some, self.places))
        return found, known

    def _blocks(self, days: np.ndarray) -> Iterator[np.ndarray]:
        """Days that are computed together."""
        at_once = max(1, CELLS // (self.shape[0] * self.shape[1]))
        for first in range(0, len(days), at_once):
            yield days[first : first + at_once]

    def _fused(self, networks: Sequence[Observed], days: np.ndarray, here: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Fields on maps as they are `here`, and how well stations know each cell."""
        values, weights = (
            np.stack(parts, 1) for parts in zip(*(n.on_grid(days, self.shape) for n in networks), strict=True)
        )
        self.network.eval()
        with torch.inference_mode():
            field, known = self.network(*(torch.from_numpy(a) for a in (values, weights, here, self.places)))
        found = field.clamp_min(0).numpy()
        found[weights[:, 0].sum((1, 2)) == 0] = np.nan
        return found, known.numpy()
