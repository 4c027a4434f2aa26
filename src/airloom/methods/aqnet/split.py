"""Which moments are learnt from, which validate, and which are scored: by blocks of weeks, none of whose hours is told twice."""

import math
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from airloom.errors import StudyError
from airloom.methods.aqnet.hours import MONDAY, WEEK


@dataclass(frozen=True)
class Parts:
    """Positions of hours, each after which, or from which on, `reach` hours are told."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def turns_of(hours: np.ndarray, moments: np.ndarray, first: int, reach: int, *, test: datetime, every: int) -> list[Parts]:
    """As `parts_of`, once for each block of every so many that may be the one that validates: the one of `parts_of` first, then all others
    that hold an hour.
    """
    found = [_parts(hours, moments, first, reach, test, every, turn) for turn in (every - 1, *range(every - 1))]
    return [p for p in found if len(p.train) and len(p.validation)]


def parts_of(hours: np.ndarray, moments: np.ndarray, first: int, reach: int, *, test: datetime, every: int) -> Parts:
    """The moments of a task, in three parts.

    Every hour that a training moment is told lies before the test and outside all blocks that validate; every hour of a validating
    moment lies inside one block; the test's moments are told hours from `test` on.

    Arguments:
        hours: datetime64[h] on (time,).
        moments: positions in it.
        first: where what is told begins, in hours after the moment: 1 of a forecast, 0 of a window.
        reach: hours that are told.
        test: first hour of the test (UTC).
        every: every so-manieth block validates; a block is a week, and one more for each that is told.

    Raises:
        StudyError: a part has no moment.
    """
    found = _parts(hours, moments, first, reach, test, every, every - 1)
    for name in ("train", "validation", "test"):
        if not len(getattr(found, name)):
            start, weeks = int(np.searchsorted(hours, np.datetime64(test, "h"))), _weeks(reach)
            raise StudyError(
                f"verification: the part {name} has no hour, of {len(hours)} with {start} before the test and every {every}. block "
                f"of {weeks} weeks validating. Choose another test hour, or a longer period."
            )
    return found


def _parts(hours: np.ndarray, moments: np.ndarray, first: int, reach: int, test: datetime, every: int, turn: int) -> Parts:
    """As `parts_of`; of every so many blocks the one whose `turn` it is validates."""
    start = int(np.searchsorted(hours, np.datetime64(test, "h")))
    block = (hours.astype(int) - MONDAY) // (WEEK * _weeks(reach))
    validates = block % every == turn
    begins, ends = moments + first, moments + first + reach - 1
    whole = ends < len(hours)
    begins, ends, moments = begins[whole], ends[whole], moments[whole]
    touched = np.concatenate([[0], np.cumsum(validates)])
    untouched = touched[ends + 1] == touched[begins]
    inside = validates[begins] & (block[begins] == block[ends])
    return Parts(moments[(ends < start) & untouched], moments[(ends < start) & inside], moments[begins >= start])


def _weeks(reach: int) -> int:
    """Of a block, so that what is told fits in."""
    return math.ceil(reach / WEEK - 0.5) + 1
