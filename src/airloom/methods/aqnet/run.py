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
from functools import cached_property, partial
from pathlib import Path
from typing import Any, cast

import xarray as xr

from airloom.carrier import Carrier
from airloom.errors import StudyError
from airloom.files import fingerprint, read_json, sha256, write_json
from airloom.ledger import Ledger
from airloom.members import side_by_side
from airloom.methods.aqnet import told
from airloom.methods.aqnet.beside import TITLES, VOICES
from airloom.methods.aqnet.calibrate import CALIBRATING, Errors, lately, of_errors, of_forecast, validated
from airloom.methods.aqnet.jobs import Job
from airloom.methods.aqnet.judge import Judge
from airloom.methods.aqnet.learn import Forecasting, Reanalysing
from airloom.methods.aqnet.model import keep
from airloom.methods.aqnet.networks import Networks
from airloom.methods.aqnet.score import Told, rows_of
from airloom.methods.aqnet.study import Reanalysis, SeriesStudy, Task
from airloom.methods.aqnet.tell import Trained
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
        return told.path_of(self.networks, self.study.tasks[0])

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
            waiting = [j for j in self.networks.jobs if not self.networks.is_done(j)]
            work = [partial(_train, self.study, self.data, self.folder, job) for job in waiting]
            if len(work) > 1 and self.workers > 1:
                side_by_side(work, self.folder, at_once=min(self.workers, len(work)), progress=self.progress)
            else:
                for one in work:
                    one(self.progress)
        return [self.folder / j.folder for j in self.networks.jobs]

    @cached_property
    def networks(self) -> Networks:
        """All that is trained."""
        return Networks(self.study, self.series, self.folder, self.fingerprint, self.progress)

    def predict(self) -> Path:
        """Forecasts and reanalyses of the test's hours; returns the NetCDF file's path."""
        self._require_alone("aqnet")
        with self._timed("predict"):
            for task in self.study.tasks:
                told.write_told(self.networks, task)
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
        weights = [sha256(self.networks.path(j)) for j in self.networks.jobs if j.task == task.name]
        of = fingerprint([verification, weights])
        if path.is_file() and self.model_path(task).is_file() and (kept := read_json(path))["of"] == of:
            return kept
        beside, draws = list(self._beside(task)), self.study.verification.draws
        rows = [row for one in beside for row in rows_of(one, draws=draws, seed=self.study.seed)]
        found = {"of": of, "rows": rows, "intervals": self._intervals(task, beside)}
        write_json(path, found)
        return found

    def _intervals(self, task: Task, beside: Sequence[Told]) -> list[dict[str, Any]]:
        """How often intervals hold; what tells new hours is kept with them, for others to use."""
        trained, folds = self.networks.trained(task), self.study.hidden.folds if self.study.hidden else 0
        seen = self._calibrations(trained)
        hidden = [self._lately_hidden(task, f, CALIBRATING // folds) for f in range(folds)]
        keep(self.study, task, trained, seen, of_errors(hidden) if hidden else [], self.model_path(task))
        by_fold = [of_errors([p for other, p in enumerate(hidden) if other != f]) for f in range(folds)]
        return list(self._judge.covered(seen, by_fold, beside))

    def _lately_hidden(self, task: Task, fold: int, most: int) -> Errors:
        """Errors at a fold's hidden stations."""
        trained = self.networks.trained(task, fold)
        return validated(trained, lately(trained.learning.parts.validation), most, hidden=True)

    def _calibrations(self, trained: Trained[Forecasting] | Trained[Reanalysing]) -> list[Calibration]:
        """Intervals of what a task tells of stations that are seen."""
        learning = trained.learning
        if isinstance(learning, Reanalysing):
            return of_errors([validated(trained, lately(learning.parts.validation))])
        return of_forecast(cast("Trained[Forecasting]", trained), self.networks.turns(learning))

    def model_path(self, task: Task) -> Path:
        """Where what tells new hours lies, once it is evaluated."""
        return self.folder / f"model-{task.name}.safetensors"

    def _beside(self, task: Task) -> Iterator[Told]:
        """What models say of the same values of a task."""
        path = told.path_of(self.networks, task)
        if not told.is_told(self.networks, task):
            where = f"{path}: is not there, or of other networks"
            raise StudyError(f"{where}; nothing is told of {task.name} yet. Run `airloom predict` first.")
        with xr.open_dataset(path, engine="netcdf4") as found:
            if isinstance(task, Reanalysis):
                reanalysing = self.networks.reanalysing(task)
                yield from self._judge.gaps(reanalysing, found)
                if self.study.hidden:
                    yield self._judge.hidden(reanalysing, found)
            else:
                forecasting = self.networks.trained_forecast(task)
                rivals = [str(b) for b in self.study.verification.baselines if b in TITLES and b not in VOICES]
                others = {b: self.networks.trained_forecast(task, which=b) for b in rivals}
                yield from self._judge.forecasts(forecasting, others, found)
                if self.study.hidden:
                    yield from self._judge.hidden_forecasts(forecasting.learning, found)

    @cached_property
    def _judge(self) -> Judge:
        return Judge(self.study, self.series, self.networks.folds)

    def report(self) -> Path:
        """Scores and series to a self-contained HTML page."""
        from airloom.methods.aqnet.report import write

        path, scores = self.folder / "report.html", self._scores()
        with self._timed("report"):
            write(self, scores, path)
            self.ledger.write(self.folder / "ledger.json")
        return path

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


def _train(study: SeriesStudy, data: Path, folder: Path, job: Job, progress: Progress = quiet) -> None:
    """Train a network, perhaps in a process of its own."""
    SeriesRun(study, data, folder, progress=progress).networks.train(job)
