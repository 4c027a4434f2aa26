"""The chemistry-transport model: emissions and weather in, concentrations of every hour out.

    model = Model(geography, weather, species="nox")
    state = model.start(date(2019, 1, 1))
    for hour in model.day(state, date(2019, 1, 1), emissions.day(date(2019, 1, 1))):
        print(hour.time, hour.mean["no2"][0].max())

A step is: wind along x and y, vertical wind, emission, mixing and deposition, chemistry. Every part conserves mass, so what
a window holds is what it held, and what was emitted and entered, less what was deposited and reacted (`State.budget`).
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Protocol

import numpy as np
import xarray as xr
from numba import config, set_num_threads
from scipy.ndimage import gaussian_filter
from threadpoolctl import ThreadpoolController

from airloom.errors import DataError
from airloom.files import whole
from airloom.grid import Grid
from airloom.twin.chemistry import CLEAR, Rates, particles, photochemistry
from airloom.twin.columns import lift, mix
from airloom.twin.geography import Geography
from airloom.twin.layers import INTERFACES, LAYERS, THICKNESS
from airloom.twin.species import GROUND, SETS, Species
from airloom.twin.transport import FURTHEST, horizontal
from airloom.twin.turbulence import exchange, settling, uptake

STEPS = 3  # an hour; more where the wind asks for shorter ones
STRAIN = 0.6  # share of a cell's width that the wind may add or take in a step, so that enough air stays in each
RELEASE = np.array(  # share of what is released at the ground and by stacks that enters each layer
    [[0.75, 0.25, 0, 0, 0, 0, 0, 0, 0, 0], [0.0, 0.1, 0.35, 0.35, 0.15, 0.05, 0, 0, 0, 0]], np.float32
)
BLENDED = 60.0  # height at which the wind no longer feels single cells of ground [m]
TOWN_DEPTH = 250.0  # the boundary layer over a town's heat is never shallower [m]
IMPORTED = 0.6  # standard deviation of the log of NO₂ beyond the window, from day to day
MARITIME = (
    3.6,
    4.8,
)  # wind from the west at a kilometre's height [m s⁻¹], its mean and standard deviation; from there air is clean
ALOFT = slice(4, 7)  # layers in which that wind blows, 350 to 1700 m
NO_SHARE = 0.9  # of emitted NOx by moles; the rest is NO₂
ROUGHNESS = np.array([1.0, 0.1, 0.9, 0.05, 0.0005])  # m, of each kind of GROUND
TERMS = ("entered", "emitted", "deposited", "reacted")
WEATHER = ("layer_u", "layer_v", "layer_t", "layer_r", "ustar", "inverse_obukhov", "blh", "cossza", "tcc")


@dataclass
class State:
    """What goes on from hour to hour.

    `amount`: of each species on (species, layer, y, x) [µmol m⁻²; µg m⁻² where the molar mass is 1]. `steps`: since the start.
    `budget`: sum over the window's cells since the start, on (term, species), of TERMS.
    """

    amount: np.ndarray
    steps: int
    budget: np.ndarray

    def save(self, path: Path) -> None:
        """Write all of it; a run that goes on from it has the same bits."""
        with whole(path) as aside, aside.open("wb") as file:
            np.savez(file, amount=self.amount, steps=self.steps, budget=self.budget)

    @classmethod
    def load(cls, path: Path) -> "State":
        """Read what `save` wrote."""
        with np.load(path) as found:
            return cls(found["amount"], int(found["steps"]), found["budget"])

    def total(self) -> np.ndarray:
        """What the window holds, on (species,)."""
        return self.amount.sum((1, 2, 3), dtype=np.float64)


@dataclass(frozen=True)
class Hour:
    """Mean concentrations of the hour that starts at `time` (UTC) [µg m⁻³], each on (layer, y, x)."""

    time: datetime
    mean: dict[str, np.ndarray]


class AnyWeather(Protocol):
    """What the model needs of weather: WEATHER's names, as in `airloom.twin.weather.Weather`."""

    grid: Grid

    def day(self, date: date, /) -> xr.Dataset:
        """24 hours."""
        ...


@dataclass
class Model:
    """A window's chemistry and transport.

    Arguments:
        geography: of the window; says what the ground takes up.
        weather: makes `day(date)` on a projected grid that covers the window.
        species: "nox" (NO, NO₂, O₃) or "all".
        threads: cores to use, at most those that there are; results do not depend on it.
        richer: NO₂ of the air beyond the window, times what it is; how wrong a reanalysis is about it.
    """

    geography: Geography
    weather: AnyWeather
    species: str = "nox"
    threads: int = 1
    richer: float = 1.0
    table: Mapping[str, Species] = field(init=False)

    def __post_init__(self) -> None:
        if self.species not in SETS:
            raise DataError(f"species {self.species!r}: the model has the sets {' and '.join(SETS)}.")
        self.table = SETS[self.species]
        self.names = list(self.table)
        self.libraries = ThreadpoolController()
        self.fine = Bilinear(self.weather.grid, self.geography.grid)
        ground = kinds(self.geography)
        self.night, self.more = uptake(self.table, ground)
        self.settled = np.array([s.settling for s in self.table.values()], np.float32)
        self.roughness = np.exp(np.tensordot(np.log(ROUGHNESS), ground, 1)).astype(np.float32)
        self.drag = _drag(self.roughness, self.weather.grid.cell / self.geography.grid.cell)
        self.shallowest = TOWN_DEPTH * np.minimum(self.geography.population / 3000, 1).astype(np.float32)
        self.air, self.between = _standard_air(self.geography.elevation)
        self.leaves = ground[1:4].sum(0)  # what emits biogenic VOC

    def start(self, day: date) -> State:
        """Border air everywhere."""
        amount = self.beyond(day, self.weather.day(day))[:, :, None, None] * self.air
        return State(amount.astype(np.float32), 0, np.zeros((len(TERMS), len(self.names))))

    def day(self, state: State, day: date, emissions: Mapping[str, np.ndarray]) -> Iterator[Hour]:
        """Run a day from `state`, which it changes; gives each hour as it is done.

        Arguments:
            state: where the model stands.
            day: date of the day.
            emissions: of "nox" (as NO₂) and, with all species, "so2", "nh3", "voc", "pm25", "pmcoarse" [kg m⁻² s⁻¹], each on
                (hour, release, y, x); release is the ground, then stacks.

        Raises:
            DataError: a species is missing, negative or on another shape, or weather or a concentration is not finite.
        """
        set_num_threads(min(self.threads, config.NUMBA_NUM_THREADS))  # type: ignore[attr-defined]
        released = self._released(emissions)
        weather = self.weather.day(day)
        _check(weather, day)
        border = self.beyond(day, weather)
        for hour in range(24):
            time = datetime(day.year, day.month, day.day) + timedelta(hours=hour)
            with self.libraries.limit(limits=1, user_api="blas"):  # its threads spin, and would take numba's cores
                mean = self._hour(state, weather.isel(time=hour), border, {i: e[hour] for i, e in released.items()})
            if not np.isfinite(mean).all():
                raise DataError(
                    f"the model at {time:%Y-%m-%d %H:00}: a concentration is not finite. Look at the day's emissions."
                )
            yield Hour(time, {n: mean[i] for i, n in enumerate(self.names)})

    def _released(self, emissions: Mapping[str, np.ndarray]) -> dict[int, np.ndarray]:
        """Emissions checked, by the index of the species that they enter [kg m⁻² s⁻¹]."""
        shape = 24, len(RELEASE), *self.geography.grid.shape
        wanted = ["nox", *(n for n in ("so2", "nh3", "voc", "pm25", "pmcoarse") if n in self.names)]
        for name in wanted:
            if name not in emissions:
                raise DataError(f"emissions: {name!r} is missing; this model needs {', '.join(wanted)}.")
            if emissions[name].shape != shape:
                raise DataError(
                    f"emissions of {name}: on {emissions[name].shape}, expected (hour, release, y, x) = {shape}."
                )
            if not np.min(emissions[name]) >= 0:
                raise DataError(
                    f"emissions of {name}: the least is {np.min(emissions[name])}; they cannot be negative or NaN."
                )
        rest = {self.names.index(n): emissions[n] for n in wanted[1:]}
        as_no = np.float32(NO_SHARE * self.table["no"].mass / self.table["no2"].mass)
        nox = emissions["nox"]
        return {self.names.index("no"): nox * as_no, self.names.index("no2"): nox * np.float32(1 - NO_SHARE), **rest}

    def _hour(self, state: State, weather: xr.Dataset, border: np.ndarray, released: Mapping[int, np.ndarray]) -> np.ndarray:
        """An hour's steps; the mean concentration on (species, layer, y, x) [µg m⁻³]."""
        u, v = (self.fine(weather[n].values) for n in ("layer_u", "layer_v"))
        steps = _steps(u, v, 3600 / self.geography.grid.cell)
        seconds = 3600 / steps
        u, v = (wind * np.float32(seconds / self.geography.grid.cell) for wind in (u, v))
        ustar, stability, depth = (self.fine(weather[n].values) for n in ("ustar", "inverse_obukhov", "blh"))
        ustar, stability = ustar * self.drag, stability / self.drag**3
        depth = np.maximum(depth, self.shallowest)
        rates = Rates.of(*(weather[n].values for n in ("layer_t", "layer_r", "cossza", "tcc"))).map(self.fine)
        between = exchange(ustar, stability, depth, self.between)
        sun = np.minimum(rates.photolysis / np.float32(CLEAR), 1)
        down = settling(ustar, stability, self.roughness, sun, self.night, self.more, self.settled, THICKNESS[0])
        grams = np.array([s.mass for s in self.table.values()], np.float32)
        total = np.zeros_like(state.amount)
        for _ in range(steps):
            self._move(state, u, v, border)
            self._emit(state, released, seconds, grams)
            deposited = mix(state.amount, self.air, between, down, seconds)
            state.budget[2] -= deposited.sum((1, 2), dtype=np.float64)
            before = state.total()
            self._react(state.amount, rates, seconds)
            state.budget[3] += state.total() - before
            total += state.amount
            state.steps += 1
        return total * (grams[:, None, None, None] / np.float32(steps) / THICKNESS.astype(np.float32)[:, None, None])

    def _move(self, state: State, u: np.ndarray, v: np.ndarray, border: np.ndarray) -> None:
        """Carry species and air by the wind."""
        air = self.air.copy()
        entered = horizontal(state.amount, air, u, v, border=border, x_first=state.steps % 2 == 0)
        entered += lift(state.amount, air, self.air, border[:, -1]).sum(1)
        state.budget[0] += entered[:-1]

    def _emit(self, state: State, released: Mapping[int, np.ndarray], seconds: float, grams: np.ndarray) -> None:
        """Add what is released to the layers."""
        for i, mass in released.items():
            per_kg = np.float32(1e9 / grams[i] * seconds)  # µmol (or µg) of a kg
            for release, shares in zip(mass * per_kg, RELEASE, strict=True):
                for layer in np.flatnonzero(shares):
                    added = release * shares[layer]
                    state.amount[i, layer] += added
                    state.budget[1, i] += added.sum(dtype=np.float64)

    def _react(self, amount: np.ndarray, rates: Rates, seconds: float) -> None:
        """Chemistry, in place."""
        of = dict(zip(self.names, amount, strict=True))
        voc = of.get("voc", np.zeros_like(of["no"]))
        nitric = photochemistry(
            of["no"],
            of["no2"],
            of["o3"],
            voc,
            (rates.no_o3, rates.night),
            rates.photolysis,
            rates.biogenic * self.leaves,
            THICKNESS,
            seconds,
        )
        if self.species == "all":
            inputs = [of[n] for n in ("so2", "nh3", "voc", "hno3", "so4", "no3", "nh4", "soa", "no2")]
            particles(*inputs, nitric, (rates.humid, rates.held), rates.photolysis, THICKNESS, seconds)  # type: ignore[call-arg]

    def beyond(self, day: date, weather: xr.Dataset) -> np.ndarray:
        """Mixing ratio beyond the window on (species, layer) [µmol mol⁻¹]: NO₂ comes with the continent's air, from the east."""
        found = np.stack([s.beyond(day.timetuple().tm_yday) for s in self.table.values()]) * np.float32(1e-3)
        west = float(weather["layer_u"][:, ALOFT].mean())
        continental = np.clip((MARITIME[0] - west) / MARITIME[1], -2, 2)
        today = np.exp(IMPORTED * continental - IMPORTED**2 / 2)
        found[self.names.index("no2")] *= np.float32(self.richer * today)
        return found


def _check(weather: xr.Dataset, day: date) -> None:
    """Refuse weather with holes: turbulence would take a missing depth for a shallow one."""
    for name in WEATHER:
        for hour, values in enumerate(weather[name].values):
            if not np.isfinite(values).all():
                raise DataError(
                    f"weather of {day}: {name} has values at {hour:02d}:00 that are not finite; give it in every cell."
                )


def _steps(u: np.ndarray, v: np.ndarray, per_speed: float) -> int:
    """Steps in an hour: no air crosses FURTHEST cells in one, and no cell is torn or pressed by more than STRAIN of its width.

    `u`, `v` are on (layer, y, x) [m s⁻¹]; an hour of 1 m s⁻¹ is `per_speed` cells.
    """
    furthest = max(np.abs(u).max(), np.abs(v).max()) * per_speed
    strain = max(np.abs(np.diff(u, axis=2)).max(), np.abs(np.diff(v, axis=1)).max()) * per_speed
    return max(STEPS, math.ceil(furthest / (FURTHEST - 1)), math.ceil(strain / STRAIN))


class Bilinear:
    """Values on a grid's cells → on those of a finer grid of the same projection; beyond the outermost centres their values."""

    def __init__(self, coarse: Grid, fine: Grid) -> None:
        self.down = _weights(-coarse.y, -fine.y)
        self.across = _weights(coarse.x, fine.x).T

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """(..., y, x) → (..., y, x), float32."""
        return np.ascontiguousarray(self.down @ np.asarray(values, np.float32) @ self.across)

    def at(self, values: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """(time, y, x) → (time, station) in some cells of the finer grid."""
        return np.einsum("sy,tyx,xs->ts", self.down[rows], values, self.across[:, columns], optimize=True)


def _weights(known: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Linear weights on (wanted, known); both ascend."""
    at = np.clip(np.interp(wanted, known, np.arange(len(known))), 0, len(known) - 1)
    left = np.minimum(at.astype(int), len(known) - 2)
    found = np.zeros((len(wanted), len(known)), np.float32)
    rows = np.arange(len(wanted))
    found[rows, left], found[rows, left + 1] = 1 - (at - left), at - left
    return found


def kinds(geography: Geography) -> np.ndarray:
    """Share of each kind of GROUND in the cells, float32 on (kind, y, x)."""
    codes = np.array([11, 22, 34, 39, 44])  # last of CORINE's 44 classes in each kind
    kind = np.searchsorted(codes, geography.landcover)
    found = (kind[None] == np.arange(len(GROUND))[:, None, None]).astype(np.float32)
    found[:-1] *= geography.land  # a coastal cell is partly water
    found[-1] = 1 - found[:-1].sum(0)
    return found


def _drag(roughness: np.ndarray, cells: float) -> np.ndarray:
    """Friction velocity over a cell's own ground to that over the ground of `cells` cells around: log law below BLENDED."""
    around = np.exp(gaussian_filter(np.log(roughness), cells / 2, mode="nearest"))
    return (np.log(BLENDED / around) / np.log(BLENDED / roughness)).astype(np.float32)


def _standard_air(elevation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Air that the layers hold [mol m⁻²] on (layer, y, x), and its density at the interfaces between [mol m⁻³]."""

    def density(height: np.ndarray) -> np.ndarray:
        above_sea = height[:, None, None] + elevation
        t = 288.15 - 0.0065 * above_sea
        return (101325 * (t / 288.15) ** 5.2559 / (8.314 * t)).astype(np.float32)

    return density(LAYERS) * THICKNESS.astype(np.float32)[:, None, None], density(INTERFACES[1:-1])
