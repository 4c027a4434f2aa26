"""Maps of single hours out of stations' series: each cell is a station of which nothing but the place is known."""

from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
import xarray as xr

from airloom.errors import DataError
from airloom.files import whole
from airloom.ledger import Ledger
from airloom.methods.aqnet import figures
from airloom.methods.aqnet.learn import Reanalysing
from airloom.methods.aqnet.model import SHOWN, Model
from airloom.methods.aqnet.tell import reanalyse
from airloom.series import Series
from airloom.sources.base import METADATA
from airloom.sources.clock import utc

CELLS = 40  # of a map's longer edge
AT_ONCE = 200  # of them
RIM = 0.15  # share of the network's extent that a map shows around it


def draw_map(model: Model, series: Series, hour: datetime, out: Path) -> None:
    """Write and draw a map of one hour, which may carry an offset from UTC.

    Raises:
        DataError: the series do not hold the hour.
    """
    asked = np.datetime64(utc(hour))
    at = int(np.searchsorted(series.hours, asked))
    if at >= len(series.hours) or series.hours[at] != asked:
        raise DataError(
            f"--map {hour:%Y-%m-%dT%H:%M}: the tables hold {series.hours[0]} to {series.hours[-1]}. Name one of these hours."
        )
    lon, lat = _axes(series)
    places = np.stack(np.meshgrid(lon, lat), -1).reshape(-1, 2)
    parts = [_at_places(model, series, at, places[i : i + AT_ONCE]) for i in range(0, len(places), AT_ONCE)]
    told = np.concatenate(parts).reshape(len(lat), len(lon))
    values: dict[str, np.ndarray] = {model.study.target: told}
    if model.hidden:
        here = series.data[model.study.target].to_numpy()[at]
        ends = model.hidden[0].between(SHOWN, told, np.full_like(told, np.isfinite(here).mean()))
        values |= dict(zip(("low", "high"), ends, strict=True))
    field = xr.Dataset(
        {name: (("lat", "lon"), v, {"units": "ug m-3"}) for name, v in values.items()},
        {
            "lat": ("lat", lat, {"units": "degrees_north", "standard_name": "latitude"}),
            "lon": ("lon", lon, {"units": "degrees_east", "standard_name": "longitude"}),
            "time": ((), series.hours[at].astype("datetime64[ns]")),
        },
        {"Conventions": "CF-1.11", "title": f"{model.study.title}: {series.hours[at]} UTC"},
    )
    name = f"map-{model.task.name}-{str(series.hours[at]).replace(':', '')}"
    with whole(out / f"{name}.nc") as aside:
        field.to_netcdf(aside, engine="netcdf4")
    observed = series.data[model.study.target].to_numpy()[at]
    drawn = figures.map_of_hour(lon, lat, told, series.table, observed, f"{series.hours[at]} UTC")
    with whole(out / f"{name}.png") as aside:
        drawn.savefig(aside, dpi=160)


def _at_places(model: Model, series: Series, at: int, places: np.ndarray) -> np.ndarray:
    """The value of an hour at places, (place, [lon, lat]), as at stations of which nothing but the place is known."""
    window = model.task.window
    first = int(np.clip(at - window // 2, 0, len(series.hours) - window))
    around = series.data.isel(time=slice(first, first + window))
    names = [f"cell {i}" for i in range(len(places))]
    cells = pl.DataFrame({"station": names, "name": names, "lon": places[:, 0], "lat": places[:, 1]})
    absent = [pl.lit(None).alias(c) for c in METADATA if c not in cells.columns]
    table = cells.with_columns(absent).select(pl.col(c).cast(t) for c, t in METADATA.items())
    every = Series(series.table, around, Ledger()).with_places(table)
    seen = np.arange(len(every.stations)) < len(series.stations)
    trained = model.over(every, seen)
    assert isinstance(trained.learning, Reanalysing)
    return reanalyse(trained, range(window), np.zeros((window, len(seen)), bool))[at - first, ~seen]


def _axes(series: Series) -> tuple[np.ndarray, np.ndarray]:
    """Centres of a map's cells about as wide as high, ascending and descending [degrees]."""
    lon, lat = (series.table[c].to_numpy() for c in ("lon", "lat"))
    wide = np.cos(np.radians(lat.mean()))
    across, up = max(np.ptp(lon), 0.05) * (1 + 2 * RIM), max(np.ptp(lat), 0.05) * (1 + 2 * RIM)
    cell = max(across * wide, up) / CELLS
    columns, rows = max(2, round(across * wide / cell)), max(2, round(up / cell))
    middle = (lon.min() + lon.max()) / 2, (lat.min() + lat.max()) / 2
    return (
        middle[0] + (np.arange(columns) - (columns - 1) / 2) * cell / wide,
        middle[1] - (np.arange(rows) - (rows - 1) / 2) * cell,
    )
