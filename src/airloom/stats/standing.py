"""What a field errs by at stations on all days alike, and what the maps tell of it elsewhere; not in paper 000.

Errors are log ratios of observed to predicted, both with OFFSET added. Most of a station's error stands from day to day: its street,
its instrument, a pattern that the network got wrong. It says little of the next town, where the same is otherwise, and kriged with
the error of the day it hides how far that one reaches. What of it lies in the maps is found by ridge regression over the stations.
"""

from collections.abc import Iterator

import numpy as np
from scipy.ndimage import gaussian_filter

from airloom.cube.store import MAPS, Cube

OFFSET = 3.0  # [µg m⁻³], keeps small denominators from deciding; a choice, not fitted
AROUND = 0.0, 4000.0, 12_000.0  # widths over which each map is seen [m]; choices, not fitted
PENALTIES = np.geomspace(1, 1e5, 26)
FEWEST = 30  # stations of which a regression on maps is asked
FLAT = 1e-6  # of a map's largest value
PASSES = 20  # after which the two means of `two_way` stand still


def log_ratio(observed: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Of concentrations [µg m⁻³]; a negative observation counts as none.

    >>> log_ratio(np.array([19.0, -1.0]), np.array([8.0, 0.0])).round(3)
    array([0.693, 0.   ])
    """
    return np.log((np.maximum(observed, 0) + OFFSET) / (predicted + OFFSET))


def without(observed: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Concentrations [µg m⁻³] less a log ratio that is the station's own, not below 0.

    >>> without(np.array([19.0, 8.0]), np.log([2.0, 1.0]))
    array([8., 8.])
    """
    return np.maximum((observed + OFFSET) * np.exp(-own) - OFFSET, 0)


def two_way(values: np.ndarray) -> np.ndarray:
    """Each station's own mean on (station,) of values on (time, station), NaN where there is none, as if all had reported on
    the same days; NaN for a station without any value.

    >>> two_way(np.array([[1.0, 2.0], [3.0, 4.0]]))
    array([2., 3.])
    >>> two_way(np.array([[1.0, 2.0], [3.0, np.nan]])).round(3)  # a day later the second would have had 4
    array([2., 3.])
    """
    there = np.isfinite(values)
    filled = np.where(there, values, 0)
    of_day, of_station = there.sum(1, keepdims=True).clip(1), there.sum(0).clip(1)
    own = filled.sum(0) / of_station
    for _ in range(PASSES):
        day = (filled - there * own).sum(1, keepdims=True) / of_day
        own = (filled - there * day).sum(0) / of_station
    reported = there.any(1)
    return np.where(there.any(0), own + (day[reported].mean() if reported.any() else 0), np.nan)


def told_by_maps(own: np.ndarray, days: np.ndarray, cube: Cube, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    """What the maps, in each cell and around it, tell of stations' own means on (station,): on (y, x).

    Arguments:
        own: NaN where a station has none.
        days: of how many days each is the mean; few count less.
        cube: whose static maps are seen.
        row: of each station's cell.
        column: likewise.

    Least squares with a ridge whose penalty leaves the smallest error at stations that are left out in turn. Views are scaled by all
    cells, not by those with stations: what hardly varies among these, such as height, may not run away where it does. Nothing goes
    beyond the range of the stations' own means. Where the cube has no maps, or fewer than FEWEST stations, it is their mean:
    leaving one out of a few says little of a penalty.
    """
    there = np.isfinite(own)
    own, row, column, weight = own[there], row[there], column[there], days[there] / max(days.max(), 1)
    if not len(own):
        return np.zeros(cube.grid.shape)
    seen = [view[row, column] for view in _views(cube)] if len(own) >= FEWEST else []
    if not seen:
        return np.full(cube.grid.shape, np.average(own, weights=weight))
    from sklearn.linear_model import RidgeCV  # slow to import

    ridge = RidgeCV(PENALTIES).fit(np.stack(seen, 1), own, sample_weight=weight)
    told = np.full(cube.grid.shape, ridge.intercept_)
    for view, slope in zip(_views(cube), ridge.coef_, strict=True):  # one at a time: a map may be large
        told += slope * view
    return np.clip(told, own.min(), own.max())


def _views(cube: Cube) -> Iterator[np.ndarray]:
    """Each static map as the cube holds it, and smoothed, on (y, x): mean 0 and deviation 1 over all cells; flat ones are left out."""
    for group in MAPS:
        for channel in range(len(cube.channels(group))):
            values = cube.group[group][channel].astype(np.float64)
            for width in AROUND:
                view = gaussian_filter(values, width / cube.grid.cell) if width else values
                spread = view.std()
                if spread > FLAT * np.abs(view).max():
                    yield (view - view.mean()) / spread
