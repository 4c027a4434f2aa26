"""The boundary layer: how deep it is, how it warms and slows the air, hour by hour from the fluxes of the hours before."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from airloom.twin.surface import ROUGH_LAND, ROUGH_SEA, TAKEN, Fluxes, Surface
from airloom.twin.synoptic import GRAVITY
from airloom.twin.waves import season

PAST = 15  # hours that the layer remembers
ADIABATIC = GRAVITY / 1004  # K m⁻¹
HEAT = 1.2 * 1004  # of a cubic metre of air [J m⁻³ K⁻¹]
KARMAN = 0.4
COLD = 600.0  # depth of winter's cold over land [m]


def remembered(weights: np.ndarray, past: np.ndarray) -> np.ndarray:
    """Σ weights[k−1] · past[hour − k]: from (PAST + n hours, y, x) to n instants on (time, y, x).

    `past` begins PAST hours before the first instant; the hour right before an instant has weights[0].
    """
    n = len(past) - PAST
    table = np.zeros((n, len(past)), np.float32)
    for i in range(n):
        table[i, i : i + PAST] = weights[::-1]
    return np.tensordot(table, past, 1)


@dataclass(frozen=True, eq=False)
class BoundaryLayer:
    """Moments on (time, y, x).

    Arguments:
        height: m; ustar: friction velocity [m s⁻¹]; inverse_obukhov: m⁻¹; heat: sensible heat flux, upward [W m⁻²].
        drag: friction velocity over the wind above; turn: angle of the surface wind to it [rad, anticlockwise].
        roughness: m, on (y, x).
        mixed: warming at the ground of the well-mixed air [K], which fades upward by `excess` [K m⁻¹].
        skin: more warming in the lowest metres [K].
        inversion: cooling at the ground of the stable layer [K, positive], and `shallow` its depth [m].
        cold: winter's cooling over land [K, positive].
    """

    height: np.ndarray
    ustar: np.ndarray
    inverse_obukhov: np.ndarray
    heat: np.ndarray
    drag: np.ndarray
    turn: np.ndarray
    roughness: np.ndarray
    mixed: np.ndarray
    excess: np.ndarray
    skin: np.ndarray
    inversion: np.ndarray
    shallow: np.ndarray
    cold: np.ndarray

    @classmethod
    def of(
        cls,
        surface: Surface,
        hours: np.ndarray,
        fluxes: Fluxes,
        t: np.ndarray,
        lapse: np.ndarray,
        speed: np.ndarray,
        f: np.ndarray,
    ) -> "BoundaryLayer":
        """The layer at n instants.

        Arguments:
            surface: of the cells.
            hours: the instants, datetime64[h].
            fluxes: from PAST hours before the first instant to the hour after the last.
            t: air temperature at the ground without the layer's warming [K], on (time, y, x).
            lapse: how it falls with height [K m⁻¹], likewise.
            speed: wind above the layer [m s⁻¹], likewise.
            f: Coriolis parameter [s⁻¹], on (y, x).
        """
        heat, land_heat = (0.5 * (a[PAST - 1 : -1] + a[PAST:]) for a in (fluxes.heat, fluxes.land_heat))
        age = np.arange(1, PAST + 1)
        whole = np.clip((PAST + 0.5 - age) / 7, 0, 1)  # all of the last eight hours, then less and less
        stored = 3600 * remembered(whole, np.maximum(fluxes.land_heat, 0))
        excess = np.clip(ADIABATIC - lapse, 1.8e-3, 6e-3)
        # encroachment into a constant lapse; over mountains the heat is shared with the air of the valleys round them
        land_mixed = np.sqrt(1.8 * stored * excess / HEAT) / np.hypot(1, surface.elevation / 1800)
        sea = np.clip(TAKEN * (surface.sea_temperature(hours) - t), -6, 7)
        land = surface.land
        mixed = land * land_mixed + (1 - land) * np.maximum(sea, 0)

        convective = np.clip((land_heat + 15) / 50, 0, 1)
        convective = convective**2 * (3 - 2 * convective)
        calm = 1 / (1 + (speed / 7) ** 2)
        fading = np.exp(-age / 5.0)
        cooling = remembered(fading / fading.sum(), np.maximum(-fluxes.net, 0))
        stable = 0.11 * cooling * (0.15 + 0.85 * calm) * (1 - 0.85 * convective)
        inversion = land * stable + (1 - land) * np.maximum(-sea, 0)

        drag, ustar, inverse = _friction(surface, heat, t, speed)
        mechanical = np.maximum(_mechanical(ustar, inverse, f), 25 + 100 * (1 - land))
        rises = land * convective + 0.6 * (1 - land)
        clouds = 2.0 * (1 - land) * np.clip(heat / 5, 0, 1)  # over sea they stir from above [K]
        height = mechanical + rises * np.maximum((mixed + clouds) / excess - mechanical, 0)
        w_star = np.cbrt(GRAVITY / 285 * np.maximum(heat, 0) / HEAT * height)
        ustar = np.hypot(ustar, 0.06 * w_star)
        winter = 0.5 + 0.5 * season(hours, 15)
        fields = {
            "height": height,
            "ustar": ustar,
            "inverse_obukhov": _inverse_obukhov(heat, t, ustar),
            "heat": heat,
            "drag": drag,
            "turn": np.radians(_angle(surface, inverse)),
            "mixed": mixed,
            "excess": excess,
            "skin": land * np.clip(heat / 160, 0, 1.5),
            "inversion": inversion,
            "shallow": 50 + 0.8 * mechanical,
            "cold": land * winter * (0.8 + 2.2 * surface.inland),
        }
        return cls(roughness=surface.roughness, **{n: a.astype(np.float32) for n, a in fields.items()})

    def first(self, n: int) -> "BoundaryLayer":
        """The first `n` instants."""
        return replace(self, **{name: a[:n] for name, a in vars(self).items() if name != "roughness"})

    def warming(self, z: np.ndarray) -> np.ndarray:
        """Temperature less that of the free atmosphere [K] on (time, level, y, x) at heights above ground `z` [m].

        Below ground it fades, lest a mountain's summer warm the pressure of the sea level under it.
        """
        fading = np.exp(np.minimum(z, 0) / np.float32(800))
        z = np.maximum(z, np.float32(2))
        mixed, excess, skin, inversion, shallow, cold = (
            a[:, None] for a in (self.mixed, self.excess, self.skin, self.inversion, self.shallow, self.cold)
        )
        cooled = inversion * np.exp(-z / shallow) + cold * np.exp(-z / np.float32(COLD))
        warmed = np.maximum(mixed - excess * z, 0) + skin * np.exp(-z / np.float32(30))
        return (warmed - cooled) * fading

    def smoothed(self, smooth: Callable[[np.ndarray], np.ndarray]) -> "BoundaryLayer":
        """The layer that the air some way above the ground feels, which takes a while to adapt behind a coast."""
        felt = {n: smooth(getattr(self, n)) for n in ("height", "inverse_obukhov", "drag", "turn")}
        return replace(self, **felt, roughness=np.exp(smooth(np.log(self.roughness))))

    def slowing(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The wind at heights above ground `z` [m] as a share of that above, and its angle to it [rad, anticlockwise]."""
        height, drag = self.height[:, None], self.drag[:, None]
        z = np.maximum(z, np.float32(10))
        log = np.log(z / self.roughness) - _stability(z * self.inverse_obukhov[:, None])
        slowed = np.clip(drag / np.float32(KARMAN) * log, 0.05, 1.08)
        blend = np.clip((z / height - 0.15) / 0.85, 0, 1)
        blend = blend * blend * (3 - 2 * blend)
        below = 1 - np.minimum(z / height, 1)
        return slowed + (1 - slowed) * blend, self.turn[:, None] * below * below


def _friction(
    surface: Surface, heat: np.ndarray, t: np.ndarray, speed: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Drag, friction velocity [m s⁻¹] and inverse Obukhov length [m⁻¹], by the wind above and stability."""
    rough = np.log(surface.roughness / ROUGH_SEA) / np.log(ROUGH_LAND / ROUGH_SEA)
    speed = np.maximum(speed, 1.0)
    neutral = (0.031 + 0.013 * rough) / np.sqrt(1 + (speed / 32) ** 2)  # less drag for the more wind, as Rossby numbers grow
    inverse = _inverse_obukhov(heat, t, np.maximum(neutral * speed, 0.04))
    factor = np.where(inverse > 0, 1 - 0.5 * np.tanh(inverse / 0.025), 1 + 0.2 * np.tanh(-inverse / 0.02))
    drag = neutral * factor
    ustar = np.maximum(drag * speed, 0.03)
    return drag, ustar, _inverse_obukhov(heat, t, ustar)


def _inverse_obukhov(heat: np.ndarray, t: np.ndarray, ustar: np.ndarray) -> np.ndarray:
    """1/L = −κ g H / (ρ c_p T u*³) [m⁻¹], |L| at least 5 m."""
    return np.clip(-KARMAN * GRAVITY * heat / (HEAT * t * ustar**3), -0.2, 0.2)


def _mechanical(ustar: np.ndarray, inverse: np.ndarray, f: np.ndarray) -> np.ndarray:
    """Depth that the wind alone stirs [m]: 0.15 u*/f, less where stable (Zilitinkevich, 1972)."""
    neutral = 1500 * np.tanh(0.15 * ustar / f / 1500)
    stable = 0.4 * np.sqrt(ustar / (f * np.maximum(inverse, 1e-5)))
    return neutral * stable / np.hypot(neutral, stable)


def _angle(surface: Surface, inverse: np.ndarray) -> np.ndarray:
    """Angle of the surface wind to the wind above [degrees]: more over land and when stable."""
    neutral = 10 + 12 * surface.land
    return neutral * (1 + 0.6 * np.tanh(inverse / 0.03))


def _stability(ratio: np.ndarray) -> np.ndarray:
    """Businger and Dyer's ψ_m of z/L."""
    root = np.sqrt(np.sqrt(1 + 16 * np.clip(-ratio, 0, 2)))
    unstable = 2 * np.log((1 + root) / 2) + np.log((1 + root * root) / 2) - 2 * np.arctan(root) + np.float32(np.pi / 2)
    return np.where(ratio < 0, unstable, -5 * np.clip(ratio, 0, 1))
