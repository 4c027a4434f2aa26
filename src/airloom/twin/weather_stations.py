"""A second network of the twin: stations that measure humidity, wind and temperature, and stand elsewhere."""

import numpy as np
import polars as pl
import xarray as xr

from airloom.grid import Grid
from airloom.twin.geography import Geography
from airloom.twin.model import Bilinear
from airloom.twin.vapour import saturation

SPACE = 1500.0  # km² of land for a station
NOISE = {"relative_humidity": 2.0, "wind": 0.3, "temperature": 0.2}  # %, m s⁻¹, K
MISSING = 0.01  # share of hours


def weather_network(geography: Geography, taken: tuple[np.ndarray, np.ndarray], seed: int) -> pl.DataFrame:
    """Stations with METADATA's columns and row, column, anywhere on land below 2000 m but in the cells `taken` (rows, columns)."""
    draw = np.random.default_rng([seed, 53])
    grid = geography.grid
    free = (geography.land > 0.6) & (geography.elevation < 2000)
    free[taken] = False
    total = max(1, round(float(geography.land.sum()) * (grid.cell / 1000) ** 2 / SPACE))
    cells = draw.choice(np.flatnonzero(free), size=min(total, int(free.sum())), replace=False)
    row, column = np.unravel_index(np.sort(cells), grid.shape)
    lon, lat = grid.lonlat()
    number = np.arange(1, len(row) + 1)
    return pl.DataFrame(
        {
            "station": [f"W{n:04d}" for n in number],
            "name": [f"weather {n}" for n in number],
            "lon": lon[row, column],
            "lat": lat[row, column],
            "altitude": geography.elevation[row, column].astype(float),
            "type": ["background"] * len(row),
            "area": [None] * len(row),
            "row": row,
            "column": column,
        },
        schema_overrides={"area": pl.String},
    )


def measure(stations: pl.DataFrame, weather: xr.Dataset, coarse: Grid, fine: Grid, seed: int) -> pl.DataFrame:
    """Hourly relative_humidity [%], wind [m s⁻¹] and temperature [K] of a day, with noise and gaps; columns station, time too.

    Arguments:
        stations: as `weather_network` gives them.
        weather: a day of `Weather.day`, on `coarse`.
        coarse: grid of the weather.
        fine: grid of the stations' rows and columns.
        seed: of noise and gaps.
    """
    interpolate = Bilinear(coarse, fine)
    at = stations["row"].to_numpy(), stations["column"].to_numpy()
    t, d, u, v = (interpolate.at(weather[n].values, *at) for n in ("t2m", "d2m", "u10", "v10"))
    times = weather["time"].to_numpy().astype("datetime64[us]")
    draw = np.random.default_rng([seed, 54, int(times[0].astype("datetime64[D]").astype(int))])
    values = {
        "relative_humidity": 100 * saturation(d) / saturation(t),
        "wind": np.hypot(u, v),
        "temperature": t,
    }
    values = {n: a + NOISE[n] * draw.standard_normal(a.shape) for n, a in values.items()}
    values["relative_humidity"] = np.clip(values["relative_humidity"], 1, 100)
    values["wind"] = np.maximum(values["wind"], 0)
    gone = draw.random(t.shape) < MISSING
    columns = {n: pl.Series(np.where(gone, np.nan, a).ravel()).round(2).fill_nan(None) for n, a in values.items()}
    return pl.DataFrame(
        {
            "station": np.tile(stations["station"].to_numpy(), len(times)),
            "time": np.repeat(times, stations.height),
            **columns,
        }
    ).with_columns(pl.col("time").dt.replace_time_zone("UTC"))
