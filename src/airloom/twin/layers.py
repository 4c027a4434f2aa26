"""The model's layers, terrain-following, and the heights at which its fields are given."""

import numpy as np

INTERFACES = np.array([0, 25, 75, 175, 350, 650, 1100, 1700, 2600, 4000, 6000], float)  # m above ground
LAYERS = (INTERFACES[:-1] + INTERFACES[1:]) / 2  # their centres [m above ground]
THICKNESS = np.diff(INTERFACES)  # m
HEIGHTS = np.array([0, 50, 250, 500, 1000, 2000, 3000, 5000], float)  # of the output [m above ground]


def at_heights(values: np.ndarray) -> np.ndarray:
    """Layer values on (layer, y, x) → values at `HEIGHTS`, linear between the layers' centres; below the lowest, its value."""
    upper = np.clip(np.searchsorted(LAYERS, HEIGHTS), 1, len(LAYERS) - 1)
    share = np.clip((HEIGHTS - LAYERS[upper - 1]) / (LAYERS[upper] - LAYERS[upper - 1]), 0, 1).astype(values.dtype)
    share = share[:, None, None]
    return (1 - share) * values[upper - 1] + share * values[upper]
