"""Series: hourly values of several variables at stations, screened, on one axis of hours without holes."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import xarray as xr

from airloom.errors import DataError
from airloom.files import whole
from airloom.ledger import Ledger
from airloom.sources.base import METADATA, SERIES, SeriesRecords

HOUR = np.timedelta64(1, "h")
SERIES_FILE = "series.nc"
RANGES = {  # lowest and highest value that may be true, in SERIES' units
    "pm2p5": (0, 1000),
    "pm10": (0, 3000),
    "no2": (0, 500),
    "o3": (0, 1000),
    "so2": (0, 1500),
    "co": (0, 30_000),
    "t2m": (210, 330),
    "d2m": (200, 310),
    "sp": (50_000, 108_500),
    "tp": (0, 200),
    "u10": (-60, 60),
    "v10": (-60, 60),
}
STUCK_HOURS = 24  # so many equal values in a row are left out
STILL = {  # up to here values may stand still while an instrument works: what it can no longer tell from nothing
    "pm2p5": 5,
    "pm10": 10,
    "no2": 5,
    "o3": 5,
    "so2": 10,
    "co": 500,
    "t2m": 0,
    "sp": 0,
}


@dataclass(frozen=True)
class Series:
    """`table`: METADATA, one row a station; `data`: each variable float32 on (time, station), NaN where there is none, in SERIES'
    units; `time` is UTC, the start of each hour, without holes. `ledger`: what was left out or changed on the way.
    """

    table: pl.DataFrame
    data: xr.Dataset
    ledger: Ledger

    @property
    def hours(self) -> np.ndarray:
        """datetime64[h] on (time,)."""
        return self.data["time"].to_numpy().astype("datetime64[h]")

    @property
    def stations(self) -> list[str]:
        """Ids."""
        return self.table["station"].to_list()

    @property
    def middle(self) -> tuple[float, float]:
        """Longitude and latitude of the network's middle [degrees]."""
        return float(self.table["lon"].to_numpy().mean()), float(self.table["lat"].to_numpy().mean())

    def metres(self, middle: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
        """East and north of a middle on (station,) [m]; true enough within some hundred kilometres."""
        lon, lat = (self.table[c].to_numpy().astype(float) for c in ("lon", "lat"))
        return (lon - middle[0]) * 111_320 * np.cos(np.radians(middle[1])), (lat - middle[1]) * 110_900

    def with_places(self, places: pl.DataFrame) -> "Series":
        """These stations, and after them others of which nothing but the place is known; METADATA on (place,)."""
        names = places["station"].to_list()
        empty = xr.full_like(self.data.isel(station=[0] * len(names)), np.nan).assign_coords(station=names)
        return Series(pl.concat([self.table, places]), xr.concat([self.data, empty], "station"), self.ledger)

    def write(self, folder: Path, made_of: str) -> None:
        """Keep them in a folder: `series.nc`, NetCDF of CF's time series, `stations.parquet` and `ledger.json`; `made_of` says of what."""
        with whole(folder / "stations.parquet") as aside:
            self.table.write_parquet(aside)
        self.ledger.write(folder / "ledger.json")
        fields = self.data.assign_coords(
            lon=("station", self.table["lon"].to_numpy(), {"units": "degrees_east", "standard_name": "longitude"}),
            lat=("station", self.table["lat"].to_numpy(), {"units": "degrees_north", "standard_name": "latitude"}),
        ).assign_attrs(Conventions="CF-1.11", featureType="timeSeries", made_of=made_of)
        fields["station"].attrs = {"cf_role": "timeseries_id"}
        with whole(folder / SERIES_FILE) as aside:  # the last one, for it tells that all are there
            fields.to_netcdf(aside, engine="netcdf4", encoding={n: {"zlib": True, "complevel": 1} for n in fields.data_vars})

    @classmethod
    def kept(cls, folder: Path, made_of: str) -> "Series | None":
        """What `write` kept there; None where there is nothing, or it was made of something else."""
        if not (folder / SERIES_FILE).is_file():
            return None
        with xr.open_dataset(folder / SERIES_FILE, engine="netcdf4") as file:
            if file.attrs.get("made_of") != made_of:
                return None
            data = file.drop_vars(["lon", "lat"]).load()
        return cls(pl.read_parquet(folder / "stations.parquet"), data, Ledger.read(folder / "ledger.json"))


def screen_series(records: SeriesRecords, days: tuple[date, date], *, needed: str) -> Series:
    """Screened values of all hours of some days, UTC.

    A station is left out that has no place or no value of any variable; a value that is no finite number, out of RANGES, contradicts
    another of the same hour, or is stuck; a variable that no station has.

    Arguments:
        records: what a source found.
        days: first and last day, both included.
        needed: the variable that the study is about.

    Raises:
        DataError: no station, or no value of what is needed, is left.
    """
    ledger, (first, last) = Ledger(list(records.ledger.entries)), days
    places = _placed(records, ledger)
    time = np.arange(np.datetime64(first, "h"), np.datetime64(last, "h") + 24)
    rows = records.hourly.filter(pl.col("station").is_in(places["station"].implode()))
    rows = rows.filter(pl.col("start").dt.date().is_between(*days))
    variables = [c for c in rows.columns if c in SERIES]
    data = {
        v: (("time", "station"), _values(rows, v, places["station"], time, ledger), {"units": SERIES[v]}) for v in variables
    }
    found = xr.Dataset(data, {"time": time.astype("datetime64[ns]"), "station": places["station"].to_list()})
    there = {v: bool(found[v].notnull().any()) for v in variables}
    if not there.get(needed):
        raise DataError(
            f"no value of {needed} is left at {len(places)} stations between {first} and {last}. Look at period, "
            f"stations.variables and what was left out: {_reasons(ledger)}."
        )
    for variable in variables:
        if not there[variable]:
            ledger.out("value", variable, "no station has a value of it", 0)
    found = found[[v for v in variables if there[v]]]
    silent = ~found[list(found.data_vars)].notnull().to_array().any(("variable", "time")).to_numpy()
    for station in places["station"].filter(pl.Series(silent)):
        ledger.out("station", station, "no value of any variable is left")
    return Series(places.filter(pl.Series(~silent)), found.isel(station=~silent), ledger)


def _placed(records: SeriesRecords, ledger: Ledger) -> pl.DataFrame:
    """Stations that have a place and values, sorted."""
    observed = set(records.hourly["station"].unique())
    for station in sorted(observed - set(records.metadata["station"])):
        ledger.out("station", station, "no metadata")
    table = records.metadata.sort("station")
    nowhere = pl.any_horizontal(pl.col("lon", "lat").is_null() | pl.col("lon", "lat").is_nan())
    for condition, why in ((~pl.col("station").is_in(sorted(observed)), "no observations"), (nowhere, "no coordinates")):
        for station in table.filter(condition)["station"]:
            ledger.out("station", station, why)
        table = table.filter(~condition)
    if table.is_empty():
        raise DataError(f"no station is left: {_reasons(ledger)}. Ids of both tables must be the same, and places known.")
    return table.select(list(METADATA))


def _values(rows: pl.DataFrame, variable: str, stations: pl.Series, time: np.ndarray, ledger: Ledger) -> np.ndarray:
    """One variable, float32 on (time, station); what is left out is NaN and counted."""
    table = rows.select("station", "start", value=variable).filter(pl.col("value").is_not_null())
    low, high = RANGES[variable]
    table = _keep(table, pl.col("value").is_finite(), f"{variable}: no finite number", ledger)
    table = _keep(
        table, pl.col("value").is_between(low, high), f"{variable}: outside {low} … {high} {SERIES[variable]}", ledger
    )
    of_hour = table.group_by("station", "start", maintain_order=True).agg(
        pl.col("value").first(), pl.len().alias("rows"), pl.col("value").n_unique().alias("different")
    )
    of_hour = _keep(
        of_hour, pl.col("different") == 1, f"{variable}: contradicts another value of the same hour", ledger, "rows"
    )
    for station, count in (
        of_hour.filter(pl.col("rows") > 1).group_by("station").agg(pl.col("rows").sum()).sort("station").rows()
    ):
        ledger.changed("value", station, f"{variable}: hours that stand twice, alike; one kept", count)
    found = np.full((len(time), len(stations)), np.nan, np.float32)
    number = {s: i for i, s in enumerate(stations)}
    row = ((of_hour["start"].dt.replace_time_zone(None).to_numpy().astype("datetime64[h]") - time[0]) / HOUR).astype(int)
    column = of_hour["station"].replace_strict(number, return_dtype=pl.Int64).to_numpy()
    found[row, column] = of_hour["value"].to_numpy()
    if variable in STILL:
        _unstick(found, variable, stations, ledger)
    return found


def _unstick(values: np.ndarray, variable: str, stations: pl.Series, ledger: Ledger) -> None:
    """Take out, in place, runs of STUCK_HOURS equal values above STILL."""
    for column, station in enumerate(stations):
        series = values[:, column]
        begins = np.flatnonzero(np.append(True, series[1:] != series[:-1]))  # NaN differs from itself: a run of its own
        lengths = np.diff(np.append(begins, len(series)))
        stuck = np.repeat((lengths >= STUCK_HOURS) & (series[begins] > STILL[variable]), lengths)
        if stuck.any():
            values[stuck, column] = np.nan
            ledger.out("value", station, f"{variable}: stuck, {STUCK_HOURS} or more equal hours in a row", int(stuck.sum()))


def _keep(table: pl.DataFrame, condition: pl.Expr, why: str, ledger: Ledger, weight: str | None = None) -> pl.DataFrame:
    """Rows that meet a condition; the others are counted by station."""
    count = pl.col(weight).sum() if weight else pl.len()
    for station, number in table.filter(~condition).group_by("station").agg(count).sort("station").rows():
        ledger.out("value", station, why, number)
    return table.filter(condition)


def _reasons(ledger: Ledger) -> str:
    """What was left out, in short."""
    return "; ".join(sorted({f"{e.why} ({e.what})" for e in ledger.entries if e.verdict == "out"})[:5]) or "nothing was"
