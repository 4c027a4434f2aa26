"""Chemistry of the lower troposphere in a few reactions: NO–NO₂–O₃, the loss of NOx by day and night, secondary particles.

Concentrations are amounts over thickness [µmol m⁻³]; a rate constant of 1 cm³ s⁻¹ is `MOLECULES` m³ µmol⁻¹ s⁻¹. Rate
constants are those of the IUPAC evaluation (Atkinson et al., 2004), rounded.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
from numba import njit, prange

MOLECULES = 6.022e11  # molecules cm⁻³ in 1 µmol m⁻³
CLEAR = 0.0092  # photolysis of NO₂ under an overhead sun [s⁻¹]
OH_NOON = 5.0e6  # molecules cm⁻³ under such a sun
NO2_OH = 1.1e-11 * MOLECULES  # at 1 bar [m³ µmol⁻¹ s⁻¹]
SO2_OH = 1.0e-12 * MOLECULES
VOC_OH = 8.0e-12 * MOLECULES  # a mean anthropogenic mixture
OZONE_LOSS = 2.0e-7  # with HOx and water at noon [s⁻¹]
TITRATED = 0.6  # NO₂ at which half of the OH is gone [µmol m⁻³], about 14 ppb
NO_HALF = 0.008  # NO at which half of the peroxy radicals make ozone [µmol m⁻³], about 0.2 ppb
SOA_YIELD = 0.05  # organic particles out of oxidised VOC by mass


@dataclass(frozen=True)
class Rates:
    """What weather makes of the reactions, float32.

    `no_o3`: NO + O₃ [m³ µmol⁻¹ s⁻¹]; `night`: NO₂ + O₃ in the dark, times the share that ends as nitrate [m³ µmol⁻¹ s⁻¹];
    `humid`: uptake of SO₂ by haze and cloud [s⁻¹]; `held`: share of ammonium nitrate that stays particulate 0…1: on
    (layer, y, x). `photolysis`: of NO₂ [s⁻¹]; `biogenic`: reactivity of biogenic VOC to OH over leaves [s⁻¹], on (y, x).
    """

    no_o3: np.ndarray
    night: np.ndarray
    humid: np.ndarray
    held: np.ndarray
    photolysis: np.ndarray
    biogenic: np.ndarray

    @classmethod
    def of(cls, t: np.ndarray, r: np.ndarray, cossza: np.ndarray, cloud: np.ndarray) -> "Rates":
        """Rates of temperature `t` [K] and relative humidity `r` [%] on (layer, y, x), sun and cloud on (y, x)."""
        wet = np.clip(r / 100, 0, 1)
        sun = np.clip(cossza, 0.0, 1)
        clear = 0.0167 * np.exp(-0.575 / np.maximum(sun, 1e-2)) * (sun > 0.01)  # Parrish et al. (1983)
        photolysis = clear * (1 - 0.6 * np.clip(cloud, 0, 1) ** 2)
        found = {
            "no_o3": 1.4e-12 * np.exp(-1310 / t) * MOLECULES,
            "night": 1.4e-13 * np.exp(-2470 / t) * MOLECULES * 2 * (0.1 + 0.5 * wet**2),
            "humid": 1.5e-6 * wet**4,
            "held": wet / (1 + np.exp((t - 288) / 4)),
            "photolysis": photolysis,
            "biogenic": 1.5 * np.exp(0.09 * (t[0] - 298)),
        }
        return cls(**{k: np.ascontiguousarray(v, np.float32) for k, v in found.items()})

    def map(self, change: Callable[[np.ndarray], np.ndarray]) -> "Rates":
        """The same after `change` of each array, such as interpolation to finer cells."""
        return Rates(*(change(getattr(self, f.name)) for f in fields(self)))


@njit(parallel=True, cache=True)
def photochemistry(no, no2, o3, voc, rates, photolysis, biogenic, thickness, seconds):  # type: ignore[no-untyped-def]
    """NO + O₃ ⇌ NO₂, loss of NO₂ to OH by day and to nitrate by night, ozone from VOC; in place, on (layer, y, x).

    The three fast reactions are solved together, implicitly: with NOx = NO + NO₂ and Ox = O₃ + NO₂ kept, NO₂ is the root of
    a quadratic that lies in 0 … min(NOx, Ox). So the photostationary state is exact for long steps, and nothing is negative.

    Amounts are in µmol m⁻²; `voc` may be a field of zeros. `rates` are (no_o3, night) of `Rates`, `photolysis` and `biogenic`
    its others on (y, x); `thickness` is that of the layers [m], `seconds` the step.

    Returns:
        NOx that became nitric acid [µmol m⁻²], on (layer, y, x).
    """
    no_o3, night = rates
    layers, rows, columns = no.shape
    nitric = np.empty_like(no)
    step, one = np.float32(seconds), np.float32(1.0)
    for task in prange(layers * rows):
        k, y = task // rows, task % rows
        deep = np.float32(thickness[k])
        for x in range(columns):
            a, b, c = no[k, y, x] / deep, no2[k, y, x] / deep, o3[k, y, x] / deep
            sun = photolysis[y, x] / np.float32(CLEAR)
            hydroxyl = sun * np.float32(OH_NOON / MOLECULES) / (one + b / np.float32(TITRATED))
            reactivity = biogenic[y, x] + np.float32(VOC_OH) * voc[k, y, x] / deep
            made = step * hydroxyl * reactivity * a / (a + np.float32(NO_HALF))
            odd, nox = c + b + made, a + b
            k1, j = no_o3[k, y, x] * step, photolysis[y, x] * step
            p = one + j + k1 * (nox + odd)
            q = k1 * nox * odd + b
            b = np.float32(2.0) * q / (p + np.sqrt(max(p * p - np.float32(4.0) * k1 * q, np.float32(0.0))))
            b = min(b, min(nox, odd))
            c = odd - b
            dark = night[k, y, x] * c / (one + np.float32(300.0) * sun)
            rate = step * (np.float32(NO2_OH) * hydroxyl + dark)
            left = b / (one + rate)
            no[k, y, x] = (nox - b) * deep
            no2[k, y, x] = left * deep
            nitric[k, y, x] = (b - left) * deep
            gone = np.float32(0.5) * (b - left) * dark * step / max(rate, np.float32(1e-20))
            o3[k, y, x] = max(c - gone, np.float32(0.0)) / (one + step * np.float32(OZONE_LOSS) * sun) * deep
    return nitric


@njit(parallel=True, cache=True)
def particles(so2, nh3, voc, hno3, so4, no3, nh4, soa, no2, nitric, rates, photolysis, thickness, seconds):  # type: ignore[no-untyped-def]
    """SO₂ to sulphate, ammonia to ammonium, nitric acid to ammonium nitrate and back, VOC to organic particles; in place.

    Ammonia first neutralises sulphate (two to one); what remains meets nitric acid, and of the pairs the share `held`,
    greater when cold and humid, is particulate. Sulphur and nitrogen are conserved.

    Amounts are in µmol m⁻², `soa` in µg m⁻², all on (layer, y, x); `nitric` is the acid that `photochemistry` made. `rates` are
    (humid, held) of `Rates`, `photolysis` its own on (y, x); `thickness` is that of the layers [m], `seconds` the step.
    """
    humid, held = rates
    layers, rows, columns = so2.shape
    step, one, two = np.float32(seconds), np.float32(1.0), np.float32(2.0)
    for task in prange(layers * rows):
        k, y = task // rows, task % rows
        deep = np.float32(thickness[k])
        for x in range(columns):
            b = no2[k, y, x] / deep
            hydroxyl = (
                photolysis[y, x] / np.float32(CLEAR) * np.float32(OH_NOON / MOLECULES) / (one + b / np.float32(TITRATED))
            )
            left = so2[k, y, x] / (one + step * (np.float32(SO2_OH) * hydroxyl + humid[k, y, x]))
            sulphate = so4[k, y, x] + (so2[k, y, x] - left)
            so2[k, y, x], so4[k, y, x] = left, sulphate
            kept = voc[k, y, x] / (one + step * np.float32(VOC_OH) * hydroxyl)
            soa[k, y, x] += np.float32(SOA_YIELD * 70.0) * (voc[k, y, x] - kept)  # 70 g mol⁻¹
            voc[k, y, x] = kept
            reduced = nh3[k, y, x] + nh4[k, y, x]
            oxidised = hno3[k, y, x] + no3[k, y, x] + nitric[k, y, x]
            bound = min(reduced, two * sulphate)
            pairs = held[k, y, x] * min(reduced - bound, oxidised)
            nh4[k, y, x], nh3[k, y, x] = bound + pairs, reduced - bound - pairs
            no3[k, y, x], hno3[k, y, x] = pairs, oxidised - pairs
