"""What one ERA5 file holds, whatever its format: fields of each variable as the file has them; and GRIB brought to that."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from airloom.errors import DataError
from airloom.sources.era5_hours import FINAL, PRELIMINARY, Series, joined
from airloom.sources.era5_variables import Parameter, canonical, plain
from airloom.sources.grib import Header, Message, first_and_last, messages
from airloom.sources.members import Member

PRODUCTS = {
    "ea": "ERA5",
    "l5": "ERA5-Land",
    "od": "ECMWF operational forecasts",
    "cr": "CAMS reanalysis",
    "mc": "CAMS forecasts",
}


@dataclass(frozen=True, eq=False)
class Field:
    """One variable: its units, its levels [hPa] or none, and `series` on (time, [level,] latitude, longitude)."""

    units: str
    level: np.ndarray | None
    series: Series


@dataclass(frozen=True, eq=False)
class Fields:
    """The fields of a file by canonical name, on latitudes and longitudes [degrees] in the file's order; times are those
    that the file's values are valid at. `holds` names every variable in the file.
    """

    latitude: np.ndarray
    longitude: np.ndarray
    fields: dict[str, Field]
    holds: tuple[str, ...]


def expver_number(text: str, label: str) -> int:
    """The number of an experiment version.

    Raises:
        DataError: it is neither the reanalysis nor the preliminary one.
    """
    if not text.isdigit() or int(text) not in (FINAL, PRELIMINARY):
        raise DataError(f"{label}: experiment version {text!r}, expected 0001 (reanalysis) or 0005 (preliminary).")
    return int(text)


class _Choice:
    """Which headers of a file are wanted, and what was seen on the way."""

    def __init__(
        self, label: str, variables: Sequence[str], parameters: dict[str, Parameter], product: str, levels: bool
    ) -> None:
        self.label, self.variables, self.parameters = label, variables, parameters
        self.product, self.levels = product, levels
        self.holds: dict[str, None] = {}
        self.names: dict[Header, str] = {}

    def named(self, header: Header) -> str | None:
        """The canonical name of a variable of this product; None where it is none."""
        if header.product != self.product:
            found, expected = (f"class {p!r} ({PRODUCTS.get(p, 'another product')})" for p in (header.product, self.product))
            raise DataError(f"{self.label} holds {header.name} of {found}, expected {expected}. Name that product's files.")
        if (header.level_type == "isobaricInhPa") != self.levels:
            self.holds[f"{header.name}@{header.level_type}"] = None
            return None
        self.holds[header.name] = None
        return next(iter(canonical([header.name], self.parameters)), None)

    def __call__(self, header: Header) -> bool:
        name = self.named(header)
        if name is None or name not in self.variables:
            return False
        # the ensemble is three-hourly: its moments are moments, but its sums and means are over three hours
        allowed = ("oper", "enda") if self.parameters[name].kind == "instant" else ("oper",)
        if header.stream not in allowed:
            raise DataError(
                f"{self.label}: {header.name} is of stream {header.stream!r}, expected 'oper' (hourly). "
                "Ask for the product type reanalysis, not its ensemble or monthly means."
            )
        self.names[header] = name
        return True


def read_grib(
    member: Member, variables: Sequence[str], parameters: dict[str, Parameter], product: str, levels: bool
) -> Fields:
    """Those of `variables` that a file holds, of MARS class `product`, on pressure levels or not.

    Raises:
        DataError: as `messages`; or another product, stream, experiment version or unit, several ensemble members, several
            grids, or two messages that differ about the same hour.
        AirloomError: eccodes is not installed.
    """
    choice = _Choice(member.label, variables, parameters, product, levels)
    found: dict[str, list[Message]] = {}
    for message in messages(member.content(), member.label, choice):
        found.setdefault(choice.names[message.header], []).append(message)
    every = [m for ms in found.values() for m in ms]
    if not every:
        return Fields(np.empty(0), np.empty(0), {}, tuple(choice.holds))
    _alike(every, member.label)
    fields = {name: _assembled(name, found[name], levels, member.label) for name in variables if name in found}
    return Fields(every[0].latitude, every[0].longitude, fields, tuple(choice.holds))


def span_of_grib(
    member: Member, parameters: dict[str, Parameter], product: str, levels: bool
) -> tuple[np.datetime64, np.datetime64] | None:
    """First and last time of validity of the messages of `parameters`, datetime64[s]; None where there are none.

    Raises:
        DataError, AirloomError: as `read_grib`, as far as headers tell.
    """
    choice = _Choice(member.label, (), parameters, product, levels)
    found = first_and_last(member.content(), member.label, lambda header: choice.named(header) is not None)
    return (np.datetime64(found[0], "s"), np.datetime64(found[1], "s")) if found else None


def _alike(found: list[Message], label: str) -> None:
    """One ensemble member, one grid."""
    numbers = sorted({m.header.number for m in found})
    if len(numbers) > 1:
        raise DataError(
            f"{label} holds ensemble members {', '.join(map(str, numbers))}; airloom reads one. "
            "Ask for the product type reanalysis, or write one member out with `grib_copy -w number=0`."
        )
    first = found[0]
    for m in found:
        if m.latitude is not first.latitude or m.longitude is not first.longitude:
            raise DataError(
                f"{label}: {first.header.name} is on {first.values.shape[0]} × {first.values.shape[1]} cells and "
                f"{m.header.name} on another grid of {m.values.shape[0]} × {m.values.shape[1]}. Fetch all of one area and grid."
            )


def _assembled(name: str, found: list[Message], levels: bool, label: str) -> Field:
    """Messages of one variable stacked on (time, [level,] latitude, longitude)."""
    time = np.array([m.time for m in found], "datetime64[ns]")
    versions = {m.header.expver: expver_number(m.header.expver, label) for m in found}
    expver = np.array([versions[m.header.expver] for m in found])
    values = np.stack([m.values for m in found])
    file = np.full(len(found), label, object)
    units = plain(found[0].header.units)
    other = next((m.header for m in found if plain(m.header.units) != units), None)
    if other is not None:
        first = found[0].header
        raise DataError(
            f"{label} holds {name} twice, as {first.name} in {units} and as {other.name} in {plain(other.units)}; airloom reads "
            "one. Write the messages of one of them to a file of their own with `grib_copy -w cfVarName=…`."
        )
    if not levels:
        return Field(units, None, joined(name, [Series(time, values, expver, file)]))
    every = np.array([m.header.level for m in found])
    level = np.unique(every)[::-1]
    by_level = [joined(name, [Series(time, values, expver, file).at(every == v)]) for v in level]
    hours = np.unique(time)
    stack = np.full((len(hours), len(level), *values.shape[1:]), np.nan, np.float32)
    version = np.full(len(hours), FINAL)
    for i, one in enumerate(by_level):
        at = np.searchsorted(hours, one.time)
        stack[at, i] = one.values
        version[at] = np.maximum(version[at], one.expver)
    return Field(units, level, Series(hours, stack, version, np.full(len(hours), label, object)))
