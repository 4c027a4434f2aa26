"""Turbulence: what the boundary layer exchanges between layers, and how fast the ground takes gases up."""

from collections.abc import Mapping

import numpy as np
from numba import njit, prange

from airloom.twin.layers import INTERFACES, LAYERS
from airloom.twin.species import GROUND, Species

KARMAN = 0.4
ALOFT = 0.4  # diffusivity above the boundary layer [m² s⁻¹]
MOST_DIFFUSIVE = 1000.0  # m² s⁻¹


@njit(parallel=True, cache=True)
def _exchange(friction, inverse_obukhov, depth, density, heights, distances):  # type: ignore[no-untyped-def]
    interfaces = len(heights)
    rows, columns = depth.shape
    found = np.empty((interfaces, rows, columns), np.float32)
    for y in prange(rows):
        for k in range(interfaces):
            z = heights[k]
            for x in range(columns):
                u, inverse, h = friction[y, x], inverse_obukhov[y, x], max(depth[y, x], np.float32(40.0))
                mixing = np.float32(0.0)
                if z < h:
                    shape = z * (1 - z / h) ** 2
                    if inverse >= 0:
                        mixing = KARMAN * u * shape / (1 + 5 * min(z, np.float32(0.3) * h) * inverse)
                    else:
                        velocity = (u**3 * (1 + np.float32(0.7) * h * -inverse)) ** np.float32(1 / 3)
                        mixing = KARMAN * velocity * shape
                found[k, y, x] = density[k, y, x] * min(mixing + ALOFT, MOST_DIFFUSIVE) / distances[k]
    return found


def exchange(ustar: np.ndarray, inverse_obukhov: np.ndarray, blh: np.ndarray, density: np.ndarray) -> np.ndarray:
    """Air exchanged between neighbouring layers [mol m⁻² s⁻¹], float32 on (layer − 1, y, x).

    Diffusivity is K = κ w z (1 − z/h)² within the boundary layer (Holtslag & Boville, 1993): w is the friction velocity over
    the stable profile function, or grows with the convective velocity; above it a small constant.

    Arguments:
        ustar: friction velocity [m s⁻¹] on (y, x).
        inverse_obukhov: [m⁻¹] on (y, x).
        blh: boundary layer height [m] on (y, x).
        density: of air at the interfaces between layers [mol m⁻³], on (layer − 1, y, x).
    """
    return _exchange(
        ustar, inverse_obukhov, blh, density, INTERFACES[1:-1].astype(np.float32), np.diff(LAYERS).astype(np.float32)
    )


def uptake(species: Mapping[str, Species], ground: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Surface conductance [m s⁻¹] of each species by night and what the full sun adds, each on (species, y, x).

    `ground`: share of each kind of GROUND, on (kind, y, x).
    """
    night = np.stack([np.tensordot(1 / np.array(s.resistance_night, np.float32), ground, 1) for s in species.values()])
    day = np.stack([np.tensordot(1 / np.array(s.resistance_day, np.float32), ground, 1) for s in species.values()])
    assert len(ground) == len(GROUND)
    return night.astype(np.float32), (day - night).astype(np.float32)


@njit(parallel=True, cache=True)
def settling(friction, inverse_obukhov, roughness, sun, night, more, settled, height):  # type: ignore[no-untyped-def]
    """Deposition velocity over the thickness of the lowest layer [s⁻¹], on (species, y, x): 1 / (Ra + Rb + Rc) (Wesely, 1989).

    Arguments:
        friction: friction velocity [m s⁻¹] on (y, x).
        inverse_obukhov: [m⁻¹] on (y, x).
        roughness: length [m] on (y, x).
        sun: 0…1, share of the full sun, on (y, x).
        night: conductance of `uptake`, on (species, y, x).
        more: what the full sun adds, of `uptake`.
        settled: fall velocity of each species [m s⁻¹], on (species,).
        height: thickness of the lowest layer [m].
    """
    species, rows, columns = night.shape
    found = np.empty((species, rows, columns), np.float32)
    z = np.float32(height / 2)
    for y in prange(rows):
        for x in range(columns):
            u = max(friction[y, x], np.float32(0.03))
            zeta = z * inverse_obukhov[y, x]
            stable = 5 * min(zeta, np.float32(2.0))
            correction = stable if zeta > 0 else np.float32(2) * np.log(2 / (1 + np.sqrt(1 - 16 * zeta)))
            aerodynamic = max((np.log(z / roughness[y, x]) + correction) / (np.float32(KARMAN) * u), np.float32(5.0))
            laminar = np.float32(6.0) / (np.float32(KARMAN) * u)
            for s in range(species):
                conductance = night[s, y, x] + sun[y, x] * more[s, y, x]
                speed = settled[s]
                if conductance > 0:
                    speed += 1 / (aerodynamic + laminar + 1 / conductance)
                found[s, y, x] = speed / np.float32(height)
    return found
