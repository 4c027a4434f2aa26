"""The area that pixels of one projection share with the cells of another grid.

A cell of the grid is a quadrilateral among the pixels, turned by the angle between the two projections (11° at Madrid
between EPSG:3035 and degrees). exactextract cuts the quadrilateral itself, so neighbouring cells share a pixel without gap
or overlap.
"""

from collections.abc import Iterator
from functools import cache

import numpy as np
import shapely
from affine import Affine
from exactextract import exact_extract
from exactextract.feature import FeatureSource, JSONFeature
from exactextract.raster import NumPyRasterSource
from pyproj import CRS, Transformer

from airloom.grid import Grid

SEMI_MAJOR, ECCENTRICITY = 6378137.0, 0.0818191908426215  # of the ellipsoid WGS 84: [m], and √(1 − b²/a²)


def corners(cells: Grid, crs: CRS) -> tuple[np.ndarray, np.ndarray]:
    """The cells' corners in another projection, each on (y + 1, x + 1)."""
    x = cells.left + np.arange(cells.shape[1] + 1) * cells.cell
    y = cells.top - np.arange(cells.shape[0] + 1) * cells.cell
    return _between(cells.crs, crs).transform(*np.meshgrid(x, y))


@cache  # a map is read in many blocks, and a projection takes as long to set up as a block to project
def _between(one: str, other: CRS) -> Transformer:
    return Transformer.from_crs(one, other, always_xy=True)


def shared(
    values: np.ndarray, transform: Affine, x: np.ndarray, y: np.ndarray, statistic: str
) -> tuple[np.ndarray, np.ndarray]:
    """A statistic of the pixels that each cell covers, weighted by the part covered, and the share of the cell with data.

    `values` are the pixels and `transform` says where they lie; `x` and `y` are the cells' corners in the pixels'
    projection, on (y + 1, x + 1); `statistic` is "mean", "mode" or "sum".
    """
    rings = _rings(x, y)
    found = exact_extract(_source(values, transform), _Cells(rings), [statistic, "count"], output="pandas")
    a, b = rings[:, :-1], rings[:, 1:]
    area = abs((a[..., 0] * b[..., 1] - b[..., 0] * a[..., 1]).sum(1)) / 2
    shape = x.shape[0] - 1, x.shape[1] - 1
    covered = found["count"].to_numpy() * abs(transform.a * transform.e) / area
    return found[statistic].to_numpy(dtype=float).reshape(shape), covered.reshape(shape)


def spread(amounts: np.ndarray, transform: Affine, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Amounts in pixels on (…, row, column), shared out by area to cells, on (…, y, x).

    The amount of a pixel lies evenly over it, in its own projection; what lies in no cell is lost. Amounts are finite numbers;
    `transform`, `x` and `y` as in `shared`.
    """
    source = _source(np.zeros(amounts.shape[-2:]), transform)
    found = exact_extract(source, _Cells(_rings(x, y)), ["cell_id", "coverage"], output="pandas")
    pixel = np.concatenate(found["cell_id"].to_numpy()).astype(int)
    part = np.concatenate(found["coverage"].to_numpy())  # of the pixel
    cell = np.repeat(np.arange(len(found)), found["cell_id"].str.len())
    flat = amounts.reshape(-1, amounts.shape[-2] * amounts.shape[-1])
    shares = [np.bincount(cell, part * one[pixel], len(found)) for one in flat]
    return np.reshape(shares, (*amounts.shape[:-2], x.shape[0] - 1, x.shape[1] - 1))


def _rings(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Outlines of cells on (cell, corner, 2) out of their corners, the first corner again at the end."""
    points = np.stack([x, y], -1)
    ring = (points[:-1, :-1], points[:-1, 1:], points[1:, 1:], points[1:, :-1], points[:-1, :-1])
    return np.stack(ring, 2).reshape(-1, 5, 2)


class _Cell(JSONFeature):
    """An outline in binary, which exactextract takes faster than GeoJSON."""

    def __init__(self, outline: bytes) -> None:
        super().__init__()
        self.outline = outline

    def geometry(self) -> bytes:
        """As exactextract asks for it."""
        return self.outline


class _Cells(FeatureSource):
    """Outlines of cells on (cell, corner, 2), as exactextract takes them."""

    def __init__(self, rings: np.ndarray) -> None:
        super().__init__()
        self.outlines = shapely.to_wkb(shapely.polygons(rings))

    def count(self) -> int:
        """Of cells."""
        return len(self.outlines)

    def __iter__(self) -> Iterator[_Cell]:
        return map(_Cell, self.outlines)

    def srs_wkt(self) -> None:
        """The pixels' own."""


def _source(values: np.ndarray, transform: Affine) -> NumPyRasterSource:
    """Pixels as exactextract takes them."""
    height, width = values.shape
    left, top = transform.c, transform.f
    return NumPyRasterSource(values, left, top + height * transform.e, left + width * transform.a, top, nodata=np.nan)


def degree_areas(latitude: np.ndarray, step: float) -> np.ndarray:
    """Areas [m²] of cells of `step` × `step` degrees centred on latitudes, on the ellipsoid WGS 84."""
    return np.radians(step) * (_belt(latitude + step / 2) - _belt(latitude - step / 2))


def _belt(latitude: np.ndarray) -> np.ndarray:
    """Area between the equator and a latitude, 1 rad wide [m²]: a²q/2 with q of eq. 3-12 in Snyder (1987)."""
    e, sine = ECCENTRICITY, np.sin(np.radians(latitude))
    return SEMI_MAJOR**2 * (1 - e**2) / 2 * (sine / (1 - (e * sine) ** 2) + np.arctanh(e * sine) / e)
