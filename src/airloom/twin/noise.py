"""Smooth random fields over the whole plane: the same place has the same value, whatever window is looked at."""

import numpy as np

SPREAD = 0.452  # standard deviation of an octave


def scatter(seed: int, *numbers: np.ndarray | int) -> np.ndarray:
    """Numbers in 0…1 that look random and follow from the seed and some whole numbers alone (a splitmix64 hash)."""
    state = np.asarray(np.uint64(seed & 0xFFFFFFFFFFFFFFFF))
    with np.errstate(over="ignore"):
        for number in numbers:
            state = state ^ np.asarray(number, np.int64).astype(np.uint64)
            state = state + np.uint64(0x9E3779B97F4A7C15)
            state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            state = state ^ (state >> np.uint64(31))
    return (state >> np.uint64(11)).astype(float) / 2**53


def octave(x: np.ndarray, y: np.ndarray, wavelength: float, seed: int) -> np.ndarray:
    """Value noise of mean 0 within −1…1: random numbers on a lattice of `wavelength` [m], joined smoothly."""
    column, row = np.floor(x / wavelength), np.floor(y / wavelength)
    east, north = x / wavelength - column, y / wavelength - row
    column, row = column.astype(np.int64), row.astype(np.int64)
    east, north = (t * t * t * (t * (6 * t - 15) + 10) for t in (east, north))
    lower = scatter(seed, column, row) * (1 - east) + scatter(seed, column + 1, row) * east
    upper = scatter(seed, column, row + 1) * (1 - east) + scatter(seed, column + 1, row + 1) * east
    return 2 * (lower * (1 - north) + upper * north) - 1


def fractal(
    x: np.ndarray, y: np.ndarray, *, longest: float, shortest: float, seed: int, roughness: float = 0.55
) -> np.ndarray:
    """Sum of octaves from `longest` to `shortest` wavelength [m], each `roughness` times as high as the one before.

    Scaled to a standard deviation of about 1. Octaves left out at the short end do not change those that stay, so coarse
    cells see the hills of fine ones without their detail.
    """
    total, height = np.zeros(np.shape(x)), 1.0
    for number in range(int(np.floor(np.log2(longest / shortest))) + 1):
        shift = 0.37 * longest * number  # so that the lattices of two octaves do not share their nodes
        total += height * octave(x + shift, y - shift, longest / 2**number, seed + 7919 * number)
        height *= roughness
    return total * np.sqrt(1 - roughness**2) / SPREAD
