"""What the model carries: species, their molar mass, how the ground takes them up, and the air beyond the window."""

from dataclasses import dataclass

import numpy as np

from airloom.twin.layers import LAYERS

GROUND = ("artificial", "agricultural", "forest", "wetland", "water")  # CORINE's first level
INERT = (1e9,) * len(GROUND)


@dataclass(frozen=True)
class Species:
    """One species.

    `mass`: g mol⁻¹; particles without a formula are carried in µg, so that it is 1. `resistance_day`, `resistance_night`: of
    each kind of GROUND [s m⁻¹]. `settling`: fall velocity [m s⁻¹]. `border`: mole fraction beyond the window at the ground,
    in winter and in summer [nmol mol⁻¹; µg mol⁻¹ × 10⁻³ for particles carried in µg], which falls with height over `scale` [m].
    """

    mass: float
    border: tuple[float, float]
    scale: float
    resistance_day: tuple[float, ...] = INERT
    resistance_night: tuple[float, ...] = INERT
    settling: float = 0.0

    def beyond(self, yearday: float) -> np.ndarray:
        """Mole fraction beyond the window on (layer,) [nmol mol⁻¹]; warmest on day 200."""
        summer = (1 + np.cos(2 * np.pi * (yearday - 200) / 365.25)) / 2
        ground = self.border[0] + (self.border[1] - self.border[0]) * summer
        return (ground * np.exp(-LAYERS / self.scale)).astype(np.float32)


PARTICLE = (700.0, 500.0, 300.0, 500.0, 1000.0)
STICKY = (30.0, 20.0, 15.0, 20.0, 10.0)

NOX = {
    "no": Species(30.006, (0.02, 0.01), 2000),
    "no2": Species(46.006, (4.4, 2.7), 1100, (900, 320, 260, 500, 3000), (1800, 900, 800, 1200, 3000)),
    "o3": Species(47.998, (33.0, 38.0), 40000, (600, 180, 130, 300, 2000), (1000, 500, 350, 700, 2000)),
}
OTHERS = {
    "so2": Species(64.066, (0.4, 0.3), 1500, (300, 110, 90, 60, 20), (400, 160, 130, 60, 20)),
    "nh3": Species(17.031, (0.8, 1.5), 700, (200, 120, 60, 60, 20), (300, 200, 100, 60, 20)),
    "voc": Species(70.0, (1.2, 0.8), 3000),
    "hno3": Species(63.013, (0.15, 0.25), 2000, STICKY, STICKY),
    "so4": Species(96.06, (0.25, 0.45), 2500, PARTICLE, PARTICLE),
    "no3": Species(62.005, (0.5, 0.1), 1200, PARTICLE, PARTICLE),
    "nh4": Species(18.038, (0.9, 0.8), 1500, PARTICLE, PARTICLE),
    "soa": Species(1.0, (20.0, 60.0), 2500, PARTICLE, PARTICLE),
    "pm25": Species(1.0, (50.0, 30.0), 1500, PARTICLE, PARTICLE),
    "pmcoarse": Species(1.0, (60.0, 70.0), 1500, INERT, INERT, settling=0.006),
}
SETS = {"nox": NOX, "all": NOX | OTHERS}
PM25 = ("so4", "no3", "nh4", "soa", "pm25")  # what makes PM2.5
