"""What is known of a place and a day as one row of numbers, which trees can learn from."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from airloom.cube.store import CALENDAR, INPUTS, MAPS, Cube

BLOCK = 32  # days that are read at once: a region's hours of years do not fit into memory
STRIP = 64  # rows of a map at once


@dataclass(frozen=True)
class Features:
    """The inputs of a cube, whose cells of weather are `factor` cells wide.

    Weather enters as the day's mean and largest value of each variable, on pressure levels as the day's mean.
    """

    cube: Cube
    factor: int

    @cached_property
    def names(self) -> tuple[str, ...]:
        """On (feature,)."""
        still = [n for group in (CALENDAR, *MAPS) for n in self.cube.channels(group)]
        weather = [f"{n} {how}" for how in ("mean", "max") for n in self.cube.channels("weather")]
        levels = range(self.cube.group["upper"].shape[3]) if self.cube.channels("upper") else ()
        return (*still, *weather, *(f"{n}, level {level}" for n in self.cube.channels("upper") for level in levels))

    def at(self, days: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Of some days (indices) in some cells, on (time, place, feature); NaN where something is missing."""
        found = np.empty((len(days), len(rows), len(self.names)), np.float32)
        for first in range(0, len(days), BLOCK):
            block = slice(first, first + BLOCK)
            found[block] = self._rows(days[block], self._air(days[block]), rows, columns)
        return found

    def strips(self, day: int) -> Iterator[np.ndarray]:
        """All cells of a day (index), some rows at a time, on (row, x, feature)."""
        height, width = self.cube.grid.shape
        days = np.array([day])
        air = self._air(days)
        for top in range(0, height, STRIP):
            rows, columns = np.mgrid[top : min(top + STRIP, height), :width]
            yield self._rows(days, air, rows.ravel(), columns.ravel()).reshape(*rows.shape, -1)

    def _rows(self, days: np.ndarray, air: list[np.ndarray], rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """What is known of days in cells, on (time, place, feature), the weather in them being `air`."""
        alike = (len(days), len(rows))
        parts = []
        if self.cube.channels(CALENDAR):
            parts += [np.broadcast_to(c[days, None], alike) for c in self._calendar.T]
        parts += [np.broadcast_to(m[rows, columns], alike) for m in self._maps]
        parts += [values[..., rows // self.factor, columns // self.factor] for values in air]
        return np.stack(parts, -1) if parts else np.zeros((*alike, 0), np.float32)

    def _air(self, days: np.ndarray) -> list[np.ndarray]:
        """The weather of some days, a field of (time, y, x) for each feature."""
        found = []
        for group in INPUTS:
            if not self.cube.channels(group):
                continue
            hours = self.cube.group[group].oindex[days]
            told = [hours.mean(1), hours.max(1)] if group == "weather" else [hours.mean(1)]
            found += [v for values in told for v in np.moveaxis(values.reshape(len(days), -1, *hours.shape[-2:]), 1, 0)]
        return found

    @cached_property
    def _calendar(self) -> np.ndarray:
        return np.asarray(self.cube.group[CALENDAR][:], np.float32)

    @cached_property
    def _maps(self) -> list[np.ndarray]:
        return [m for group in MAPS if self.cube.channels(group) for m in self.cube.group[group][:]]
