"""What a look at a twin sees: means, profiles, spectra and stations' series, gathered month by month."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import xarray as xr

from airloom.cube.regrid import Bilinear
from airloom.errors import DataError
from airloom.grid import Grid, hann
from airloom.progress import Progress, quiet
from airloom.sources.base import METADATA
from airloom.sources.cams import CAMSEurope
from airloom.sources.census import Census
from airloom.sources.eea import EEA
from airloom.sources.era5 import ERA5Single
from airloom.stations import Rules
from airloom.twin.coast import shares
from airloom.twin.layers import HEIGHTS
from airloom.twin.network import URBAN
from airloom.twin.world import Plan

RURAL = 150.0  # people per km² below which land counts as country
OTHERS = ("o3", "pm2p5", "pm10")
SERIES = ("observed", "cams", "wind", "blh")  # µg m⁻³, µg m⁻³, m s⁻¹, m


class Fields:
    """Sums over days of NO₂'s daily means on (height, y, x), from which mean, spread and spectrum follow."""

    def __init__(self, grid: Grid) -> None:
        self.grid, self.days = grid, 0
        self.total = np.zeros((len(HEIGHTS), *grid.shape))
        self.squares = np.zeros(len(HEIGHTS))
        self.power = np.zeros(min(grid.shape) // 2)

    def add(self, daily: np.ndarray) -> None:
        """Add days, on (time, height, y, x) [µg m⁻³]."""
        self.days += len(daily)
        for day in daily.astype(float):
            self.total += day
            self.squares += (day**2).sum((1, 2))
            self.power += spectrum(day[0], self.grid.cell)[1]

    @property
    def mean(self) -> np.ndarray:
        """µg m⁻³ on (height, y, x)."""
        return self.total / self.days

    @property
    def spread(self) -> np.ndarray:
        """Standard deviation over all cells and days [µg m⁻³] on (height,)."""
        return np.sqrt(self.squares / (self.days * self.mean[0].size) - self.mean.mean((1, 2)) ** 2)

    @property
    def spectrum(self) -> np.ndarray:
        """Mean of the days' spectra at the ground, as `spectrum`."""
        return self.power / self.days


@dataclass(frozen=True)
class Seen:
    """A twin, as far as it is made.

    `days`: datetime64[D]. `truth`, `cams`: NO₂ on the truth's cells. `others`: means at the ground of OTHERS, as far as
    the twin has them, on (y, x) [µg m⁻³]. `towns`,
    `country`: where many and where few live, bool on (y, x). `stations`: METADATA and `assimilated`; empty until the twin's
    last month is made. `hourly`: SERIES on (time, station), UTC. `daily`: truth, observed and cams on (time, station) [µg m⁻³];
    a day with fewer valid hours than `Rules` asks for is NaN.
    """

    plan: Plan
    days: np.ndarray
    truth: Fields
    cams: Fields
    others: dict[str, np.ndarray]
    towns: np.ndarray
    country: np.ndarray
    stations: pl.DataFrame
    hourly: xr.Dataset
    daily: xr.Dataset


def gather(folder: Path, progress: Progress = quiet) -> Seen:
    """Read a twin's files through the sources, a month at a time.

    Raises:
        DataError: the folder holds no twin, or no month of it is made; a file is missing or broken.
    """
    plan = Plan.load(folder)
    months = sorted(p.stem for p in (folder / "state").glob("????-??.json"))
    if not months:
        raise DataError(f"{folder}: no month of this twin is made yet. Run `airloom twin make {folder}` until one is.")
    grid = plan.grid
    table = _stations(folder)
    row, column = grid.locate(table["lon"].to_numpy(), table["lat"].to_numpy())
    truth, cams = Fields(grid), Fields(grid)
    others: dict[str, np.ndarray] = {}
    days, hourly, at_stations = [], [], []
    for number, month in enumerate(months):
        with xr.open_dataset(_of(month, folder, f"truth/{month}.nc")[0], engine="netcdf4") as file:
            no2 = file["no2"].to_numpy()
            truth.add(no2)
            for name in OTHERS:
                if name in file:
                    others[name] = others.get(name, 0) + file[name].isel(height=0).to_numpy().sum(0, dtype=float)
            days.append(file["time"].to_numpy().astype("datetime64[D]"))
        at_stations.append(no2[:, 0, row, column])
        model = CAMSEurope().open(_of(month, folder, f"cams/*.no2.*.{month}.nc"), ["no2"])
        cams.add(_daily_on(model, grid))
        weather = ERA5Single().open(_of(month, folder, f"era5/single-{month}.*"), ["u10", "v10", "blh"])
        hourly.append(_at(table, model, weather))
        progress("look at the twin, month", number + 1, len(months))
    series = xr.concat(hourly, "time")
    series["observed"] = (("time", "station"), _observed(folder, table, series["time"].to_numpy()))
    daily = xr.Dataset({n: _daily(series[n]).sel(time=np.concatenate(days)) for n in ("observed", "cams")})
    daily["truth"] = (("time", "station"), np.concatenate(at_stations))
    others = {name: total / truth.days for name, total in others.items()}
    towns, country = _where_people_live(folder, grid)
    return Seen(plan, np.concatenate(days), truth, cams, others, towns, country, table, series, daily)


def spectrum(field: np.ndarray, cell: float) -> tuple[np.ndarray, np.ndarray]:
    """Variance by wavenumber of a square field on (y, x), all directions together.

    The mean is taken out and a Hann window laid over the field; annuli are one turn per edge wide, and the sum of power times
    their width is the variance under the window.

    Returns: wavenumber [turns km⁻¹] from one turn per edge to one per two cells, and power [units² km] at each.
    """
    size = min(field.shape)
    window = hann(size)
    centred = (field[:size, :size] - field.mean()) * window
    share = np.abs(np.fft.fft2(centred)) ** 2 / (centred.size * (window**2).sum())
    turns = np.fft.fftfreq(size, 1 / size)
    ring = np.rint(np.hypot(*np.meshgrid(turns, turns))).astype(int)
    edge = size * cell / 1000
    count = size // 2
    return np.arange(1, count + 1) / edge, np.bincount(ring.ravel(), share.ravel())[1 : count + 1] * edge


def _of(month: str, folder: Path, pattern: str) -> list[Path]:
    """The files of a month that is made, at least one."""
    found = sorted(folder.glob(pattern))
    if not found:
        raise DataError(
            f"{folder}: there is no {pattern}, though {month} is marked as made. Remove state/{month}.json and make it again."
        )
    return found


def _stations(folder: Path) -> pl.DataFrame:
    """METADATA and `assimilated`, sorted by station; no rows where the stations are not written yet."""
    points = folder / "eea" / "sampling_points.parquet"
    if not points.is_file():
        return pl.DataFrame(schema={**METADATA, "assimilated": pl.Boolean})
    parts = [EEA().open([path], points).metadata for path in _observations(folder)]
    known = pl.read_csv(folder / "eea" / "assimilated.csv", schema={"station": pl.String})["station"]
    return pl.concat(parts).sort("station").with_columns(assimilated=pl.col("station").is_in(known.implode()))


def _observations(folder: Path) -> Sequence[Path]:
    return sorted((folder / "eea" / "observations").glob("*.parquet"))


def _observed(folder: Path, table: pl.DataFrame, hours: np.ndarray) -> np.ndarray:
    """What stations report and the provider calls valid [µg m⁻³], float32 on (time, station)."""
    rules, found = Rules(), np.full((len(hours), len(table)), np.nan, np.float32)
    place = {station: i for i, station in enumerate(table["station"])}
    if not place:
        return found
    for path in _observations(folder):  # one at a time: years of all of them need much memory
        rows = EEA().open([path], folder / "eea" / "sampling_points.parquet").observations
        rows = rows.filter(pl.col("valid") & pl.col("value").is_between(rules.lowest, rules.highest))
        start = rows["start"].dt.replace_time_zone(None).to_numpy().astype(hours.dtype)
        hour = np.searchsorted(hours, start).clip(max=len(hours) - 1)
        here = hours[hour] == start
        found[hour[here], place[rows["station"][0]]] = rows["value"].to_numpy()[here]
    return found


def _at(table: pl.DataFrame, model: xr.Dataset, weather: xr.Dataset) -> xr.Dataset:
    """The model at the ground and the weather at stations, float32 on (time, station), at the model's hours."""
    weather = weather.reindex(time=model["time"])
    fields = {
        "cams": model["no2"].isel(height=0, drop=True),
        "wind": (weather["u10"] ** 2 + weather["v10"] ** 2) ** 0.5,
        "blh": weather["blh"],
    }
    coords = {"time": model["time"].to_numpy(), "station": table["station"].to_list()}
    return xr.Dataset({n: (("time", "station"), _at_places(f, table)) for n, f in fields.items()}, coords)


def _at_places(field: xr.DataArray, table: pl.DataFrame) -> np.ndarray:
    """A field on (time, latitude, longitude) at stations, bilinear: float32 on (time, station)."""
    if table.is_empty():
        return np.empty((field.sizes["time"], 0), np.float32)
    lat, lon = (xr.DataArray(table[name].to_numpy(), dims="station") for name in ("lat", "lon"))
    return field.interp(latitude=lat, longitude=lon).transpose("time", "station").to_numpy().astype(np.float32)


def _daily_on(model: xr.Dataset, grid: Grid) -> np.ndarray:
    """Daily means of hourly NO₂ on degrees, bilinear on the grid: (time, height, y, x)."""
    daily = model.resample(time="1D").mean()
    return Bilinear.between(model["latitude"].to_numpy(), model["longitude"].to_numpy(), grid).apply(daily)["no2"].to_numpy()


def _daily(hourly: xr.DataArray) -> xr.DataArray:
    """Daily means; NaN where a day has too few hours."""
    days = hourly.resample(time="1D")
    return days.mean().where(days.count() >= Rules().min_hours)


def _where_people_live(folder: Path, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Cells of towns and of the country, bool on (y, x)."""
    people = Census(folder / "static" / "population.gpkg").layers(grid)["population"].to_numpy()
    above, lake = shares(grid)
    return people >= URBAN, (people < RURAL) & (above - lake > 0.5)
