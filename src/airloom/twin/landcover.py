"""Land cover: which of CORINE's 44 classes covers most of a cell, as climate, relief, people and coast suggest.

Every class of open country has a suitability; to each a smooth random field is added, and the best one wins, so that
classes lie in patches. Some regions that everyone knows (the Landes, Champagne, the rice of Vercelli) favour theirs.
Towns, sites and water come first.
"""

import numpy as np
import polars as pl

from airloom.grid import Grid
from airloom.twin.coast import to_sea
from airloom.twin.corine import NUMBER
from airloom.twin.noise import fractal
from airloom.twin.towns import europe

COVER = 131  # number of the patches among the uses of a seed
URBAN = ((6000.0, 111), (700.0, 112))  # people per km² above which fabric is continuous, discontinuous
SITES = (("industry", 121, 0.25), ("airport", 124, 0.08), ("port", 123, 0.04))  # and the size above which they fill 4 km²

# code, longitude, latitude, radius [km]: regions known for one cover
REGIONS = (
    *((312, -0.9, 44.2, 60), (221, -0.3, 44.8, 28), (221, 4.0, 49.05, 22), (221, 3.2, 43.5, 35), (221, 4.85, 47.0, 14)),
    *((221, 4.7, 46.1, 14), (221, 8.1, 49.3, 14), (221, 7.4, 48.2, 12), (221, -2.5, 42.45, 20), (221, -3.1, 39.2, 50)),
    *((221, -7.6, 41.15, 22), (221, 11.2, 43.4, 14), (221, 8.1, 44.75, 18), (221, 12.1, 45.9, 14), (221, 16.0, 48.5, 20)),
    *((213, 8.4, 45.3, 24), (213, 4.5, 43.6, 14), (213, 0.7, 40.7, 10), (213, -6.1, 37.1, 16), (213, -0.35, 39.3, 8)),
    *((223, -3.9, 37.8, 55), (223, -4.8, 37.5, 35), (223, 17.3, 40.7, 45), (223, 16.4, 38.9, 30), (223, 21.8, 37.0, 25)),
    *((223, 25.0, 35.2, 40), (223, -5.9, 38.5, 18), (223, 11.0, 43.6, 20), (222, -0.5, 39.6, 30), (222, 0.5, 41.6, 22)),
    *((222, 11.2, 46.35, 10), (222, 12.0, 44.3, 16), (222, 15.0, 37.4, 22), (212, -0.9, 41.6, 45), (212, -5.5, 41.7, 40)),
    *((212, -5.9, 37.5, 30), (212, -6.2, 38.95, 25), (212, 9.9, 45.3, 50), (244, -6.5, 39.4, 55), (244, -7.8, 38.5, 50)),
    *((412, -8.6, 53.3, 35), (412, -9.4, 54.0, 30), (412, -4.2, 58.3, 30), (412, 27.0, 67.5, 90), (322, -4.5, 57.0, 70)),
    *((322, -3.9, 50.6, 10), (322, 10.0, 53.05, 14), (411, -6.4, 36.95, 14), (411, 1.2, 46.8, 12)),
    *((312, 8.3, 48.3, 30), (312, 7.0, 48.1, 18), (312, 15.0, 60.5, 250), (312, 25.0, 63.0, 300), (312, 13.3, 49.0, 35)),
    *((211, 1.6, 48.2, 50), (211, 3.3, 49.7, 70), (211, 2.5, 50.4, 45), (211, 0.4, 52.5, 70), (211, 11.5, 51.7, 60)),
    *((211, -4.5, 41.8, 65), (211, 11.2, 44.8, 55), (211, 27.0, 44.5, 90), (211, 20.5, 46.5, 80), (211, 15.6, 41.5, 35)),
    *((231, -8.0, 52.8, 130), (231, -3.8, 52.2, 60), (231, -0.4, 49.0, 45), (231, 5.5, 52.9, 55), (231, -5.8, 43.35, 50)),
    *((231, 8.3, 53.3, 50), (231, 10.3, 47.8, 45), (231, 3.0, 45.2, 35), (231, -4.4, 50.8, 40), (231, 6.0, 50.6, 22)),
)  # fmt: skip
ESTUARIES = (  # longitude, latitude, radius [km]
    *((-0.95, 45.45, 30), (0.6, 51.5, 25), (-2.9, 51.45, 25), (0.25, 49.45, 12), (9.2, 53.87, 22), (-0.1, 53.65, 18)),
    *((-9.0, 38.75, 15), (3.9, 51.42, 22), (-3.0, 56.05, 18), (-2.95, 53.35, 10), (-2.1, 47.28, 10)),
)
FLATS = (
    (5.3, 53.3, 40),
    (6.5, 53.48, 35),
    (8.1, 53.75, 35),
    (8.7, 54.4, 40),
    (-3.0, 54.1, 18),
    (0.3, 52.95, 14),
    (-1.4, 48.65, 10),
)
LAGOONS = (
    (12.3, 45.4, 25),
    (4.6, 43.5, 18),
    (3.6, 43.4, 14),
    (12.2, 44.75, 14),
    (13.2, 45.72, 14),
    (19.7, 54.45, 40),
    (-0.8, 37.75, 10),
)
MARSHES = ((12.25, 44.9, 14), (4.4, 43.5, 12), (-6.3, 36.9, 14), (8.7, 54.3, 12), (-1.1, 46.3, 12))


def landcover(
    grid: Grid, *, above: np.ndarray, lake: np.ndarray, elevation: np.ndarray, population: np.ndarray,
    highways: np.ndarray, sites: pl.DataFrame, seed: int,
) -> np.ndarray:  # fmt: skip
    """Classes 1…44 on (y, x), int8.

    Arguments:
        grid: the cells.
        above: share of a cell above the sea, lakes counted.
        lake: share of a cell covered by lakes.
        elevation: m.
        population: people per km².
        highways: density of the roads of the first class [m km⁻²].
        sites: as `sites` gives them.
        seed: of the patches.
    """
    where = _Where(grid, elevation, population, above - lake, seed)
    suitable = _suitability(where)
    codes = np.array(list(suitable))
    scores = np.stack([score + where.patches(int(code)) for code, score in suitable.items()])
    for code, lon, lat, reach in REGIONS:
        scores[np.flatnonzero(codes == code)[0]] += 2.2 * where.within(lon, lat, reach) * where.low(1600)
    cover = codes[scores.argmax(axis=0)]
    cover = _built(cover, where, highways, sites)
    return _water(cover, where, above, lake)


class _Where:
    """What the suitability of a cell's covers depends on, all on (y, x)."""

    def __init__(self, grid: Grid, elevation: np.ndarray, population: np.ndarray, land: np.ndarray, seed: int) -> None:
        self.grid, self.height, self.people, self.land, self.seed = grid, elevation, population, land, seed
        self.lon, self.lat = grid.lonlat()
        self.x, self.y = europe(grid)
        self.sea = to_sea(self.x.ravel(), self.y.ravel(), at_most=100_000).reshape(grid.shape) / 1000  # km
        # height as vegetation feels it: the tree line sinks by 110 m a degree north of the Alps
        self.felt = elevation + 110 * np.maximum(self.lat - 46, 0) * (elevation > 300)
        coastal_south = 43.9 - 0.5 * np.clip(elevation / 500, 0, 3) + np.where(self.lon > 10, 0.7, 0)
        self.mediterranean = _step(coastal_south - self.lat, 0.5)
        self.atlantic = _step(2.5 - self.lon + 0.35 * (self.lat - 47), 2.0) * (1 - self.mediterranean)
        self.boreal = _step(self.lat - 58.8, 0.8)

    def patches(self, code: int) -> np.ndarray:
        """A smooth random field of standard deviation 0.85, its own for each class."""
        shortest = max(2 * self.grid.cell, 4000)
        return 0.85 * fractal(
            self.x, self.y, longest=48_000, shortest=shortest, seed=self.seed + COVER + 1000 * code, roughness=0.75
        )

    def within(self, lon: float, lat: float, reach: float) -> np.ndarray:
        """1 in the middle of a region, falling to nothing beyond its radius [km]."""
        east, north = (self.lon - lon) * np.cos(np.radians(lat)) * 111.2, (self.lat - lat) * 111.2
        return np.exp(-(((east**2 + north**2) / max(reach, 0.6 * self.grid.cell / 1000) ** 2) ** 2))

    def low(self, height: float) -> np.ndarray:
        """1 well below a felt height [m], 0 well above."""
        return _step(height - self.felt, 0.15 * height)

    def high(self, height: float) -> np.ndarray:
        """1 well above a felt height [m], 0 well below."""
        return 1 - self.low(height)


def _step(value: np.ndarray, width: float) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(value / width, -40, 40)))


def _suitability(where: _Where) -> dict[int, np.ndarray]:
    """How well each class of open country fits a cell, by code; a unit outweighs most patches."""
    low, middle, alpine = where.low(400), where.high(400) * where.low(1750), where.high(1850)
    warm, wet, cold = where.mediterranean, where.atlantic, where.boreal
    temperate = 1 - warm
    farmed = np.clip(np.log10(np.maximum(where.people, 1)) / 2.2, 0, 1)  # few people, little farming
    forest = 0.45 + 0.9 * middle + 0.5 * cold - 2.0 * alpine - 0.3 * farmed
    field = 1.2 * low + 0.7 * farmed - 1.3 * cold - 2.5 * alpine - 0.9 * middle
    return {
        211: 0.75 + field + 0.3 * temperate - 0.6 * wet,
        212: -0.5 + field + 0.8 * warm - 1.5 * temperate,
        213: -1.6 + field - where.high(150),
        221: -0.6 + field + 0.5 * warm - 1.5 * where.high(500) - 2 * _step(where.lat - 49.8, 0.4),
        222: -0.9 + field + 0.7 * warm,
        223: -0.6 + field + 1.4 * warm - 4 * temperate,
        231: 0.3 + 0.8 * field + 1.6 * wet * (1 - warm) - 1.5 * warm + 0.8 * middle * temperate - 0.6 * (1 - wet) * low,
        241: -1.8 + field + 0.8 * warm,
        242: 0.2 + field + 0.5 * farmed,
        243: 0.2 + 0.7 * field + 0.7 * middle,
        244: -2.0 + field + 0.6 * warm - 3 * temperate,
        311: 0.9 + forest + 0.3 * temperate - 1.5 * cold - 1.2 * where.high(1400) - 0.5 * wet,
        312: 0.3 + forest + 1.0 * where.high(800) + 1.3 * cold - 0.4 * wet - 0.9 * warm,
        313: 0.4 + forest + 0.4 * where.high(700) + 0.7 * cold - 0.5 * warm,
        321: -0.9 + 1.2 * middle + 2.6 * alpine - 2.2 * where.high(2500),
        322: -1.0 + 1.0 * middle * wet + 1.2 * where.high(1500) - 1.2 * where.high(2400) + 0.6 * wet * where.high(700),
        323: -0.9 + 2.3 * warm + 0.6 * where.high(500) * warm - 3 * temperate - 2 * where.high(1500),
        324: -0.3 + 0.7 * middle + 0.5 * cold + 0.3 * warm - 1.5 * alpine,
        331: -0.6 + 1.2 * _step(2.0 - where.sea, 0.5) - 5 * _step(where.sea - 4, 0.5) - 2 * where.high(100),
        332: -4.0 + 5.0 * where.high(2300) - 1.5 * where.high(3200),
        333: -3.6 + 4.2 * where.high(2000) - 1.0 * where.high(2800) + 0.8 * warm,
        334: -2.4 + 1.2 * warm - temperate,
        335: -6.0 + 9.0 * where.high(2900),
        411: -1.7 - 1.2 * where.high(150) - 0.8 * farmed,
        412: -1.9 + 1.5 * cold + 0.9 * wet * _step(where.lat - 52.5, 0.8),
    }


def _built(cover: np.ndarray, where: _Where, highways: np.ndarray, sites: pl.DataFrame) -> np.ndarray:
    """Towns, large sites, and where nothing of that stands the land of motorway junctions, pits and parks."""
    cover = cover.copy()
    rim = where.people * (1 + 0.3 * where.patches(10))
    odd = where.patches(141)
    cover[(rim > 400) & (where.patches(131) > 1.9)] = 131
    cover[(rim > 350) & (where.patches(142) > 1.7)] = 142
    cover[(highways > 1.2e6 / where.grid.cell) & (odd > 0.6)] = 122
    for people, code in reversed(URBAN):
        cover[rim > people] = code
    cover[(rim > 2500) & (odd > 1.5)] = 141
    cover[(rim > 1200) & (where.patches(133) > 2.1)] = 133
    cover[(rim > 300) & (where.patches(132) > 2.4)] = 132
    x, y, size = (sites[name].to_numpy() for name in ("x", "y", "size"))
    row = np.floor((where.grid.top - y) / where.grid.cell).astype(int)
    column = np.floor((x - where.grid.left) / where.grid.cell).astype(int)
    for kind, code, least in SITES:
        large = (sites["kind"] == kind).to_numpy() & (size > least * (where.grid.cell / 2000) ** 2)
        cover[row[large], column[large]] = code
    return cover


def _water(cover: np.ndarray, where: _Where, above: np.ndarray, lake: np.ndarray) -> np.ndarray:
    """Put the sea, lakes, and what lies between land and water where land fills less than half a cell; codes → numbers."""

    def any_of(places: tuple[tuple[float, float, float], ...]) -> np.ndarray:
        return np.max([where.within(*place) for place in places], axis=0) > 0.37

    cover = cover.copy()
    marsh = (where.sea < 4) & (where.height < 15) & (where.people < 200) & (any_of(MARSHES) | (where.patches(421) > 2.0))
    cover[marsh] = np.where(where.mediterranean > 0.5, 422, 421)[marsh]
    wet = where.land < 0.5
    sea = wet & (1 - above >= lake)
    cover[wet] = np.where(sea, 523, 512)[wet]
    for places, code in ((FLATS, 423), (LAGOONS, 521), (ESTUARIES, 522)):
        cover[sea & (where.sea < 9) & any_of(places)] = code
    number = np.zeros(max(NUMBER) + 1, np.int8)
    number[list(NUMBER)] = list(NUMBER.values())
    return number[cover]
