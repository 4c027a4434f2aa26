"""Invented weather over real terrain: any day of any window, from its place, time and a seed alone."""

import datetime
import math

import numpy as np
import xarray as xr

from airloom.errors import DataError
from airloom.grid import Grid
from airloom.sources.era5_variables import PRESSURE, SINGLE
from airloom.twin.boundary_layer import PAST, BoundaryLayer
from airloom.twin.layers import LAYERS
from airloom.twin.local_winds import LocalWind, Terrain, gradient
from airloom.twin.pressure_levels import (
    LEVELS,
    divergence,
    hydrostatic,
    surface_pressure,
    vertical_wind,
    vorticity,
)
from airloom.twin.sky import Sky, rain, snow_share, sun
from airloom.twin.surface import LATENT, Fluxes, Surface
from airloom.twin.synoptic import GRAVITY, Air, Synoptic
from airloom.twin.vapour import dewpoint, saturation, virtual

CELL = 16e3  # m
MARGIN = 5  # cells; terrain and coasts are felt over that many
HOURS = 24
DRIEST = 2.0  # relative humidity [%]
ADAPTED = 100.0  # height to which the wind belongs to the ground right below [m]

# what a chemistry-transport model reads besides: units, long name, cell method
BESIDES = {
    "ustar": ("m s-1", "friction velocity", "time: point"),
    "inverse_obukhov": ("m-1", "inverse Obukhov length", "time: point"),
    "ssrd": ("W m-2", "short-wave radiation at the surface, downward", "time: mean"),
    "tcc": ("1", "total cloud cover", "time: point"),
    "cossza": ("1", "cosine of the solar zenith angle, 0 at night", "time: point"),
    "layer_u": ("m s-1", "wind along x on the model's layers", "time: point"),
    "layer_v": ("m s-1", "wind along y on the model's layers", "time: point"),
    "layer_t": ("K", "temperature on the model's layers", "time: point"),
    "layer_r": ("%", "relative humidity on the model's layers", "time: point"),
}


def weather_grid(window: Grid) -> Grid:
    """Cells of 16 km, their edges on multiples of it, over a window and at least five cells round it."""
    left, bottom, right, top = window.bounds
    first, last = (math.floor(left / CELL) - MARGIN, math.ceil(right / CELL) + MARGIN)
    south, north = (math.floor(bottom / CELL) - MARGIN, math.ceil(top / CELL) + MARGIN)
    return Grid(window.crs, first * CELL, north * CELL, CELL, (north - south, last - first))


def north_angle(grid: Grid) -> np.ndarray:
    """Angle from the grid's y axis to true north, clockwise [rad], on (y, x)."""
    lon, lat = grid.lonlat()
    x, y = grid.project(lon, lat)
    x1, y1 = grid.project(lon, lat + 0.01)
    return np.arctan2(x1 - x, y1 - y).astype(np.float32)


def eastward_northward(u: xr.DataArray, v: xr.DataArray, angle: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray]:
    """Wind along the grid's axes → eastward and northward, as ERA5 has it; `angle` as `north_angle`."""
    return u * np.cos(angle) - v * np.sin(angle), u * np.sin(angle) + v * np.cos(angle)


class Weather:
    """Hourly weather that is the same at the same place and hour, whatever day or window it is asked for with.

    Arguments:
        grid: projected cells of about 16 km.
        land: share of land, 0…1, on (y, x).
        elevation: mean over the cell [m above sea level], on (y, x).
        seed: which weather.

    Raises:
        DataError: `land` or `elevation` is not on the grid, or not finite.
    """

    def __init__(self, grid: Grid, land: np.ndarray, elevation: np.ndarray, seed: int) -> None:
        for name, field in (("land", land), ("elevation", elevation)):
            if field.shape != grid.shape:
                raise DataError(f"weather: {name} is on {field.shape}, the grid on {grid.shape}; make it on weather_grid().")
            if not np.isfinite(field).all():
                holes = int((~np.isfinite(field)).sum())
                raise DataError(f"weather: {name} is not finite in {holes} cells; give 0 over sea.")
        self.grid = grid
        self.synoptic = Synoptic(grid, seed)
        lon, lat = grid.lonlat()
        self.surface = Surface(lon, lat, np.clip(land, 0, 1), np.maximum(elevation, 0))
        self.terrain = Terrain(self.surface.elevation, grid.cell)
        self.f = self.synoptic.f[1:-1, 1:-1]
        self.angle = north_angle(grid)

    def day(self, date: datetime.date) -> xr.Dataset:
        """The 24 hours of a day [UTC], float32, on (time, y, x), (time, level, y, x) and (time, layer, y, x).

        Single and pressure levels have airloom's names of ERA5 (SINGLE and PRESSURE of its source), besides them those of
        BESIDES. Winds run along the grid's axes; `north` is the angle to true north [rad, clockwise]. Each variable's
        `cell_methods` say whether it is of the moment or the mean over the hour that starts at its time.
        """
        start = np.datetime64(date, "h")
        long = np.arange(
            start - PAST, start + HOURS + 2
        )  # the layer remembers; means of the last hour need the next day's first
        air = self.synoptic.at(long)
        # the ground under the free atmosphere, before the boundary layer warms or slows it
        s = air.log_pressure(self.surface.elevation)
        t = air.temperature(s)[:, 0]
        wind = self.terrain.steered(*air.wind(s), np.zeros((1, 1, 1), np.float32))
        speed = np.hypot(*wind)[:, 0]
        climb = self.terrain.climb(*(0.5 * w[:, 0] for w in air.wind(s)))
        sky = Sky.of(air, self.surface.lat, self.surface.land, climb)
        fluxes = self._fluxes(long, sky, t, speed)

        later = slice(PAST, PAST + HOURS + 1)
        layer = BoundaryLayer.of(self.surface, long[later], fluxes, t[later], air.lapse()[later], speed[later], self.f)
        loss = 1.2 * layer.ustar**2 * speed[later]  # what the wind loses on its way down to the ground [W m⁻²]

        now = slice(PAST, PAST + HOURS)
        hours, layer = long[now], layer.first(HOURS)
        column = Column(self, air.part(PAST, PAST + HOURS), sky.part(PAST, PAST + HOURS), layer, speed[now])
        fields = column.pressure_levels() | column.layers() | column.single(t[now])
        fields |= self._hourly(air, sky, fluxes, fields["t2m"]) | self._leaves(hours)
        fields |= {
            "blh": layer.height,
            "ustar": layer.ustar,
            "inverse_obukhov": layer.inverse_obukhov,
            "tcc": column.sky.cloud,
            "cossza": sun(self.surface.lon, self.surface.lat, hours),
            "avg_ibld": 0.5 * (loss[:-1] + loss[1:]),
        }
        return self._dataset(hours, fields)

    def _fluxes(self, long: np.ndarray, sky: Sky, t: np.ndarray, speed: np.ndarray) -> Fluxes:
        """Means over the hours that begin at each of `long` but the last."""
        lon, lat = self.surface.lon, self.surface.lat
        cosine = np.mean([sun(lon, lat, long[:-1], minutes) for minutes in (10.0, 30.0, 50.0)], axis=0)
        cloud, humidity, t, speed = (0.5 * (a[:-1] + a[1:]) for a in (sky.cloud, sky.humidity[0], t, speed))
        return Fluxes.of(self.surface, long[:-1], cosine, cloud, humidity, t, speed)

    def _hourly(self, air: Air, sky: Sky, fluxes: Fluxes, t2m: np.ndarray) -> dict[str, np.ndarray]:
        """Mean rates over the hour that starts at each time."""
        now = slice(PAST, PAST + HOURS)
        heat = np.maximum(fluxes.heat[now], 0)
        ends = [(PAST + i, PAST + HOURS + i) for i in (0, 1)]  # of each hour
        falling = np.mean([rain(air.part(*at), sky.part(*at), t2m, heat) for at in ends], axis=0)
        return {
            "avg_tprate": falling,
            "avg_tsrwe": falling * snow_share(t2m),
            "avg_ie": -fluxes.latent[now] / LATENT,
            "avg_snswrf": fluxes.short[now],
            "avg_snlwrf": fluxes.long[now],
            "ssrd": fluxes.sun[now],
        }

    def _leaves(self, hours: np.ndarray) -> dict[str, np.ndarray]:
        low, high = self.surface.leaves(hours)
        return {"lai_lv": low, "lai_hv": high}

    def _dataset(self, hours: np.ndarray, fields: dict[str, np.ndarray]) -> xr.Dataset:
        """Fields with their dimensions, units and cell methods."""
        about = {n: (p.variable.units, p.variable.long_name, p.variable.cell_method) for n, p in (SINGLE | PRESSURE).items()}
        about |= BESIDES
        arrays = {}
        for name, field in fields.items():
            units, long_name, method = about[name]
            middle = ("layer",) if name.startswith("layer_") else ("level",)
            dims = ("time", *(middle if field.ndim == 4 else ()), "y", "x")
            attrs = {"units": units, "long_name": long_name, "cell_methods": method}
            arrays[name] = xr.Variable(dims, field.astype(np.float32, copy=False), attrs)
        coords = {
            "time": hours.astype("datetime64[ns]"),
            "level": ("level", LEVELS, {"units": "hPa"}),
            "layer": ("layer", LAYERS.astype(np.float32), {"units": "m", "long_name": "height above ground"}),
            "y": self.grid.y,
            "x": self.grid.x,
            "north": (("y", "x"), self.angle, {"units": "rad", "long_name": "angle from y to true north, clockwise"}),
        }
        return xr.Dataset(arrays, coords)


class Column:
    """The whole air at n instants: the free atmosphere with the boundary layer and local winds put in.

    Arguments:
        weather: of which grid; air, sky, layer: at the instants; speed: wind above the boundary layer [m s⁻¹].
    """

    def __init__(self, weather: Weather, air: Air, sky: Sky, layer: BoundaryLayer, speed: np.ndarray) -> None:
        self.air, self.sky, self.layer = air, sky, layer
        self.surface, self.terrain = weather.surface, weather.terrain
        self.local = LocalWind.of(self.terrain, layer, speed, self.surface.land)
        self.felt = layer.smoothed(self.terrain.smooth)
        low = np.full((1, 1, 1), 10, np.float32)
        self.nearby = layer.slowing(low)[0] - self.felt.slowing(low)[0]  # what the cell's own ground adds at 10 m

    def wind(self, s: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Wind along x and y at log-pressures `s` and heights above ground `z` [m] that belong together."""
        u, v = self.air.wind(s)
        share, turn = self.felt.slowing(z)
        share = share + self.nearby * np.exp(-np.maximum(z - 10, 0) / np.float32(ADAPTED))
        cos, sin = share * np.cos(turn), share * np.sin(turn)
        u, v = self.terrain.steered(u * cos - v * sin, u * sin + v * cos, z)
        local = self.local.at(z)
        return u + local[0], v + local[1]

    def temperature(self, s: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Temperature [K] and relative humidity [%], likewise; land warms the air and hardly moistens it, the sea does."""
        free = self.air.temperature(s)
        t = free + self.layer.warming(z)
        humidity = 100 * self.sky.relative_humidity(z) * saturation(free + self.surface.wet * (t - free)) / saturation(t)
        return t, np.clip(humidity, DRIEST, 100)

    def pressure_levels(self) -> dict[str, np.ndarray]:
        """PRESSURE's variables but q, and the surface pressure that belongs to them."""
        s = np.log(1000 / LEVELS)[:, None, None]
        height = self.air.geopotential(s) / np.float32(GRAVITY)
        # over each cell's own ground the wind would change from cell to cell, and rise and sink with every hill
        u, v = self.wind(s, height - self.terrain.elevation)
        t, r = self.temperature(s, height - self.surface.elevation)
        tv = virtual(t, r / 100 * saturation(t), 100 * LEVELS[:, None, None])
        geopotential = hydrostatic(self.air.geopotential(s[-1:])[:, 0], tv)
        ps = surface_pressure(geopotential, tv, self.surface.elevation)
        cell = self.terrain.cell
        low = self._near_surface()
        slope = gradient(self.terrain.smooth(ps), cell)
        climbing = low[0] * slope[0] + low[1] * slope[1]
        w = vertical_wind(divergence(u, v, cell), ps, climbing)
        return {"z": geopotential, "t": t, "r": r, "u": u, "v": v, "w": w, "vo": vorticity(u, v, cell), "sp": ps}

    def layers(self) -> dict[str, np.ndarray]:
        """Wind, temperature and humidity at the centres of the model's layers."""
        z = LAYERS.astype(np.float32)[:, None, None]
        # wind as of the smoothed ground, as on pressure levels: air some way up does not rise with every peak
        u, v = self.wind(self.air.log_pressure(self.terrain.elevation + z), z)
        t, r = self.temperature(self.air.log_pressure(self.surface.elevation + z), z)
        return {"layer_u": u, "layer_v": v, "layer_t": t, "layer_r": r}

    def single(self, ground: np.ndarray) -> dict[str, np.ndarray]:
        """Temperature and dewpoint at 2 m, wind at 10 m; `ground` is the free atmosphere's temperature there [K]."""
        t2m = ground + self.layer.warming(np.full((1, 1, 1), 2, np.float32))[:, 0]
        vapour = self.sky.humidity[0] * saturation(ground + self.surface.wet * (t2m - ground))
        u10, v10 = self._near_surface()
        return {"t2m": t2m, "d2m": np.minimum(dewpoint(vapour), t2m), "u10": u10, "v10": v10}

    def _near_surface(self) -> tuple[np.ndarray, np.ndarray]:
        """Wind at 10 m."""
        s = self.air.log_pressure(self.surface.elevation)
        u, v = self.wind(s, np.full((1, 1, 1), 10, np.float32))
        return u[:, 0], v[:, 0]
