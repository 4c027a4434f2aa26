"""What happens within a column: vertical wind, turbulent mixing, emission into layers, dry deposition.

Each function works in place on (species, layer, y, x), a row of columns at a time; rows are independent, so the result does
not depend on how many threads work.
"""

import numpy as np
from numba import njit, prange

MOST = 0.8  # share of a layer's air that may leave it in one substep of the vertical wind


@njit(parallel=True, cache=True)
def lift(amount, air, target, border):  # type: ignore[no-untyped-def]
    """The vertical wind: brings each layer's air from what horizontal transport left to what it must be.

    By continuity, the air that crosses the top of a layer is all that is too much below it. Tracers cross with it, upwind,
    with van Leer's limited slope. Through the top of the model they leave, or enter with the border's mixing ratio.

    Arguments:
        amount: tracers on (species, layer, y, x).
        air: air after horizontal transport, on (layer, y, x); becomes `target`.
        target: air that the layers hold.
        border: mixing ratio above the top, on (species,).

    Returns:
        what entered through the top, less what left, on (species + 1, y), air last.
    """
    species, layers, rows, columns = amount.shape
    entered = np.zeros((species + 1, rows))
    for y in prange(rows):
        crossing = np.zeros((layers, columns), np.float32)  # air that goes up through the top of each layer
        surplus = np.zeros(columns)
        most = np.float32(0.0)
        for k in range(layers):
            for x in range(columns):
                surplus[x] += np.float64(air[k, y, x]) - np.float64(target[k, y, x])
                crossing[k, x] = surplus[x]
                donor = k if surplus[x] > 0 or k == layers - 1 else k + 1
                most = max(most, abs(crossing[k, x]) / min(air[donor, y, x], target[donor, y, x]))
        steps = int(most / MOST) + 1
        for k in range(layers):
            for x in range(columns):
                crossing[k, x] /= steps
        for x in range(columns):
            entered[species, y] -= surplus[x]
        for _ in range(steps):
            for s in range(species):
                entered[s, y] += _cross(amount[s, :, y, :], air[:, y, :], crossing, border[s])
            for k in range(layers):
                for x in range(columns):
                    air[k, y, x] += (crossing[k - 1, x] if k else np.float32(0.0)) - crossing[k, x]
        for k in range(layers):
            for x in range(columns):
                air[k, y, x] = target[k, y, x]  # but for rounding it is
    return entered


@njit(cache=True)
def _cross(amount, air, crossing, border):  # type: ignore[no-untyped-def]
    """One tracer's flux with the air that crosses the tops of layers, on (layer, x); returns what entered through the top."""
    layers, columns = amount.shape
    ratio, slope = np.empty((layers, columns), np.float32), np.zeros((layers, columns), np.float32)
    for k in range(layers):
        for x in range(columns):
            ratio[k, x] = amount[k, x] / air[k, x]
    for k in range(1, layers - 1):
        for x in range(columns):
            down, up = ratio[k, x] - ratio[k - 1, x], ratio[k + 1, x] - ratio[k, x]
            if down * up > 0:
                slope[k, x] = np.float32(2.0) * down * up / (down + up)
    entered = 0.0
    half, one = np.float32(0.5), np.float32(1.0)
    for k in range(layers):
        for x in range(columns):
            moved = crossing[k, x]
            if moved > 0:
                carried = moved * (ratio[k, x] + half * slope[k, x] * (one - moved / air[k, x]))
            elif k < layers - 1:
                carried = moved * (ratio[k + 1, x] - half * slope[k + 1, x] * (one + moved / air[k + 1, x]))
            else:
                carried = moved * border
            amount[k, x] -= carried
            if k < layers - 1:
                amount[k + 1, x] += carried
            else:
                entered -= carried
    return entered


@njit(parallel=True, cache=True)
def mix(amount, air, exchange, settling, seconds):  # type: ignore[no-untyped-def]
    """Turbulent mixing and dry deposition, implicit in time, so stable and positive whatever the step.

    Arguments:
        amount: tracers on (species, layer, y, x).
        air: air that the layers hold, on (layer, y, x).
        exchange: air that a second's turbulence exchanges between a layer and the one above, in the unit of `air` per
            second, on (layer − 1, y, x): density × diffusivity / distance of the centres.
        settling: share of the lowest layer that deposits in a second, on (species, y, x): deposition velocity / thickness.
        seconds: the step.

    Returns:
        what was deposited, on (species, y, x).
    """
    species, layers, rows, columns = amount.shape
    deposited = np.zeros((species, rows, columns), np.float32)
    one, step = np.float32(1.0), np.float32(seconds)
    for y in prange(rows):
        above = np.empty(
            (layers, columns), np.float32
        )  # of the eliminated system: ratio = above · ratio of the next layer + rest
        rest = np.empty((layers, columns), np.float32)
        for s in range(species):
            for k in range(layers):
                for x in range(columns):
                    mass = air[k, y, x]
                    up = step * exchange[k, y, x] if k < layers - 1 else np.float32(0.0)
                    if k == 0:
                        pivot = mass * (one + step * settling[s, y, x]) + up
                        rest[k, x] = amount[s, k, y, x] / pivot
                    else:
                        down = step * exchange[k - 1, y, x]
                        pivot = mass + up + down * (one - above[k - 1, x])
                        rest[k, x] = (amount[s, k, y, x] + down * rest[k - 1, x]) / pivot
                    above[k, x] = up / pivot
            for k in range(layers - 2, -1, -1):
                for x in range(columns):
                    rest[k, x] += above[k, x] * rest[k + 1, x]
            for x in range(columns):
                deposited[s, y, x] = step * settling[s, y, x] * air[0, y, x] * rest[0, x]
            _exchange(amount[s, :, y, :], rest, exchange[:, y, :], deposited[s, y], step)
    return deposited


@njit(cache=True)
def _exchange(amount, ratio, exchange, deposited, step):  # type: ignore[no-untyped-def]
    """Move amounts by the fluxes of the solution: what leaves a layer is what the next one gets, to the last bit but one."""
    layers, columns = amount.shape
    for x in range(columns):
        amount[0, x] -= deposited[x]
    for k in range(layers - 1):
        for x in range(columns):
            up = step * exchange[k, x] * (ratio[k, x] - ratio[k + 1, x])
            amount[k, x] -= up
            amount[k + 1, x] += up
    for k in range(layers):
        for x in range(columns):
            amount[k, x] = max(amount[k, x], np.float32(0.0))
