"""Water vapour by Magnus' formula over water (Sonntag, 1990)."""

import numpy as np


def saturation(t: np.ndarray) -> np.ndarray:
    """Vapour pressure of saturation [Pa] at temperature `t` [K]."""
    celsius = t - np.float32(273.15)
    return np.float32(611.2) * np.exp(np.float32(17.62) * celsius / (np.float32(243.12) + celsius))


def dewpoint(e: np.ndarray) -> np.ndarray:
    """Dewpoint [K] of vapour pressure `e` [Pa]."""
    power = np.log(e / np.float32(611.2))
    return np.float32(273.15) + np.float32(243.12) * power / (np.float32(17.62) - power)


def virtual(t: np.ndarray, e: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Virtual temperature [K] of air at `t` [K] with vapour pressure `e` [Pa] at pressure `p` [Pa]."""
    return t / (1 - np.float32(0.378) * e / p)
