"""Some of many, evenly drawn."""

import numpy as np


def evenly(found: np.ndarray, most: int) -> np.ndarray:
    """At most so many of what was found, two or more, evenly drawn, the first and the last among them.

    >>> evenly(np.array([3, 5, 7, 9, 11]), 3).tolist()
    [3, 7, 11]
    >>> evenly(np.array([3, 5]), 3).tolist()
    [3, 5]
    """
    return found[np.unique(np.linspace(0, len(found) - 1, most).round().astype(int))] if len(found) else found
