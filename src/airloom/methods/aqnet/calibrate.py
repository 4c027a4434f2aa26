"""How sure a task is of what it tells: intervals from errors at hours that were left out of learning."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple, cast

import numpy as np

from airloom.methods.aqnet.beside import LINE
from airloom.methods.aqnet.designs import require
from airloom.methods.aqnet.learn import AT_ONCE, Forecasting, Reanalysing, tell, thinned
from airloom.methods.aqnet.regression import Regression, crossed
from airloom.methods.aqnet.split import Parts
from airloom.methods.aqnet.tell import Trained, blended
from airloom.methods.aqnet.windows import Lesson, batches
from airloom.verify.intervals import Calibration

CALIBRATING = 1500  # validating moments whose errors count


class Errors(NamedTuple):
    """What was told and what was found [µg m⁻³], on (value, step), a reanalysis' hours all in one column; and how well each was known, as
    `known_of` has it.
    """

    predicted: np.ndarray
    observed: np.ndarray
    known: np.ndarray

    @classmethod
    def together(cls, parts: Sequence["Errors"]) -> "Errors":
        """Of all parts."""
        return cls(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def known_of(level: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Share of the `known` stations (bool on (station,)) that have a value at each hour of (…, station), for every station."""
    share = np.isfinite(level[..., known]).mean(-1)
    return np.repeat(share[..., None], level.shape[-1], -1)


def of_forecast(trained: Trained[Forecasting], turns: Sequence[Parts]) -> list[Calibration]:
    """Intervals of each step.

    A few validating weeks are too few for how far off a week can be. So the line is solved anew without the weeks of each
    turn, and its errors there give the intervals' shape; how much less all voices err than it in the validating weeks, their
    width. These weeks have also told when to stop learning, which makes the width a little too small.
    """
    line = trained.voices[LINE]
    solved = line.networks[0]
    assert isinstance(solved, Regression)
    windows, known = line.learning.windows, line.learning.known
    told, came = crossed(windows, turns, solved.penalties.numpy(), known, trained.learning.task.length)
    found = of_errors([Errors(line.restored(told), line.restored(came), np.ones_like(told))])
    ours, its = (_size(validated(t, t.learning.parts.validation)) for t in (trained, line))
    return [c.widened(share) for c, share in zip(found, ours / its, strict=True)]


def of_errors(parts: Sequence[Errors]) -> list[Calibration]:
    """Intervals of each step, or the one of a reanalysis, by what errors were: larger where more is predicted, or less is known."""
    every = Errors.together(parts)
    found = []
    for told, observed, known in zip(*(column.T for column in every), strict=True):
        there = np.isfinite(told) & np.isfinite(observed)
        found.append(Calibration.of(told[there], known[there], observed[there]))
    return found


def validated(
    trained: Trained[Forecasting] | Trained[Reanalysing],
    moments: np.ndarray,
    most: int = CALIBRATING,
    *,
    hidden: bool = False,
) -> Errors:
    """Errors at some validating moments, at most so many, at stations that are known or at those of which nothing is."""
    parts = list(_errors(trained, thinned(moments, most), hidden=hidden))
    steps = 1 if isinstance(trained.learning, Reanalysing) else parts[0].predicted.shape[-1]
    every = Errors.together([Errors(*(np.reshape(column, (-1, steps)) for column in part)) for part in parts])
    require(np.isfinite(every.observed), "validation")
    there = np.isfinite(every.observed).any(1)
    return Errors(*(column[there] for column in every))


def lately(moments: np.ndarray) -> np.ndarray:
    """The later half: stations and what they breathe change from year to year, and so does how far off one is.

    >>> lately(np.array([10, 20, 30, 40, 50])).tolist()
    [30, 40, 50]
    """
    return moments[len(moments) // 2 :]


def _errors(trained: Trained[Forecasting] | Trained[Reanalysing], moments: np.ndarray, *, hidden: bool) -> Iterator[Errors]:
    """As the task asks for them, of some moments at a time, in the shape in which they are told."""
    learning = trained.learning
    for some in batches(moments, AT_ONCE):
        lesson = learning.exam(some, hidden=hidden)
        observed = trained.restored(lesson.wanted.numpy())
        if isinstance(learning, Forecasting):
            found, known = blended(cast("Trained[Forecasting]", trained), some), np.ones(observed.shape)
        else:
            found = tell(trained.networks, learning.windows.hours, partial(_same, lesson), some, trained.k)
            known = known_of(lesson.seen.level[..., 0].numpy(), learning.known)[..., None]
        yield Errors(trained.restored(found), observed, np.broadcast_to(known, observed.shape))


def _same(lesson: Lesson, moments: np.ndarray) -> Lesson:
    """Whatever moments are named."""
    return lesson


def _size(errors: Errors) -> np.ndarray:
    """Root mean square of each step."""
    return np.sqrt(np.nanmean((errors.predicted - errors.observed) ** 2, 0))
