"""The ground under the weather: sea temperature, roughness, leaves, and what it makes of radiation."""

from dataclasses import dataclass

import numpy as np

from airloom.twin.sky import longwave, shortwave
from airloom.twin.vapour import saturation
from airloom.twin.waves import season

LATENT = 2.5e6  # heat of evaporation [J kg⁻¹]
ROUGH_LAND, ROUGH_SEA = 0.15, 2e-4  # m
TAKEN = 0.75  # share of the difference to the sea that the air near it takes up


class Surface:
    """What stands still, on (y, x).

    Arguments:
        lon, lat: degrees; land: share, 0…1; elevation: m above sea level.
    """

    def __init__(self, lon: np.ndarray, lat: np.ndarray, land: np.ndarray, elevation: np.ndarray) -> None:
        self.lon, self.lat, self.land, self.elevation = (a.astype(np.float32) for a in (lon, lat, land, elevation))
        self.roughness = np.exp(self.land * np.log(ROUGH_LAND) + (1 - self.land) * np.log(ROUGH_SEA)).astype(np.float32)
        self.wet = 1 - 0.75 * self.land  # share of the air's warming that its moisture keeps up with
        self.inland = (0.5 + 0.5 * np.tanh((self.lon - 2) / 8)).astype(np.float32)  # 0 over the Atlantic … 1 in the east

    def sea_temperature(self, hours: np.ndarray) -> np.ndarray:
        """K, on (time, y, x): warmest in late August, with a larger swing in the enclosed seas."""
        mean = 273.15 + 19 - 0.43 * (self.lat - 36) - 0.8 * self.inland
        return mean + (3.6 + 2.8 * self.inland) * season(hours, 232)

    def albedo(self, t: np.ndarray) -> np.ndarray:
        """Share of short-wave radiation thrown back, on (time, y, x); snow lies where the ground's air `t` [K] is cold."""
        snow = self.land * np.clip((271 - t) / 8, 0, 0.6)
        return 0.07 + 0.11 * self.land + 0.45 * snow

    def evaporating(self, hours: np.ndarray) -> np.ndarray:
        """Share of the land's available heat that evaporates water, on (time, y, x): little in Mediterranean summers."""
        summer = season(hours, 205)
        dry = (0.5 + 0.5 * summer) / (1 + np.exp((self.lat - 44) / 2))
        return 0.60 + 0.03 * summer - 0.33 * dry

    def leaves(self, hours: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Leaf area index of low and high vegetation [m² m⁻²] on (time, y, x); none over sea."""
        summer = 0.5 + 0.5 * season(hours, 190)
        fertile = self.land * np.clip(1.25 - self.elevation / 2400, 0.1, 1) * np.clip((71 - self.lat) / 12, 0.15, 1)
        return fertile * (0.9 + 1.9 * summer), fertile * (1.3 + 2.6 * summer)


@dataclass(frozen=True, eq=False)
class Fluxes:
    """Means over hours, on (hour, y, x) [W m⁻²]; `heat` and `latent` upward, the others downward.

    Arguments:
        sun: short-wave, all that arrives; short, long: net radiation; heat: sensible, latent: of evaporation;
        land_heat: sensible over the land's share of the cell alone.
    """

    sun: np.ndarray
    short: np.ndarray
    long: np.ndarray
    heat: np.ndarray
    latent: np.ndarray
    land_heat: np.ndarray

    @property
    def net(self) -> np.ndarray:
        """Net radiation, downward."""
        return self.short + self.long

    @classmethod
    def of(
        cls,
        surface: Surface,
        hours: np.ndarray,
        cosine: np.ndarray,
        cloud: np.ndarray,
        humidity: np.ndarray,
        t: np.ndarray,
        speed: np.ndarray,
    ) -> "Fluxes":
        """The balance of the surface, over land by its share that evaporates, over sea in bulk.

        Arguments, each the mean over the hour on (hour, y, x):
            cosine: of the solar zenith angle; cloud: cover 0…1; humidity: relative, 0…1;
            t: air temperature at the ground without the day's warming [K]; speed: wind above the boundary layer [m s⁻¹].
        """
        vapour = humidity * saturation(t)
        arriving = shortwave(cosine, cloud)
        short = arriving * (1 - surface.albedo(t))
        long = longwave(t, vapour, cloud) - 0.06 * short * surface.land  # a warm ground radiates more
        net = short + long
        gained, lost = 0.9 * np.maximum(net, 0), np.minimum(net, 0)
        evaporating = surface.evaporating(hours)
        land_heat = (1 - evaporating) * gained + 0.4 * lost * speed / (speed + 6)
        land_latent = evaporating * gained + 4
        sea = surface.sea_temperature(hours)
        warm = TAKEN * (sea - t)
        warmer = sea - t - warm + 1.3  # air loses heat by radiation all day, and stays a little colder than the sea
        sea_heat = 1.4 * 0.7 * speed * np.where(warmer > 0, warmer, 0.3 * warmer)
        # 0.622 / p of surface pressure turns vapour pressure into specific humidity
        moister = 0.622e-5 * (0.98 * saturation(sea) - 0.82 * saturation(t + warm))
        sea_latent = 1.2 * LATENT * 1.3e-3 * 0.7 * speed * np.maximum(moister, 0)
        land = surface.land
        heat = land * land_heat + (1 - land) * sea_heat
        latent = land * land_latent + (1 - land) * sea_latent
        return cls(*(a.astype(np.float32) for a in (arriving, short, long, heat, latent, land_heat)))
