"""Series carried from stations' tables to a report: screening, networks, forecasts and reanalyses, scores.

from airloom.kinds import open_run, open_study
run = open_run(open_study("studies/beijing.yaml"), data="data", folder="runs/beijing")
run.prepare()
run.train()
run.predict()
print(run.evaluate()["rows"][0])
run.report()
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import xarray as xr
from torch import nn

from airloom.carrier import Carrier
from airloom.errors import StudyError
from airloom.files import fingerprint, read_json, sha256, whole, write_json
from airloom.ledger import Ledger
from airloom.members import side_by_side
from airloom.methods.aqnet.beside import LINE, TITLES, VOICES, Beside, learn_voice
from airloom.methods.aqnet.calibrate import CALIBRATING, Errors, lately, of_errors, of_forecast, validated
from airloom.methods.aqnet.hours import Hours, Scaler
from airloom.methods.aqnet.jobs import Job, jobs_of
from airloom.methods.aqnet.judge import Judge
from airloom.methods.aqnet.learn import Forecasting, Learning, Reanalysing, load, train
from airloom.methods.aqnet.model import keep
from airloom.methods.aqnet.score import OURS, Told, rows_of
from airloom.methods.aqnet.split import Parts, parts_of, turns_of
from airloom.methods.aqnet.study import Forecast, Reanalysis, SeriesStudy, Task
from airloom.methods.aqnet.tell import L, Trained, blended, forecast, gaps_of, members, reanalyse, told_of
from airloom.methods.aqnet.windows import Forecasts, Reanalyses, even, recent_finest
from airloom.progress import Progress, quiet
from airloom.series import Series, screen_series
from airloom.sources.base import Column
from airloom.sources.members import matching
from airloom.sources.registry import HOURLY
from airloom.verify.intervals import Calibration


class SeriesRun(Carrier[SeriesStudy]):
    """Carries a study through `prepare`, `train`, `predict`, `evaluate`, `report`; each goes on where it was stopped."""

    @property
    def netcdf(self) -> Path:
        """What was told by the first task's networks."""
        return self.told_path(self.study.tasks[0])

    @property
    def fingerprint(self) -> str:
        """What checkpoints carry: the study but for its scoring, and the files."""
        content = self.study.model_dump(mode="json", exclude={"title": True, "verification": {"draws", "baselines"}})
        return fingerprint([content, self._made_of])

    def prepare(self, scheduler: str | None = None) -> Path:
        """Read and screen the stations' tables; returns the folder of the screened series.

        Raises:
            StudyError: a scheduler is named, which they do not need.
        """
        if scheduler:
            raise StudyError(f"--scheduler {scheduler}: aqnet reads its tables on this machine. Leave it out.")
        with self._timed("prepare"):
            self._write_study()
            _ = self.series
        return self._series_folder

    def train(self) -> list[Path]:
        """Train the networks of all tasks, several side by side; returns where they are."""
        self._require_alone("aqnet")
        with self._timed("train"):
            self._write_study()
            _ = self.series
            waiting = [j for j in self.jobs if not self._done(j)]
            work = [partial(_train, self.study, self.data, self.folder, job) for job in waiting]
            if len(work) > 1 and self.workers > 1:
                side_by_side(work, self.folder, at_once=min(self.workers, len(work)), progress=self.progress)
            else:
                for one in work:
                    one(self.progress)
        return [self.folder / j.folder for j in self.jobs]

    @cached_property
    def jobs(self) -> list[Job]:
        """All networks, the slowest first."""
        return jobs_of(self.study)

    def train_job(self, job: Job) -> None:
        """Train one network, or go on."""
        task = self.task(job.task)
        if job.which in VOICES:
            assert isinstance(task, Forecast)
            voice = self.forecasting(task, job.fold, job.which)
            assert isinstance(voice, Beside)
            given = voice, self._turns(voice), self.study.method, self.folder / job.folder
            learn_voice(*given, seed=self.study.seed, study=self.fingerprint, progress=job.named(self.progress))
            return
        seed = [self.study.seed, job.member, -1 if job.fold is None else job.fold]
        train(
            self.reanalysing(task, job.fold)
            if isinstance(task, Reanalysis)
            else self.forecasting(task, job.fold, job.which),
            self.study.method,
            self.study.practice,
            seed=int(np.random.SeedSequence([s + 1 for s in seed]).generate_state(1)[0] >> 1),
            study=self.fingerprint,
            folder=self.folder / job.folder,
            progress=job.named(self.progress),
        )

    def predict(self) -> Path:
        """Forecasts and reanalyses of the test's hours; returns the NetCDF file's path."""
        self._require_alone("aqnet")
        with self._timed("predict"):
            for task in self.study.tasks:
                self._tell(task)
        return self.netcdf

    def evaluate(self) -> dict[str, Any]:
        """What was told beside the baselines, on the same hours and stations; writes `scores.json`."""
        with self._timed("evaluate"):
            parts = [self._scored(t) for t in self.study.tasks]
            scores = {"study": self.study.name, "draws": self.study.verification.draws}
            scores |= {k: [row for p in parts for row in p[k]] for k in ("rows", "intervals")}
            write_json(self.folder / "scores.json", scores)
        return scores

    def _scored(self, task: Task) -> dict[str, Any]:
        """Scores of one task, kept, for baselines take minutes."""
        path = self.folder / "scores" / f"{task.name}.json"
        verification = self.study.verification.model_dump(mode="json")
        weights = [sha256(self._trained_path(j)) for j in self.jobs if j.task == task.name]
        of = fingerprint([verification, weights])
        if path.is_file() and self.model_path(task).is_file() and (kept := read_json(path))["of"] == of:
            return kept
        told, draws = list(self._told(task)), self.study.verification.draws
        rows = [row for one in told for row in rows_of(one, draws=draws, seed=self.study.seed)]
        found = {"of": of, "rows": rows, "intervals": self._intervals(task, told)}
        write_json(path, found)
        return found

    def _intervals(self, task: Task, told: Sequence[Told]) -> list[dict[str, Any]]:
        """How often intervals hold; what tells new hours is kept with them, for others to use."""
        trained, folds = self._trained_of(task), self.study.hidden.folds if self.study.hidden else 0
        seen = self._calibrations(trained)
        hidden = [self._lately_hidden(task, f, CALIBRATING // folds) for f in range(folds)]
        keep(self.study, task, trained, seen, of_errors(hidden) if hidden else [], self.model_path(task))
        by_fold = [of_errors([p for other, p in enumerate(hidden) if other != f]) for f in range(folds)]
        return list(self._judge.covered(seen, by_fold, told))

    def _lately_hidden(self, task: Task, fold: int, most: int) -> Errors:
        """Errors at a fold's hidden stations."""
        trained = self._trained_of(task, fold)
        return validated(trained, lately(trained.learning.parts.validation), most, hidden=True)

    def _calibrations(self, trained: Trained[Forecasting] | Trained[Reanalysing]) -> list[Calibration]:
        """Intervals of what a task tells of stations that are seen."""
        learning = trained.learning
        if isinstance(learning, Reanalysing):
            return of_errors([validated(trained, lately(learning.parts.validation))])
        return of_forecast(cast("Trained[Forecasting]", trained), self._turns(learning))

    def _turns(self, learning: Forecasting) -> list[Parts]:
        """A forecast's parts, with each block of weeks left out in turn."""
        asked, reach = self.study.verification, learning.task.reach * learning.task.length
        return turns_of(self.series.hours, learning.windows.moments, 1, reach, test=asked.test, every=asked.validation)

    def model_path(self, task: Task) -> Path:
        """Where what tells new hours lies, once it is evaluated."""
        return self.folder / f"model-{task.name}.safetensors"

    def _told(self, task: Task) -> Iterator[Told]:
        """What models say of the same values of a task."""
        if not self._is_told(task):
            where = f"{self.told_path(task)}: is not there, or of other networks"
            raise StudyError(f"{where}; nothing is told of {task.name} yet. Run `airloom predict` first.")
        with xr.open_dataset(self.told_path(task), engine="netcdf4") as found:
            if isinstance(task, Reanalysis):
                reanalysing = self.reanalysing(task)
                yield from self._judge.gaps(reanalysing, found)
                if self.study.hidden:
                    yield self._judge.hidden(reanalysing, found)
            else:
                forecasting = self.trained_forecast(task)
                rivals = [str(b) for b in self.study.verification.baselines if b in TITLES and b not in VOICES]
                others = {b: self._trained(self.forecasting(task, which=b), which=b) for b in rivals}
                yield from self._judge.forecasts(forecasting, others, found)
                if self.study.hidden:
                    yield from self._judge.hidden_forecasts(forecasting.learning, found)

    def _tell(self, task: Task) -> None:
        """Write what the networks of a task tell of the test's hours, unless that is there already."""
        if self._is_told(task):
            return
        found = self._reanalysed(task) if isinstance(task, Reanalysis) else self._forecast(task)
        title = {"title": f"{self.study.title}: {task.name}", "Conventions": "CF-1.11", "weights": self._weights(task)}
        with whole(self.told_path(task)) as aside:
            found.assign_attrs(title).to_netcdf(aside, engine="netcdf4")

    def _is_told(self, task: Task) -> bool:
        """Whether what the task's networks tell is written."""
        if not self.told_path(task).is_file():
            return False
        with xr.open_dataset(self.told_path(task), engine="netcdf4") as file:
            return file.attrs.get("weights") == self._weights(task)

    def _forecast(self, task: Forecast) -> xr.Dataset:
        """Forecasts after each of the test's hours: `seen` stations, and those `hidden` in the folds, on (time, station, lead)."""
        trained = self.trained_forecast(task)
        moments = trained.learning.parts.test
        alone = members(trained, moments)
        values = {
            "seen": told_of(trained, blended(trained, moments, alone), task.leads),
            "alone": told_of(trained, alone, task.leads),
        }
        if self.study.hidden:
            values["hidden"] = np.full_like(values["seen"], np.nan)
            for fold in range(self.study.hidden.folds):
                own = self.folds == fold
                of_fold = self._trained(self.forecasting(task, fold), fold)
                values["hidden"][:, own] = forecast(of_fold, moments, task.leads)[:, own]
        attrs = {"units": "ug m-3", "long_name": f"{self.study.target} that comes so many {task.means}s later"}
        return xr.Dataset(
            {n: (("time", "station", "lead"), v, attrs) for n, v in values.items()},
            {
                "time": (
                    "time",
                    self.series.hours[moments].astype("datetime64[ns]"),
                    {"long_name": "last hour that was seen"},
                ),
                "station": self.series.stations,
                "lead": ("lead", list(task.leads), {"units": "h" if task.means == "hour" else "d"}),
            },
        )

    def _reanalysed(self, task: Reanalysis) -> xr.Dataset:
        """The test's hours: blocks that were taken out, by share, and stations `hidden` in the folds, on (time, station)."""
        trained, hours = self._trained(self.reanalysing(task)), self.series.hours
        begin = int(np.searchsorted(hours, np.datetime64(self.study.verification.test, "h")))
        span, shape = range(begin, len(hours)), (len(hours), len(self.folds))
        values = {}
        for share in task.gaps:
            gaps = np.zeros(shape, bool)
            gaps[begin:] = gaps_of(len(span), shape[1], share, task.block, self.study.seed)
            values[f"gaps-{share:g}"] = np.where(gaps[begin:], reanalyse(trained, span, gaps), np.nan)
        if self.study.hidden:
            values["hidden"] = np.full((len(span), shape[1]), np.nan)
            for fold in range(self.study.hidden.folds):
                own = self.folds == fold
                of_fold = self._trained(self.reanalysing(task, fold), fold)
                values["hidden"][:, own] = reanalyse(of_fold, span, np.zeros(shape, bool))[:, own]
        attrs = {"units": "ug m-3", "long_name": self.study.target}
        coords = {"time": hours[begin:].astype("datetime64[ns]"), "station": self.series.stations}
        return xr.Dataset({n: (("time", "station"), v, attrs) for n, v in values.items()}, coords)

    @cached_property
    def _judge(self) -> Judge:
        return Judge(self.study, self.series, self.folds)

    def told_path(self, task: Task) -> Path:
        """Where what is told of a task lies."""
        return self.folder / f"told-{task.name}.nc"

    def _weights(self, task: Task) -> str:
        """Hash of our networks of a task."""
        jobs = [j for j in self.jobs if j.task == task.name and j.which in (OURS, *VOICES)]
        return fingerprint([sha256(self._trained_path(j)) for j in jobs])

    def _trained_path(self, job: Job) -> Path:
        path = self.folder / job.folder / "best.safetensors"
        if not path.is_file():
            raise StudyError(f"{path}: is not there; this network is not trained yet. Run `airloom train` first.")
        return path

    def report(self) -> Path:
        """Scores and series to a self-contained HTML page."""
        from airloom.methods.aqnet.report import write

        path, scores = self.folder / "report.html", self._scores()
        with self._timed("report"):
            write(self, scores, path)
            self.ledger.write(self.folder / "ledger.json")
        return path

    def forecasting(self, task: Forecast, fold: int | None = None, which: str = OURS) -> Forecasting:
        """A forecast's windows, for the stations that a fold leaves to learn from."""
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

    def _trained_of(self, task: Task, fold: int | None = None) -> Trained[Forecasting] | Trained[Reanalysing]:
        """A task with its trained members."""
        if isinstance(task, Reanalysis):
            return self._trained(self.reanalysing(task, fold), fold)
        return self._trained(self.forecasting(task, fold), fold)

    def trained_forecast(self, task: Forecast) -> Trained[Forecasting]:
        """A forecast's networks of all stations."""
        return self._trained(self.forecasting(task))

    def size(self, task: Task) -> int:
        """Weights of a task's network."""
        learning = self.reanalysing(task) if isinstance(task, Reanalysis) else self.forecasting(task)
        return sum(p.numel() for p in learning.network(self.study.method).parameters())

    def _trained(self, learning: L, fold: int | None = None, which: str = OURS) -> Trained[L]:
        """A task with its trained members."""
        networks = self._networks(learning, fold, which)
        voices: dict[str, Trained[Forecasting]] = {}
        if isinstance(learning, Forecasting) and which == OURS and fold is None:
            line = self.forecasting(learning.task, which=LINE)
            assert isinstance(line, Beside)
            voices = {v: self._trained(replace(line, which=v), which=v) for v in VOICES}  # who see the same
        return Trained(learning, networks, self._scaler(fold), self.study.method.neighbours, voices, self.progress)

    def _networks(self, learning: Learning, fold: int | None, which: str) -> list[nn.Module]:
        paths = [self._trained_path(j) for j in self.jobs if (j.task, j.fold, j.which) == (learning.task.name, fold, which)]
        return load(learning, self.study.method, paths, self.fingerprint)

    def _known(self, fold: int | None) -> np.ndarray:
        """Stations that a fold leaves, bool on (station,)."""
        return np.ones(len(self.folds), bool) if fold is None else self.folds != fold

    @cached_property
    def folds(self) -> np.ndarray:
        """Which fold each station is hidden in, on (station,)."""
        number = self.study.hidden.folds if self.study.hidden else 1
        return np.random.default_rng(self.study.seed).permutation(len(self.series.stations)) % number

    @property
    def ledger(self) -> Ledger:
        """Why values and stations are out."""
        return self.series.ledger

    @cached_property
    def series(self) -> Series:
        """The screened series, kept in the run."""
        if (kept := Series.kept(self._series_folder, self._made_of)) is not None:
            return kept
        part = self.study.stations
        source = HOURLY[part.source]()
        columns = {str(n): Column(v.column, v.units, v.direction) for n, v in part.variables.items()}
        self.progress("read the stations' tables", 0, 1)
        records = source.open(self._files, self.data / part.metadata, columns, timezone=part.timezone, marks=part.marks)
        found = screen_series(records, (self.study.period.start, self.study.period.end), needed=self.study.target)
        folds, stations = self.study.hidden.folds if self.study.hidden else 0, len(found.stations)
        if folds > stations:
            raise StudyError(
                f"hidden.folds: {folds} folds of {stations} stations that are left; each fold hides at least one. Ask for at most "
                f"{stations}, or leave out hidden."
            )
        self.progress("read the stations' tables", 1, 1)
        found.write(self._series_folder, self._made_of)
        return found

    @property
    def _series_folder(self) -> Path:
        return self.folder / "series"

    @cached_property
    def _files(self) -> list[Path]:
        return matching(self.data, self.study.stations.observations, "stations.observations")

    @cached_property
    def _made_of(self) -> str:
        """What the screened series depend on."""
        paths = [*self._files, *matching(self.data, [self.study.stations.metadata], "stations.metadata")]
        asked = self.study.model_dump(mode="json", include={"period", "stations", "target"})
        return fingerprint([asked, [sha256(p) for p in paths]])

    def _hours(self, fold: int | None) -> Hours:
        """Normalised by the training hours of the stations that a fold leaves."""
        return Hours.of(self.series, self._scaler(fold), [self.study.target], cyclic=self.study.method.cyclic)

    def _scaler(self, fold: int | None) -> Scaler:
        """Of the training hours of the stations that a fold leaves."""
        before = self.series.hours < np.datetime64(self.study.verification.test, "h")
        return Scaler.of(self.series, before, self._known(fold))

    def task(self, name: str) -> Task:
        """The task of that name."""
        return next(t for t in self.study.tasks if t.name == name)

    def _done(self, job: Job) -> bool:
        """Whether a network is trained to its end."""
        log = self.folder / job.folder / "done.json"
        return log.is_file() and read_json(log)["study"] == self.fingerprint


def _train(study: SeriesStudy, data: Path, folder: Path, job: Job, progress: Progress = quiet) -> None:
    """Train a network, perhaps in a process of its own."""
    run = SeriesRun(study, data, folder, progress=progress)
    run.train_job(job)
    write_json(folder / job.folder / "done.json", {"study": run.fingerprint})
