"""What was told beside baselines, on the same hours and stations, and how often intervals hold."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from airloom.methods.aqnet import around
from airloom.methods.aqnet.baselines import BASELINES, Case
from airloom.methods.aqnet.calibrate import known_of
from airloom.methods.aqnet.hours import MONDAY, WEEK
from airloom.methods.aqnet.learn import Forecasting, Reanalysing
from airloom.methods.aqnet.score import ALONE, OURS, Told
from airloom.methods.aqnet.study import SeriesStudy
from airloom.methods.aqnet.tell import Trained, forecast
from airloom.methods.aqnet.windows import latest, to_come
from airloom.series import Series
from airloom.verify.intervals import LEVELS, Calibration
from airloom.verify.scores import interval, multiplicities


@dataclass(frozen=True)
class Judge:
    """A study, its screened series, and which fold each station is hidden in."""

    study: SeriesStudy
    series: Series
    folds: np.ndarray

    @property
    def observed(self) -> np.ndarray:
        """The target on (time, station) [µg m⁻³]."""
        return self.series.data[self.study.target].to_numpy()

    def forecasts(
        self, trained: Trained[Forecasting], others: Mapping[str, Trained[Forecasting]], found: xr.Dataset
    ) -> Iterator[Told]:
        """Forecasts at stations that are seen, by lead; `others` are rivals, by the baseline's name."""
        learning = trained.learning
        task, moments = learning.task, learning.parts.test
        case = Case(learning.windows, learning.parts.train, moments, task.leads, task.length)
        models = {OURS: found["seen"].to_numpy(), ALONE: found["alone"].to_numpy()}
        others = {**trained.voices, **others}
        for name in self.study.verification.baselines:
            if name in others:
                models[name] = forecast(others[name], moments, task.leads)
            else:
                models[name] = trained.restored(BASELINES[name][1](case))
        yield from self._by_lead("seen", learning, models)

    def hidden_forecasts(self, learning: Forecasting, found: xr.Dataset) -> Iterator[Told]:
        """Forecasts at stations of which nothing is known, beside the persistence of what was interpolated there."""
        last = latest(self.observed, learning.task.length, learning.task.window)[learning.parts.test]
        leads = len(learning.task.leads)
        models = {OURS: found["hidden"].to_numpy()}
        for name, values in self._spatial(last).items():
            models[f"{name}, persisting"] = np.repeat(values[..., None], leads, -1)
        yield from self._by_lead("hidden", learning, models)

    def gaps(self, learning: Reanalysing, found: xr.Dataset) -> Iterator[Told]:
        """Values of blocks that were taken out, by their share, beside what the series or the stations around say."""
        every = np.ones(len(self.folds), bool)
        hours = found["time"].to_numpy().astype("datetime64[h]")
        first = int(np.searchsorted(self.series.hours, hours[0]))
        within = slice(first, first + len(hours))
        for share in learning.task.gaps:
            told = found[f"gaps-{share:g}"].to_numpy()
            taken = np.isfinite(told)
            known = self.observed[within].astype(float)
            left = np.where(taken, np.nan, known)
            models = {
                OURS: told,
                "linear-in-time": around.along_time(left),
                "inverse-distance": around.inverse_distance(left, every, *self.series.metres(self.series.middle)),
            }
            asked = np.where(taken, known, np.nan)
            yield Told(learning.task.name, "gaps", share, hours, asked, models, known_of(left, every))

    def hidden(self, learning: Reanalysing, found: xr.Dataset) -> Told:
        """Series at stations of which nothing is known, beside what others say at the same hours."""
        hours = found["time"].to_numpy().astype("datetime64[h]")
        first = int(np.searchsorted(self.series.hours, hours[0]))
        known = self.observed[first : first + len(hours)].astype(float)
        models = {OURS: found["hidden"].to_numpy(), **self._spatial(known)}
        of = np.zeros_like(known)
        for fold in np.unique(self.folds):
            of[:, self.folds == fold] = known_of(known, self.folds != fold)[:, self.folds == fold]
        return Told(learning.task.name, "hidden", 0, hours, known, models, of)

    def covered(
        self, calibrations: Sequence[Calibration], by_fold: Sequence[Sequence[Calibration]], told: Sequence[Told]
    ) -> Iterator[dict[str, Any]]:
        """How often intervals hold in the test; a forecast has a calibration a step, a reanalysis one. Stations that are hidden have those of
        their fold, `by_fold`, which the other folds' hidden stations gave.
        """
        for one in told:
            step = int(one.lead) - 1 if len(calibrations) > 1 else 0
            whose = by_fold if one.what == "hidden" else [calibrations]
            of = self.folds if one.what == "hidden" else np.zeros_like(self.folds)
            for level in LEVELS:
                ends = np.full((2, *one.observed.shape), np.nan)
                for number, calibration in enumerate(whose):
                    ours, known = (x[:, of == number] for x in (one.models[OURS], one.well_known))
                    ends[:, :, of == number] = calibration[step].between(level, ours, known)
                yield self._row(one, ends[0], ends[1], level)

    def _row(self, told: Told, low: np.ndarray, high: np.ndarray, level: float) -> dict[str, Any]:
        """Coverage and width of one level, whose ends lie on (row, station); weeks are resampled."""
        there = np.isfinite(told.models[OURS]) & np.isfinite(told.observed)
        inside = ((told.observed >= low) & (told.observed <= high))[there]
        week = (told.hours.astype(int) - MONDAY) // WEEK
        known, index = np.unique(week[np.nonzero(there)[0]], return_inverse=True)
        hits, number = np.bincount(index, inside), np.bincount(index)
        drawn = multiplicities(len(known), self.study.verification.draws, self.study.seed)
        return {
            "task": told.task,
            "what": told.what,
            "lead": told.lead,
            "nominal": level,
            "coverage": float(inside.mean()),
            "coverage_ci": interval((drawn @ hits) / (drawn @ number)) if len(known) > 1 else None,
            "width": float((high - low)[there].mean()),
        }

    def _by_lead(self, what: str, learning: Forecasting, models: Mapping[str, np.ndarray]) -> Iterator[Told]:
        """A `Told` a lead, with what was observed there."""
        task, moments = learning.task, learning.parts.test
        wanted = to_come(self.observed[..., None], task.reach, task.length)[moments][:, :, 0]
        for number, lead in enumerate(task.leads):
            hours = self.series.hours[moments] + lead * task.length
            yield Told(task.name, what, lead, hours, wanted[..., lead - 1], {m: v[..., number] for m, v in models.items()})

    def _spatial(self, values: np.ndarray) -> dict[str, np.ndarray]:
        """What stations that are seen say of those of each fold, on (hour, station)."""
        x, y = self.series.metres(self.series.middle)
        before = self.series.hours < np.datetime64(self.study.verification.test, "h")
        learnt = self.observed[before][::24].astype(float)
        found = {n: np.full(values.shape, np.nan) for n in ("nearest", "inverse-distance", "kriging")}
        for fold in np.unique(self.folds):
            known, own = self.folds != fold, self.folds == fold
            found["nearest"][:, own] = around.nearest(values, known, x, y)[:, own]
            found["inverse-distance"][:, own] = around.inverse_distance(values, known, x, y)[:, own]
            found["kriging"][:, own] = around.kriging(values, known, x, y, learnt)[:, own]
        return found
