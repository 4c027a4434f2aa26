"""Decoded fields of a chemistry model to daily means."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from airloom.cube.decode import Asked
from airloom.cube.weather import by_hour
from airloom.ledger import Ledger

LEAST_HOURS = 18  # of a day, as a station's mean needs them


def daily_means(parts: Sequence[xr.Dataset], asked: Asked, days: np.ndarray, ledger: Ledger) -> np.ndarray:
    """Means over the UTC hours of `days` on (time, level, y, x) [µg m⁻³], float32.

    An hour counts where all cells have a value. A day of which a level has fewer than LEAST_HOURS is NaN whole, and the ledger
    names it.

    Raises:
        DataError: as the source's `combine`.
    """
    hourly = by_hour(parts, asked, days, ledger)[:, :, 0]  # (time, hour, level, y, x): one pollutant
    there = np.isfinite(hourly).all((3, 4))  # (time, hour, level)
    hours = there.sum(1)
    total = np.where(there[..., None, None], hourly, 0).sum(1, dtype=np.float64)
    means = (total / np.maximum(hours, 1)[..., None, None]).astype(np.float32)
    for day in np.flatnonzero((hours < LEAST_HOURS).any(1)):
        means[day] = np.nan
        few = [f"{c} ({n} h)" for c, n in zip(asked.columns, hours[day], strict=True) if n < LEAST_HOURS]
        found = ", ".join(few) if hours[day].any() else "none at all"
        ledger.out("day", str(days[day]), f"no chemistry to learn from: {found}; {LEAST_HOURS} hours are needed")
    return means
