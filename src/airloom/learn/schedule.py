"""How the learning rate runs through training."""

import math

LOWEST = 0.01  # share of the highest rate that is left in the end


def rate(done: float, steps: int, warm_up: float) -> float:
    """Share of the highest learning rate after so many of the steps: it rises linearly over the share `warm_up` of them, then falls as
    a cosine to LOWEST.

    >>> [round(rate(done, 100, 0.1), 3) for done in (0, 9, 10, 55, 100)]
    [0.1, 1.0, 1.0, 0.505, 0.01]
    """
    share = min(1.0, done / max(1, steps))
    rise = min(1.0, (share + 1 / max(1, steps)) / warm_up)
    fall = LOWEST + (1 - LOWEST) * (1 + math.cos(math.pi * max(0.0, share - warm_up) / (1 - warm_up))) / 2
    return rise * fall
