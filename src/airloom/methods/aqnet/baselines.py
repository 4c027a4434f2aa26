"""What stands beside forecasts: what anyone would try first, with the same inputs, moments and stations."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from airloom.methods.aqnet.hours import MONDAY, WEEK
from airloom.methods.aqnet.network import flat
from airloom.methods.aqnet.windows import Forecasts, batches
from airloom.progress import Progress, quiet

AT_ONCE = 512  # moments
RIDGES = 10.0 ** np.arange(2, 8)  # penalties, of which the validating weeks choose
TREES = 300


@dataclass(frozen=True)
class Case:
    """Forecasts, the moments to learn from and those that are asked for, which steps are told, and the seed."""

    forecasts: Forecasts
    train: np.ndarray
    asked: np.ndarray
    steps: Sequence[int]
    length: int
    seed: int
    progress: Progress = quiet


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


def regression(
    forecasts: Forecasts, moments: np.ndarray, checks: np.ndarray, known: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Slopes on (input of `flat`, step) and constants on (step,) of the first target by ridge regression, the `known` stations
    (bool on (station,)) together, with the penalty that errs least at the moments that check.
    """
    inner: np.ndarray | None = None
    for inputs, wanted in _designs(forecasts, moments, known):
        terms = np.concatenate([inputs.numpy(), np.ones((len(inputs), 1))], 1).astype(float)
        there = np.isfinite(wanted)
        if inner is None:
            inner = np.zeros((terms.shape[1], terms.shape[1]))
            outer = np.zeros((terms.shape[1], wanted.shape[1]))
        whole = there.any(1)  # where some steps are missing, they count as the mean: few do
        inner += terms[whole].T @ terms[whole]
        outer += terms[whole].T @ np.where(there, wanted, 0)[whole]
    assert inner is not None
    free = np.diag(np.append(np.ones(len(inner) - 1), 0))
    solved = [np.linalg.solve(inner + p * free, outer).astype(np.float32) for p in RIDGES]
    errors = np.zeros(len(solved))
    for inputs, wanted in _designs(forecasts, checks, known):
        told = [inputs.numpy() @ s[:-1] + s[-1] for s in solved]
        errors += [np.nansum((t - wanted) ** 2) for t in told]
    best = solved[int(errors.argmin())]
    return best[:-1], best[-1]


def gradient_boosting(case: Case) -> np.ndarray:
    """LightGBM on the regression's inputs with gaps left as gaps, one for each lead, all stations together; every second moment, of
    days, which hardly change from hour to hour, every twelfth.
    """
    from lightgbm import LGBMRegressor  # slow to import

    stations = case.forecasts.wanted.shape[1]
    every = np.ones(stations, bool)
    thin = 2 if case.length == 1 else 12
    learnt = list(_designs(case.forecasts, case.train[::thin], every, gaps=True))
    inputs, wanted = (np.concatenate([part[i] for part in learnt]) for i in (0, 1))
    asked = [i for i, _ in _designs(case.forecasts, case.asked, every, gaps=True)]
    found = []
    for step in case.steps:
        there = np.isfinite(wanted[:, step - 1])
        model = LGBMRegressor(
            n_estimators=TREES,
            learning_rate=0.04,
            num_leaves=31,
            min_child_samples=200,
            subsample=0.7,
            subsample_freq=1,
            colsample_bytree=0.3,
            reg_lambda=5.0,
            random_state=case.seed,
            n_jobs=1,
            deterministic=True,
            force_row_wise=True,
            verbose=-1,
        )
        model.fit(inputs[there], wanted[there, step - 1])
        told = np.concatenate([np.asarray(model.predict(part)) for part in asked])
        found.append(told.reshape(len(case.asked), stations))
        case.progress(f"gradient boosting, lead {step}", len(found), len(case.steps))
    return np.stack(found, -1)


def _designs(
    forecasts: Forecasts, moments: np.ndarray, known: np.ndarray, *, gaps: bool = False
) -> Iterator[tuple[Tensor, np.ndarray]]:
    """Inputs on (moment · station, number), with `gaps` NaN where there is none, and what is wanted on (moment · station, step)."""
    visible = torch.from_numpy(known)
    for some in batches(moments, AT_ONCE):
        seen = forecasts.lesson(some, visible).seen
        if gaps:
            seen = seen._replace(inputs=_gapped(seen.inputs, forecasts.hours.channels))
        yield flat(seen)[:, visible].flatten(0, 1), forecasts.wanted[some][:, visible, 0].flatten(0, 1).numpy()


def _gapped(inputs: Tensor, channels: Sequence[str]) -> Tensor:
    """Inputs with NaN where a station has no value of its own."""
    variables = [c for c in channels if not c.startswith("log ")]
    masks = [len(channels) + variables.index(c.removeprefix("log ")) for c in channels]
    own = inputs[..., : len(channels)] / inputs[..., masks]  # means over all hours to means over those that are there
    return torch.cat([own, inputs[..., len(channels) :]], -1)


def _slot(time: np.ndarray, length: int) -> np.ndarray:
    """The hour of the week, of days the weekday, of datetime64[h]."""
    hour = (time.astype(int) - MONDAY) % WEEK
    return hour if length == 1 else hour // 24


BASELINES: dict[str, tuple[str, Predict]] = {
    "persistence": ("Persistence", persistence),
    "climatology": ("Climatology of hour, weekday and season", climatology),
    "gradient-boosting": ("Gradient boosting", gradient_boosting),
}
