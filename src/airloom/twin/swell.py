"""Smooth random series in time, for what comes and goes over days: imported air, errors of another model."""

from datetime import date

import numpy as np

WAVES = 16
PERIODS = 1.5, 15.0  # days


class Swell:
    """A series of mean 0 and standard deviation about 1 that is the same for the same seed, whatever stretch is asked for."""

    def __init__(self, seed: list[int]) -> None:
        draw = np.random.default_rng(seed)
        self.frequencies = 2 * np.pi / (24 * draw.uniform(*PERIODS, WAVES))
        self.phases = draw.uniform(0, 2 * np.pi, WAVES)

    def day(self, day: date) -> np.ndarray:
        """Values at the 24 hours of a day, on (time,)."""
        hours = (np.datetime64(day, "D") - np.datetime64("2000-01-01")).astype(int) * 24 + np.arange(24)
        return np.sin(self.frequencies * hours[:, None] + self.phases).sum(1) / np.sqrt(WAVES / 2)
