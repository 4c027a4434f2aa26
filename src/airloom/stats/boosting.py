"""Gradient boosted trees of daily values, with one set of settings wherever they are grown."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from lightgbm import LGBMRegressor

FOLDS = 5  # of stations, which trees of the others tell
SETTINGS: dict[str, Any] = {
    "n_estimators": 400,
    "learning_rate": 0.05,
    "num_leaves": 31,
    "min_child_samples": 50,
    "subsample": 0.8,
    "subsample_freq": 1,
    "colsample_bytree": 0.8,
    "reg_lambda": 1.0,
    "n_jobs": 1,  # tables are small: two threads waiting for each other took up to 16 times as long on busy cores
    "deterministic": True,
    "force_row_wise": True,
    "verbose": -1,
}


def grown(inputs: np.ndarray, target: np.ndarray, seed: int) -> "LGBMRegressor | None":
    """Trees for a target on (time, station), NaN where there is none, out of inputs on (time, station, feature); a missing feature
    goes down a branch of its own. None without any value.
    """
    from lightgbm import LGBMRegressor  # slow to import, and most verbs do without

    there = np.isfinite(target)
    return LGBMRegressor(**SETTINGS, random_state=seed).fit(inputs[there], target[there]) if there.any() else None


def told(trees: "LGBMRegressor | None", inputs: np.ndarray) -> np.ndarray:
    """What trees say of inputs on (…, feature), on (…); NaN where there are none."""
    if trees is None:
        return np.full(inputs.shape[:-1], np.nan)
    return np.asarray(trees.predict(inputs.reshape(-1, inputs.shape[-1]))).reshape(inputs.shape[:-1])


def folds(stations: np.ndarray, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Stations to learn from, and those that are told by them: each once, a fifth at a time."""
    for fold in np.array_split(np.random.default_rng(seed).permutation(stations), min(FOLDS, len(stations))):
        yield np.setdiff1d(stations, fold), fold
