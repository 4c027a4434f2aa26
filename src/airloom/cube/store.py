"""The cube: one Zarr store a study, with all that training, prediction and verification read."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import polars as pl
import xarray as xr
import zarr

from airloom.cube.normalise import Scale, Sums
from airloom.errors import DataError, StudyError
from airloom.files import fingerprint
from airloom.grid import Grid
from airloom.hours import Hours
from airloom.ledger import Entry, Ledger
from airloom.machine import memory
from airloom.stations import Stations
from airloom.study import Study

if TYPE_CHECKING:
    from torch import Tensor  # slow to import, and decoding needs none

A = TypeVar("A", np.ndarray, "Tensor")
CALENDAR = "calendar"
MAPS = ("emissions", "geography")
GRIDDED = ("weather", "upper", "chemistry", "ground")
INPUTS = ("weather", "upper")  # a day without them is left out; one without chemistry only teaches less
# bytes of a group that is read whole, once: a store is decompressed at every reading
IN_MEMORY = min(4 * 2**30, memory() // 8)


@dataclass(frozen=True, eq=False)
class Cube:
    """A complete cube, opened for reading.

    `weather` (time, hour, channel, y, x) and `upper` (time, hour, channel, level, y, x) in physical units, NaN whole on days
    without them; `chemistry` (time, level, y, x) [µg m⁻³], likewise, and `ground`, the same model's lowest level on the
    grid's own cells; `calendar` (time, channel) with the daily numbers; `emissions`, `geography` (channel, y, x); `observed`
    (time, station) [µg m⁻³], NaN where there is no value.
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

    @property
    def hours(self) -> Hours:
        """Hours of the UTC day that targets are means of."""
        first, end = self.group.attrs["made_of"]["study"]["hours"]
        return first, end

    @cached_property
    def usable(self) -> np.ndarray:
        """Days on which every input is there, bool on (time,)."""
        there = [self.group[f"{g}_days"][:] for g in INPUTS if g in self.group]
        return np.all([np.ones(len(self.days), bool), *there], axis=0)

    @property
    def has_chemistry(self) -> bool:
        """Whether the study has fields of a chemistry model."""
        return "chemistry" in self.group

    @cached_property
    def chemistry_days(self) -> np.ndarray:
        """Days on which the chemistry model's means are there on all levels, bool on (time,); none where the study has none."""
        return self.group["chemistry_days"][:] if self.has_chemistry else np.zeros(len(self.days), bool)

    @property
    def assimilated(self) -> list[str] | None:
        """Ids of the stations that the reanalysis knows; None where the study does not split by them."""
        return self.group.attrs.get("assimilated")

    def channels(self, group: str) -> list[str]:
        """Names of a group's inputs; empty where the study has none."""
        return list(self.group[group].attrs["names"]) if group in self.group else []

    def read(self, group: str, days: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """A gridded group in physical units on `days` (indices) at `rows` × `columns` of the group's own cells, which ascend and may stand still.

        weather: (time, hour, channel, y, x); upper: (time, hour, channel, level, y, x); chemistry, ground: (time, level, y, x).
        """
        array, cut = self._array(group), box(rows, columns)
        if isinstance(array, np.ndarray):
            found = array[days, ..., *cut]
        else:
            found = np.stack([array[int(day), ..., *cut] for day in days])  # in half the time of array.oindex
        return spread(found, rows, columns)

    def chemistry(self, day: int) -> np.ndarray:
        """The chemistry model's field of a day, an index, on its own cells, (level, y, x) [µg m⁻³]."""
        rows, columns = (np.arange(n) for n in self.group["chemistry"].shape[-2:])
        return self.read("chemistry", np.array([day]), rows, columns)[0]

    def map(self, name: str) -> np.ndarray | None:
        """A static map in its own unit on (y, x); None where the study has none of that name."""
        for array in (self.group[g] for g in MAPS if name in self.channels(g)):
            values = array[array.attrs["names"].index(name)]
            mean = array.attrs.get("logarithms", {}).get(name)
            return values if mean is None else np.expm1(values) * mean
        return None

    def logarithms(self, group: str) -> dict[str, float]:
        """The means by which a group's maps are divided that enter as logarithms."""
        return dict(self.group[group].attrs.get("logarithms", {}))

    def maps(self, group: str, means: Mapping[str, float]) -> np.ndarray:
        """A group's maps on (channel, y, x), those that enter as logarithms divided by `means` and not by the window's own."""
        found = self.group[group][:]
        for name, own in self.logarithms(group).items():
            if (mean := means.get(name, own)) != own:
                at = self.channels(group).index(name)
                found[at] = np.log1p(np.expm1(found[at]) * (own / mean))
        return found

    def digest(self, years: Sequence[int], stations: np.ndarray) -> str:
        """What changes when anything does that the cube holds of some years; of `stations`, bool on (station,), alone, as far as they have
        values then.
        """
        of_years, wanted = np.isin(self.years, years), {str(y) for y in years}
        observed = self.stations.daily.to_numpy()[of_years]
        there = stations & np.isfinite(observed).any(0)
        sums = {
            g: {first: s for first, s in found.items() if first[:4] in wanted}
            for g, found in self.group.attrs["sums"].items()
        }
        arrays = [self.days[of_years].astype(int), self.usable[of_years], self.chemistry_days[of_years]]
        arrays.append(observed[:, there])
        arrays += [self.group[g][:] for g in MAPS if self.channels(g)]
        if self.channels(CALENDAR):
            arrays.append(self.group[CALENDAR][:][of_years])
        hashes = [hashlib.sha256(np.ascontiguousarray(a).tobytes()).hexdigest() for a in arrays]
        return fingerprint([sums, hashes, self.stations.table.filter(there).to_dicts()])

    @cache  # noqa: B019  (a cube lives as long as its run)
    def _array(self, group: str) -> np.ndarray:
        """A group's array, in memory where it is small."""
        array = self.group[group]
        return array[:] if array.nbytes < IN_MEMORY else array

    def scale(self, group: str, years: Sequence[int]) -> Scale:
        """Statistics for z-scores: of the training years' weather and daily numbers, or of a map's cells; of `upper` on
        (channel, level). What is not scaled, such as the day of the week, has mean 0 and deviation 1.

        Raises:
            DataError: a variable has no value in all these years.
        """
        array = self.group[group]
        if group in GRIDDED:
            total = self._sums(group, years)
        elif group == CALENDAR:
            total = Sums.of(array[:][np.isin(self.years, years)].T)
        else:
            total = Sums.of(array[:])
        plain = np.isin(self.channels(group), array.attrs.get("plain", []))
        return total.scale().but(plain.reshape(-1, *[1] * (total.n.ndim - 1)))

    def months(self, group: str, years: Sequence[int]) -> dict[str, Scale]:
        """Statistics of a gridded group over about each month of some years that has values: over the blocks of days that begin in it."""
        wanted, found = {str(y) for y in years}, dict[str, Sums]()
        for first, content in self.group.attrs["sums"][group].items():
            sums, month = Sums.from_json(content), first[:7]
            if first[:4] in wanted and sums.n.all():
                found[month] = found[month] + sums if month in found else sums
        return {month: sums.scale() for month, sums in sorted(found.items())}

    def chemistry_means(self, years: Sequence[int]) -> np.ndarray:
        """Mean of the chemistry model on each level over the days of `years` and all cells [µg m⁻³], on (level,).

        Raises:
            DataError: no day of these years has chemistry.
        """
        total = self._sums("chemistry", years)
        return total.x / total.n

    def _sums(self, group: str, years: Sequence[int]) -> Sums:
        """Sums over the days of some years; blocks of days are named by their first."""
        wanted = {str(y) for y in years}
        found = [Sums.from_json(s) for first, s in self.group.attrs["sums"][group].items() if first[:4] in wanted]
        total = sum(found[1:], found[0]) if found else None
        if total is None or not total.n.all():
            names = self.channels(group)
            absent = (
                names
                if total is None or group == "chemistry"
                else [n for n, count in zip(names, total.n.reshape(len(names), -1), strict=True) if not count.all()]
            )
            raise DataError(
                f"{group}: {', '.join(absent)} have no value in {list(years)}. Fetch these years, or train on others."
            )
        return total

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
    def facts(self) -> dict[str, str]:
        """How large it is, for a report."""
        return {"cube": f"{len(self.days)} days, {int(self.usable.sum())} with all inputs"}

    @property
    def provenance(self) -> dict[str, object]:
        """Files with sizes and hashes, versions, and what was asked."""
        return {"made_of": self.group.attrs["made_of"], "versions": self.group.attrs["versions"]}


def box(rows: np.ndarray, columns: np.ndarray) -> tuple[slice, slice]:
    """The cells from the first to the last of ascending rows and columns."""
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def spread(found: A, rows: np.ndarray, columns: np.ndarray) -> A:
    """A box's cells at rows and columns of it: where they stand still, beyond the grid, its edge goes on."""
    y, x = rows - rows[0], columns - columns[0]
    if np.array_equal(y, np.arange(len(y))) and np.array_equal(x, np.arange(len(x))):
        return found
    return found[..., y[:, None], x]
