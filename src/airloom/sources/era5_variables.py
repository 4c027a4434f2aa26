"""The ERA5 variables that airloom knows: names, units, how they stand in time, and what values are possible."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from airloom.sources.base import Variable


@dataclass(frozen=True)
class Parameter:
    """A variable as the Climate Data Store delivers it.

    Arguments:
        variable: what it becomes.
        units: its units in files and the factor from each to `variable.units` (of a sum: to that unit times seconds).
        lowest, highest: a generous physical range, in `variable.units`; outside it the file cannot be right.
        kind: a value of the moment; a mean rate over the hour that ends at its time; or a sum that ends at its time, over
            that hour in ERA5 and since 00 UTC in ERA5-Land.
        others: other names that files have for it, such as that of before 2024.
    """

    variable: Variable
    units: dict[str, float]
    lowest: float
    highest: float
    kind: Literal["instant", "mean", "sum"] = "instant"
    others: tuple[str, ...] = ()


def _instant(units: str, lowest: float, highest: float, long_name: str) -> Parameter:
    return Parameter(Variable(units, long_name), {units: 1.0}, lowest, highest)


def _mean(units: str, lowest: float, highest: float, long_name: str, former: str) -> Parameter:
    return Parameter(Variable(units, long_name, "time: mean"), {units: 1.0}, lowest, highest, "mean", (former,))


def _sum(units: str, lowest: float, highest: float, long_name: str, found: dict[str, float]) -> Parameter:
    return Parameter(Variable(units, long_name, "time: mean"), found, lowest, highest, "sum")


SURFACE = {
    "t2m": _instant("K", 180, 340, "2 m temperature"),
    "d2m": _instant("K", 140, 320, "2 m dewpoint temperature"),
    "u10": _instant("m s-1", -100, 100, "10 m eastward wind"),
    "v10": _instant("m s-1", -100, 100, "10 m northward wind"),
    "sp": _instant("Pa", 40e3, 115e3, "surface pressure"),
    "lai_lv": _instant("m2 m-2", -0.1, 12, "leaf area index of low vegetation"),
    "lai_hv": _instant("m2 m-2", -0.1, 12, "leaf area index of high vegetation"),
    # a metre of water is 1000 kg m-2
    "tp": _sum("kg m-2 s-1", -1e-5, 0.2, "total precipitation rate", {"m": 1000.0, "kg m-2": 1.0}),
    "ssr": _sum("W m-2", -20, 1600, "net short-wave radiation at the surface, downward", {"J m-2": 1.0}),
    "ssrd": _sum("W m-2", -20, 1600, "short-wave radiation at the surface, downward", {"J m-2": 1.0}),
}

# `e` is the same flux of water, as metres over the hour that ends at its time; in both downward is positive
EVAPORATION = Parameter(
    Variable("kg m-2 s-1", "moisture flux at the surface, downward: evaporation is negative", "time: mean"),
    {"kg m-2 s-1": 1.0, "m of water equivalent": 1000 / 3600, "m": 1000 / 3600},
    -0.01,
    0.01,
    "mean",
    ("mer", "e"),
)

SINGLE = SURFACE | {
    "blh": _instant("m", 0, 12e3, "boundary layer height"),
    "avg_ibld": _mean("W m-2", -50, 5000, "boundary layer dissipation", "mbld"),
    "avg_ie": EVAPORATION,
    "avg_tsrwe": _mean("kg m-2 s-1", -1e-5, 0.1, "snowfall rate, as water", "msr"),
    "avg_snswrf": _mean("W m-2", -20, 1600, "net short-wave radiation at the surface, downward", "msnswrf"),
    "avg_snlwrf": _mean("W m-2", -1000, 500, "net long-wave radiation at the surface, downward", "msnlwrf"),
    "avg_tprate": _mean("kg m-2 s-1", -1e-5, 0.2, "total precipitation rate", "mtpr"),
}

PRESSURE = {
    "z": _instant("m2 s-2", -10e3, 700e3, "geopotential"),
    "vo": _instant("s-1", -0.05, 0.05, "relative vorticity"),
    "r": _instant("%", -30, 300, "relative humidity"),
    "t": _instant("K", 140, 350, "temperature"),
    "u": _instant("m s-1", -250, 250, "eastward wind"),
    "v": _instant("m s-1", -250, 250, "northward wind"),
    "w": _instant("Pa s-1", -100, 100, "vertical velocity in pressure: ascent is negative"),
    "q": _instant("kg kg-1", -1e-3, 0.06, "specific humidity"),
}


def plain(units: str) -> str:
    """Units as CF writes them.

    >>> plain("kg m**-2 s**-1")
    'kg m-2 s-1'
    """
    return units.replace("**", "").strip()


def canonical(names: Iterable[str], parameters: dict[str, Parameter]) -> dict[str, str]:
    """The canonical names among a file's `names`, each with the name that the file uses.

    >>> canonical(["mtpr", "t2m", "msl"], SINGLE)
    {'avg_tprate': 'mtpr', 't2m': 't2m'}
    """
    known = {word: name for name, p in parameters.items() for word in (name, *p.others)}
    return {known[n]: n for n in names if n in known}
