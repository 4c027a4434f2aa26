"""`airloom twin make`: runs a world month by month and writes what the providers would deliver.

FOLDER/twin.json                     the plan, and airloom's version
FOLDER/truth/2019-01.nc              daily means in every cell and on every height; of NO₂ also the hours about noon
FOLDER/cams/cams.eaq.….nc            hourly reanalysis at 0.1°
FOLDER/era5/single-2019-01.zip, …    hourly weather at 0.25°
FOLDER/eea/observations/*.parquet    stations; beside them sampling_points.parquet, and assimilated.csv: what CAMS knows
FOLDER/weather/weather.csv           a second network: humidity, wind, temperature; beside it stations.csv
FOLDER/static/…                      inventory, roads, census, elevation, land cover, lights, flights
FOLDER/state/…                       what the next month goes on from; remove a month's files to make it again
"""

import time
from collections.abc import Callable, Iterator, Mapping
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import xarray as xr
from pyproj import CRS

import airloom
from airloom.errors import DataError, StudyError
from airloom.files import full_disk_named, read_json, whole, write_json
from airloom.progress import Progress, quiet
from airloom.sources.base import METADATA
from airloom.sources.era5_variables import PRESSURE, SINGLE
from airloom.twin.layers import HEIGHTS, at_heights
from airloom.twin.model import Hour, State
from airloom.twin.network import observe
from airloom.twin.sky import sun
from airloom.twin.species import PM25
from airloom.twin.static import write_static
from airloom.twin.weather import eastward_northward
from airloom.twin.weather_stations import measure
from airloom.twin.world import Plan, World
from airloom.twin.writers.cams import write_cams
from airloom.twin.writers.degrees import on_degrees
from airloom.twin.writers.eea import stations_csv, write_observations, write_sampling_points
from airloom.twin.writers.era5 import write_former, write_present

SPIN_UP = 3  # days before the first whose fields are thrown away
GASES = {"nox": ("no2", "no", "o3"), "all": ("no2", "no", "o3", "so2", "nh3", "pm2p5", "pm10")}
ANOMALOUS, INFLATED, ABOVE = 2020, 1.7, 1000.0  # year, factor and height [m] where the reanalysis is wrong
NOON = (11, 12, 13)  # hours of NO₂ that the truth keeps, when satellites such as TROPOMI pass
INTERIM = 2023  # from this year on only the interim reanalysis is there, which knows every second station
PRESENT = 2022  # from this year on ERA5 comes as the store delivers it today; before, as it did until 2024


def make(plan: Plan, folder: Path, *, threads: int = 1, progress: Progress = quiet) -> Path:
    """Make a twin, or go on with it where it was stopped; returns the folder.

    Raises:
        StudyError: the folder holds another twin.
        DataError: the disk is full, or the state that a month goes on from was removed.
    """
    world, months = World(plan, threads=threads), list(_months(plan))
    with full_disk_named(folder):
        _claim(folder, plan)
        progress("make what stands still", 0, 1)
        write_static(world, folder / "static")
        progress("make what stands still", 1, 1)
        total, done, before = sum(map(len, months)), 0, None
        for days in months:
            marker = folder / "state" / f"{days[0]:%Y-%m}.json"
            if not marker.is_file():
                started = time.perf_counter()
                follows = before is not None and before[-1] + timedelta(days=1) == days[0]
                facts = Month(world, folder, days).run(
                    before[0] if before and follows else None, partial(_told, progress, done, total)
                )
                write_json(marker, {**facts, "seconds": time.perf_counter() - started})
            done, before = done + len(days), days
        _write_stations(world, folder)
    return folder


def _told(progress: Progress, before: int, total: int, days: int) -> None:
    """Report days of a month as days of all."""
    progress("make the twin, day", before + days, total)


def _claim(folder: Path, plan: Plan) -> None:
    """Say whose folder it is."""
    path = folder / "twin.json"
    if path.is_file():
        found = {k: v for k, v in read_json(path).items() if k != "airloom"}
        if found != plan.to_json():
            different = [f"{k} {found.get(k)!r} there, {v!r} asked" for k, v in plan.to_json().items() if found.get(k) != v]
            raise StudyError(
                f"{folder} holds another twin: {'; '.join(different)}. Name another folder, or remove this one."
            )
    else:
        write_json(path, {**plan.to_json(), "airloom": airloom.__version__})


def _months(plan: Plan) -> Iterator[list[date]]:
    """The days, month by month."""
    for month in sorted({d.replace(day=1) for d in plan.dates}):
        yield [d for d in plan.dates if d.replace(day=1) == month]


class Month:
    """One month of a world: the truth first, then what instruments and the reanalysis make of it."""

    def __init__(self, world: World, folder: Path, days: list[date]) -> None:
        self.world, self.folder, self.days = world, folder, days
        self.name = f"{days[0]:%Y-%m}"
        self.hours = np.arange(np.datetime64(days[0], "h"), np.datetime64(days[-1], "h") + 24)
        self.gases = GASES[world.plan.species]

    def run(self, before: date | None, progress: Callable[[int], None]) -> dict[str, Any]:
        """Make the month's files; returns by how much each species in the window grew."""
        truth, coarse = self._states(before)
        start = truth.total()
        observations = self._truth(truth, progress)
        self._reanalysis(coarse, observations)
        self._weather()
        for name, state in (("truth", truth), ("cams", coarse)):
            state.save(self._state(name, self.days[0]))
        gained = dict(zip(self.world.model.names, (truth.total() - start).tolist(), strict=True))
        return {"days": len(self.days), "gained": gained}

    def _state(self, name: str, month: date) -> Path:
        return self.folder / "state" / f"{name}-{month:%Y-%m}.npz"

    def _states(self, before: date | None) -> tuple[State, State]:
        """Where both models stand: after the month before, or after some days that are thrown away."""
        world = self.world
        if before is not None:
            paths = [self._state(name, before) for name in ("truth", "cams")]
            for path in paths:
                if not path.is_file():
                    marker = path.with_name(f"{before:%Y-%m}.json")
                    raise DataError(
                        f"{path} is not there, and {self.name} goes on from it. Remove {marker}: that month is made again."
                    )
            return State.load(paths[0]), State.load(paths[1])
        states = []
        for model, emissions in ((world.model, world.emissions), (world.coarse_model, world.coarse_emissions)):
            states.append(model.start(self.days[0]))
            for ago in range(SPIN_UP, 0, -1):
                day = self.days[0] - timedelta(days=ago)
                for _ in model.day(states[-1], day, emissions.day(day, world.emitted)):
                    pass
        return states[0], states[1]

    def _truth(self, state: State, progress: Callable[[int], None]) -> pl.DataFrame:
        """Run the truth and write its daily means, and NO₂ at NOON; returns what stations report."""
        world, cells = self.world, self.world.network.cells
        means, noons, seen = [], [], []
        for number, day in enumerate(self.days):
            total: dict[str, np.ndarray] = {}
            for hour in world.model.day(state, day, world.emissions.day(day, world.emitted)):
                fields = _gases(hour, self.gases)
                seen.append({n: fields[n][0][cells] for n in ("no2", "no", "o3")})
                for name, values in fields.items():
                    total[name] = total.get(name, 0) + at_heights(values) / np.float32(24)
                if hour.time.hour in NOON:
                    noons.append(at_heights(fields["no2"]))
            means.append(total)
            progress(number + 1)
        noon = np.stack(noons).reshape(len(self.days), len(NOON), *noons[0].shape)
        self._write_truth({n: np.stack([m[n] for m in means]) for n in self.gases}, noon)
        ground = world.weather.surface
        height = sun(ground.lon, ground.lat, self.hours).mean((1, 2))
        series = {n: np.stack([s[n] for s in seen]) for n in ("no2", "no", "o3")}
        reported = observe(world.network, self.hours, series, height[:, None], world.plan.seed)
        with whole(self.folder / "state" / f"observed-{self.name}.parquet") as aside:
            reported.write_parquet(aside)
        return reported

    def _write_truth(self, means: Mapping[str, np.ndarray], noon: np.ndarray) -> None:
        """Daily means on (time, height, y, x) and NO₂ at NOON on (time, hour, height, y, x), in every cell; NetCDF."""
        grid = self.world.plan.grid
        attrs = {"units": "ug m-3", "cell_methods": "time: mean", "grid_mapping": "crs"}
        fields = xr.Dataset(
            {
                **{n: (("time", "height", "y", "x"), m, attrs) for n, m in means.items()},
                "no2_hours": (("time", "hour", "height", "y", "x"), noon, attrs),
            },
            {
                "time": np.array(self.days, "datetime64[ns]"),
                "hour": ("hour", list(NOON), {"units": "h", "long_name": "UTC hour, its start"}),
                "height": ("height", HEIGHTS, {"units": "m", "positive": "up"}),
                "y": ("y", grid.y, {"units": "m", "standard_name": "projection_y_coordinate"}),
                "x": ("x", grid.x, {"units": "m", "standard_name": "projection_x_coordinate"}),
                "crs": ((), 0, CRS.from_user_input(grid.crs).to_cf()),
            },
            {"Conventions": "CF-1.11", "title": "truth of an airloom twin"},
        )
        packing = {
            n: {"zlib": True, "complevel": 1, "chunksizes": (*[1] * (a.ndim - 2), *grid.shape)}
            for n, a in fields.data_vars.items()
        }
        with whole(self.folder / "truth" / f"{self.name}.nc") as aside:
            fields.to_netcdf(aside, engine="netcdf4", encoding=packing)

    def _reanalysis(self, state: State, observations: pl.DataFrame) -> None:
        """Run the coarse model, correct each hour towards the stations that it knows, write it at 0.1°."""
        world = self.world
        observed = self._known(observations)
        if self.days[0].year >= INTERIM:
            observed[:, 1::2] = np.nan
        hourly: dict[str, list[np.ndarray]] = {n: [] for n in self.gases}
        for day in self.days:
            for hour in world.coarse_model.day(state, day, world.coarse_emissions.day(day, world.emitted)):
                fields = {n: at_heights(v) for n, v in _gases(hour, self.gases).items()}
                fields["no2"] = world.correction.analyse(fields["no2"], observed[len(hourly["no2"])], HEIGHTS)
                if day.year == ANOMALOUS:
                    fields["no2"][HEIGHTS > ABOVE] *= INFLATED
                for name, values in fields.items():
                    hourly[name].append(values)
        grid = world.coarse_grid
        for name in self.gases:
            array = xr.DataArray(
                np.stack(hourly.pop(name)),
                {"time": self.hours.astype("datetime64[ns]"), "height": HEIGHTS, "y": grid.y, "x": grid.x},
                ("time", "height", "y", "x"),
                attrs={"units": "ug m-3"},
            )
            on_tenths = on_degrees(array.to_dataset(name=name), grid, world.plan.grid, step=0.1)
            write_cams(on_tenths, self.folder / "cams", stream="ira" if self.days[0].year >= INTERIM else "vra")

    def _known(self, observations: pl.DataFrame) -> np.ndarray:
        """Valid values of the stations that the reanalysis knows, NaN elsewhere, on (time, station)."""
        known = self.world.network.table.filter("assimilated")["station"].to_list()
        valid = observations.filter(pl.col("valid") & pl.col("value").is_between(0, 400))
        wide = valid.pivot(on="station", index="start", values="value")
        frame = pl.DataFrame({"start": self.hours.astype("datetime64[us]")}).with_columns(
            pl.col("start").dt.replace_time_zone("UTC")
        )
        found = frame.join(wide, on="start", how="left", maintain_order="left")
        values = np.full((len(self.hours), len(known)), np.nan)
        for column, station in enumerate(known):
            if station in found.columns:
                values[:, column] = found[station].to_numpy()
        return values

    def _weather(self) -> None:
        """ERA5's files, with the last hour before the month, for means stand at the end of their hour; the second network."""
        world, weather, window = self.world, self.world.weather, self.world.plan.grid
        before = weather.day(self.days[0] - timedelta(days=1)).isel(time=slice(-1, None))
        fields, measured = [on_degrees(_as_era5(before), weather.grid, window)], []
        for asked in self.days:
            day = weather.day(asked)
            fields.append(on_degrees(_as_era5(day), weather.grid, window))
            measured.append(measure(world.weather_network, day, weather.grid, window, world.plan.seed))
        with whole(self.folder / "state" / f"weather-{self.name}.parquet") as aside:
            pl.concat(measured).write_parquet(aside)
        joined = xr.concat(fields, "time")
        for kind, names in (("single", SINGLE), ("pressure", PRESSURE)):
            part = joined[[n for n in joined.data_vars if n in names]]
            if kind == "pressure":  # moments alone, so that the hour before would stand in two files
                part = part.isel(time=slice(1, None))
            if self.days[0].year >= PRESENT:
                write_present(part, self.folder / "era5", f"{kind}-{self.name}")
            else:
                write_former(part, self.folder / "era5" / f"{kind}-{self.name}.nc")


def _as_era5(day: xr.Dataset) -> xr.Dataset:
    """The variables that ERA5 has, winds to true east and north."""
    fields = day[[n for n in day.data_vars if n in SINGLE or n in PRESSURE]]
    for u, v in (("u10", "v10"), ("u", "v")):
        turned = eastward_northward(fields[u], fields[v], day["north"])
        for name, values in zip((u, v), turned, strict=True):
            fields[name] = values.transpose(*day[name].dims).astype("float32").assign_attrs(day[name].attrs)
    return fields


def _gases(hour: Hour, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Gases, and particles added up, on (layer, y, x) [µg m⁻³]."""
    fields = dict(hour.mean)
    if "pm10" in names:
        fields["pm2p5"] = np.sum([fields[n] for n in PM25], axis=0)
        fields["pm10"] = fields["pm2p5"] + fields["pmcoarse"]
    return {n: fields[n] for n in names}


def _write_stations(world: World, folder: Path) -> None:
    """EEA files out of all months' reports."""
    reports = sorted((folder / "state").glob("observed-*.parquet"))
    written = folder / "eea" / "sampling_points.parquet"
    if written.is_file() and written.stat().st_mtime >= max(r.stat().st_mtime for r in reports):
        return
    observations = pl.concat([pl.read_parquet(r) for r in reports])
    table = world.network.table
    write_observations(observations, folder / "eea" / "observations", pollutant="no2")
    with whole(folder / "eea" / "assimilated.csv") as aside:
        table.filter("assimilated").select("station").write_csv(aside)
    measured = pl.concat([pl.read_parquet(r) for r in sorted((folder / "state").glob("weather-*.parquet"))])
    stations_csv(measured, world.weather_network.select(list(METADATA)), folder / "weather")
    # the last one, for it tells that all are there
    write_sampling_points(table.select(list(METADATA)), written, pollutant="no2", year=world.plan.end.year)
