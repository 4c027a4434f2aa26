"""Days of a world at the ground: what a network of scattered stations is to be taught from, without the providers' files."""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta

import numpy as np
from scipy.ndimage import distance_transform_edt

from airloom.twin.geography import Geography
from airloom.twin.layers import HEIGHTS, at_heights
from airloom.twin.make import SPIN_UP
from airloom.twin.model import Bilinear, State
from airloom.twin.species import PM25
from airloom.twin.vapour import saturation
from airloom.twin.world import World

WEATHER = {"relative_humidity": "%", "wind": "m s-1"}
GROUND = {**dict.fromkeys(("no2", "o3", "so2", "pm2p5", "pm10"), "ug m-3"), **WEATHER}  # variables and their units

DENSE = 3000.0  # km⁻²: of so many people's ground 63 % is sealed
FAR = 200_000.0  # m to a motorway where the window has none


def ground_map(ground: Geography, name: str) -> np.ndarray:
    """A map of a world on (y, x): elevation [m], share of land, population [km⁻²], impervious [%] or distance to a motorway [m]."""
    if name == "impervious":
        return 100 * (1 - np.exp(-ground.population / DENSE))
    if name == "motorway":
        highway = ground.road_density[0] > 0
        cells = distance_transform_edt(~highway) if highway.any() else np.full(highway.shape, np.inf)
        return np.minimum(np.maximum(cells, 0.25) * ground.grid.cell, FAR)  # a quarter of a cell, about, in a motorway's own
    return np.asarray(getattr(ground, name))


def ground_days(
    world: World, days: Sequence[date], names: Sequence[str], aloft: Sequence[float] = ()
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Daily means of some days in a row, float32: at the ground of `names` of GROUND on (variable, y, x), and of the first of
    them, where it is a concentration, at the heights `aloft`, some of HEIGHTS, on (height, y, x).

    The model begins SPIN_UP days before the first, which are thrown away.
    """
    state = world.model.start(days[0])
    for ago in range(SPIN_UP, 0, -1):
        _run(world, state, days[0] - timedelta(days=ago))
    for day in days:
        means = _run(world, state, day)
        ground = {n: layers[0] for n, layers in means.items()} | _weather(world, day)
        above = at_heights(means[names[0]])[np.isin(HEIGHTS, aloft)] if aloft else np.zeros((0, *world.plan.grid.shape))
        yield np.stack([ground[n] for n in names]).astype(np.float32), above.astype(np.float32)


def _run(world: World, state: State, day: date) -> dict[str, np.ndarray]:
    """A day of the model; means on (layer, y, x) [µg m⁻³]."""
    totals: dict[str, np.ndarray] = {}
    for hour in world.model.day(state, day, world.emissions.day(day, world.emitted)):
        gases: dict[str, np.ndarray] = {n: hour.mean[n] for n in ("no2", "o3", "so2") if n in hour.mean}
        if "pmcoarse" in hour.mean:
            gases["pm2p5"] = np.sum([hour.mean[n] for n in PM25], axis=0)
            gases["pm10"] = gases["pm2p5"] + hour.mean["pmcoarse"]
        for name, values in gases.items():
            totals[name] = totals.get(name, 0) + values / 24
    return totals


def _weather(world: World, day: date) -> dict[str, np.ndarray]:
    """A day's mean humidity [%] and wind speed [m s⁻¹] on the world's grid."""
    weather, grid = world.weather.day(day), world.plan.grid
    interpolate = Bilinear(world.weather.grid, grid)
    t, d, u, v = (interpolate(weather[n].values) for n in ("t2m", "d2m", "u10", "v10"))
    fields = {"relative_humidity": 100 * saturation(d) / saturation(t), "wind": np.hypot(u, v)}
    return {n: a.mean(0) for n, a in fields.items()}
