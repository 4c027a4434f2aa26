"""What stands beside forecasts and learns no weights: what persists, and what is usual."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from airloom.methods.aqnet.hours import MONDAY, WEEK
from airloom.methods.aqnet.windows import Forecasts


@dataclass(frozen=True)
class Case:
    """Forecasts, the moments to learn from and those that are asked for, which steps are told, and the hours of one."""

    forecasts: Forecasts
    train: np.ndarray
    asked: np.ndarray
    steps: Sequence[int]
    length: int


Predict = Callable[[Case], np.ndarray]


def persistence(case: Case) -> np.ndarray:
    """The last value known; of days the mean of the last 24 hours."""
    last = case.forecasts.last[case.asked, :, 0].numpy()
    return np.repeat(last[..., None], len(case.steps), -1)


def climatology(case: Case) -> np.ndarray:
    """The training moments' mean of the same hour of the week and season (within 45 days of the year), station by station."""
    time, wanted = case.forecasts.hours.time, case.forecasts.wanted[:, :, 0].numpy()
    slot = _slot(time, case.length)
    season = (time - time.astype("datetime64[Y]")).astype("timedelta64[h]").astype(int) / 24
    found = np.full((len(case.asked), wanted.shape[1], len(case.steps)), np.nan, np.float32)
    for number, step in enumerate(case.steps):
        known = wanted[case.train, :, step - 1]
        for one in np.unique(slot[case.asked]):
            of, to = case.train[slot[case.train] == one], np.flatnonzero(slot[case.asked] == one)
            values = known[slot[case.train] == one]
            apart = abs(season[case.asked[to]][:, None] - season[of][None])
            alike = (np.minimum(apart, 365.25 - apart) <= 45).astype(np.float32)
            there = np.isfinite(values)
            total, count = alike @ np.where(there, values, 0), alike @ there.astype(np.float32)
            found[to, :, number] = np.divide(total, count, out=np.full(total.shape, np.nan, np.float32), where=count > 0)
    return found


def _slot(time: np.ndarray, length: int) -> np.ndarray:
    """The hour of the week, of days the weekday, of datetime64[h]."""
    hour = (time.astype(int) - MONDAY) % WEEK
    return hour if length == 1 else hour // 24


BASELINES: dict[str, tuple[str, Predict]] = {
    "persistence": ("Persistence", persistence),
    "climatology": ("Climatology of hour, weekday and season", climatology),
}
