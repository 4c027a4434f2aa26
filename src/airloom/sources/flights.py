"""Daily flights in some countries, out of tables of Eurocontrol.

Three layouts are understood, by their columns, each checked against files or programs that read them:
- airport traffic (ansperformance.eu): a row an airport and day, `FLT_DATE` (written as 01-01-19, 2019-01-01, 01-Jan-2019 or with
  a time after it), `APT_ICAO`, `STATE_NAME`, `FLT_TOT_1` (departures and arrivals after flight plans);
- daily traffic variation by state (the table that DACNO₂ uses), saved as CSV: `Entity`, `Day`, `Flights`;
- departures, arrivals and internal flights by state (github.com/euctrl-pru/daio): `country_name`, `entry_date`, `flt_dai`.
The three count different things, so a study uses one of them for all its years.

The paper on DACNO₂ has nine countries of its region without naming them; nine have land within 5°W–9°E, 42–54°N and are states
of Eurocontrol's tables. That these are the nine is our reading, and a setting.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import xarray as xr
from polars.exceptions import PolarsError

from airloom.errors import DataError, nearest
from airloom.sources.base import DailySource
from airloom.sources.members import Member, members

COUNTRIES = (
    "Belgium", "France", "Germany", "Italy", "Luxembourg", "Netherlands", "Spain", "Switzerland", "United Kingdom"
)  # fmt: skip
DATES = ("%d-%m-%y", "%Y-%m-%d", "%d-%b-%Y")  # in this order: 30-01-19 would also pass for the year 30
FEW = 5  # days that a message names


@dataclass(frozen=True)
class Layout:
    """What the columns of a table are called: the day, the country, the flights, and what else tells rows apart."""

    day: str
    country: str
    flights: str
    place: str | None = None


LAYOUTS = (
    Layout("FLT_DATE", "STATE_NAME", "FLT_TOT_1", "APT_ICAO"),
    Layout("Day", "Entity", "Flights"),
    Layout("entry_date", "country_name", "flt_dai"),
)


class Flights(DailySource):
    """Flights a day, summed over countries.

    Arguments:
        paths: CSV files of one layout, one or more years; zip archives are looked into.
        countries: as the files call them; capitals do not matter.
    """

    name = "flights"
    title = "Daily flights (Eurocontrol)"

    def __init__(self, paths: Sequence[Path], *, countries: Sequence[str] = COUNTRIES) -> None:
        self.paths, self.countries = list(paths), tuple(countries)

    def daily(self, days: np.ndarray) -> xr.DataArray:
        """`flights` [day-1] of `days` (datetime64[D]) on (time, channel), float32.

        Raises:
            DataError: a file is no CSV of a known layout, layouts are mixed, a date or number is none; rows differ about the same
                day and place; a country is in no file, or lacks one of the days: the message names them.
        """
        rows = self._rows()
        found = rows.group_by("day", "country").agg(pl.col("flights").sum())
        table = pl.DataFrame({"day": days.astype("datetime64[D]")}).with_columns(pl.col("day").cast(pl.Date))
        whole = table.join(
            found.group_by("day").agg(pl.col("flights").sum(), pl.len()), "day", "left", maintain_order="left"
        )
        lacking = whole.filter(pl.col("len").fill_null(0) < len(self.countries))
        if len(lacking):
            first = lacking["day"][0]
            there = set(found.filter(pl.col("day") == first)["country"])
            absent = [c for c in self.countries if c.casefold() not in there]
            more = f" and {len(lacking) - FEW} more" if len(lacking) > FEW else ""
            raise DataError(
                f"{self._names()}: no flights on {', '.join(str(d) for d in lacking['day'][:FEW])}{more} (on {first} of "
                f"{', '.join(absent)}). Fetch these days, or leave them out of the study."
            )
        values = whole["flights"].to_numpy().astype("float32")[:, None]
        coords = {"time": days.astype("datetime64[ns]"), "channel": ["flights"]}
        attrs = {"units": "day-1", "long_name": f"flights in {', '.join(self.countries)}"}
        return xr.DataArray(values, coords, ("time", "channel"), "flights", attrs)

    def _rows(self) -> pl.DataFrame:
        """Day, country (case folded), place and flights of the chosen countries, each once."""
        tables = [_table(member) for member in members(self.paths)]
        if len({layout for layout, _ in tables}) > 1:
            kinds = ", ".join(sorted({layout.flights for layout, _ in tables}))
            raise DataError(f"{self._names()} are tables of different things ({kinds}). Use one kind for all years.")
        rows = pl.concat([rows for _, rows in tables]).unique()
        states = set(rows["country"])
        for country in self.countries:
            if country.casefold() not in states:
                raise DataError(f"{self._names()} hold no {country!r}. {nearest(country.casefold(), states)}")
        rows = rows.filter(pl.col("country").is_in([c.casefold() for c in self.countries]))
        twice = rows.filter(pl.struct("day", "country", "place").is_duplicated()).sort("day", "place")
        if len(twice):
            day, country, place, _ = twice.row(0)
            told = " and ".join(f"{v:g}" for v in twice["flights"][:2])
            raise DataError(
                f"{self._names()} tell of {told} flights on {day} in {place or country}, expected one number. Keep the newer file."
            )
        return rows

    def _names(self) -> str:
        return ", ".join(p.name for p in self.paths)


def _table(member: Member) -> tuple[Layout, pl.DataFrame]:
    """A file's layout, and its rows as day, country (case folded), place and flights.

    Raises:
        DataError: it is no CSV of a known layout, or a date or a number is none.
    """
    try:
        raw = pl.read_csv(member.content(), infer_schema=False, encoding="utf8-lossy")
    except PolarsError as error:
        raise DataError(f"{member.label} cannot be read as CSV: {error}. Fetch it again.") from error
    raw = raw.rename(lambda name: name.strip().lstrip("\ufeff"))
    layout = next((one for one in LAYOUTS if {one.day, one.country, one.flights} <= set(raw.columns)), None)
    if layout is None:
        known = "; ".join(f"{one.day}, {one.country}, {one.flights}" for one in LAYOUTS)
        raise DataError(f"{member.label} has columns {', '.join(raw.columns)}; expected one of these sets: {known}.")
    rows = raw.select(
        _day(raw[layout.day], member.label).alias("day"),
        raw[layout.country].str.strip_chars().str.to_lowercase().alias("country"),
        (raw[layout.place] if layout.place in raw.columns else pl.lit("")).alias("place"),
        _number(raw[layout.flights], member.label).alias("flights"),
    )
    return layout, rows.drop_nulls(["day", "country", "flights"])


def _day(texts: pl.Series, label: str) -> pl.Series:
    """Dates out of texts, all written alike; a time after the date is left off.

    Raises:
        DataError: they are written in no way that Eurocontrol uses.
    """
    bare = texts.str.strip_chars().str.split("T").list.first().str.split(" ").list.first()
    for form in DATES:
        days = bare.str.to_date(form, strict=False)
        if days.null_count() == texts.null_count():
            return days
    raise DataError(
        f"{label}, {texts.name}: {texts.drop_nulls()[0]!r} and others are no dates such as 2019-01-31 or 31-01-19."
    )


def _number(texts: pl.Series, label: str) -> pl.Series:
    """Numbers of flights out of texts.

    Raises:
        DataError: a text is no number, or a number is below zero.
    """
    numbers = texts.str.strip_chars().cast(pl.Float64, strict=False)
    bad = (numbers.is_null() & texts.is_not_null()) | (numbers < 0)
    if bad.any():
        raise DataError(f"{label}, {texts.name}: {texts.filter(bad)[0]!r} is no number of flights.")
    return numbers
