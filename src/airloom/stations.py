"""Stations: daily values, where they stand, who is withheld, and why some are not there."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import xarray as xr

from airloom.errors import StudyError, nearest
from airloom.ledger import Ledger


@dataclass(frozen=True)
class Rules:
    """What a station and a day must have to be used.

    Arguments:
        types: station types that are used.
        min_hours: valid hours that a day's mean needs.
        min_year_fraction: share of a year's days that a station needs to be used in that year.
        lowest, highest: values outside this range are left out [µg m⁻³].
        stuck_hours: so many equal non-zero values in a row are left out as stuck.
    """

    types: tuple[str, ...] = ("background", "industrial")
    min_hours: int = 18
    min_year_fraction: float = 0.2
    lowest: float = -1.0
    highest: float = 1000.0
    stuck_hours: int = 24


@dataclass(frozen=True)
class Stations:
    """Means of days, or of some hours of each, of one pollutant at cells that hold stations; stations of one cell are one.

    `table`: one row a cell: station (ids joined by "+"), name, lon, lat, altitude, type, area, row, column.
    `daily`: (time, station) [µg m⁻³], NaN where there is no value; time is the start of a UTC day.
    `ledger`: what was left out or changed on the way.
    """

    table: pl.DataFrame
    daily: xr.DataArray
    ledger: Ledger


def split(
    stations: Stations,
    *,
    withheld: Sequence[str] = (),
    assimilated: Sequence[str] | None = None,
    fraction: float,
    seed: int,
) -> xr.DataArray:
    """Which stations are withheld: bool on (station,), in the order of `stations`.

    Arguments:
        stations: screened stations; its ledger notes a cell that is withheld for one of its stations.
        withheld: ids; a joined cell is withheld when one of its stations is. Empty: stations are drawn.
        assimilated: ids of what a reanalysis knows, some of them perhaps unknown here: background cells with none of them are
            withheld, and only cells of other types are drawn (paper 000, §2.2.3). None: all are drawn.
        fraction: share that is drawn, of each type and area as nearly as whole stations allow.
        seed: seed of the draw; the same stations are drawn whatever their order.

    Raises:
        StudyError: an id of `withheld` is unknown or was screened out; `assimilated` names no station or every background
            station; or no station would be left to train on.
    """
    ids = stations.table["station"].to_list()
    if withheld:
        chosen = _named(stations, ids, withheld)
    elif assimilated is not None:
        chosen = _unknown(stations.table, set(assimilated), fraction, seed)
    else:
        chosen = _drawn(stations.table, fraction, seed)
    if len(chosen) == len(ids):
        raise StudyError(f"stations.split: all {len(ids)} stations are withheld; at least one must be left to train on.")
    return xr.DataArray([i in chosen for i in ids], {"station": ids}, ("station",), name="withheld")


def _unknown(table: pl.DataFrame, assimilated: set[str], fraction: float, seed: int) -> set[str]:
    """Background cells that the reanalysis does not know, and a random share of the others."""
    background = pl.col("type") == "background"
    cells = table.filter(background)["station"].to_list()
    known = [cell for cell in cells if not assimilated.isdisjoint((cell, *cell.split("+")))]
    if len(known) in (0, len(cells)):
        which = "none" if not known else "all"
        raise StudyError(
            f"stations.split.assimilated: its {len(assimilated)} stations name {which} of the study's {len(cells)} background "
            "stations; some must be known and some not. Name the list of this region, or leave it out and draw."
        )
    others = table.filter(~background)
    return set(cells) - set(known) | (_drawn(others, fraction, seed) if len(others) > 1 else set())


def _named(stations: Stations, ids: Sequence[str], withheld: Sequence[str]) -> set[str]:
    """The cells that hold the named stations."""
    cells = {one: cell for cell in ids for one in (cell, *cell.split("+"))}
    screened = {e.what: e.why for e in stations.ledger.of("station", "out")}
    for one in withheld:
        if one in cells:
            continue
        if one in screened:
            raise StudyError(f"stations.split.withheld: station {one!r} is not used: {screened[one]}. Withhold another.")
        raise StudyError(f"stations.split.withheld: no station is called {one!r}; {nearest(one, cells)}.")
    chosen = {cells[one] for one in withheld}
    for cell in sorted(chosen):
        if unnamed := [one for one in cell.split("+") if not {one, cell} & set(withheld)]:
            stations.ledger.changed("station", cell, f"withheld whole: {', '.join(unnamed)} shares the cell of one named")
    return chosen


def _drawn(table: pl.DataFrame, fraction: float, seed: int) -> set[str]:
    """A random share of every (type, area); whole stations are given to the largest remainders."""
    if len(table) < 2:
        raise StudyError("stations.split: one station cannot be split; at least two are needed.")
    strata: dict[tuple[str, str], list[str]] = {}
    for one, kind, area in table.select("station", "type", "area").sort("station").rows():
        strata.setdefault((str(kind), str(area)), []).append(one)
    groups = [strata[key] for key in sorted(strata)]
    quota = np.array([fraction * len(g) for g in groups])
    take = np.floor(quota).astype(int)
    total = min(max(round(fraction * len(table)), 1), len(table) - 1)
    take[np.argsort(take - quota, kind="stable")[: total - take.sum()]] += 1
    draw = np.random.default_rng(seed)
    return {one for group, n in zip(groups, take, strict=True) for one in draw.permutation(group)[:n].tolist()}
