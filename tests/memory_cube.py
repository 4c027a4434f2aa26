"""A small cube in memory: 40 days around a New Year, 16 × 16 cells of 2 km, weather cells of 4 km, six stations."""

import numpy as np
import zarr

from airloom.cube.normalise import Sums
from airloom.cube.store import Cube
from airloom.grid import Grid

FIRST, DAYS = np.datetime64("2020-12-12"), 40  # 20 days of 2020, then 20 of 2021
SHAPE, FACTOR = (16, 16), 2
ROWS, COLUMNS = np.array([2, 3, 7, 8, 12, 15]), np.array([0, 9, 7, 14, 4, 15])


def memory_cube(*, observed: np.ndarray | None = None, weather: np.ndarray | None = None) -> Cube:
    """The cube; `observed` (time, station) and `weather` (time, hour, channel, y, x) replace what is made up.

    NO₂ is a function of the inputs at a station's cell, so that a network can learn it: 20 + 5 × the day's mean of the
    first weather variable + 3 × the emission map.
    """
    draw, grid = np.random.default_rng(0), Grid.around(-3.70, 40.43, cell=2000, shape=SHAPE)
    days = FIRST + np.arange(DAYS)
    if weather is None:
        weather = draw.normal(0, 1, (DAYS, 1, 2, SHAPE[0] // FACTOR, SHAPE[1] // FACTOR)) + draw.normal(
            0, 0.1, (24, 1, 1, 1)
        )
    maps = draw.normal(0, 1, (3, *SHAPE))
    if observed is None:
        daily = weather.mean(1)[:, 0, ROWS // FACTOR, COLUMNS // FACTOR]
        observed = 20 + 5 * daily + 3 * maps[0, ROWS, COLUMNS]
        observed[::7, 1] = np.nan
    group = zarr.open_group(zarr.storage.MemoryStore(), mode="w")
    years = days.astype("datetime64[Y]")
    group.attrs.update(
        complete=True,
        made_of={"study": {"hours": [0, 24]}},
        sums={"weather": {str(y): Sums.of(np.moveaxis(weather[years == y], 2, 0)).to_json() for y in np.unique(years)}},
        ledger={},
        stations=_table(grid),
    )
    _put(group, "time", days.astype(np.int64))
    _put(group, "calendar", np.stack([np.sin(np.arange(DAYS) * 2 * np.pi / 7), np.cos(np.arange(DAYS) * 2 * np.pi / 7)], 1))
    _put(group, "weather", weather.astype(np.float32))
    _put(group, "weather_days", np.isfinite(weather).all((1, 2, 3, 4)))
    _put(group, "emissions", maps[:1].astype(np.float32))
    _put(group, "geography", maps[1:].astype(np.float32))
    _put(group, "observed", observed)
    for name, channels in (("calendar", 2), ("weather", 2), ("emissions", 1), ("geography", 2)):
        group[name].attrs["names"] = [f"{name}-{i}" for i in range(channels)]
    group["calendar"].attrs["plain"] = group["calendar"].attrs["names"]
    return Cube(None, group, grid)


def _table(grid: Grid) -> list[dict]:
    """The stations' rows as a cube keeps them, each in its cell's centre."""
    lon, lat = grid.lonlat()
    return [
        {
            "station": f"s{i}",
            "name": f"station {i}",
            "lon": float(lon[row, column]),
            "lat": float(lat[row, column]),
            "altitude": 600.0,
            "type": "background",
            "area": "urban",
            "row": int(row),
            "column": int(column),
        }
        for i, (row, column) in enumerate(zip(ROWS, COLUMNS, strict=True))
    ]


def _put(group: zarr.Group, name: str, values: np.ndarray) -> None:
    group.create_array(name, shape=values.shape, dtype=values.dtype, chunks=values.shape)[:] = values
