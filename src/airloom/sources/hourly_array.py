"""An array of hours, stations and pollutants in NumPy's archive, as research code passes series on."""

import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal
from zipfile import BadZipFile

import numpy as np
import polars as pl

from airloom.errors import DataError
from airloom.ledger import Ledger
from airloom.sources.base import Column, SeriesRecords, SeriesSource
from airloom.sources.clock import hourly, times
from airloom.sources.places_of import places_of
from airloom.sources.tables import micrograms, require_columns

NEAR = 0.002  # degrees by which a place in the archive may differ from the same in the table of stations


class HourlyArray(SeriesSource):
    """`data` on (time, station, pollutant), `time` as text, `lon`, `lat` and `pollutant` in one .npz file.

    Stations are named by the table of stations, whose places must be those of the archive in the same order: names in such
    archives are pickled objects, and nothing is ever unpickled.
    """

    name = "hourly-array"
    title = "Array of hours, stations and pollutants (.npz)"

    def open(
        self,
        observations: Sequence[Path],
        metadata: Path,
        columns: Mapping[str, Column],
        *,
        timezone: str = "UTC",
        marks: Literal["start", "end"] = "start",
    ) -> SeriesRecords:
        """As `SeriesSource.open`; concentrations alone."""
        table, ledger = places_of(metadata), Ledger()
        rows = pl.concat([_rows(p, table, columns).with_columns(part=pl.lit(i)) for i, p in enumerate(observations)])
        rows = hourly(rows, timezone, marks, ledger)
        return SeriesRecords(table, rows.select("station", "start", "part", *columns), ledger)


def _rows(path: Path, table: pl.DataFrame, columns: Mapping[str, Column]) -> pl.DataFrame:
    """Rows of one archive: station, time, variables; NaN becomes null."""
    found = _read(path)
    hours, stations, _ = found["data"].shape
    _check_places(path, found, table, stations)
    pollutants = [str(p) for p in found["pollutant"]]
    names = table["station"].to_list()
    offered = pl.DataFrame({p: [0.0] for p in pollutants})
    values = {}
    for variable, column in columns.items():
        require_columns(offered, [column.name], path.name, "Say what it is called with stations.variables.")
        of = found["data"][:, :, pollutants.index(column.name)].ravel().astype(float)
        factor = micrograms(column.units, f"stations.variables.{variable}.units")
        values[variable] = (pl.Series(of) * factor).fill_nan(None)
    time = times(pl.Series("time", found["time"].astype(str)).map_elements(_minutes, pl.String), path.name)
    every = pl.Series("time", np.repeat(time.to_numpy(), stations)).cast(time.dtype)
    return pl.DataFrame({"station": names * hours, "time": every, **values})


def _minutes(text: str) -> str:
    """NumPy's 2013-12-05T00 with minutes."""
    return f"{text}:00" if len(text) == len("2013-12-05T00") else text


def _read(path: Path) -> dict[str, Any]:
    """The arrays that are needed, none of which is an object."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in ("data", "time", "lon", "lat", "pollutant")}
    except (OSError, EOFError, ValueError, KeyError, BadZipFile, zlib.error) as error:
        raise DataError(
            f"{path}: is no archive of data, time, lon, lat and pollutant as plain arrays ({error}). Fetch it again."
        ) from error


def _check_places(path: Path, found: Mapping[str, Any], table: pl.DataFrame, stations: int) -> None:
    """See that the table names the archive's stations."""
    if len(table) != stations:
        raise DataError(f"{path.name} holds {stations} stations, the table of stations {len(table)}; they must be the same.")
    apart = np.maximum(abs(found["lon"] - table["lon"].to_numpy()), abs(found["lat"] - table["lat"].to_numpy()))
    if (apart > NEAR).any():
        at = int(apart.argmax())
        raise DataError(
            f"{path.name}: station {at + 1} stands at {found['lon'][at]}°E {found['lat'][at]}°N, {table['station'][at]} of the table "
            f"at {table['lon'][at]}°E {table['lat'][at]}°N. The table must list the archive's stations in their order."
        )
