"""Fields on latitudes and longitudes, brought to the cells of a projected grid."""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from airloom.errors import DataError
from airloom.grid import Grid

FIELDS = 32  # brought over at once; more would not stay in the processor's cache


@dataclass(frozen=True)
class Bilinear:
    """Bilinear weights from a latitude–longitude grid to cell centres; beyond the data the nearest edge holds.

    Made by `between`; `outside` counts the cells whose centre lies beyond the data.
    """

    grid: Grid
    row: np.ndarray  # (y, x): the row of the data north of a cell
    column: np.ndarray
    south: np.ndarray  # (y, x): weight of the row south of it
    east: np.ndarray
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
        return cls(grid, row, column, south, east, int(outside.sum()))

    def apply(self, part: xr.Dataset) -> xr.Dataset:
        """The same dataset with (y, x) for (latitude, longitude); NaN where a value that counts is NaN."""
        return xr.Dataset(
            {name: self._array(part[name]) for name in part.data_vars},
            coords={n: c for n, c in part.coords.items() if not {"latitude", "longitude"} & set(c.dims)},
            attrs=part.attrs,
        ).assign_coords(y=self.grid.y, x=self.grid.x)

    def _array(self, array: xr.DataArray) -> xr.DataArray:
        values = array.transpose(..., "latitude", "longitude").to_numpy()
        below = np.minimum(self.row + 1, values.shape[-2] - 1)
        right = np.minimum(self.column + 1, values.shape[-1] - 1)
        corners = (
            (self.row, self.column, (1 - self.south) * (1 - self.east)),
            (self.row, right, (1 - self.south) * self.east),
            (below, self.column, self.south * (1 - self.east)),
            (below, right, self.south * self.east),
        )
        fields = values.reshape(-1, *values.shape[-2:])
        found = np.empty((len(fields), *self.grid.shape), np.float32)
        for first in range(0, len(fields), FIELDS):
            some = fields[first : first + FIELDS]
            found[first : first + FIELDS] = sum(np.where(w > 0, some[:, r, c] * w, 0) for r, c, w in corners)
        dims = [*(d for d in array.dims if d not in ("latitude", "longitude")), "y", "x"]
        return xr.DataArray(found.reshape(*values.shape[:-2], *self.grid.shape), dims=dims, attrs=array.attrs)


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
