"""Cross-validation: every station is predicted as if it were not there (paper 001, §2.4)."""

from collections.abc import Iterator, Sequence

import numpy as np

from airloom.methods.pointconv.study import LeaveOut


def folds(asked: LeaveOut, x: np.ndarray, y: np.ndarray, names: Sequence[str], seed: int) -> Iterator[np.ndarray]:
    """Which stations are left out together, bool on (station,), fold after fold; every station is in one.

    `x`, `y`: coordinates of the stations [m]. With blocks all stations of a square of `asked.block` share a fold, with cities all
    whose `names` agree up to the first comma.
    """
    group = _groups(asked, x, y, names)
    order = np.random.default_rng(seed).permutation(group.max() + 1)
    parts = len(order) if asked.folds is None else min(asked.folds, len(order))
    fold = order[group] % parts
    for number in range(parts):
        yield fold == number


def _groups(asked: LeaveOut, x: np.ndarray, y: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Numbers of what stays together, on (station,)."""
    if asked.what == "stations":
        return np.arange(len(x))
    if asked.what == "cities":
        _, group = np.unique([name.partition(",")[0] for name in names], return_inverse=True)
    else:
        squares = np.stack([np.floor(x / asked.block), np.floor(y / asked.block)], 1)
        _, group = np.unique(squares, axis=0, return_inverse=True)
    return group.ravel()
