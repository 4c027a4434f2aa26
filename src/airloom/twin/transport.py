"""Horizontal transport by the wind: conservative, positive, stable at any Courant number.

Each direction is one remapping. The cells' amounts are taken as a piecewise parabola (Colella & Woodward, 1984, with the
limiter of Lin, 2004, Eqs. B1–B4); the interfaces are followed back along the wind; what lies between two of them is what the
cell holds afterwards. Air is carried by the very same sweeps as a tracer of mixing ratio 1, so that a uniform mixing ratio
stays uniform; what the air lacks or has too much of afterwards is the vertical wind's (`columns.py`).
"""

import numpy as np
from numba import njit, prange

BLOCK = 32  # lines swept together: what fits into the nearest cache, and fills the vector unit
FURTHEST = 64  # cells that a step may carry air


def horizontal(
    amount: np.ndarray, air: np.ndarray, u: np.ndarray, v: np.ndarray, *, border: np.ndarray, x_first: bool
) -> np.ndarray:
    """Carry tracers and air one step along both directions, in place.

    Arguments:
        amount: tracers on (species, layer, y, x), any extensive unit such as µmol m⁻².
        air: air on (layer, y, x), such as mol m⁻².
        u: eastward distance in cells that the wind covers in the step, on (layer, y, x).
        v: the same northward.
        border: mixing ratios (amount per air) beyond the window, on (species, layer).
        x_first: alternate it from step to step, so that the splitting error is of second order.

    Returns:
        what entered through the window's sides, less what left, summed over cells, on (species + 1,), air last.

    Raises:
        ValueError: the wind covers more than FURTHEST cells in a step.
    """
    furthest = max(float(np.abs(u).max()), float(np.abs(v).max()))
    if not furthest < FURTHEST:
        raise ValueError(
            f"the wind covers {furthest:.0f} cells in one step; at most {FURTHEST} are allowed. Shorten the step."
        )
    along_y = amount, air, _interfaces(-v)
    along_x = amount.swapaxes(2, 3), air.swapaxes(1, 2), _interfaces(np.ascontiguousarray(u.swapaxes(1, 2)))
    entered = np.zeros(len(amount) + 1)
    for direction in (along_x, along_y) if x_first else (along_y, along_x):
        entered += _sweep(*direction, border).sum((1, 2))
    return entered


def _interfaces(wind: np.ndarray) -> np.ndarray:
    """Displacement at cells on (layer, n, m) → at the n + 1 interfaces along n; at the window's sides that of the cell."""
    found = np.empty((wind.shape[0], wind.shape[1] + 1, wind.shape[2]), np.float32)
    found[:, 0], found[:, -1] = wind[:, 0], wind[:, -1]
    found[:, 1:-1] = (wind[:, 1:] + wind[:, :-1]) / 2
    return found


@njit(parallel=True, cache=True)
def _sweep(amount, air, displacement, border):  # type: ignore[no-untyped-def]
    """Remap along the second last dimension; returns what entered, on (species + 1, layer, block of lines).

    Blocks of lines are independent, so the result does not depend on how many threads work.
    """
    species, layers, cells, lines = amount.shape
    blocks = (lines + BLOCK - 1) // BLOCK
    entered = np.zeros((species + 1, layers, blocks))
    for task in prange(layers * blocks):
        layer, block = task // blocks, task % blocks
        first = block * BLOCK
        width = min(BLOCK, lines - first)
        # cells of border air on each side: as far as the wind of these lines reaches, and a parabola's neighbours
        halo = 3 + int(np.abs(displacement[layer, :, first : first + width]).max())
        extended = np.empty((cells + 2 * halo, BLOCK), np.float32)
        low, high = np.empty_like(extended), np.empty_like(extended)
        below = np.empty((cells + 2 * halo + 1, BLOCK), np.float64)
        passed = np.empty((cells + 1, BLOCK), np.float64)
        donor = np.empty((cells + 1, BLOCK), np.int32)
        part = np.empty((cells + 1, BLOCK), np.float32)
        _departures(displacement[layer, :, first : first + width], halo, donor, part)
        edge = np.empty((2, BLOCK), np.float32)  # border air is that of the outermost cells before the step
        edge[0, :width], edge[1, :width] = air[layer, 0, first : first + width], air[layer, -1, first : first + width]
        for s in range(species + 1):
            line = air[layer, :, first : first + width] if s == species else amount[s, layer, :, first : first + width]
            ratio = np.float32(1.0) if s == species else border[s, layer]
            _extend(line, edge, ratio, halo, extended)
            _parabola(extended, low, high)
            _accumulate(extended, below)
            _passed(extended, low, high, below, donor, part, passed)
            gain = 0.0
            for b in range(width):
                gain += below[halo, b] - passed[0, b] + passed[cells, b] - below[halo + cells, b]
            for i in range(cells):
                for b in range(width):
                    line[i, b] = max(passed[i + 1, b] - passed[i, b], 0.0)
            entered[s, layer, block] = gain
    return entered


@njit(cache=True)
def _departures(displacement, halo, donor, part):  # type: ignore[no-untyped-def]
    """Where each interface comes from: the cell of the extended line, and how far into it, 0…1.

    Interfaces do not overtake each other, however steep the wind: what they enclose would be negative.
    """
    interfaces, width = displacement.shape
    before = np.zeros(BLOCK, np.float32)
    for i in range(interfaces):
        for b in range(BLOCK):
            at = np.float32(halo + i) - (displacement[i, b] if b < width else np.float32(0.0))
            at = max(at, before[b])
            before[b] = at
            cell = np.int32(at)
            donor[i, b] = cell
            part[i, b] = at - np.float32(cell)


@njit(cache=True)
def _extend(line, edge, ratio, halo, extended):  # type: ignore[no-untyped-def]
    """The line with `halo` cells of border air on both sides; unused lines of the block are zero."""
    cells, width = line.shape
    extended[:, width:] = 0.0
    for b in range(width):
        extended[:halo, b] = edge[0, b] * ratio
        extended[halo + cells :, b] = edge[1, b] * ratio
    for i in range(cells):
        for b in range(width):
            extended[halo + i, b] = line[i, b]


@njit(cache=True)
def _parabola(mean, low, high):  # type: ignore[no-untyped-def]
    """Values at both edges of each cell, as differences from its mean, limited so that no new extreme arises."""
    cells = len(mean)
    slope = np.zeros_like(mean)
    for i in range(1, cells - 1):
        for b in range(BLOCK):
            before, here, after = mean[i - 1, b], mean[i, b], mean[i + 1, b]
            central = np.float32(0.25) * (after - before)
            room_up = max(before, here, after) - here
            room_down = here - min(before, here, after)
            slope[i, b] = np.copysign(min(abs(central), room_up, room_down), central)
    low[:1], high[:1], low[-1:], high[-1:] = 0.0, 0.0, 0.0, 0.0
    third = np.float32(1 / 3)
    half = np.float32(0.5)
    for i in range(1, cells - 1):
        for b in range(BLOCK):
            here, most = mean[i, b], np.float32(2.0) * slope[i, b]
            left = half * (mean[i - 1, b] + here) + third * (slope[i - 1, b] - slope[i, b]) - here
            right = half * (here + mean[i + 1, b]) + third * (slope[i, b] - slope[i + 1, b]) - here
            low[i, b] = -np.copysign(min(abs(most), abs(left)), most)
            high[i, b] = np.copysign(min(abs(most), abs(right)), most)


@njit(cache=True)
def _accumulate(mean, below):  # type: ignore[no-untyped-def]
    """Sum of all cells below each interface; in double precision, for differences of it are what cells get."""
    below[0] = 0.0
    for i in range(len(mean)):
        for b in range(BLOCK):
            below[i + 1, b] = below[i, b] + mean[i, b]


@njit(cache=True)
def _passed(mean, low, high, below, donor, part, passed):  # type: ignore[no-untyped-def]
    """What lies below each departure point: whole cells, and the parabola's integral over a part of one."""
    for i in range(len(donor)):
        for b in range(BLOCK):
            cell, f = donor[i, b], part[i, b]
            left, right = low[cell, b], high[cell, b]
            bend = np.float32(-3.0) * (left + right)
            inner = left + np.float32(0.5) * f * (right - left + bend * (np.float32(1.0) - np.float32(2 / 3) * f))
            passed[i, b] = below[cell, b] + np.float64(f) * (np.float64(mean[cell, b]) + np.float64(inner))
