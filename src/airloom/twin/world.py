"""A world: all that a plan implies, made when first asked for."""

import math
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import xarray as xr

from airloom.errors import DataError, StudyError
from airloom.files import read_json
from airloom.grid import Grid
from airloom.twin.emissions import Emissions, inventory, true_emissions
from airloom.twin.geography import Geography, geography
from airloom.twin.model import Model
from airloom.twin.network import Network, network
from airloom.twin.reanalysis import Correction
from airloom.twin.species import SETS
from airloom.twin.swell import Swell
from airloom.twin.weather import Weather, weather_grid
from airloom.twin.weather_stations import weather_network

COARSE = 10_000.0  # m, cells of the reanalysis' model
MARGIN = 3  # of them on each side of the window
RICHER = 1.5  # NO₂ beyond the window, as the reanalysis has it, to what it is
FLATTER = 0.3  # power of depth by which the reanalysis' boundary layer is too deep where it is shallow, and the reverse
MIDDLE = 490.0  # m, where it is right
MISJUDGED = 0.12  # standard deviation of the log of its mixing to the true one besides, from day to day
AHEAD = {  # the inventory's totals to the true ones
    "road": 0.85,
    "transport": 2.5,
    "energy": 1.4,
    "industry": 1.3,
    "residential": 0.8,
    "shipping": 1.0,
}


@dataclass(frozen=True)
class Plan:
    """What is asked of a twin.

    `lon`, `lat`: the window's centre [degrees]; `size`: its edge [m]; `cell`: of the truth [m]; `start`, `end`: first and last
    day; `species`: "nox" or "all"; `seed`: another one is another world; `days`: only the first so many of each month are
    made, for many seasons at little cost.

    Raises:
        StudyError: the size is no multiple of the cell, the days run backwards or are none, or the species are unknown.
    """

    start: date
    end: date
    lon: float = 3.5
    lat: float = 50.0
    size: float = 512_000.0
    cell: float = 2000.0
    species: str = "nox"
    seed: int = 0
    days: int | None = None

    def __post_init__(self) -> None:
        if self.end < self.start:
            raise StudyError(f"twin: it ends on {self.end}, before it starts on {self.start}. Swap the days.")
        if self.cell <= 0 or self.size % self.cell or self.size / self.cell < 16:
            raise StudyError(
                f"twin: a window of {self.size:g} m must hold 16 cells of {self.cell:g} m or more, a whole number."
            )
        within_a_month = (self.start.year, self.start.month) == (self.end.year, self.end.month)
        if self.days is not None and (self.days < 1 or (within_a_month and self.start.day > self.days)):
            raise StudyError(f"twin: the first {self.days} days of each month, from {self.start} to {self.end}, are none.")
        if self.species not in SETS:
            raise StudyError(f"twin: species {self.species!r}; choose {' or '.join(SETS)}.")

    @property
    def dates(self) -> list[date]:
        """The days that are made."""
        span = [self.start + timedelta(days=i) for i in range((self.end - self.start).days + 1)]
        return [d for d in span if self.days is None or d.day <= self.days]

    @property
    def grid(self) -> Grid:
        """The truth's grid."""
        cells = round(self.size / self.cell)
        return Grid.around(self.lon, self.lat, cell=self.cell, shape=(cells, cells))

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {k: str(v) if isinstance(v, date) else v for k, v in asdict(self).items()}

    @classmethod
    def load(cls, folder: Path) -> "Plan":
        """The plan of a twin that was made.

        Raises:
            DataError: the folder holds no twin.
        """
        path = folder / "twin.json"
        if not path.is_file():
            raise DataError(f"{folder} holds no twin.json. Make a twin there: airloom twin make {folder} --start … --end …")
        content = {k: v for k, v in read_json(path).items() if k != "airloom"}
        return cls(**{**content, **{k: date.fromisoformat(content[k]) for k in ("start", "end")}})


class Misjudged:
    """The weather as another model has it: shallow boundary layers too deep and deep ones too shallow, some days more so.

    Most of it follows from the weather, so that a network can learn how the reanalysis errs, and stations unteach it.
    """

    def __init__(self, weather: Weather, seed: int) -> None:
        self.weather, self.grid = weather, weather.grid
        self.swell = Swell([seed, 71])

    def day(self, day: date) -> xr.Dataset:
        """As `Weather.day`."""
        weather = self.weather.day(day)
        depth = weather["blh"].clip(min=MIDDLE / 10)
        factor = (depth / MIDDLE) ** -FLATTER * np.exp(MISJUDGED * self.swell.day(day)).astype(np.float32)[:, None, None]
        return weather.assign(blh=weather["blh"] * factor, ustar=weather["ustar"] * np.sqrt(factor))


class World:
    """What a plan implies; everything follows from it alone.

    Arguments:
        plan: what is asked.
        threads: cores that the models use; results do not depend on it.
    """

    def __init__(self, plan: Plan, *, threads: int = 1) -> None:
        self.plan, self.threads = plan, threads

    @cached_property
    def coarse_grid(self) -> Grid:
        """Cells of COARSE over the window and MARGIN more on each side."""
        left, bottom, right, top = self.plan.grid.bounds
        first, last = math.floor(left / COARSE) - MARGIN, math.ceil(right / COARSE) + MARGIN
        south, north = math.floor(bottom / COARSE) - MARGIN, math.ceil(top / COARSE) + MARGIN
        return Grid(self.plan.grid.crs, first * COARSE, north * COARSE, COARSE, (north - south, last - first))

    @cached_property
    def geography(self) -> Geography:
        """On the truth's grid."""
        return geography(self.plan.grid, self.plan.seed)

    @cached_property
    def coarse_geography(self) -> Geography:
        """On the reanalysis' grid."""
        return geography(self.coarse_grid, self.plan.seed)

    @cached_property
    def weather(self) -> Weather:
        """Over both grids."""
        grid = weather_grid(self.coarse_grid)
        ground = geography(grid, self.plan.seed)
        return Weather(grid, ground.land, ground.elevation, self.plan.seed)

    @cached_property
    def emissions(self) -> Emissions:
        """The true ones."""
        return true_emissions(self.geography, self.plan.seed)

    @cached_property
    def known_emissions(self) -> Emissions:
        """What the inventory says, on the truth's cells."""
        return inventory(self.geography, ahead=AHEAD)

    @cached_property
    def coarse_emissions(self) -> Emissions:
        """What the inventory says, on the reanalysis' cells."""
        return inventory(self.coarse_geography, ahead=AHEAD)

    @cached_property
    def model(self) -> Model:
        """Of the truth."""
        return Model(self.geography, self.weather, species=self.plan.species, threads=self.threads)

    @cached_property
    def coarse_model(self) -> Model:
        """Of the reanalysis."""
        weather = Misjudged(self.weather, self.plan.seed)
        return Model(
            self.coarse_geography,
            weather,
            species=self.plan.species,
            threads=self.threads,
            richer=RICHER,
        )

    @cached_property
    def network(self) -> Network:
        """Stations."""
        return network(self.geography, self.plan.seed)

    @cached_property
    def weather_network(self) -> pl.DataFrame:
        """Stations of the second network."""
        return weather_network(self.geography, self.network.cells, self.plan.seed)

    @cached_property
    def correction(self) -> Correction:
        """Of the coarse model towards the stations that the reanalysis knows."""
        known = self.network.table.filter("assimilated")
        x, y = self.plan.grid.project(known["lon"].to_numpy(), known["lat"].to_numpy())
        return Correction.of(self.coarse_grid.x, self.coarse_grid.y, np.asarray(x), np.asarray(y))

    @property
    def emitted(self) -> tuple[str, ...]:
        """Species that emissions must give."""
        return ("nox",) if self.plan.species == "nox" else ("nox", "so2", "nh3", "voc", "pm25", "pmcoarse")
