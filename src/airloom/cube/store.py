"""The cube: one Zarr store a study, with all that training, prediction and verification read."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import polars as pl
import xarray as xr
import zarr

from airloom.cube.normalise import Scale, Sums
from airloom.errors import DataError, StudyError
from airloom.grid import Grid
from airloom.ledger import Entry, Ledger
from airloom.stations import Stations
from airloom.study import Study

CALENDAR = "calendar"
MAPS = ("emissions", "geography")
CHUNK_DAYS = 32
IN_MEMORY = 2**30  # bytes of a group that is read whole, once


@dataclass(frozen=True, eq=False)
class Cube:
    """A complete cube, opened for reading.

    `weather` (time, hour, channel, y, x) in physical units, NaN whole on days without weather; `calendar` (time, channel);
    `emissions`, `geography` (channel, y, x); `observed` (time, station) [µg m⁻³], NaN where there is no value.
    """

    path: Path
    group: zarr.Group
    grid: Grid

    @classmethod
    def open(cls, path: Path, study: Study) -> "Cube":
        """Open a cube that was built for `study`.

        Raises:
            StudyError: it is absent, incomplete, or was made for another study.
        """
        if not (path / "zarr.json").is_file():
            raise StudyError(f"{path}: there is no cube. Run `airloom prepare` first.")
        group = zarr.open_group(path, mode="r")
        if not group.attrs.get("complete"):
            raise StudyError(f"{path}: the cube is not complete. Remove it and run `airloom prepare` again.")
        found, asked = group.attrs["made_of"]["study"], json.loads(json.dumps(study.prepared()))
        if found != asked:
            differing = sorted(k for k in asked if found.get(k) != asked[k])
            raise StudyError(
                f"{path}: was made for another study; {', '.join(differing)} differ. Remove it, or name another run."
            )
        return cls(path, group, study.target_grid)

    @cached_property
    def days(self) -> np.ndarray:
        """UTC days, datetime64[D] on (time,)."""
        return self.group["time"][:].astype("datetime64[D]")

    @cached_property
    def years(self) -> np.ndarray:
        """The year of each day, int on (time,)."""
        return self.days.astype("datetime64[Y]").astype(int) + 1970

    @cached_property
    def usable(self) -> np.ndarray:
        """Days on which every input is there, bool on (time,)."""
        if "weather" not in self.group:
            return np.ones(len(self.days), bool)
        weather = self.group["weather"]
        first = [weather[i : i + CHUNK_DAYS, 0, 0, 0, 0] for i in range(0, len(self.days), CHUNK_DAYS)]
        return np.isfinite(np.concatenate(first))  # a day that lacks an hour is NaN whole

    def channels(self, group: str) -> list[str]:
        """Names of a group's inputs; empty where the study has none."""
        return list(self.group[group].attrs["names"]) if group in self.group else []

    def read(self, group: str, days: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """A group's inputs in physical units on `days` (indices) at `rows` × `columns` of the group's own cells.

        calendar: (time, channel); weather: (time, hour, channel, y, x); a map: (1, channel, y, x), the same on all days.
        """
        array = self._array(group)
        if group == CALENDAR:
            return array[days]
        if group in MAPS:
            return array[None][..., rows[:, None], columns]
        if isinstance(array, np.ndarray):
            return array[days][..., rows[:, None], columns]
        box = slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)
        return array.oindex[days, slice(None), slice(None), *box][..., (rows - rows.min())[:, None], columns - columns.min()]

    @cache  # noqa: B019  (a cube lives as long as its run)
    def _array(self, group: str) -> np.ndarray:
        """A group's array, in memory where it is small."""
        array = self.group[group]
        return array[:] if array.nbytes < IN_MEMORY else array

    def scale(self, group: str, years: Sequence[int]) -> Scale:
        """Statistics for z-scores, of the training years' weather or of a map's cells.

        Raises:
            DataError: a variable has no value in all these years.
        """
        if group == "weather":
            sums = [Sums.from_json(self.group.attrs["years"][str(y)]) for y in years]
            total = sum(sums[1:], sums[0])
            if absent := [n for n, count in zip(self.channels(group), total.n, strict=True) if not count]:
                raise DataError(
                    f"weather: {', '.join(absent)} have no value in {list(years)}. Fetch these years, or train on others."
                )
            return total.scale()
        return Sums.of(self.group[group][:]).scale()

    @cached_property
    def stations(self) -> Stations:
        """The screened stations."""
        table = pl.DataFrame(self.group.attrs["stations"], infer_schema_length=None)
        daily = xr.DataArray(
            self.group["observed"][:],
            {"time": self.days.astype("datetime64[ns]"), "station": table["station"].to_list()},
            ("time", "station"),
            attrs={"units": "ug m-3"},
        )
        return Stations(table, daily, self.ledger)

    @property
    def ledger(self) -> Ledger:
        """Why stations, days and files are in or out."""
        return Ledger([Entry(**e) for part in self.group.attrs["ledger"].values() for e in part])

    @property
    def provenance(self) -> dict[str, object]:
        """Files with sizes and hashes, versions, and what was asked."""
        return {"made_of": self.group.attrs["made_of"], "versions": self.group.attrs["versions"]}
