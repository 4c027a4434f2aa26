"""Fields on latitudes and longitudes, brought to the cells of a projected grid."""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy.sparse import csr_array

from airloom.errors import DataError
from airloom.grid import Grid

FIELDS = 256  # brought over at once; more would not stay in the processor's cache


@dataclass(frozen=True)
class Bilinear:
    """Bilinear weights from a latitude–longitude grid to cell centres; beyond the data the nearest edge holds.

    Made by `between`; `outside` counts the cells whose centre lies beyond the data.
    """

    grid: Grid
    weights: csr_array  # (cell of the grid, cell of the data); those of 0 are not there
    outside: int

    @classmethod
    def between(cls, latitude: np.ndarray, longitude: np.ndarray, grid: Grid, *, what: str = "weather") -> "Bilinear":
        """Weights from `latitude` (descending) and `longitude` (ascending) [degrees] to `grid`; messages name `what` it is.

        Raises:
            DataError: the data lie nowhere near the grid.
        """
        lon, lat = grid.lonlat()
        row, south, beyond_y = _between(-latitude, -lat)
        column, east, beyond_x = _between(longitude, lon)
        outside = beyond_y | beyond_x
        step = max(_step(latitude), _step(longitude))
        gap = max(
            latitude.min() - lat.max(), lat.min() - latitude.max(), longitude.min() - lon.max(), lon.min() - longitude.max()
        )
        if outside.all() and gap > step:
            raise DataError(
                f"{what} covers {latitude.min():.2f}…{latitude.max():.2f}°N {longitude.min():.2f}…{longitude.max():.2f}°E, "
                f"the grid {lat.min():.2f}…{lat.max():.2f}°N {lon.min():.2f}…{lon.max():.2f}°E: they do not meet. "
                f"Fetch the {what} of the study's region, or set grid.centre."
            )
        shape = len(latitude), len(longitude)
        return cls(grid, _weights(row, column, south, east, shape), int(outside.sum()))

    def apply(self, part: xr.Dataset) -> xr.Dataset:
        """The same dataset with (y, x) for (latitude, longitude); NaN where a value that counts is NaN."""
        return xr.Dataset(
            {name: self._array(part[name]) for name in part.data_vars},
            coords={n: c for n, c in part.coords.items() if not {"latitude", "longitude"} & set(c.dims)},
            attrs=part.attrs,
        ).assign_coords(y=self.grid.y, x=self.grid.x)

    def _array(self, array: xr.DataArray) -> xr.DataArray:
        values = array.transpose(..., "latitude", "longitude").to_numpy()
        fields = values.reshape(-1, self.weights.shape[1])
        found = np.empty((len(fields), self.weights.shape[0]), np.float32)
        for first in range(0, len(fields), FIELDS):
            found[first : first + FIELDS] = (self.weights @ fields[first : first + FIELDS].T).T
        dims = [*(d for d in array.dims if d not in ("latitude", "longitude")), "y", "x"]
        return xr.DataArray(found.reshape(*values.shape[:-2], *self.grid.shape), dims=dims, attrs=array.attrs)


def bilinear(rows: np.ndarray, columns: np.ndarray, row: np.ndarray, column: np.ndarray) -> csr_array:
    """Weights of values at `rows` × `columns`, both ascending, for places at `row` and `column`, of one shape: on (place, value).

    >>> bilinear(np.arange(2), np.arange(2), np.array([0.5]), np.array([0.25])).toarray().tolist()
    [[0.375, 0.125, 0.375, 0.125]]
    """
    (top, south, _), (left, east, _) = _between(rows, row), _between(columns, column)
    return _weights(top, left, south, east, (len(rows), len(columns)))


def _weights(row: np.ndarray, column: np.ndarray, south: np.ndarray, east: np.ndarray, shape: tuple[int, int]) -> csr_array:
    """Of the data's cells (of `shape`) for each of the grid's: its neighbours begin at `row` and `column`, and the ones further south
    and further east have the weights `south` and `east`, all on (y, x).
    """
    below, right = np.minimum(row + 1, shape[0] - 1), np.minimum(column + 1, shape[1] - 1)
    corners = (
        (row, column, (1 - south) * (1 - east)),
        (row, right, (1 - south) * east),
        (below, column, south * (1 - east)),
        (below, right, south * east),
    )
    at = np.stack([r * shape[1] + c for r, c, _ in corners]).reshape(4, -1)
    weight = np.stack([w for *_, w in corners]).reshape(4, -1).astype(np.float32)
    cell = np.broadcast_to(np.arange(row.size), at.shape)
    counts = weight > 0  # a NaN that does not count is not met
    return csr_array((weight[counts], (cell[counts], at[counts])), shape=(row.size, shape[0] * shape[1]))


def _step(axis: np.ndarray) -> float:
    """Distance between neighbours [degrees]; a single line counts as a quarter degree."""
    return float(abs(axis[1] - axis[0])) if len(axis) > 1 else 0.25


def _between(axis: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Index of the neighbour before on an ascending axis, weight of the one after, and whether it lies beyond the ends."""
    if len(axis) == 1:
        return np.zeros(wanted.shape, int), np.zeros(wanted.shape), np.ones(wanted.shape, bool)
    before = np.clip(np.searchsorted(axis, wanted, side="right") - 1, 0, len(axis) - 2)
    weight = (wanted - axis[before]) / (axis[before + 1] - axis[before])
    return before, np.clip(weight, 0, 1), (weight < 0) | (weight > 1)


def block_mean(values: np.ndarray, factor: int) -> np.ndarray:
    """Means of `factor` × `factor` cells: (…, y, x) to (…, y / factor, x / factor); NaN where a block holds one.

    Raises:
        DataError: the cells do not divide into whole blocks.
    """
    *rest, rows, columns = values.shape
    if rows % factor or columns % factor:
        raise DataError(f"{rows} × {columns} cells do not divide into blocks of {factor} × {factor}.")
    return values.reshape(*rest, rows // factor, factor, columns // factor, factor).mean((-3, -1))
