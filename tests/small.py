"""A whole study in little: seventy days of invented weather and eight stations, as the providers would send them.

python -m tests.small FOLDER writes the files and study.yaml into FOLDER; `airloom run FOLDER/study.yaml --data FOLDER`
then takes less than twenty seconds. Nothing in it is real: it shows that the way from files to a report holds.
"""

import sys
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import xarray as xr
import yaml

from airloom.study import Study, load

STUDY = {
    "name": "small",
    "title": "Invented NO₂ over Madrid, winter 2022/23",
    "grid": {"centre": [-3.70, 40.43], "shape": [32, 32], "cell": 2000},
    "period": {"start": date(2022, 12, 1), "end": date(2023, 2, 8)},
    "weather": {
        "files": ["weather/*.nc"],
        "variables": ["t2m", "u10", "tp"],
        "cell": 16000,
        "fill_hours": 2,  # without one file hour, two hourly steps of a sum since midnight are unknown
    },
    "emissions": [{"source": "places", "name": "population", "log": True}],
    "stations": {
        "source": "station-table",
        "observations": ["observed.csv"],
        "metadata": "stations.csv",
        "split": {"withheld": ["centre", "east"]},
    },
    "tiles": {"size": 32, "stride": 32},
    "method": {"name": "dacno2", "preset": "small"},
    "phases": [
        {"number": 2, "years": [2022], "start_from": "scratch", "epochs": 2, "batch": 8},
        {
            "number": 3,
            "years": [2023],
            "epochs": 2,
            "batch": 8,
            "loss": {"former_ssim": 1, "ssim_cell": 2000, "ssim_window": 7},
            "learning_rate": 3e-4,
        },
    ],
    "verification": {"years": [2023], "draws": 100},
}
STAGES = ("prepare", "train", "predict", "evaluate", "report")
MISSING_DAY, MISSING_HOUR = np.datetime64("2023-01-15"), np.datetime64("2022-12-20T05")
DAYS = np.arange("2022-12-01", "2023-02-09", dtype="datetime64[D]")
LATITUDE, LONGITUDE = np.arange(41.0, 39.8, -0.2), np.arange(-4.4, -2.9, 0.2)
STATIONS = {  # lon, lat, type, area, and how much NO₂ there is
    "centre": (-3.70, 40.42, "background", "urban", 1.2),
    "east": (-3.55, 40.43, "background", "suburban", 0.8),
    "north": (-3.69, 40.55, "background", "suburban", 0.7),
    "south": (-3.72, 40.31, "background", "urban", 1.0),
    "west": (-3.88, 40.44, "background", "rural", 0.4),
    "works": (-3.60, 40.33, "industrial", "suburban", 0.9),
    "street": (-3.71, 40.45, "traffic", "urban", 2.0),
    "outside": (-2.00, 41.50, "background", "rural", 0.2),
}


def write(folder: Path) -> Study:
    """Weather, stations and study.yaml in `folder`; the same bytes of observations and study each time."""
    folder.mkdir(parents=True, exist_ok=True)
    for month in np.unique(DAYS.astype("datetime64[M]")):
        write_weather(folder / "weather" / f"era5land-{month}.nc", DAYS[DAYS.astype("datetime64[M]") == month])
    _write_stations(folder)
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(STUDY, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return load(path)


def write_weather(
    path: Path, days: np.ndarray, *, latitude: np.ndarray = LATITUDE, longitude: np.ndarray = LONGITUDE
) -> None:
    """Hourly t2m, u10 and tp of `days` in the store's layout since 2024; tp is summed since 00 UTC, as ERA5-Land does it.

    The last time is the midnight that closes the last day's sum; MISSING_DAY and MISSING_HOUR are left out.
    """
    hours = np.arange(days[0], days[-1] + 2, dtype="datetime64[h]")[: 24 * len(days) + 1]
    day = hours.astype("datetime64[D]")
    hours = hours[(day != MISSING_DAY) & (hours != MISSING_HOUR)]
    clock = (hours - hours.astype("datetime64[D]")).astype(int)
    shape = (len(hours), len(latitude), len(longitude))
    north, east = (latitude - 40.4)[:, None], (longitude + 3.7)[None]
    warmth = 280 + 5 * np.sin(2 * np.pi * (clock - 9) / 24)
    summed = 1e-4 * np.where(clock == 0, 24, clock) * _showers(hours)
    fields = {
        "t2m": ("K", warmth[:, None, None] - north + 0.5 * east),
        "u10": ("m s**-1", wind(hours)[:, None, None] * (1 + 0.2 * north + 0.1 * east)),
        "tp": ("m", np.broadcast_to(summed[:, None, None], shape)),
    }
    file = xr.Dataset(
        {
            name: (("valid_time", "latitude", "longitude"), values.astype("float32"), {"units": units, "GRIB_units": units})
            for name, (units, values) in fields.items()
        },
        {
            "valid_time": hours.astype("datetime64[ns]"),
            "latitude": latitude,
            "longitude": longitude,
            "number": np.int64(0),
            "expver": ("valid_time", np.array(["0001"] * len(hours))),
        },
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    file.to_netcdf(path, engine="netcdf4", encoding={"valid_time": {"units": "seconds since 1970-01-01", "dtype": "int64"}})


def wind(hours: np.ndarray) -> np.ndarray:
    """Eastward wind [m s⁻¹] between 1 and 5, going round in five and a half days."""
    return 3 + 2 * np.sin(2 * np.pi * hours.astype("datetime64[h]").astype(int) / 132)


def _showers(hours: np.ndarray) -> np.ndarray:
    """1 where it rains all day, on every third day; the sum at midnight belongs to the day before."""
    day = (hours - np.timedelta64(1, "h")).astype("datetime64[D]").astype(int)
    return (day % 3 == 0).astype(float)


def _write_stations(folder: Path) -> None:
    """Hourly NO₂ that falls with the wind, with two rush hours, fewer on Sundays, and noise."""
    draw = np.random.default_rng(0)
    hours = np.arange(DAYS[0], DAYS[-1] + 1, dtype="datetime64[h]")
    clock = hours.astype(int) % 24
    rush = 1 + 0.5 * np.exp(-((clock - 8) ** 2) / 4) + 0.5 * np.exp(-((clock - 19) ** 2) / 4)
    sunday = (hours.astype("datetime64[D]").astype(int) + 3) % 7 == 6
    common = 60 / (1 + wind(hours)) * rush * np.where(sunday, 0.7, 1)
    tables = []
    for name, (*_, level) in STATIONS.items():
        values = level * common + draw.normal(0, 1, len(hours))
        tables.append(pl.DataFrame({"station": name, "time": hours.astype("datetime64[us]"), "value": values.round(1)}))
    pl.concat(tables).write_csv(folder / "observed.csv", datetime_format="%Y-%m-%d %H:%M")
    columns = ("lon", "lat", "type", "area")
    rows = [{"station": name, **dict(zip(columns, row[:4], strict=True))} for name, row in STATIONS.items()]
    pl.DataFrame(rows).write_csv(folder / "stations.csv")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
