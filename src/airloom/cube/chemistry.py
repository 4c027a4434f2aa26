"""Hourly fields of a chemistry model to means of days, or of some hours of each."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from airloom.cube.decode import Asked, least_hours
from airloom.cube.weather import on_times
from airloom.ledger import Ledger


def daily_means(parts: Sequence[xr.Dataset], asked: Asked, days: np.ndarray, ledger: Ledger) -> np.ndarray:
    """Means over `days` on (time, level, y, x) [µg m⁻³], float32, out of parts that hold means.

    A day that lacks a level, or some of its cells, is NaN whole, and the ledger names it.

    Raises:
        DataError: as the source's `combine`.
    """
    means = on_times(parts, asked, days.astype("datetime64[h]"), ledger)[:, 0]  # one pollutant
    there = np.isfinite(means).all((2, 3))  # (time, level)
    for day in np.flatnonzero(~there.all(1)):
        means[day] = np.nan
        lacking = [c for c, whole in zip(asked.columns, there[day], strict=True) if not whole]
        found = ", ".join(lacking) if there[day].any() else "none at all"
        ledger.out("day", str(days[day]), f"no mean of {least_hours(asked.hours)} hours or more to learn from: {found}")
    return means
