"""Cross-validation: every station is predicted as if it were not there (paper 001, §2.4)."""

from collections.abc import Iterator

import numpy as np

from airloom.methods.pointconv.study import LeaveOut


def folds(asked: LeaveOut, x: np.ndarray, y: np.ndarray, seed: int) -> Iterator[np.ndarray]:
    """Which stations are left out together, bool on (station,), fold after fold; every station is in one.

    `x`, `y`: coordinates of the stations [m]. With blocks all stations of a square of `asked.block` share a fold.
    """
    if asked.what == "blocks":
        squares = np.stack([np.floor(x / asked.block), np.floor(y / asked.block)], 1)
        _, group = np.unique(squares, axis=0, return_inverse=True)
        group = group.ravel()
    else:
        group = np.arange(len(x))
    names = np.random.default_rng(seed).permutation(group.max() + 1)
    parts = len(names) if asked.folds is None else min(asked.folds, len(names))
    fold = names[group] % parts
    for number in range(parts):
        yield fold == number
