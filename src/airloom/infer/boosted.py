"""Boosted trees that speak beside the network when its field is drawn to the day's stations; not in paper 000.

Trees on the same inputs, grown from the stations' values of the days that are drawn, err in their own way: the mean of both logarithms
errs less than either. To the stations that they were grown from trees would seem better than they are: each fold of these is
told by trees of the others, and a place without a station by the mean of all folds' trees, which know as much of it.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from airloom.cube.features import Features
from airloom.stats.boosting import FOLDS, folds, grown, told
from airloom.stats.standing import OFFSET

if TYPE_CHECKING:
    from lightgbm import LGBMRegressor

VALUES, STATIONS = 1000, 30  # fewest of which trees are asked; choices, not fitted
PROBED = 20_000  # cells by which trees are timed


@dataclass(frozen=True)
class Boosted:
    """What trees say, as a logarithm of concentration + OFFSET, and their `share` in the mean with the network.

    `trees`: of all folds. `left_out`: of each station, by trees of others, on (time, station).
    """

    features: Features
    trees: "Sequence[LGBMRegressor]"
    left_out: np.ndarray
    share: float

    def at_stations(self, predicted: np.ndarray) -> np.ndarray:
        """What trees of other stations add to the logarithm of a field at stations [µg m⁻³], on (time, station)."""
        return self.share * (self.left_out - np.log(predicted + OFFSET))

    def everywhere(self, day: int, ground: np.ndarray) -> np.ndarray:
        """What trees add to the logarithm of a day's field at the ground [µg m⁻³], on (y, x)."""
        found = [np.mean([told(t, inputs) for t in self.trees], axis=0) for inputs in self.features.strips(day)]
        return self.share * (np.concatenate(found) - np.log(ground + OFFSET))


def grow(
    features: Features,
    days: np.ndarray,
    row: np.ndarray,
    column: np.ndarray,
    observed: np.ndarray,
    *,
    share: float,
    seed: int,
) -> Boosted | None:
    """Trees of stations in some cells, from their values on (time, station) [µg m⁻³], NaN where there is none, on some days
    (indices); None where no share is asked for, or values or stations are few.
    """
    there = np.isfinite(observed)
    if not share or there.sum() < VALUES or there.any(0).sum() < STATIONS:
        return None
    inputs, target = features.at(days, row, column), np.log(np.maximum(observed, 0) + OFFSET)
    left_out, trees = np.empty(target.shape), []
    for others, own in folds(np.arange(len(row)), seed):
        found = grown(inputs[:, others], target[:, others], seed)
        assert found is not None  # so many stations have values
        left_out[:, own] = told(found, inputs[:, own])
        trees.append(found.set_params(n_jobs=os.cpu_count()))
    return Boosted(features, trees, left_out, share)


def seconds_a_cell(features: int) -> float:
    """What trees cost on a map of this machine, by trees of made-up numbers."""
    draw = np.random.default_rng(0)
    inputs = np.sort(draw.normal(size=(1, PROBED, features)), axis=1)  # neighbouring cells are alike, as on a map
    target = inputs.mean(-1) + draw.normal(size=(1, PROBED))
    trees = grown(inputs, target, 0)
    assert trees is not None
    trees.set_params(n_jobs=os.cpu_count())
    started = time.perf_counter()
    told(trees, inputs)
    return FOLDS * (time.perf_counter() - started) / PROBED
