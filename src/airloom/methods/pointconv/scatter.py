"""Pseudo-stations: cells of a model's field that stand in for stations while the network learns (paper 001, §2.4)."""

from dataclasses import dataclass

import numpy as np

TOWN = 1.5  # cells, standard deviation of stations about the middle of their town
A_TOWN = 4  # stations of a town, on average


@dataclass(frozen=True)
class Scatter:
    """How pseudo-stations are drawn.

    `least`, `most`: their number, drawn anew each time, evenly on a logarithmic scale; `clustered`: share that stands in towns,
    as real ones do, between 0 and 1, or none at all with equal chance; `noise`: the most by which a value may err, as a share
    of the deviation of the day's values: what a cell's station sees that the cell does not.
    """

    least: int
    most: int
    clustered: float = 0.5
    noise: float = 0.5

    def cells(self, allowed: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        """Which of the `allowed` cells, bool on (y, x), hold a pseudo-station."""
        number = min(int(np.exp(draw.uniform(np.log(self.least), np.log(self.most + 1)))), int(allowed.sum()))
        there = np.zeros(allowed.shape, bool)
        share = draw.uniform(0, self.clustered)
        middles = np.argwhere(allowed)[draw.integers(allowed.sum(), size=max(1, round(share * number / A_TOWN)))]
        of_towns = middles[draw.integers(len(middles), size=round(share * number))]
        near = np.rint(of_towns + TOWN * draw.standard_normal(of_towns.shape)).astype(int)
        near = near[((near >= 0) & (near < allowed.shape)).all(1)]
        there[near[:, 0], near[:, 1]] = True
        there &= allowed
        free = np.flatnonzero(allowed & ~there)
        more = max(0, number - int(there.sum()))
        there.flat[draw.choice(free, size=min(more, len(free)), replace=False)] = True
        return there

    def observe(self, field: np.ndarray, there: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        """What stations in the cells `there` report of a field on (y, x), 0 elsewhere; no value is made negative."""
        seen = field[there]
        err = draw.uniform(0, self.noise) * seen.std() * draw.standard_normal(seen.shape)
        values = np.zeros(field.shape, np.float32)
        values[there] = np.where(seen >= 0, np.maximum(seen + err, 0), seen + err)
        return values
