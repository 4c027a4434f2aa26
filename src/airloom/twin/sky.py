"""Sun, cloud, rain and radiation, as the large-scale flow and the time of day give them."""

from dataclasses import dataclass

import numpy as np

from airloom.twin.synoptic import Air
from airloom.twin.vapour import saturation
from airloom.twin.waves import season, seconds

BOLTZMANN = 5.67e-8  # W m⁻² K⁻⁴


def sun(lon: np.ndarray, lat: np.ndarray, hours: np.ndarray, minutes: float = 0.0) -> np.ndarray:
    """Cosine of the solar zenith angle, 0 at night, on (time, y, x), `minutes` after each of `hours` [datetime64[h]].

    Declination and equation of time after Spencer (1971), with its leading terms.
    """
    at = seconds(hours) + 60 * minutes
    year = (2 * np.pi * at / 86400 / 365.2425)[:, None, None]
    declination = 0.006918 - 0.399912 * np.cos(year) + 0.070257 * np.sin(year) - 0.006758 * np.cos(2 * year)
    equation = 0.001868 * np.cos(year) - 0.032077 * np.sin(year) - 0.014615 * np.cos(2 * year) - 0.040849 * np.sin(2 * year)
    hour = np.mod(at, 86400)[:, None, None] / 43200 * np.pi - np.pi + np.radians(lon) + equation
    north = np.radians(lat)
    cosine = np.sin(north) * np.sin(declination) + np.cos(north) * np.cos(declination) * np.cos(hour)
    return np.maximum(cosine, 0).astype(np.float32)


def clear_sky(cosine: np.ndarray) -> np.ndarray:
    """Short-wave radiation at the surface under a clear sky [W m⁻²] (Haurwitz, 1945)."""
    return 1098 * cosine * np.exp(-0.057 / np.maximum(cosine, 1e-3))


@dataclass(frozen=True, eq=False)
class Sky:
    """Moments on (time, y, x).

    Arguments:
        lift: index of ascent and moisture, about −2 dry and sinking … 2 raining.
        cloud: cover, 0…1.
        humidity: large-scale relative humidity near the ground, and above 3 km, 0…1.
    """

    lift: np.ndarray
    cloud: np.ndarray
    humidity: tuple[np.ndarray, np.ndarray]

    @classmethod
    def of(cls, air: Air, lat: np.ndarray, land: np.ndarray, upslope: np.ndarray) -> "Sky":
        """Cloud where air rises or fronts lie; `upslope` is the vertical wind that the terrain forces [m s⁻¹]."""
        summer = season(air.hours, 205)
        dry = (0.55 + 0.45 * summer) / (1 + np.exp((lat - 44) / 2))  # the subtropical high reaches the Mediterranean
        rising = 1 / (1 + np.exp(-2 * (air.lift + 0.3)))  # fronts lift only where the waves do not sink
        lift = (0.9 + 0.15 * summer) * air.lift + 0.8 * air.front * rising + 0.3 * air.texture - 0.6 * air.block - 0.75 * dry
        lift = (lift + 0.45 * np.clip(upslope / 0.06, -1, 1.5)).astype(np.float32)
        cloud = 1 / (1 + np.exp(-2.7 * (lift + 0.6 + 0.2 * air.cells - 0.05 * summer)))
        low = 0.82 + 0.10 * np.tanh(lift) - 0.035 * (1 + summer) * land - 0.12 * dry * land
        middle = 0.48 + 0.34 * np.tanh(0.8 * lift) - 0.08 * dry
        return cls(lift, cloud.astype(np.float32), (low.astype(np.float32), middle.astype(np.float32)))

    def relative_humidity(self, z: np.ndarray) -> np.ndarray:
        """Large-scale relative humidity 0…1 on (time, level, y, x) at heights above ground `z` [m] that broadcast to it."""
        low, middle = (h[:, None] for h in self.humidity)
        share = np.clip((z - np.float32(600)) / np.float32(2600), 0, 1)
        share = share * share * (3 - 2 * share)
        return low + (middle - low) * share

    def part(self, first: int, last: int) -> "Sky":
        """The times from `first` to before `last`."""
        at = slice(first, last)
        return Sky(self.lift[at], self.cloud[at], (self.humidity[0][at], self.humidity[1][at]))


def rain(air: Air, sky: Sky, t2m: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Precipitation [kg m⁻² s⁻¹] on (time, y, x): bands in rising air, and showers over warm ground.

    `t2m` is the temperature [K], `heat` the sensible heat flux, upward [W m⁻²].
    """
    moist = saturation(np.clip(air.t0, 268, 298)) / np.float32(1200.0)
    bands = 1.25 * np.maximum(sky.lift - 0.62 + 0.2 * air.cells, 0) ** 1.4 * np.sqrt(moist)
    warm = 1 / (1 + np.exp(-(t2m - 288) / 2))
    unstable = 1 / (1 + np.exp(-3 * (sky.lift + 0.1)))
    showers = 3.0 * np.maximum(air.cells - 1.0, 0) * warm * unstable * np.clip(heat / 120, 0.1, 1.5)
    return ((bands + showers) / 3600).astype(np.float32)


def snow_share(t2m: np.ndarray) -> np.ndarray:
    """Share of precipitation that falls as snow: all below 0 °C, none above 2.5 °C."""
    return np.clip((275.65 - t2m) / 2.5, 0, 1)


def shortwave(cosine: np.ndarray, cloud: np.ndarray) -> np.ndarray:
    """Short-wave radiation at the surface, downward [W m⁻²] (Kasten and Czeplak, 1980)."""
    return (clear_sky(cosine) * (1 - 0.75 * cloud**3.4)).astype(np.float32)


def longwave(t: np.ndarray, e: np.ndarray, cloud: np.ndarray) -> np.ndarray:
    """Net long-wave radiation at the surface, downward [W m⁻²] (Brunt's form), air at `t` [K], vapour pressure `e` [Pa]."""
    return -(0.36 - 0.0045 * np.sqrt(e)) * np.float32(BOLTZMANN) * t**4 * (1 - 0.78 * cloud)
