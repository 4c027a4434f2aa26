"""Arrays in another order, copied no more than that needs."""

import numpy as np


def ordered(values: np.ndarray, order: np.ndarray, axis: int) -> np.ndarray:
    """The values in an order along an axis; a view where it is that which they have, or the reverse.

    >>> ordered(np.array([[1, 2, 3]]), np.array([2, 1, 0]), -1).tolist()
    [[3, 2, 1]]
    >>> ordered(np.array([[1, 2, 3]]), np.array([1, 2, 0]), -1).tolist()
    [[2, 3, 1]]
    """
    as_it_is = np.arange(values.shape[axis])
    if np.array_equal(order, as_it_is):
        return values
    if np.array_equal(order, as_it_is[::-1]):
        return np.flip(values, axis)
    return np.take(values, order, axis)
