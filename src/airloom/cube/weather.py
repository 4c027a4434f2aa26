"""Weather files to whole days on the weather grid: decoded once each, file by file, then joined year by year."""

import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from pathlib import Path

import numpy as np
import xarray as xr

from airloom.cube.regrid import Bilinear
from airloom.errors import DataError
from airloom.files import fingerprint, whole
from airloom.grid import Grid
from airloom.ledger import Ledger
from airloom.parts import WeatherPart
from airloom.sources.members import Member, members
from airloom.sources.registry import GRIDDED

HOURS = 24


@dataclass(frozen=True)
class Decode:
    """One file to decode, and where its part is kept; two asks with the same `key` give the same part."""

    member: Member
    weather: WeatherPart
    grid: Grid
    path: Path

    @classmethod
    def plan(cls, weather: WeatherPart, grid: Grid, paths: Sequence[Path], folder: Path) -> list["Decode"]:
        """All files of the study's weather."""
        asked = weather.model_dump(mode="json", include={"source", "variables"})
        plan = []
        for member in members(paths):
            stat = member.path.stat()
            key = fingerprint(
                [asked, grid.crs, grid.bounds, grid.cell, str(member.path), member.inner, stat.st_size, stat.st_mtime_ns]
            )
            plan.append(cls(member, weather, grid, folder / f"{key}.nc"))
        return plan

    def run(self) -> None:
        """Decode, bring to the weather grid, write the part whole."""
        part = GRIDDED[self.weather.source]().read(self.member, self.weather.variables)
        outside = 0
        if part.data_vars:
            bilinear = Bilinear.between(part.latitude.to_numpy(), part.longitude.to_numpy(), self.grid)
            part, outside = bilinear.apply(part), bilinear.outside
        with whole(self.path) as aside:
            part.assign_attrs(outside=outside).to_netcdf(aside, engine="netcdf4")


def decode(plan: Sequence[Decode], workers: int) -> Iterator[int]:
    """Decode what is not yet there; yields how many files are done, each time one more is.

    Raises:
        DataError: as the source's `read` and `Bilinear.between`, or a worker was killed.
    """
    todo = [d for d in plan if not d.path.is_file()]
    done = len(plan) - len(todo)
    yield done
    if workers < 2 or len(todo) < 2:
        for one in todo:
            one.run()
            done += 1
            yield done
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_end_with_parent) as pool:
        futures = [pool.submit(one.run) for one in todo]
        try:
            for future in as_completed(futures):
                future.result()
                done += 1
                yield done
        except BrokenProcessPool as error:
            raise DataError(
                f"a process that decodes weather files ended abruptly; {done} of {len(plan)} files are done. Was memory short? "
                "Run again with fewer workers: it goes on. "
                'A script of your own needs `if __name__ == "__main__":` around its calls.'
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def _end_with_parent() -> None:
    """Let a worker end when its parent is killed; else it would wait for more work for ever."""
    parent = parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def read_parts(plan: Sequence[Decode]) -> list[xr.Dataset]:
    """The decoded parts, lazily."""
    return [xr.open_dataset(one.path, engine="netcdf4", decode_times=True) for one in plan]


def days_of_year(
    parts: Sequence[xr.Dataset], weather: WeatherPart, grid: Grid, days: np.ndarray, ledger: Ledger
) -> np.ndarray:
    """Weather of `days` on (time, hour, channel, y, x), float32; NaN where it is missing.

    Up to `weather.fill_hours` missing hours of a day take the nearest hour of that day, and the ledger counts them; a day
    that lacks more is NaN whole, and the ledger names it.

    Raises:
        DataError: as the source's `combine`; or values are missing in some cells only, as over sea in ERA5-Land.
    """
    hours = np.arange(days[0], days[-1] + 1, dtype="datetime64[h]")
    hourly = np.full((len(weather.variables), len(hours), *grid.shape), np.nan, np.float32)
    # a sum that ends at the next midnight belongs to this period, so parts are taken up to and with it
    near = [p.sel(time=(p.time >= hours[0]) & (p.time <= hours[-1] + 1)).load() for p in parts if p.sizes.get("time")]
    near = [p for p in near if p.sizes["time"]]
    if near:
        joined = GRIDDED[weather.source]().combine(near, ledger)
        at = ((joined.time.to_numpy().astype("datetime64[h]") - hours[0]) / np.timedelta64(1, "h")).astype(int)
        inside = (at >= 0) & (at < len(hours))
        for channel, name in enumerate(weather.variables):
            if name in joined:
                hourly[channel, at[inside]] = joined[name].transpose("time", "y", "x").to_numpy()[inside]
    by_day = hourly.reshape(len(weather.variables), len(days), HOURS, *grid.shape).transpose(1, 2, 0, 3, 4)
    _check_cells(by_day, weather)
    return _fill(by_day, weather, days, ledger)


def _check_cells(values: np.ndarray, weather: WeatherPart) -> None:
    """Refuse weather that is missing in part of the window only."""
    cells = np.isfinite(values).mean((3, 4))  # (time, hour, channel): share of the cells that have a value
    partly = (cells > 0) & (cells < 1)
    if partly.any():
        channel = int(np.argwhere(partly)[0][2])
        raise DataError(
            f"weather: {weather.variables[channel]} of {weather.source} is missing in {1 - cells[partly].min():.0%} of the "
            "window's cells. ERA5-Land has no values over sea: use era5-single, or move the window inland."
        )


def _fill(values: np.ndarray, weather: WeatherPart, days: np.ndarray, ledger: Ledger) -> np.ndarray:
    """Fill few missing hours from the nearest hour of the day; blank and name the days that lack more."""
    missing = ~np.isfinite(values[..., 0, 0])  # (time, hour, channel)
    for day in np.flatnonzero(missing.any((1, 2))):
        lacking = missing[day].sum(0)  # (channel,)
        named = ", ".join(f"{n} ({k} h)" for n, k in zip(weather.variables, lacking, strict=True) if k)
        if lacking.max() > weather.fill_hours:
            ledger.out("day", str(days[day]), f"no weather: missing {named if lacking.min() < HOURS else 'whole'}")
            values[day] = np.nan
            continue
        for channel in np.flatnonzero(lacking):
            there = np.flatnonzero(~missing[day, :, channel])
            for hour in np.flatnonzero(missing[day, :, channel]):
                values[day, hour, channel] = values[day, there[np.abs(there - hour).argmin()], channel]
        ledger.changed("day", str(days[day]), f"hours filled from the nearest one: {named}", int(lacking.sum()))
    return values
