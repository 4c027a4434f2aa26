"""What the date alone says: day of the week, and season."""

import numpy as np
import xarray as xr


def calendar(days: np.ndarray) -> xr.DataArray:
    """Day of the week on a circle: `weekday_sin`, `weekday_cos` on (time, channel), float32; Monday is at angle 0.

    Arguments:
        days: UTC days, datetime64[D].

    >>> calendar(np.array(["2023-01-02"], "datetime64[D]")).values  # a Monday
    array([[0., 1.]], dtype=float32)
    """
    since_thursday = days.astype("datetime64[D]").astype(int)  # 1970-01-01 was a Thursday
    return _on_circle(days, (since_thursday + 3) % 7 / 7, "weekday")


def season(days: np.ndarray) -> xr.DataArray:
    """Day of the year on a circle: `season_sin`, `season_cos` on (time, channel), float32; 1 January is at angle 0.

    Arguments:
        days: UTC days, datetime64[D].
    """
    year = days.astype("datetime64[Y]")
    first, next_first = year.astype("datetime64[D]"), (year + 1).astype("datetime64[D]")
    return _on_circle(days, (days.astype("datetime64[D]") - first) / (next_first - first), "season")


def _on_circle(days: np.ndarray, turns: np.ndarray, name: str) -> xr.DataArray:
    """Sine and cosine of parts of a turn."""
    angle = 2 * np.pi * turns
    return xr.DataArray(
        np.stack([np.sin(angle), np.cos(angle)], 1).astype("float32"),
        dims=("time", "channel"),
        coords={"time": days.astype("datetime64[ns]"), "channel": [f"{name}_sin", f"{name}_cos"]},
        attrs={"units": "1"},
    )
