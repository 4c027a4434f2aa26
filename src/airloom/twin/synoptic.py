"""The large-scale flow: mean westerlies, travelling waves sharpened to fronts, and blocking highs, in balance."""

from dataclasses import dataclass, replace

import numpy as np
from pyproj import Transformer

from airloom.grid import Grid
from airloom.twin.waves import DAY, Texture, Waves, season, travelling

GAS = 287.05  # of dry air [J kg⁻¹ K⁻¹]
GRAVITY = 9.80665  # m s⁻²
EARTH = 7.292e-5  # rotation [s⁻¹]
LAPSE = 6.2e-3  # of the free troposphere [K m⁻¹]
KAPPA = GAS * LAPSE / GRAVITY

WAVES = 48
F0 = 2 * EARTH * np.sin(np.radians(50))  # s⁻¹
SPREAD = 740.0  # standard deviation of the waves' geopotential at 1000 hPa and 50°N in winter [m² s⁻²]
GROWTH, TILT = 1.0, 2.0  # of a wave per unit of log-pressure: in amplitude; westward, in radians
SHEAR = 3e-4  # mean shear that makes waves lift air [m s⁻¹ Pa⁻¹]
STABILITY = 2e-6  # m² Pa⁻² s⁻²
DEPTH = 8e4  # of the troposphere, 1000 to 200 hPa [Pa]
SHARPNESS = 1.0  # of fronts: displacement in units of the geostrophic one
BLOCK = 900.0  # a blocking high's geopotential at 1000 hPa [m² s⁻²]
MESOSCALE = 2e4  # amplitude of the mesoscale stream function [m² s⁻¹]


@dataclass(frozen=True, eq=False)
class Air:
    """The free atmosphere: fields on (time, y, x), whose dependence on s = ln(1000 hPa / p) is known in closed form.

    geopotential = φ0 + R·t0·E(s) + w1·s + w2·s², E(s) = (1 − exp(−κs))/κ, and temperature its derivative over R.

    Arguments:
        hours: times, datetime64[h].
        phi0: geopotential of 1000 hPa [m² s⁻²]; t0: mean temperature there [K]; w1, w2: the waves' [m² s⁻²].
        u, v: balanced wind along x and y [m s⁻¹] that belongs to φ0, t0, w1 and w2, on (4, time, y, x).
        u_lift, v_lift: divergent wind at 1000 hPa that feeds the waves' ascent [m s⁻¹].
        lift: ascent at 600 hPa in its own standard deviations; front: 0 none … 1 strong; block: 0 none … 1.
        texture, cells: moving random fields of mean 0 and variance 1, of 150–600 km and 60–200 km.
    """

    hours: np.ndarray
    phi0: np.ndarray
    t0: np.ndarray
    w1: np.ndarray
    w2: np.ndarray
    u: np.ndarray
    v: np.ndarray
    u_lift: np.ndarray
    v_lift: np.ndarray
    lift: np.ndarray
    front: np.ndarray
    block: np.ndarray
    texture: np.ndarray
    cells: np.ndarray

    def part(self, first: int, last: int) -> "Air":
        """The times from `first` to before `last`."""
        at = slice(first, last)
        cut = {n: a[:, at] if n in ("u", "v") else a[at] for n, a in vars(self).items()}
        return replace(self, **cut)

    def geopotential(self, s: np.ndarray) -> np.ndarray:
        """Geopotential [m² s⁻²] on (time, level, y, x) at log-pressures `s` that broadcast to it."""
        thick = (1 - np.exp(-KAPPA * s)) / KAPPA
        return _up(self.phi0) + GAS * thick * _up(self.t0) + s * (_up(self.w1) + s * _up(self.w2))

    def temperature(self, s: np.ndarray) -> np.ndarray:
        """Temperature [K], likewise."""
        return np.exp(-KAPPA * s) * _up(self.t0) + (_up(self.w1) + 2 * s * _up(self.w2)) / np.float32(GAS)

    def wind(self, s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Balanced and divergent wind along x and y [m s⁻¹], likewise."""
        thick = (1 - np.exp(-KAPPA * s)) / KAPPA
        feed = np.cos(np.float32(np.pi / DEPTH * 1e5) * (1 - np.exp(-s)))  # inflow below 600 hPa, outflow above
        u, v = (
            _up(c[0]) + thick * _up(c[1]) + s * (_up(c[2]) + s * _up(c[3])) + feed * _up(d)
            for c, d in ((self.u, self.u_lift), (self.v, self.v_lift))
        )
        return u, v

    def lapse(self) -> np.ndarray:
        """How fast temperature falls with height in the lowest kilometres [K m⁻¹], on (time, y, x)."""
        return LAPSE - 2 * self.w2 / np.float32(GAS * 8300)

    def log_pressure(self, height: np.ndarray) -> np.ndarray:
        """Log-pressure s at heights above sea level [m] that broadcast to (time, level, y, x), by Newton's rule."""
        s = (height / 8300 + (height / 27e3) ** 2).astype(np.float32)
        for _ in range(2):
            s = s + (np.float32(GRAVITY) * height - self.geopotential(s)) / (np.float32(GAS) * self.temperature(s))
        return s


def _up(field: np.ndarray) -> np.ndarray:
    """(time, y, x) → (time, 1, y, x)."""
    return field[:, None]


@dataclass(frozen=True, eq=False)
class Systems:
    """The travelling waves and what each brings: complex amplitudes, on (wave,); the field is Re(a · exp i(k·x − phase)).

    Arguments:
        psi: stream function [m² s⁻¹] per power 0, 1, 2 of s, on (3, wave).
        chi: velocity potential at 1000 hPa [m² s⁻¹].
        ascent: −ω at 600 hPa in standard deviations.
    """

    waves: Waves
    psi: np.ndarray
    chi: np.ndarray
    ascent: np.ndarray

    @classmethod
    def random(cls, rng: np.random.Generator) -> "Systems":
        """A red spectrum from 800 to 6000 km; ascent from the quasi-geostrophic ω equation in a mean shear."""
        edges = np.geomspace(800e3, 6000e3, WAVES + 1)  # one wave a band, so that no seed lacks a scale
        lengths = edges[:-1] * (edges[1:] / edges[:-1]) ** rng.uniform(size=WAVES)
        waves = travelling(rng, lengths, np.radians(65), (5.0, 16.0), 0.5)
        size = 1 / (1 + (4000e3 / lengths) ** 2)
        size *= SPREAD / F0 / np.sqrt((size**2).sum() / 2 * (1 + waves.swing**2 / 2))
        tilt = TILT * np.minimum(1, 3000e3 / lengths)
        grown = {s: (1 + GROWTH * s) * np.exp(1j * tilt * s) for s in (0.5, 0.7)}
        slope = GROWTH + 1j * tilt
        psi = size * np.stack([np.ones(WAVES), slope, (grown[0.7] - 1 - 0.7 * slope) / 0.49])
        # σ∇²ω + f²∂²ω/∂p² = 2f ∂U/∂p ∂ζ/∂x, with ω a half wave between 1000 and 200 hPa
        vorticity = -(waves.k**2) * size * grown[0.5]
        sinking = 2 * F0 * SHEAR * 1j * waves.kx * vorticity / (STABILITY * waves.k**2 + (F0 * np.pi / DEPTH) ** 2)
        chi = -sinking * np.pi / DEPTH / waves.k**2
        return cls(waves, psi, chi, -sinking / np.sqrt((abs(sinking) ** 2).sum() / 2))


class Synoptic:
    """The large-scale flow over a grid, the same at the same place and time whatever the grid.

    Arguments:
        grid: projected grid.
        seed: which weather.
    """

    def __init__(self, grid: Grid, seed: int) -> None:
        self.grid = grid
        rows, columns = grid.shape  # with a rim of one cell, so that differences are central everywhere
        self.outer = Grid(grid.crs, grid.left - grid.cell, grid.top + grid.cell, grid.cell, (rows + 2, columns + 2))
        lon, lat = self.outer.lonlat()
        self.latitude = lat.astype(np.float32)
        self.f = (2 * EARTH * np.sin(np.radians(lat))).astype(np.float32)
        x, y = Transformer.from_crs(4326, 3035, always_xy=True).transform(lon.ravel(), lat.ravel())
        self.x, self.y = x - 4321e3, y - 3210e3  # from 10°E, 52°N, small enough for single precision
        self.systems = Systems.random(np.random.default_rng([seed, 101]))
        w = self.systems.waves
        # geostrophic displacement (v, −u)/f of the waves' low-level flow, which crowds isotherms in cyclones
        shift = SHARPNESS / F0 * 1j * np.stack([w.kx, w.ky]) * self.systems.psi[0]
        self.shift = Texture(w, self.x, self.y, shift)
        self.slow = Texture(_planetary(np.random.default_rng([seed, 102])), self.x, self.y)
        self.texture, self.cells = (
            Texture(_mesoscale(np.random.default_rng([seed, n]), *lengths), self.x, self.y)
            for n, lengths in ((103, (150e3, 600e3)), (104, (60e3, 200e3)))
        )

    def at(self, hours: np.ndarray) -> Air:
        """The free atmosphere at datetime64[h] times."""
        (texture,), (cells,) = self._shaped(self.texture.at(hours)), self._shaped(self.cells.at(hours))
        slow = self._shaped(self.slow.at(hours))[0]
        block = 1 / (1 + np.exp(-4 * (slow - 0.75)))
        strength = ((0.79 + 0.23 * season(hours, 15)) * (1 - 0.8 * block)).astype(np.float32)
        psi, chi, lift = self._waves(hours, strength)
        still = (block + 0.25 * slow) * (0.8 + 0.2 * season(hours, 15)) * BLOCK / F0
        psi += np.array([1, GROWTH, 0], np.float32)[:, None, None, None] * still.astype(np.float32)
        psi[0] += MESOSCALE * texture
        pressure, t0 = self._mean(hours, block)
        u, v = self._winds(psi, pressure, t0)
        u_lift, v_lift = self._gradient(chi)
        inner = (..., slice(1, -1), slice(1, -1))
        f = self.f[inner]
        warmth = np.hypot(u[1] + u[2] + 0.32 * u[3], v[1] + v[2] + 0.32 * v[3]) * f / GAS  # gradient at 850 hPa [K m⁻¹]
        return Air(
            hours=hours,
            phi0=(pressure + self.f * psi[0])[inner],
            t0=t0[inner],
            w1=(self.f * psi[1])[inner],
            w2=(self.f * psi[2])[inner],
            u=u,
            v=v,
            u_lift=u_lift,
            v_lift=v_lift,
            lift=lift[inner],
            front=np.clip((warmth - 1.2e-5) / 1.5e-5, 0, 1.5).astype(np.float32),
            block=block[inner],
            texture=texture[inner],
            cells=cells[inner],
        )

    def _shaped(self, fields: np.ndarray) -> np.ndarray:
        """(…, place) → (…, y, x) of the outer grid."""
        return fields.reshape(*fields.shape[:-1], *self.outer.shape)

    def _waves(self, hours: np.ndarray, strength: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Stream function on (3, time, y, x), velocity potential and ascent, at the displaced places; hour by hour.

        `strength` on (time, y, x) is that of all waves.
        """
        w = self.systems.waves
        amplitudes = np.vstack([self.systems.psi, self.systems.chi, self.systems.ascent])
        numbers = np.stack([w.kx, w.ky], 1).astype(np.float32)
        shift = self.shift.at(hours) * strength.reshape(len(hours), -1)
        pulse, phase = w.strength(hours), w.phase(hours)
        place = np.stack([self.x, self.y]).astype(np.float32)
        fields = np.empty((5, len(hours), place.shape[1]), np.float32)
        for i in range(len(hours)):
            argument = numbers @ (place + shift[:, i])
            turned = amplitudes * pulse[i] * np.exp(-1j * phase[i])
            fields[:, i] = turned.real.astype(np.float32) @ np.cos(argument)
            fields[:, i] -= turned.imag.astype(np.float32) @ np.sin(argument)
        shaped = self._shaped(fields) * strength
        return shaped[:3], shaped[3], shaped[4]

    def _mean(self, hours: np.ndarray, block: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean geopotential of 1000 hPa [m² s⁻²] and temperature there [K], of latitude and season.

        Where a block stands, the westerlies give way.
        """
        winter, summer = season(hours, 20), season(hours, 205)
        north = self.latitude - 50
        drop = (5.5 + 3.0 * winter) * np.tanh((self.latitude - 49) / 11)  # subtropical high to subpolar low [hPa]
        pressure = 80.0 * (14.0 - drop * (1 - 0.7 * block))
        t0 = 273.15 + 11.3 + 6.1 * summer - (0.585 - 0.035 * summer) * north
        return pressure.astype(np.float32), t0.astype(np.float32)

    def _winds(self, psi: np.ndarray, pressure: np.ndarray, t0: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Wind (u, v) on (4, time, y, x) for φ0, t0, w1, w2: the waves' stream functions, and the geostrophic mean."""
        f = self.f[1:-1, 1:-1]
        px, py = self._gradient(pressure)
        tx, ty = self._gradient(t0)
        sx, sy = self._gradient(psi)
        u = np.stack([-sy[0] - py / f, -GAS * ty / f, -sy[1], -sy[2]])
        v = np.stack([sx[0] + px / f, GAS * tx / f, sx[1], sx[2]])
        return u.astype(np.float32), v.astype(np.float32)

    def _gradient(self, field: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Central differences along x and y (northward) on the inner grid."""
        step = np.float32(2 * self.grid.cell)
        return (field[..., 1:-1, 2:] - field[..., 1:-1, :-2]) / step, (field[..., :-2, 1:-1] - field[..., 2:, 1:-1]) / step


def _planetary(rng: np.random.Generator) -> Waves:
    """Long waves that hardly move: where their sum is high, a block stands for days."""
    lengths = rng.uniform(4500e3, 9000e3, 10)
    waves = travelling(rng, lengths, np.pi / 2, (1.0, 2.0), 0.0)
    period = rng.uniform(14, 50, 10) * DAY
    return replace(waves, speed=rng.choice([-1, 1], 10) * 2 * np.pi / period)


def _mesoscale(rng: np.random.Generator, shortest: float, longest: float) -> Waves:
    """Waves in all directions that drift with the mean flow."""
    lengths = np.exp(rng.uniform(np.log(shortest), np.log(longest), 56))
    waves = travelling(rng, lengths, np.pi, (9.0, 13.0), 0.5)
    return replace(waves, speed=waves.speed + waves.ky * 2.0)
