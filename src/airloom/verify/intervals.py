"""Intervals that hold at places without a station: conformal, calibrated on stations that were left out."""

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from airloom.verify.scores import interval, multiplicities

LEVELS = (0.5, 0.8, 0.95)
PARTS = 10  # of the stations; each is covered by what the others' errors say
LEAST = 1.0  # µg m⁻³: lower predictions, and smaller errors, count as so much where logarithms are taken
LEAST_KNOWN = 0.02  # the same of how well stations know a place, 0 … 1
FAR = 0.01  # share of the calibrated places that are known less well than what counts as least known


@dataclass(frozen=True)
class Calibration:
    """What errors at left-out stations say of errors elsewhere.

    An error's typical size is exp(a + b·log predicted + c·log known), fitted to the logarithm of the errors; `quantiles` are those
    of errors in units of it, low and high for each of LEVELS, on their own, for errors of concentrations lean to one side. Of places
    that are known less well than `least`, which hardly any station was, nothing was learnt: they count as so well known.
    """

    coefficients: tuple[float, float, float]
    quantiles: tuple[tuple[float, float], ...]
    least: float

    @classmethod
    def of(cls, predicted: np.ndarray, known: np.ndarray, observed: np.ndarray) -> "Calibration":
        """Of values on (pair,) at stations that were left out, and how well others knew their place."""
        error = observed - predicted
        least = max(float(np.quantile(known, FAR)), LEAST_KNOWN)
        terms = _terms(predicted, known, least)
        found, *_ = np.linalg.lstsq(terms, np.log(np.maximum(abs(error), LEAST / 10)), rcond=None)
        relative = np.sort(error / np.exp(terms @ found))
        quantiles = []
        for level in LEVELS:
            outside = (1 - level) / 2 * (len(error) + 1)  # of n + 1 places: the finite-sample quantiles of split conformal
            low, high = max(0, int(np.floor(outside)) - 1), min(len(error) - 1, int(np.ceil(len(error) + 1 - outside)) - 1)
            quantiles.append((float(relative[low]), float(relative[high])))
        constant, by_value, by_reach = (float(c) for c in found)
        return cls((constant, by_value, by_reach), tuple(quantiles), least)

    def widened(self, factor: float) -> "Calibration":
        """The same with intervals that many times as wide."""
        constant, by_value, by_reach = self.coefficients
        return replace(self, coefficients=(constant + math.log(factor), by_value, by_reach))

    def between(self, level: float, predicted: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Low and high end of the interval of a level of LEVELS [µg m⁻³], in the shape of what is predicted; not below 0."""
        typical = np.exp(_terms(predicted, known, self.least) @ np.array(self.coefficients))
        low, high = self.quantiles[LEVELS.index(level)]
        return np.maximum(predicted + low * typical, 0), np.maximum(predicted + high * typical, 0)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Calibration":
        """What `to_json` gave."""
        return cls(tuple(content["coefficients"]), tuple((a, b) for a, b in content["quantiles"]), content["least"])


def _terms(predicted: np.ndarray, known: np.ndarray, least: float) -> np.ndarray:
    """What an error's size depends on, on (…, 3)."""
    logs = np.log(np.maximum(predicted, LEAST)), np.log(np.maximum(known, least))
    return np.stack([np.ones_like(logs[0]), *logs], -1)


def coverage(
    predicted: np.ndarray, known: np.ndarray, observed: np.ndarray, *, draws: int, seed: int
) -> list[dict[str, float | list[float] | None]]:
    """How often intervals hold at stations that neither the field nor the calibration has seen.

    Takes values on (time, station), NaN where there is none. Returns a row for each of LEVELS: `nominal`, `coverage` with its
    interval over days, and the mean `width` [µg m⁻³].
    """
    stations = np.random.default_rng(seed).permutation(predicted.shape[1]) % PARTS
    inside = np.full((len(LEVELS), *predicted.shape), np.nan)
    width = np.full_like(inside, np.nan)
    there = np.isfinite(predicted) & np.isfinite(observed)
    for part in np.unique(stations):
        own = there & (stations == part)
        others = there & (stations != part)
        if not own.any() or not others.any():
            continue
        calibration = Calibration.of(predicted[others], known[others], observed[others])
        for number, level in enumerate(LEVELS):
            low, high = calibration.between(level, predicted[own], known[own])
            inside[number][own] = (observed[own] >= low) & (observed[own] <= high)
            width[number][own] = high - low
    return [_row(level, inside[n], width[n], draws, seed) for n, level in enumerate(LEVELS)]


def _row(
    level: float, inside: np.ndarray, width: np.ndarray, draws: int, seed: int
) -> dict[str, float | list[float] | None]:
    """Coverage and width of one level; days are resampled, for a day's stations err together."""
    drawn = multiplicities(len(inside), draws, seed)
    hits, number = drawn @ np.nansum(inside, 1), drawn @ np.isfinite(inside).sum(1)
    shares = np.divide(hits, number, out=np.full(len(hits), np.nan), where=number > 0)
    return {
        "nominal": level,
        "coverage": float(np.nanmean(inside)),
        "coverage_ci": interval(shares),
        "width": float(np.nanmean(width)),
    }
