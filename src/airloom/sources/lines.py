"""Length of lines in the cells of a grid, cut exactly at the cells' edges."""

import numpy as np
import shapely

from airloom.grid import Grid

BATCH = 1_000_000  # straight pieces that are cut at once


def line_length(lines: np.ndarray, grid: Grid, weight: np.ndarray | None = None) -> np.ndarray:
    """Length of lines in each cell [m] on (y, x), times a weight a line where given.

    Arguments:
        lines: line strings, single or multiple, in the grid's projection, on (line,); lengths are those in its plane.
        grid: the cells.
        weight: on (line,).
    """
    start, end, line = _segments(lines, grid)
    weights = np.ones(len(line)) if weight is None else np.asarray(weight, float)[line]
    total = np.zeros(grid.shape)
    for first in range(0, len(start), BATCH):
        some = slice(first, first + BATCH)
        total += _length(start[some], end[some], weights[some], grid.shape)
    return total * grid.cell


def _segments(geometry: np.ndarray, grid: Grid) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Both ends of every straight piece that comes near the grid, as (column, row) in cells, each on (piece, 2), and the
    index of its line.
    """
    parts, whole = shapely.get_parts(geometry, return_index=True)
    coordinates, line = shapely.get_coordinates(parts, return_index=True)
    places = np.stack([coordinates[:, 0] - grid.left, grid.top - coordinates[:, 1]], 1) / grid.cell
    same = line[1:] == line[:-1]
    start, end = places[:-1][same], places[1:][same]
    far = (np.maximum(start, end) < 0).any(1) | (np.minimum(start, end) > np.array(grid.shape[::-1])).any(1)
    return start[~far], end[~far], whole[line[:-1][same][~far]]


def _length(start: np.ndarray, end: np.ndarray, weight: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Length of straight pieces within each cell, in cells, times their weights, on (y, x)."""
    rows, columns = shape
    number = len(start)
    cuts = [_crossings(start[:, 0], end[:, 0], columns), _crossings(start[:, 1], end[:, 1], rows)]
    ends = np.arange(number)
    piece = np.concatenate([ends, ends, *(which for which, _ in cuts)])
    along = np.concatenate([np.zeros(number), np.ones(number), *(part for _, part in cuts)])
    order = np.lexsort((along, piece))
    piece, along = piece[order], along[order]
    within = piece[1:] == piece[:-1]
    piece, step, middle = piece[1:][within], np.diff(along)[within], ((along[1:] + along[:-1]) / 2)[within]
    whole = end - start
    column, row = np.floor(start[piece] + whole[piece] * middle[:, None]).astype(int).T
    inside = (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
    length = step * np.hypot(*whole[piece].T) * weight[piece]
    cell = row[inside] * columns + column[inside]
    return np.bincount(cell, length[inside], rows * columns).reshape(shape)


def _crossings(start: np.ndarray, end: np.ndarray, last: int) -> tuple[np.ndarray, np.ndarray]:
    """Where pieces cross the edges 0, 1, … `last` along one axis: the piece's number, and how far along it (0…1)."""
    low = np.clip(np.ceil(np.minimum(start, end)), 0, last + 1).astype(int)
    high = np.clip(np.floor(np.maximum(start, end)), -1, last).astype(int)
    count = np.where(start == end, 0, np.maximum(high - low + 1, 0))
    piece = np.repeat(np.arange(len(start)), count)
    edge = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + low[piece]
    return piece, (edge - start[piece]) / (end[piece] - start[piece])
