"""Stations of the twin: where they stand, and what their instruments make of the truth."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.ndimage import gaussian_filter, maximum_filter

from airloom.errors import StudyError
from airloom.sources.base import OBSERVATIONS
from airloom.twin.geography import Geography

SPACE = 700.0  # km² of land for a station
KINDS = {  # type, area: share of the network; standard deviation of the log of the place's own factor, which is even; its mean
    ("background", "urban"): (0.40, 0.30, 1.12),
    ("background", "suburban"): (0.18, 0.28, 1.02),
    ("background", "rural"): (0.17, 0.34, 0.66),
    ("industrial", "suburban"): (0.08, 0.20, 1.08),
    ("traffic", "urban"): (0.17, 0.25, 1.35),
}
URBAN, SUBURBAN = 800.0, 250.0  # people per km²
ASSIMILATED = 0.65  # share of the background stations that the reanalysis knows
ARTEFACT = 0.02  # of the ozone of a sunny hour that a molybdenum converter shows as NO₂
NOISE = 0.6, 0.03  # µg m⁻³, and share of the value
OUTAGES, OUTAGE_HOURS = 7.0, 30.0  # a year, and how long on average
SPIKES = 2e-4  # share of hours
STUCK = 0.3  # times a year that an instrument repeats itself for two days


@dataclass(frozen=True)
class Network:
    """Stations: `table` has station, name, lon, lat [degrees], altitude [m], type, area, row, column, factor (what the place's
    concentration is to its cell's), assimilated (whether the reanalysis knows it).
    """

    table: pl.DataFrame

    @property
    def cells(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows and columns of the stations' cells."""
        return self.table["row"].to_numpy(), self.table["column"].to_numpy()


def network(geography: Geography, seed: int) -> Network:
    """Place stations: urban-heavy, as networks are; one a cell, each kind where it belongs.

    Raises:
        StudyError: no cell suits any kind, as at sea.
    """
    draw = np.random.default_rng([seed, 51])
    grid = geography.grid
    total = max(len(KINDS), round(float(geography.land.sum()) * (grid.cell / 1000) ** 2 / SPACE))
    taken = np.zeros(grid.shape, bool)
    weights = _weights(geography)
    crowd = gaussian_filter(geography.population.astype(float), 6000 / grid.cell, mode="nearest")
    parts = []
    for (kind, area), (share, spread, mean) in KINDS.items():
        weight = np.where(taken, 0.0, weights[kind, area]).ravel()
        cells = _chosen(draw, min(round(share * total), int((weight > 0).sum())), weight, crowd.ravel())
        if not len(cells):
            continue
        taken.ravel()[cells] = True
        row, column = np.unravel_index(cells, grid.shape)
        known = (_dealt(len(cells), np.sqrt(2)) < ASSIMILATED) & (kind == "background")
        even = np.empty(len(cells))
        for group in (known, ~known):
            even[group] = _dealt(group.sum(), (np.sqrt(5) - 1) / 2)
        factor = mean * np.exp(spread * np.sqrt(3) * (2 * even - 1) - spread**2 / 2)
        parts.append(
            pl.DataFrame({"row": row, "column": column, "factor": factor, "assimilated": known}).with_columns(
                type=pl.lit(kind), area=pl.lit(area)
            )
        )
    if not parts:
        raise StudyError("twin: no station has a place in the window: it is sea or mountain. Move it, or make it larger.")
    return Network(_named(pl.concat(parts), geography))


def _chosen(draw: np.random.Generator, count: int, weight: np.ndarray, crowd: np.ndarray) -> np.ndarray:
    """Cells of a kind's stations, from the most crowded on: one at random from each of `count` parts of equal weight, so that
    every seed's network has its share of great towns and small ones.
    """
    order = np.argsort(-crowd, kind="stable")
    reached = np.cumsum(weight[order])
    wanted = (np.arange(count) + draw.random(count)) / max(count, 1) * reached[-1]
    found = order[np.searchsorted(reached, wanted, side="right")]
    return found[np.sort(np.unique(found, return_index=True)[1])]


def _dealt(count: int, step: float) -> np.ndarray:
    """Numbers spread evenly over 0…1, and so is every run of them (Weyl's sequence): dealt along towns from the largest on, they
    leave no seed's withheld stations odd by chance.
    """
    return (0.5 + step * np.arange(count)) % 1


def _weights(geography: Geography) -> dict[tuple[str, str], np.ndarray]:
    """How likely each kind stands in each cell, on (y, x)."""
    people, grid = geography.population, geography.grid
    dry = geography.land > 0.6
    near_town = maximum_filter(people, size=2 * max(1, round(4000 / grid.cell)) + 1)
    works = np.zeros(grid.shape, bool)
    sites = geography.sites.filter(geography.sites["kind"].is_in(["industry", "power", "port"]))
    row, column = grid.cells(sites["x"].to_numpy(), sites["y"].to_numpy())
    works[row[row >= 0], column[row >= 0]] = True
    works = maximum_filter(works, size=3)
    urban = dry & (people >= URBAN)
    suburban = dry & (people >= SUBURBAN) & ~urban
    return {
        ("background", "urban"): urban * 1.0,
        ("background", "suburban"): suburban * 1.0,
        ("background", "rural"): (dry & (near_town < 150) & (geography.elevation < 1500)) * 1.0,
        ("industrial", "suburban"): (dry & works) * 1.0,
        ("traffic", "urban"): urban * geography.road_density.sum(0),
    }


def _named(table: pl.DataFrame, geography: Geography) -> pl.DataFrame:
    """Ids, names, coordinates at the cells' centres, altitude."""
    lon, lat = geography.grid.lonlat()
    at = table["row"].to_numpy(), table["column"].to_numpy()
    ids = [f"TW/SPO-TW{i + 1:04d}_00008_100" for i in range(len(table))]
    return table.with_columns(
        station=pl.Series(ids),
        name=pl.Series([f"{a} {i + 1}" for i, a in enumerate(table["area"])]),
        lon=pl.Series(lon[at]),
        lat=pl.Series(lat[at]),
        altitude=pl.Series(geography.elevation[at].astype(float)),
    )


def observe(
    stations: Network, hours: np.ndarray, truth: Mapping[str, np.ndarray], sun: np.ndarray, seed: int
) -> pl.DataFrame:
    """What the instruments report of hourly NO₂, with the columns of OBSERVATIONS.

    The value is the cell's times the place's factor, at traffic stations a part of the cell's NO besides; a converter shows
    some of the products of sunny hours as NO₂; noise, outages, spikes and stuck values come on top. What the provider
    would mark as invalid is marked so, most of it.

    Arguments:
        stations: the network.
        hours: starts of the hours, datetime64, on (time,), within one month.
        truth: "no2", "no", "o3" in the stations' cells at the ground [µg m⁻³], on (time, station).
        sun: 0…1 on (time, station).
        seed: of noise and faults.
    """
    year = int(str(hours[0])[:4])
    draw = np.random.default_rng([seed, 52, year, int(str(hours[0])[5:7])])
    table = stations.table
    traffic = (table["type"] == "traffic").to_numpy()
    value = truth["no2"] * table["factor"].to_numpy() + 0.3 * truth["no"] * traffic + ARTEFACT * truth["o3"] * sun
    value = value + draw.standard_normal(value.shape) * np.hypot(NOISE[0], NOISE[1] * value)
    valid = np.ones(value.shape, bool)
    spike = draw.random(value.shape) < SPIKES
    value = np.where(spike, value + draw.exponential(300.0, value.shape), value)
    valid &= ~(spike & (draw.random(value.shape) < 0.8))  # one in five slips through
    share = len(hours) / 8766
    for station in range(len(table)):
        for _ in range(draw.poisson(OUTAGES * share)):
            first, length = draw.integers(len(hours)), 1 + int(draw.exponential(OUTAGE_HOURS))
            valid[first : first + length, station] = False
            value[first : first + length, station] = draw.choice([-9900.0, 0.0])
        for _ in range(draw.poisson(STUCK * share)):
            first = draw.integers(len(hours))
            if valid[first, station]:  # what is out is not stuck as well
                value[first : first + 48, station] = value[first, station]
    ids = table["station"].to_list()
    return (
        pl.DataFrame(
            {
                "station": np.tile(np.array(ids), len(hours)),
                "start": np.repeat(hours.astype("datetime64[us]"), len(ids)),
                "hours": np.ones(value.size),
                "value": np.round(value, 3).ravel(),
                "valid": valid.ravel(),
            }
        )
        .with_columns(pl.col("start").dt.replace_time_zone("UTC"))
        .select(list(OBSERVATIONS))
        .sort("station", "start")
    )
