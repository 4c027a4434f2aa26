"""What other stations say of a place at the same hour, by rules that learn nothing of it; and what a series says of its own gaps."""

import numpy as np

from airloom.stats.kriging import NEAREST, distances, fit, from_others

TITLES = {
    "nearest": "Nearest station",
    "inverse-distance": "Inverse distance",
    "kriging": "Ordinary kriging",
    "linear-in-time": "Linear in time",
}


def nearest(values: np.ndarray, known: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The value of the nearest known station that has one.

    Takes `values` on (hour, station), NaN where there is none, the `known` stations, bool on (station,), and places [m];
    gives values of every station on (hour, station), of a known one from the others.
    """
    order = np.argsort(_apart(known, x, y), 1)
    found = np.full(values.shape, np.nan, values.dtype)
    usable = _others(known, x, y)
    for rank in order.T[::-1]:  # the nearest last, over what farther ones say
        told = np.where(usable[np.arange(len(rank)), rank], values[:, rank], np.nan)
        found = np.where(np.isfinite(told), told, found)
    return found


def inverse_distance(values: np.ndarray, known: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Mean of the known stations weighted by distance⁻²; as `nearest`."""
    weights = np.where(_others(known, x, y), np.maximum(_apart(known, x, y), NEAREST) ** -2.0, 0)
    there = np.isfinite(values)
    total, weight = np.where(there, values, 0) @ weights.T, there @ weights.T
    return np.divide(total, weight, out=np.full(total.shape, np.nan), where=weight > 0)


def kriging(values: np.ndarray, known: np.ndarray, x: np.ndarray, y: np.ndarray, learnt: np.ndarray) -> np.ndarray:
    """Ordinary kriging, with one variogram out of the known stations' values at hours that were `learnt` from; as `nearest`."""
    apart = distances(x, y)
    gamma = fit(learnt[:, known], apart[np.ix_(known, known)]).among(apart)
    return from_others(gamma, np.where(known, values, np.nan))


def along_time(values: np.ndarray) -> np.ndarray:
    """Linear interpolation in time between the values before and after, on (hour, station); the nearest one at either end.

    >>> along_time(np.array([[np.nan], [1], [np.nan], [np.nan], [4]]))[:, 0].tolist()
    [1.0, 1.0, 2.0, 3.0, 4.0]
    """
    found = np.full(values.shape, np.nan)
    hours = np.arange(len(values))
    for station, series in enumerate(values.T):
        if (there := np.isfinite(series)).any():
            found[:, station] = np.interp(hours, hours[there], series[there])
    return found


def _apart(known: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Distances on (station, station) [m], infinite to stations that are not known and to oneself."""
    return np.where(_others(known, x, y), distances(x, y), np.inf)


def _others(known: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Who may speak of whom: known stations, not of themselves; bool on (place, station)."""
    return known[None] & ~np.eye(len(x), dtype=bool)
