"""From stations to fields: a trained network on the values of some days."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import xarray as xr
from torch import Tensor
from torch.nn import functional

from airloom.methods.pointconv.effect import KINDS, PlaceEffect, about
from airloom.methods.pointconv.network import PointConvFusion, of_stations
from airloom.stations import Stations
from airloom.verify.intervals import Calibration

LONE = 0.5  # how well a station that stands alone knows its own cell
CELLS = 2**18  # cells of all days that are computed at once
SHOWN = 0.8  # level of the intervals that a file holds
COVERAGE = {  # what the variable of that name is
    "long_name": "how well stations know the cell: 0 out of their reach, 0.5 as in a station's own cell",
    "units": "1",
}


@dataclass(frozen=True)
class Observed:
    """Stations of one variable: their daily `values` on (time, station), NaN where there is none, the `dates` (datetime64[D]) and
    their cells, no two the same.

    `weights` of the values on (time, station); without them all weigh 1. `features` of their places and kinds on (station, feature),
    where a network knows what to make of them.
    """

    values: np.ndarray
    dates: np.ndarray
    row: np.ndarray
    column: np.ndarray
    weights: np.ndarray | None = None
    features: np.ndarray | None = None

    @classmethod
    def of(cls, stations: Stations, features: np.ndarray | None = None) -> "Observed":
        """Screened stations."""
        table, dates = stations.table, stations.daily.time.to_numpy().astype("datetime64[D]")
        cells = table["row"].to_numpy(), table["column"].to_numpy()
        return cls(stations.daily.to_numpy(), dates, *cells, features=features)

    def some(self, which: np.ndarray) -> "Observed":
        """Some of the stations; bool on (station,)."""
        return replace(
            self,
            values=self.values[:, which],
            row=self.row[which],
            column=self.column[which],
            weights=None if self.weights is None else self.weights[:, which],
            features=None if self.features is None else self.features[which],
        )

    def on_grid(self, days: np.ndarray, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Values and weights of some days on (time, y, x), 0 where no station has a value."""
        values, weights = (np.zeros((len(days), *shape), np.float32) for _ in range(2))
        there = np.isfinite(self.values[days])
        weights[:, self.row, self.column] = there if self.weights is None else np.where(there, self.weights[days], 0)
        values[:, self.row, self.column] = np.where(there, self.values[days], 0)
        return values, weights


@dataclass(frozen=True)
class Adapted:
    """What a region's own stations taught: the `effect` of a place, and what is known of places all over the grid, on
    (feature, y, x), whose cells may be parts of the network's.
    """

    effect: PlaceEffect
    places: np.ndarray

    def of_stations(self, features: np.ndarray, told: Tensor) -> Tensor:
        """Effects in deviations of the day, on (time, station)."""
        return self.effect(torch.from_numpy(features), told)

    def known_of(self, row: np.ndarray, column: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        """Features of sensors of which nothing is known but their cells, on (sensor, feature); taken for the background's."""
        cells = functional.adaptive_avg_pool2d(torch.from_numpy(self.places), shape).numpy()
        return np.concatenate([cells[:, row, column].T, np.zeros((len(row), len(KINDS)), np.float32)], 1)

    def of_cells(self, told: Tensor, shape: tuple[int, int]) -> np.ndarray:
        """The same of cells, for air that no street or works makes its own: means of their parts, on (time, y, x)."""
        fine = self.places.shape[1:]
        background = np.zeros((len(KINDS), *fine), np.float32)
        places = torch.from_numpy(np.concatenate([self.places, background])).flatten(1).T
        parts = [self.effect(places, day[None]).view(1, 1, *fine) for day in told]
        return functional.adaptive_avg_pool2d(torch.cat(parts), shape)[:, 0].numpy()


@dataclass(frozen=True)
class Fuser:
    """A trained network over a region.

    `maps` as the network sees them on (map, y, x), and `places`, the same in the cells of stations as these have them: a station
    may stand above its cell. With `adapted` values are those of the air about stations and of what their places add to it, and
    fields are background air.
    """

    network: PointConvFusion
    maps: np.ndarray
    places: np.ndarray
    adapted: Adapted | None = None

    def fields(
        self, networks: Sequence[Observed], days: np.ndarray, background: np.ndarray | None = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Blocks of days: which days, their fields on (time, y, x), and how well stations know each cell, 0 … 1, alike.

        Concentrations are not below 0. A day without any station of the target is NaN throughout. With a `background` on
        (time, y, x), of all days that `networks` have, what the target departs from it is fused, and it is added again; the departure,
        and what places add, fade where no station reaches. Where the background is NaN its stations are not heard, and the
        field is NaN.
        """
        for some in self._blocks(days):
            before = None if background is None else background[some]
            air, known, told, spread = self._air(networks, some, self.maps, before)
            if self.adapted:
                with torch.inference_mode():
                    air += spread * self.adapted.of_cells(told, air.shape[1:])
            if before is not None:
                air = before + np.minimum(known / LONE, 1) * air
            yield some, np.maximum(air, 0), known

    def at(self, networks: Sequence[Observed], days: np.ndarray, asked: Observed) -> tuple[np.ndarray, np.ndarray]:
        """Values at the places of the stations `asked`, and how well the others know these, each on (time, station)."""
        found, known = np.full((2, len(days), len(asked.row)), np.nan)
        done = 0
        for some in self._blocks(days):
            block = slice(done, done := done + len(some))
            air, reach, told, spread = self._air(networks, some, self.places, None)
            found[block], known[block] = (a[:, asked.row, asked.column] for a in (air, reach))
            if self.adapted and asked.features is not None:
                with torch.inference_mode():
                    found[block] += spread[:, 0] * self.adapted.of_stations(asked.features, told).numpy()
        return np.maximum(found, 0), known

    def _blocks(self, days: np.ndarray) -> Iterator[np.ndarray]:
        """Days that are computed together."""
        rows, columns = self.maps.shape[-2:]
        at_once = max(1, CELLS // (rows * columns))
        for first in range(0, len(days), at_once):
            yield days[first : first + at_once]

    def _air(
        self, networks: Sequence[Observed], days: np.ndarray, here: np.ndarray, background: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray, Tensor, np.ndarray]:
        """Fields on maps as they are `here`, without what places add and less a background, and how well stations know each cell; then
        what places are told of the days, and the days' spread on (time, 1, 1).
        """
        target = networks[0]
        gridded = (n.on_grid(days, self.maps.shape[-2:]) for n in networks)
        values, weights = (np.stack(parts, 1) for parts in zip(*gridded, strict=True))
        self.network.eval()
        with torch.inference_mode():
            mean, spread = (a[:, 0] for a in of_stations(*(torch.from_numpy(a[:, :1]) for a in (values, weights))))
            told = about(target.dates[days], mean, spread)
            if self.adapted and target.features is not None:
                effects = spread[:, 0] * self.adapted.of_stations(target.features, told)
                values[:, 0, target.row, target.column] -= effects.numpy()
            if background is not None:
                weights[:, 0] *= np.isfinite(background)
                values[:, 0] -= np.where(weights[:, 0] > 0, background, 0)
            inputs = values, weights, here, self.places
            field, known = self.network(*(torch.from_numpy(a) for a in inputs))
        air = field.numpy()
        air[~weights[:, 0].any((1, 2))] = np.nan
        return air, known.numpy(), told, spread.numpy()


def with_interval(field: xr.Dataset, pollutant: str, calibration: Calibration | None) -> xr.Dataset:
    """A field with `coverage`, and the ends of its intervals of the level SHOWN; as it is where nothing calibrates them."""
    if calibration is None:
        return field
    told, known = field[pollutant], field["coverage"]
    ends = zip(("low", "high"), calibration.between(SHOWN, told.to_numpy(), known.to_numpy()), strict=True)
    for word, values in ends:
        what = {"long_name": f"{word} end of the {SHOWN:.0%} interval of a daily mean", "units": "ug m-3"}
        field = field.assign({f"{pollutant}_{word}": (told.dims, values.astype(np.float32), what)})
    return field
