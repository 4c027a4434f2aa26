"""Decoded weather, on one level or several, to whole days: hours that lack are filled or leave their day out."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from airloom.cube.decode import VERTICAL, Asked
from airloom.errors import DataError
from airloom.ledger import Ledger
from airloom.sources.registry import GRIDDED

HOURS = 24


def whole_days(parts: Sequence[xr.Dataset], asked: Asked, days: np.ndarray, ledger: Ledger) -> np.ndarray:
    """Weather of `days` on (time, hour, channel, [level,] y, x), float32; NaN where it is missing.

    Up to `asked.fill_hours` missing hours of a day take the nearest hour of that day, and the ledger counts them; a day
    that lacks more is NaN whole, and the ledger names it.

    Raises:
        DataError: as the source's `combine`; or values are missing in some cells only, as over sea in ERA5-Land.
    """
    hours = np.arange(days[0], days[-1] + 1, dtype="datetime64[h]")
    values = on_times(parts, asked, hours, ledger).reshape(len(days), HOURS, *asked.shape)
    columns = values.reshape(len(days), HOURS, len(asked.columns), *asked.grid.shape)  # a view: channels and levels in one
    _check_cells(columns, asked)
    _fill(columns, asked, days, ledger)
    return values


def on_times(parts: Sequence[xr.Dataset], asked: Asked, times: np.ndarray, ledger: Ledger) -> np.ndarray:
    """Fields of `times` (datetime64[h], ascending) on (time, channel, [level,] y, x), float32; NaN where they are missing.

    Raises:
        DataError: as the source's `combine`.
    """
    values = np.full((len(times), *asked.shape), np.nan, np.float32)
    absent = [n for n in asked.variables if not any(n in p for p in parts)]
    # a sum that ends at the next midnight belongs to this period, so parts are taken up to and with it
    close = [p for p in parts if p.indexes["time"][0] <= times[-1] + 1 and p.indexes["time"][-1] >= times[0]]
    near = [p.sel(time=slice(times[0], times[-1] + 1)).load() for p in close]
    near = [p.assign_attrs(asked=" ".join(absent)) for p in near if p.sizes["time"]]  # others may lack for a while
    if near:
        joined = GRIDDED[asked.source]().combine(near, ledger)
        dim = next((d for d in VERTICAL if d in joined.dims), None)
        joined = joined.reindex({dim: list(asked.vertical)}, copy=False) if dim else joined
        found = joined.time.to_numpy().astype("datetime64[h]")
        at = np.minimum(np.searchsorted(times, found), len(times) - 1)
        asked_for = times[at] == found
        for channel, name in enumerate(asked.variables):
            if name in joined:
                array = joined[name].transpose("time", *([dim] if dim else []), "y", "x")
                values[at[asked_for], channel] = array.to_numpy()[asked_for]
    return values


def _check_cells(values: np.ndarray, asked: Asked) -> None:
    """Refuse weather on (time, hour, column, y, x) that is missing in part of the window only."""
    cells = np.isfinite(values).mean((3, 4))  # (time, hour, column): share of the cells that have a value
    partly = (cells > 0) & (cells < 1)
    if partly.any():
        column = int(np.argwhere(partly)[0][2])
        raise DataError(
            f"{asked.group}: {asked.columns[column]} of {asked.source} is missing in {1 - cells[partly].min():.0%} of the "
            "window's cells. ERA5-Land has no values over sea: use era5-single, or move the window inland."
        )


def _fill(values: np.ndarray, asked: Asked, days: np.ndarray, ledger: Ledger) -> None:
    """Fill few missing hours from the nearest hour of the day; blank and name the days that lack more."""
    missing = ~np.isfinite(values[..., 0, 0])  # (time, hour, column)
    for day in np.flatnonzero(missing.any((1, 2))):
        lacking = missing[day].sum(0)  # (column,)
        named = _named(asked, lacking)
        if lacking.max() > asked.fill_hours:
            ledger.out("day", str(days[day]), f"no {asked.group}: missing {named if lacking.min() < HOURS else 'whole'}")
            values[day] = np.nan
            continue
        for column in np.flatnonzero(lacking):
            there = np.flatnonzero(~missing[day, :, column])
            for hour in np.flatnonzero(missing[day, :, column]):
                values[day, hour, column] = values[day, there[np.abs(there - hour).argmin()], column]
        ledger.changed("day", str(days[day]), f"hours filled from the nearest one: {named}", int(lacking.sum()))


def _named(asked: Asked, lacking: np.ndarray) -> str:
    """What lacks how many hours; a variable that lacks the same on all levels is named once."""
    words = []
    for name, hours, columns in zip(
        asked.variables,
        lacking.reshape(len(asked.variables), -1),
        np.reshape(asked.columns, (len(asked.variables), -1)),
        strict=True,
    ):
        if (hours == hours[0]).all():
            words += [f"{name} ({hours[0]} h)"] * bool(hours[0])
        else:
            words += [f"{c} ({k} h)" for c, k in zip(columns, hours, strict=True) if k]
    return ", ".join(words)
