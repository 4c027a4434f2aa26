"""Emissions by sector: the true ones, hour by hour, and what an inventory says of them.

True emissions follow what lies on the ground (roads, people, works), times factors that no map shows: a town's own fleet
and heating, a works' own filters. An inventory knows the maps and the totals of an earlier year, not the factors.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from scipy.ndimage import gaussian_filter

from airloom.sources.lines import line_length
from airloom.twin.geography import Geography
from airloom.twin.noise import SPREAD, octave

SECTORS = ("road", "transport", "energy", "industry", "residential", "shipping")
YEAR = 365.25 * 86400.0
PERSONAL = {
    "road": 2.75,
    "transport": 1.68,
    "energy": 0.73,
    "industry": 1.06,
    "residential": 0.84,
}  # kg NO₂ a person and year
THRIFT = 0.65  # power of the people in a cell by which they drive and heat: the dense town does with less for each
LANE = 4.0  # kg NO₂ s⁻¹ of a lane with the traffic of the Dover Strait, through 1000 km
STACK = {"energy": 0.95, "industry": 0.6, "shipping": 0.3}  # share that leaves by stacks; the rest at the ground
BY_NOX = {  # mass of each species for a mass of NOx, by sector
    "nox": (1, 1, 1, 1, 1, 1),
    "so2": (0.01, 0.03, 0.5, 0.45, 0.25, 0.35),
    "voc": (0.35, 0.35, 0.03, 1.5, 1.6, 0.05),
    "pm25": (0.06, 0.07, 0.04, 0.15, 0.75, 0.05),
    "pmcoarse": (0.05, 0.03, 0.03, 0.2, 0.12, 0.01),
}
AMMONIA = 1.1e-10  # kg m⁻² s⁻¹ over farmland, a year's mean
REFERENCE = 2019  # year of the totals above
TREND = {"road": -0.055, "transport": -0.02, "energy": -0.06, "industry": -0.03, "residential": -0.015, "shipping": -0.01}
DIP_YEAR, DIP = 2020, {"road": 0.5, "transport": 0.55, "industry": 0.8, "energy": 0.85}  # March–May
WEEK = {  # Monday … Sunday
    "road": (1.05, 1.07, 1.08, 1.08, 1.10, 0.86, 0.76),
    "transport": (1.1, 1.1, 1.1, 1.1, 1.1, 0.85, 0.65),
    "energy": (1.05, 1.06, 1.06, 1.06, 1.04, 0.88, 0.85),
    "industry": (1.08, 1.08, 1.08, 1.08, 1.06, 0.84, 0.78),
    "residential": (0.99, 0.99, 0.99, 0.99, 1.0, 1.02, 1.02),
    "shipping": (1.0,) * 7,
}
SWING = {"road": -0.02, "transport": -0.1, "energy": 0.15, "industry": 0.03, "residential": 0.75, "shipping": -0.05}
RUSH = {
    "road": ((8, 1.1), (17.5, 1.3)),
    "transport": ((11, 1.2),),
    "energy": ((11, 0.4), (19, 0.5)),
    "residential": ((7.5, 0.6), (20, 1.0)),
}
NIGHT = {"road": 0.25, "transport": 0.3, "energy": 0.75, "industry": 0.8, "residential": 0.5, "shipping": 1.0}


@dataclass(frozen=True)
class Emissions:
    """What each sector emits on the cells of a geography.

    `maps`: NOx as NO₂ in a year's mean of `REFERENCE` [kg m⁻² s⁻¹], on (sector, y, x). `farmland`: share of cells 0…1.
    """

    maps: np.ndarray
    farmland: np.ndarray

    def day(self, day: date, species: tuple[str, ...] = ("nox",)) -> dict[str, np.ndarray]:
        """Emissions of each hour that starts at 00 … 23 UTC [kg m⁻² s⁻¹; NOx as NO₂], float32 on (hour, release, y, x).

        `species`: of "nox", "so2", "nh3", "voc", "pm25", "pmcoarse". Raises KeyError where one is unknown.
        """
        factors = profile(day)  # (hour, sector)
        stack = np.array([STACK.get(s, 0.0) for s in SECTORS])
        by_release = np.stack([1 - stack, stack])  # (release, sector)
        found = {}
        for name in species:
            if name == "nh3":
                found[name] = self._ammonia(day)
                continue
            weights = factors[:, None, :] * by_release * np.array(BY_NOX[name])  # (hour, release, sector)
            found[name] = np.tensordot(weights.astype(np.float32), self.maps, 1)
        return found

    def _ammonia(self, day: date) -> np.ndarray:
        """Manure and fertiliser: farmland, most in spring, by day; a little from traffic."""
        season = 0.6 + 1.6 * np.exp(-(((_yearday(day) - 95) / 35) ** 2)) + 0.5 * np.exp(-(((_yearday(day) - 250) / 40) ** 2))
        hours = 1 + 0.7 * np.sin((np.arange(24) - 8) * np.pi / 12)
        field = AMMONIA * season * self.farmland + 0.02 * self.maps[0]
        found = np.zeros((24, 2, *field.shape), np.float32)
        found[:, 0] = hours[:, None, None] * field
        return found


def true_emissions(geography: Geography, seed: int, *, spread: float = 0.9) -> Emissions:
    """Maps times hidden local factors: log-normal with standard deviation `spread`, a part of it at the scale of towns
    (20 km), most at that of quarters (4 km); one set of factors a sector, of mean 1.
    """
    maps = expected(geography)
    for i in range(len(SECTORS)):
        factor = np.exp(spread * _hidden(geography, 1009 * seed + 97 * i) - spread**2 / 2)
        maps[i] *= factor * maps[i].sum() / max((maps[i] * factor).sum(), 1e-30)
    return Emissions(maps.astype(np.float32), _farmland(geography))


def inventory(geography: Geography, *, ahead: Mapping[str, float] | float = 1.0, smear: float = 5_000.0) -> Emissions:
    """What an inventory has: the maps without the hidden factors, smeared over `smear` metres, totals times `ahead`."""
    maps = expected(geography)
    factors = [ahead.get(s, 1.0) if isinstance(ahead, Mapping) else ahead for s in SECTORS]
    smeared = np.stack([gaussian_filter(m, smear / geography.grid.cell, mode="reflect") for m in maps])
    return Emissions((smeared * np.reshape(factors, (-1, 1, 1))).astype(np.float32), _farmland(geography))


def expected(geography: Geography) -> np.ndarray:
    """NOx that roads, people, works and ships let expect [kg m⁻² s⁻¹ as NO₂], on (sector, y, x).

    Totals are a person's share times the people; where they fall is: roads by class and traffic for the road sector; towns,
    farmland and airports for other transport; sites by size for energy and industry; people for residential and the rest;
    lanes for ships.
    """
    grid, people = geography.grid, geography.population.astype(float)
    area = grid.cell**2
    inhabitants = people.sum() * (grid.cell / 1000) ** 2
    traffic = np.sqrt(gaussian_filter(people, 20_000 / grid.cell, mode="nearest") + 20)
    classes = np.array([12.0, 5.0, 2.0, 0.7, 0.25])
    thrifty = people**THRIFT
    driven = gaussian_filter(thrifty, 8000 / grid.cell, mode="nearest") * geography.land  # not only where they live
    on_roads = np.tensordot(classes, geography.road_density.astype(float), 1) * traffic
    shapes = {
        "road": _unit(on_roads) * 0.65 + _unit(driven) * 0.35,
        "transport": _unit(driven) * 0.35
        + _unit(_farmland(geography)) * 0.45
        + _unit(_at_sites(geography, "airport")) * 0.2,
        "energy": _unit(_at_sites(geography, "power")) * 0.85 + _unit(people) * 0.15,
        "industry": _unit(_at_sites(geography, "industry")) * 0.6
        + _unit(people) * 0.3
        + _unit(_at_sites(geography, "port")) * 0.1,
        "residential": _unit(thrifty) * 0.5 + _unit(driven) * 0.5,
    }
    maps = [shapes[s] * PERSONAL[s] * inhabitants / YEAR / area for s in SECTORS[:-1]]
    return np.stack([*maps, _ships(geography)])


def profile(day: date) -> np.ndarray:
    """What each hour of a day (UTC) is to the year's mean of `REFERENCE`, on (hour, sector); local time is UTC + 1."""
    found = np.empty((24, len(SECTORS)))
    for hour in range(24):
        local = (hour + 1.5) % 24
        today = day + timedelta(days=1) if hour == 23 else day
        for i, sector in enumerate(SECTORS):
            weekday = 6 if holiday(today) else today.weekday()
            found[hour, i] = _hours(sector)[int(local)] * WEEK[sector][weekday] * season(sector, today)
    return found


def season(sector: str, day: date) -> float:
    """Factor of the time of year, the year's trend, and the dip of `DIP_YEAR`."""
    winter = np.cos(2 * np.pi * (_yearday(day) - 20) / 365.25)
    years = day.year + _yearday(day) / 365.25 - (REFERENCE + 0.5)
    dip = DIP.get(sector, 1.0) if day.year == DIP_YEAR and 3 <= day.month <= 5 else 1.0
    return float((1 + SWING[sector] * winter) * np.exp(TREND[sector] * years) * dip)


def holiday(day: date) -> bool:
    """New Year, Easter Monday, Labour Day, Christmas and the day after."""
    fixed = {(1, 1), (5, 1), (12, 25), (12, 26)}
    return (day.month, day.day) in fixed or day == _easter(day.year) + timedelta(days=1)


def _hours(sector: str) -> np.ndarray:
    """Factor of each local hour; mean 1."""
    hour = np.arange(24) + 0.5
    found = np.full(24, NIGHT[sector])
    for centre, height in RUSH.get(sector, ()):
        found += height * np.exp(-(((hour - centre) / 2.5) ** 2))
    if sector in ("road", "transport", "industry"):
        found += (1 - NIGHT[sector]) * (1 / (1 + np.exp(-(hour - 6.5) * 1.5)) - 1 / (1 + np.exp(-(hour - 19.5) * 1.2)))
    return found / found.mean()


def _easter(year: int) -> date:
    """Easter Sunday (Gregorian computus, Meeus)."""
    a, b, c = year % 19, year // 100, year % 100
    d, e = divmod(b, 4)
    g = (8 * b + 13) // 25
    h = (19 * a + b - d - g + 15) % 30
    i, k = divmod(c, 4)
    m = (32 + 2 * e + 2 * i - h - k) % 7
    n = (a + 11 * h + 22 * m) // 451
    month, day = divmod(h + m - 7 * n + 114, 31)
    return date(year, month, day + 1)


def _yearday(day: date) -> int:
    return day.timetuple().tm_yday


def _unit(shape: np.ndarray) -> np.ndarray:
    """Sums to 1 over the window; zero where there is nothing."""
    return shape / max(shape.sum(), 1e-30)


def _farmland(geography: Geography) -> np.ndarray:
    """CORINE classes 12–22."""
    return ((geography.landcover >= 12) & (geography.landcover <= 22)).astype(np.float32) * geography.land


def _at_sites(geography: Geography, kind: str) -> np.ndarray:
    """Sizes of sites, put into their cells."""
    grid = geography.grid
    table = geography.sites.filter(geography.sites["kind"] == kind)
    row, column = grid.cells(table["x"].to_numpy(), table["y"].to_numpy())
    inside = row >= 0
    found = np.zeros(grid.shape)
    np.add.at(found, (row[inside], column[inside]), table["size"].to_numpy()[inside])
    return found


def _ships(geography: Geography) -> np.ndarray:
    """Lanes, as wide as a few cells at sea [kg m⁻² s⁻¹]."""
    grid, lanes = geography.grid, geography.ship_lanes
    found = line_length(lanes.geometry.to_numpy(), grid, lanes["traffic"].to_numpy()) * LANE / 1e6
    return gaussian_filter(found, 3000 / grid.cell, mode="nearest") / grid.cell**2


def _hidden(geography: Geography, seed: int) -> np.ndarray:
    """What no map tells: mean 0 and variance 1 on (y, x), a seventh of it 20 km wide, the rest 4 km, fixed to the ground.

    The lattices are turned against the grid's axes, or cells as wide as a lattice's would all lie at one place between its
    nodes.
    """
    x, y = np.meshgrid(geography.grid.x, geography.grid.y)
    along, across = 0.8 * x + 0.6 * y, 0.8 * y - 0.6 * x
    towns, quarters = (octave(along, across, width, seed + i) / SPREAD for i, width in enumerate((20_000.0, 4_000.0)))
    return np.sqrt(0.15) * towns + np.sqrt(0.85) * quarters
