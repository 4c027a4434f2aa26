"""Fields on a projected grid, brought to a regular grid of latitudes and longitudes."""

import numpy as np
import xarray as xr
from pyproj import Transformer
from scipy.interpolate import RegularGridInterpolator

from airloom.errors import StudyError
from airloom.grid import Grid

DEGREE = 111.2e3  # of latitude [m]


def on_degrees(fields: xr.Dataset, grid: Grid, window: Grid, *, step: float = 0.25) -> xr.Dataset:
    """Fields on (…, y, x) of `grid` → the same on (…, latitude, longitude), bilinear in the projection, float32.

    Latitudes (descending) and longitudes (ascending) are multiples of `step` and enclose `window`. Where the box's corners
    reach beyond `grid`, the nearest edge holds: no point next to the window may. Winds are taken as eastward and northward,
    not along the axes of `grid`. Attributes are kept.

    Raises:
        StudyError: `grid` has too small a margin round `window`, or they are in different projections.
    """
    latitude, longitude = _box(window, step)
    x, y = grid.project(*np.meshgrid(longitude, latitude))
    _enough(grid, window, x, y, step, latitude.min())
    points = np.stack([np.clip(y, grid.y[-1], grid.y[0]), np.clip(x, grid.x[0], grid.x[-1])], axis=-1)
    arrays = {}
    for name, array in fields.data_vars.items():
        # the interpolator wants ascending axes, the horizontal ones first: (…, y, x) → (y, x, …)
        values = np.moveaxis(array.transpose(..., "y", "x").to_numpy(), (-2, -1), (0, 1))
        found = RegularGridInterpolator((grid.y[::-1], grid.x), values[::-1])(points)
        dims = [*(d for d in array.dims if d not in ("y", "x")), "latitude", "longitude"]
        arrays[name] = (dims, np.moveaxis(found, (0, 1), (-2, -1)).astype(np.float32), array.attrs)
    kept = {n: c for n, c in fields.coords.items() if not {"y", "x"} & set(c.dims)}
    return xr.Dataset(arrays, kept | {"latitude": latitude, "longitude": longitude}, fields.attrs)


def _box(window: Grid, step: float) -> tuple[np.ndarray, np.ndarray]:
    """The smallest box of multiples of `step` [degrees] that encloses a window, its edges included."""
    left, bottom, right, top = window.bounds
    x, y = np.linspace(left, right, window.shape[1] + 1), np.linspace(bottom, top, window.shape[0] + 1)
    edge_x = np.concatenate([x, x, np.full_like(y, left), np.full_like(y, right)])
    edge_y = np.concatenate([np.full_like(x, bottom), np.full_like(x, top), y, y])
    lon, lat = Transformer.from_crs(window.crs, 4326, always_xy=True).transform(edge_x, edge_y)
    south, north = np.floor(lat.min() / step), np.ceil(lat.max() / step)
    west, east = np.floor(lon.min() / step), np.ceil(lon.max() / step)
    return np.arange(north, south - 1, -1) * step, np.arange(west, east + 1) * step


def _enough(grid: Grid, window: Grid, x: np.ndarray, y: np.ndarray, step: float, south: float) -> None:
    """The points (x, y) from which values in the window follow lie within the fields' outermost cell centres."""
    if grid.crs != window.crs:
        raise StudyError(f"the fields' grid is in {grid.crs}, the window in {window.crs}; give both in one.")
    left, bottom, right, top = window.bounds
    off = np.hypot(np.maximum(np.maximum(left - x, x - right), 0), np.maximum(np.maximum(bottom - y, y - top), 0))
    near = off <= step * DEGREE * np.hypot(1, np.cos(np.radians(south)))  # the diagonal of a lattice cell
    beyond = np.maximum(np.maximum(grid.x[0] - x, x - grid.x[-1]), np.maximum(grid.y[-1] - y, y - grid.y[0]))
    if (lacking := float(beyond[near].max())) > 1e-6 * grid.cell:
        raise StudyError(
            f"points next to the window lie {lacking / 1000:.0f} km beyond the fields' outermost cells. "
            f"Give the fields a margin that is {int(np.ceil(lacking / grid.cell))} cells wider."
        )
