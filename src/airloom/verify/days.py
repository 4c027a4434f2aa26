"""Whole fields a day at a time, on (level, y, x) [µg m⁻³], from where they lie: predictions, the chemistry model, a twin's truth."""

from collections.abc import Sequence
from datetime import date
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from torch.nn import functional

from airloom.cube.store import Cube
from airloom.errors import DataError
from airloom.grid import Grid
from airloom.hours import WHOLE_DAY, Hours, named
from airloom.verify.volumes import Day

KEPT = 2  # months of a truth that stay open


def predicted(field: xr.Dataset, days: np.ndarray, pollutant: str) -> Day:
    """A predicted field, by the index of `days` (datetime64[D], all in the field)."""
    array = field[pollutant] if "level" in field[pollutant].dims else field[pollutant].expand_dims("level", 1)
    array = array.assign_coords(time=array["time"].dt.floor("D"))  # a mean of some hours begins within the day
    return lambda i: array.sel(time=days[i].astype("datetime64[ns]")).to_numpy()


def chemistry(cube: Cube, days: np.ndarray) -> Day:
    """The chemistry model on its own cells, by the index of `days`, which are indices into the cube."""
    return lambda i: cube.chemistry(int(days[i]))


def chemistry_at_ground(cube: Cube, days: np.ndarray) -> Day:
    """The chemistry model's lowest level on the grid's cells, bilinear from its own."""
    rows, columns = (np.arange(n) for n in cube.grid.shape)
    return lambda i: cube.read("ground", days[i : i + 1], rows, columns)[0]


def chemistry_on_grid(cube: Cube, days: np.ndarray) -> Day:
    """The chemistry model on the grid's cells, bilinear: the ground from the model's own cells, the levels above, which are
    smooth, from those of the cube.
    """
    coarse, ground = chemistry(cube, days), chemistry_at_ground(cube, days)

    def read(i: int) -> np.ndarray:
        field = torch.from_numpy(np.ascontiguousarray(coarse(i), np.float32))[None]
        whole = functional.interpolate(field, size=cube.grid.shape, mode="bilinear", align_corners=False)[0].numpy()
        whole[:1] = ground(i)
        return whole

    return read


def truth(
    paths: Sequence[Path],
    grid: Grid,
    levels: Sequence[float],
    days: np.ndarray,
    pollutant: str,
    hours: Hours = WHOLE_DAY,
) -> Day:
    """A twin's truth, means over the `hours` of a day, by the index of `days` (datetime64[D]); NaN on days that no file has.

    Raises:
        DataError: a file lies on other cells, or lacks the pollutant, one of `levels` or of `hours`.
    """
    name = pollutant if hours == WHOLE_DAY else f"{pollutant}_hours"
    where: dict[date, Path] = {}
    for path in paths:
        with xr.open_dataset(path, engine="netcdf4") as file:
            _check(file, path, grid, levels, pollutant)
            _check_hours(file, path, name, hours)
            where |= dict.fromkeys(file["time"].to_numpy().astype("datetime64[D]").tolist(), path)

    @lru_cache(KEPT)
    def month(path: Path) -> xr.DataArray:
        with xr.open_dataset(path, engine="netcdf4") as file:
            found = file[name].sel(height=list(levels))
            return (found if hours == WHOLE_DAY else found.sel(hour=list(range(*hours))).mean("hour")).load()

    def read(i: int) -> np.ndarray:
        path = where.get(days[i].astype("datetime64[D]").item())
        if path is None:
            return np.full((len(levels), *grid.shape), np.nan, np.float32)
        return month(path).sel(time=days[i].astype("datetime64[ns]")).to_numpy()

    return read


def _check(file: xr.Dataset, path: Path, grid: Grid, levels: Sequence[float], pollutant: str) -> None:
    """Refuse a truth that is not on the study's cells and levels."""
    if pollutant not in file:
        raise DataError(f"{path}: holds no {pollutant}; it has {', '.join(map(str, file.data_vars))}.")
    if not (np.array_equal(file["x"], grid.x) and np.array_equal(file["y"], grid.y)):
        raise DataError(f"{path}: lies on other cells than the study. Make the twin with the study's centre, size and cell.")
    if absent := sorted(set(levels) - set(file["height"].to_numpy().tolist())):
        raise DataError(f"{path}: has no level at {absent[0]:g} m; it has {file['height'].to_numpy().tolist()}.")


def _check_hours(file: xr.Dataset, path: Path, name: str, hours: Hours) -> None:
    """Refuse a truth that holds the daily mean alone, or other hours, where some are asked for."""
    held = file["hour"].to_numpy().tolist() if name in file and "hour" in file.coords else []
    if hours != WHOLE_DAY and not set(range(*hours)) <= set(held):
        also = f" and the hours {', '.join(map(str, held))}" if held else " alone"
        raise DataError(
            f"{path}: holds the daily mean{also}, and not the {named(hours)}. Make the twin anew if it is of an earlier "
            "airloom, ask for hours that it holds, or leave out verification.truth."
        )
