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
    """Stations of one variable: their daily `values` on (time, station), NaN where there is none, their cells, no two the same, and
    the `weights` of the values on (time, station); without them all weigh 1.
    """

    values: np.ndarray
    row: np.ndarray
    column: np.ndarray
    weights: np.ndarray | None = None

    @classmethod
    def of(cls, stations: Stations) -> "Observed":
        """Screened stations."""
        table = stations.table
        return cls(stations.daily.to_numpy(), table["row"].to_numpy(), table["column"].to_numpy())

    def without(self, left_out: np.ndarray) -> "Observed":
        """The stations that are not left out; bool on (station,)."""
        keep = ~left_out
        weights = None if self.weights is None else self.weights[:, keep]
        return Observed(self.values[:, keep], self.row[keep], self.column[keep], weights)

    def on_grid(self, days: np.ndarray, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Values and weights of some days on (time, y, x), 0 where no station has a value."""
        values, weights = (np.zeros((len(days), *shape), np.float32) for _ in range(2))
        there = np.isfinite(self.values[days])
        weights[:, self.row, self.column] = there if self.weights is None else np.where(there, self.weights[days], 0)
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

    def fields(
        self, networks: Sequence[Observed], days: np.ndarray, background: np.ndarray | None = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Blocks of days: which days, their fields on (time, y, x), and how well stations know each cell, 0 … 1, alike.

        Concentrations are not below 0. A day without any station of the target is NaN throughout. With a `background` on
        (time, y, x), of all days that `networks` have, what the target departs from it is fused, and it is added again.
        """
        for some in self._blocks(days):
            yield some, *self._fused(networks, some, self.maps, 0.0 if background is None else background[some])

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
        rows, columns = self.maps.shape[-2:]
        at_once = max(1, CELLS // (rows * columns))
        for first in range(0, len(days), at_once):
            yield days[first : first + at_once]

    def _fused(
        self, networks: Sequence[Observed], days: np.ndarray, here: np.ndarray, background: np.ndarray | float = 0.0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Fields on maps as they are `here`, and how well stations know each cell."""
        gridded = (n.on_grid(days, self.maps.shape[-2:]) for n in networks)
        values, weights = (np.stack(parts, 1) for parts in zip(*gridded, strict=True))
        values[:, 0] -= background * (weights[:, 0] > 0)
        self.network.eval()
        with torch.inference_mode():
            field, known = self.network(*(torch.from_numpy(a) for a in (values, weights, here, self.places)))
        found = np.maximum(field.numpy() + background, 0).astype(np.float32)
        found[~weights[:, 0].any((1, 2))] = np.nan
        return found, known.numpy()
