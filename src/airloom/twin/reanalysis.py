"""The coarse model's fields, corrected at each hour towards the stations that it knows: what "CAMS" is in the twin.

Optimal interpolation with one length at the ground that dies out with height (Hollingsworth & Lönnberg, 1986, for the form
of the covariances). It corrects what stations see and spreads it as far as the length says, over sea and hills alike, as the
real one does: towns stay too clean and the country too dirty, for a cell of ten kilometres is neither.
"""

from dataclasses import dataclass

import numpy as np

LENGTH = 37_000.0  # m over which errors of the model are alike
DEPTH = 500.0  # m of height over which a correction dies out
MODEL_ERROR = 0.35  # of the modelled value
STATION_ERROR = 0.5  # of the observed value: a station in a cell of ten kilometres speaks for little of it
FLOOR = 1.5  # µg m⁻³ in both errors


@dataclass(frozen=True)
class Correction:
    """Weights of stations for cells: `near` exp(−d² / 2L²) on (cell, station); `among` the same on (station, station);
    `row`, `column` of the stations' cells on the coarse grid.
    """

    near: np.ndarray
    among: np.ndarray
    row: np.ndarray
    column: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray, y: np.ndarray, station_x: np.ndarray, station_y: np.ndarray) -> "Correction":
        """For cells at `x` (ascending), `y` (descending) and stations at `station_x`, `station_y` [m]."""
        across = np.abs(x[:, None] - station_x)  # (x, station)
        down = np.abs(y[:, None] - station_y)
        near = np.exp(-(down[:, None, :] ** 2 + across[None, :, :] ** 2) / (2 * LENGTH**2))  # (y, x, station)
        near = near.reshape(len(y) * len(x), len(station_x))  # (cell, station)
        apart = (station_x[:, None] - station_x) ** 2 + (station_y[:, None] - station_y) ** 2
        return cls(near, np.exp(-apart / (2 * LENGTH**2)), down.argmin(0), across.argmin(0))

    def analyse(self, field: np.ndarray, observed: np.ndarray, heights: np.ndarray) -> np.ndarray:
        """The corrected field [µg m⁻³] on (height, y, x); never below a tenth of what it was.

        Arguments:
            field: the model's, the ground first, on (height, y, x).
            observed: on (station,), NaN where there is none.
            heights: of the field [m above ground].
        """
        there = np.isfinite(observed)
        if not there.any():
            return field
        ground = field[0]
        modelled = ground[self.row[there], self.column[there]]
        of_model = np.maximum(MODEL_ERROR * modelled, FLOOR)
        of_station = np.maximum(STATION_ERROR * observed[there], FLOOR)
        matrix = self.among[np.ix_(there, there)] * np.outer(of_model, of_model)
        matrix[np.diag_indices_from(matrix)] += of_station**2
        weights = np.linalg.solve(matrix, observed[there] - modelled) * of_model
        spread = np.maximum(MODEL_ERROR * ground, FLOOR) * (self.near[:, there] @ weights).reshape(ground.shape)
        change = 1 + spread / np.maximum(ground, 1e-3)
        decay = np.exp(-heights / DEPTH)[:, None, None]
        return (field * np.maximum(1 + (change - 1) * decay, 0.1)).astype(np.float32)
