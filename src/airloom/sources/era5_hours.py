"""Hourly series out of files: pieces that overlap become one, sums since midnight become hourly steps."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from airloom.errors import DataError

HOUR = np.timedelta64(1, "h")
FINAL, PRELIMINARY = (
    1,
    5,
)  # expver 0001: the reanalysis; 0005: ERA5T, which the reanalysis replaces after two to three months


@dataclass(frozen=True, eq=False)
class Series:
    """One variable in time.

    `time`: (time,) datetime64[ns], UTC; `values`: (time, …) float32, NaN where missing; `expver`: (time,), FINAL or
    PRELIMINARY; `file`: (time,) the label of the file that each came from.
    """

    time: np.ndarray
    values: np.ndarray
    expver: np.ndarray
    file: np.ndarray

    def at(self, where: np.ndarray) -> "Series":
        """Some of its times, by index or mask; itself where these are all of them, in order."""
        where = np.flatnonzero(where) if where.dtype == bool else where
        if len(where) == len(self.time) and (where == np.arange(len(where))).all():
            return self
        return Series(self.time[where], self.values[where], self.expver[where], self.file[where])


def packing_step(values: np.ndarray, *reaching: float) -> float:
    """How far two readings of one number may be apart: a step of 16-bit packing over the range of `values`, or float32's.

    Each download is packed anew over its own range, so the same hour out of two files differs by up to half a step of each.
    `reaching` are values that the range includes at least.
    """
    lowest = float(np.nanmin(values, initial=min(reaching, default=np.inf)))
    highest = float(np.nanmax(values, initial=max(reaching, default=-np.inf)))
    if lowest > highest:
        return 0.0
    return (highest - lowest) / 65534 + 4 * float(np.finfo(np.float32).eps) * max(abs(lowest), abs(highest))


def joined(name: str, pieces: Sequence[Series]) -> Series:
    """The pieces as one series, ascending, each time once. A number wins over NaN, FINAL over PRELIMINARY.

    Raises:
        DataError: two values of the same time and expver differ by more than `packing_step`.
    """
    time, expver, file = (np.concatenate([getattr(p, k) for p in pieces]) for k in ("time", "expver", "file"))
    order = np.lexsort((expver, time))
    values = pieces[0].values if len(pieces) == 1 else np.concatenate([p.values for p in pieces])
    whole = Series(time, values, expver, file).at(order)
    first, counts = np.unique(whole.time, return_index=True, return_counts=True)[1:]
    result = whole.at(first)
    if len(first) == len(time):
        return result
    tolerance = packing_step(whole.values)
    for again in range(1, counts.max()):
        here = np.flatnonzero(counts > again)
        other, now = whole.at(first[here] + again), result.at(here)
        rest = tuple(range(1, now.values.ndim))
        apart = np.abs(now.values - other.values)
        clash = (apart > tolerance).any(axis=rest) & (now.expver == other.expver)
        if clash.any():
            i = np.flatnonzero(clash)[0]
            raise DataError(
                f"{name} at {_hour(now.time[i])}: {now.file[i]} and {other.file[i]} differ by up to {np.nanmax(apart[i]):.4g}, "
                f"expected the same within {tolerance:.2g} (one step of packing). Keep one of the two files."
            )
        fill = np.isnan(now.values) & ~np.isnan(other.values)
        used = fill.any(axis=rest)
        result.values[here] = np.where(fill, other.values, now.values)
        result.expver[here] = np.where(used, other.expver, now.expver)
        result.file[here] = np.where(used, other.file, now.file)
    return result


def steps_since_midnight(name: str, sums: Series, largest: float) -> tuple[Series, int]:
    """What each hour adds to sums since 00 UTC, labelled by the START of the hour, and how many values were packing noise.

    A sum labelled 00:00 is the whole day before. An hour is left out where the sum an hour earlier on its day is absent or
    of another expver; the first hour of a day needs none. `largest` is what an hour may add at most: packing is judged on a
    range that is no smaller, for a dry month has none of its own.

    Raises:
        DataError: a sum falls by more than its packing explains.
    """
    if not len(sums.time):
        return sums, 0
    first = sums.time - sums.time.astype("datetime64[D]") == HOUR
    follows = np.zeros(len(sums.time), bool)
    follows[1:] = (np.diff(sums.time) == HOUR) & (np.diff(sums.expver) == 0)
    usable = np.flatnonzero(first | follows)
    before = np.where(_over(first[usable], sums.values), np.float32(0), sums.values[usable - 1])
    chosen = sums.at(usable)
    steps = Series(chosen.time - HOUR, chosen.values - before, chosen.expver, chosen.file)
    return without_noise(name, steps, packing_step(sums.values, 0, largest))


def without_noise(name: str, steps: Series, tolerance: float) -> tuple[Series, int]:
    """Steps of a sum that cannot fall: those below zero by no more than `tolerance` become 0; how many did.

    Raises:
        DataError: a step is further below zero.
    """
    if (steps.values < -tolerance).any():
        i = np.flatnonzero((steps.values < -tolerance).any(axis=tuple(range(1, steps.values.ndim))))[0]
        raise DataError(
            f"{steps.file[i]}: {name} falls by {-np.nanmin(steps.values[i]):.4g} in the hour from {_hour(steps.time[i])}, "
            f"expected a sum that never falls by more than {tolerance:.2g} (one step of packing). ERA5-Land sums since 00 UTC, "
            "ERA5 over each hour: is this the right product?"
        )
    below = steps.values < 0
    values = np.where(below, np.float32(0), steps.values)
    return Series(steps.time, values, steps.expver, steps.file), int(below.sum())


def _over(mask: np.ndarray, values: np.ndarray) -> np.ndarray:
    """A mask on (time,) shaped to spread over values on (time, …)."""
    return mask.reshape(-1, *[1] * (values.ndim - 1))


def _hour(time: np.datetime64) -> str:
    return str(time.astype("datetime64[m]")).replace("T", " ")
