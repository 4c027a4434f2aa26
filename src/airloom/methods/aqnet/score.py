"""Scores of series: pooled over stations, with intervals from resampled weeks, since the hours of a week err together."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from airloom.errors import StudyError
from airloom.methods.aqnet.hours import MONDAY, WEEK
from airloom.verify.scores import Moments, compared, scored

OURS, ALONE = "aqnet", "networks"  # all that speaks, and the networks by themselves


@dataclass(frozen=True)
class Told:
    """What models say of the same values of a task.

    `task`: its name. `what`: whose values: "visible" or "hidden" stations, or "gaps". `lead`: hours or days ahead, or the
    share of hours that was taken out. `hours`: datetime64[h] of each row; `observed`, and `models` by name, on (row,
    station) [µg m⁻³], NaN where there is none. `known`: how well each value was known, 0 … 1, where that is told.
    """

    task: str
    what: str
    lead: float
    hours: np.ndarray
    observed: np.ndarray
    models: Mapping[str, np.ndarray]
    known: np.ndarray | None = None

    @property
    def well_known(self) -> np.ndarray:
        """`known`, or 1 throughout."""
        return np.ones(self.observed.shape) if self.known is None else self.known


def rows_of(told: Told, *, draws: int, seed: int) -> list[dict[str, Any]]:
    """Scores of every model at the values that all of them tell, and how ours differ from each: a row a model, ready for JSON.

    `weeks` is how many were resampled; `rmse_difference` and `r2_difference` are ours less the model's, with paired intervals. A model
    besides ours that tells nothing at all has no row: around a single station there is nobody to ask.

    Raises:
        StudyError: there is no such value.
    """
    models = {m: v for m, v in told.models.items() if m == OURS or np.isfinite(v).any()}
    there = np.isfinite(told.observed)
    for values in models.values():
        there &= np.isfinite(values)
    if not there.any():
        raise StudyError(
            f"{told.task}, {told.what} {told.lead:g}: no hour of the test was observed and told by all of {', '.join(models)}. Choose "
            "an earlier verification.test, a longer period, or stations with fewer gaps."
        )
    row, _ = np.nonzero(there)
    week = (told.hours.astype("datetime64[h]").astype(int) - MONDAY) // WEEK
    known, week = np.unique(week[row], return_inverse=True)
    sums = {m: Moments.by_day(v[there], told.observed[there], week, len(known)) for m, v in models.items()}
    head = {"task": told.task, "what": told.what, "lead": told.lead}
    found = []
    for model, own in sums.items():
        scores = scored(own, draws, seed)
        apart = compared(sums[OURS], own, draws, seed) if OURS in sums and model != OURS else {}
        gaps = {k: v for k, v in apart.items() if "difference" in k or "excludes" in k}
        found.append({**head, "model": model, "weeks": scores.pop("days"), **scores, **gaps})
    return found
