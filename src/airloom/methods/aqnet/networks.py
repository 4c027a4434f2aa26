"""The networks of a run of series: what each learns from, with which stations hidden, and where it lies once it has learnt."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import cast

import numpy as np
from torch import nn

from airloom.errors import StudyError
from airloom.files import fingerprint, read_json, sha256, write_json
from airloom.methods.aqnet.beside import LINE, VOICES, Beside, learn_voice
from airloom.methods.aqnet.hours import Hours, Scaler
from airloom.methods.aqnet.jobs import Job, jobs_of
from airloom.methods.aqnet.learn import Forecasting, Learning, Reanalysing, load, train
from airloom.methods.aqnet.score import OURS
from airloom.methods.aqnet.split import Parts, parts_of, turns_of
from airloom.methods.aqnet.study import Forecast, Reanalysis, SeriesStudy, Task
from airloom.methods.aqnet.tell import L, Trained
from airloom.methods.aqnet.windows import Forecasts, Reanalyses, even, recent_finest
from airloom.progress import Progress, quiet
from airloom.series import Series


@dataclass(frozen=True)
class Networks:
    """All that a study trains, on its screened series, in a run's folder; `of` is the fingerprint that checkpoints carry."""

    study: SeriesStudy
    series: Series
    folder: Path
    of: str
    progress: Progress = quiet

    @cached_property
    def jobs(self) -> list[Job]:
        """All networks, the slowest first."""
        return jobs_of(self.study)

    @cached_property
    def folds(self) -> np.ndarray:
        """Which fold each station is hidden in, on (station,)."""
        number = self.study.hidden.folds if self.study.hidden else 1
        return np.random.default_rng(self.study.seed).permutation(len(self.series.stations)) % number

    def task(self, name: str) -> Task:
        """The task of that name."""
        return next(t for t in self.study.tasks if t.name == name)

    def learning(self, task: Task, fold: int | None = None, which: str = OURS) -> Forecasting | Reanalysing:
        """A task's windows, for the stations that a fold leaves to learn from."""
        if isinstance(task, Reanalysis):
            return self.reanalysing(task, fold)
        return self.forecasting(task, fold, which)

    def forecasting(self, task: Forecast, fold: int | None = None, which: str = OURS) -> Forecasting:
        """The same of a forecast, of our networks or of what stands beside them."""
        asked = self.study.verification
        shape = recent_finest(task.window) if which in VOICES else even(task.window, task.coarse)
        windows = Forecasts.of(self._hours(fold), shape, task.reach, task.length, task.given)
        reach = task.reach * task.length
        parts = parts_of(self.series.hours, windows.moments, 1, reach, test=asked.test, every=asked.validation)
        if which == OURS:
            return Forecasting(task, windows, parts, self._known(fold))
        return Beside(task, windows, parts, self._known(fold), which)

    def reanalysing(self, task: Reanalysis, fold: int | None = None) -> Reanalysing:
        """The same of a reanalysis."""
        windows, asked = Reanalyses(self._hours(fold), task.window), self.study.verification
        parts = parts_of(self.series.hours, windows.moments, 0, task.window, test=asked.test, every=asked.validation)
        return Reanalysing(task, windows, parts, self._known(fold))

    def turns(self, learning: Forecasting) -> list[Parts]:
        """A forecast's parts, with each block of weeks left out in turn."""
        asked, reach = self.study.verification, learning.task.reach * learning.task.length
        return turns_of(self.series.hours, learning.windows.moments, 1, reach, test=asked.test, every=asked.validation)

    def trained(self, task: Task, fold: int | None = None) -> Trained[Forecasting] | Trained[Reanalysing]:
        """A task with its trained members."""
        if isinstance(task, Reanalysis):
            return self.trained_reanalysis(task, fold)
        return self.trained_forecast(task, fold)

    def trained_reanalysis(self, task: Reanalysis, fold: int | None = None) -> Trained[Reanalysing]:
        """A reanalysis with its trained members."""
        return self._with_members(self.reanalysing(task, fold), fold)

    def trained_forecast(self, task: Forecast, fold: int | None = None, which: str = OURS) -> Trained[Forecasting]:
        """A forecast with its trained members; where no station is hidden, with the voices that speak beside our networks."""
        found = self._with_members(self.forecasting(task, fold, which), fold, which)
        if which != OURS or fold is not None:
            return found
        line = cast("Beside", self.forecasting(task, which=LINE))
        voices = {
            v: self._with_members(cast("Forecasting", replace(line, which=v)), None, v) for v in VOICES
        }  # who see the same
        return replace(found, voices=voices)

    def size(self, task: Task) -> int:
        """Weights of a task's network."""
        return sum(p.numel() for p in self.learning(task).network(self.study.method).parameters())

    def path(self, job: Job) -> Path:
        """Where a network lies.

        Raises:
            StudyError: it is not trained.
        """
        path = self.folder / job.folder / "best.safetensors"
        if not path.is_file():
            raise StudyError(f"{path}: is not there; this network is not trained yet. Run `airloom train` first.")
        return path

    def weights(self, task: Task) -> str:
        """Hash of our networks of a task and of the voices beside them."""
        jobs = [j for j in self.jobs if j.task == task.name and j.which in (OURS, *VOICES)]
        return fingerprint([sha256(self.path(j)) for j in jobs])

    def train(self, job: Job) -> None:
        """Train one network, or go on."""
        task, folder, progress = self.task(job.task), self.folder / job.folder, job.named(self.progress)
        learning = self.learning(task, job.fold, job.which)
        if job.which in VOICES:
            voice = cast("Beside", learning)
            given = voice, self.turns(voice), self.study.method, folder
            learn_voice(*given, seed=self.study.seed, study=self.of, progress=progress)
        else:
            parts = [self.study.seed, job.member, -1 if job.fold is None else job.fold]
            seed = int(np.random.SeedSequence([p + 1 for p in parts]).generate_state(1)[0] >> 1)
            method, practice = self.study.method, self.study.practice
            train(learning, method, practice, seed=seed, study=self.of, folder=folder, progress=progress)
        write_json(folder / "done.json", {"study": self.of})

    def is_done(self, job: Job) -> bool:
        """Whether a network is trained to its end."""
        log = self.folder / job.folder / "done.json"
        return log.is_file() and read_json(log)["study"] == self.of

    def _with_members(self, learning: L, fold: int | None, which: str = OURS) -> Trained[L]:
        """A task with its trained members."""
        members = self._members(learning, fold, which)
        return Trained(learning, members, self._scaler(fold), self.study.method.neighbours, progress=self.progress)

    def _members(self, learning: Learning, fold: int | None, which: str) -> Sequence[nn.Module]:
        paths = [self.path(j) for j in self.jobs if (j.task, j.fold, j.which) == (learning.task.name, fold, which)]
        return load(learning, self.study.method, paths, self.of)

    def _known(self, fold: int | None) -> np.ndarray:
        """Stations that a fold leaves, bool on (station,)."""
        return np.ones(len(self.folds), bool) if fold is None else self.folds != fold

    def _hours(self, fold: int | None) -> Hours:
        """Normalised by the training hours of the stations that a fold leaves."""
        return Hours.of(self.series, self._scaler(fold), [self.study.target], cyclic=self.study.method.cyclic)

    def _scaler(self, fold: int | None) -> Scaler:
        """Of the training hours of the stations that a fold leaves."""
        before = self.series.hours < np.datetime64(self.study.verification.test, "h")
        return Scaler.of(self.series, before, self._known(fold))
