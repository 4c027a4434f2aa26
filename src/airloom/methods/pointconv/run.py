"""A fusion carried from stations to a report: worlds that teach, training, fields, cross-validation.

from airloom.kinds import open_run, open_study
run = open_run(open_study("studies/germany.yaml"), data="data", folder="runs/germany")
run.prepare()
run.train()
run.predict()
print(run.evaluate()["rows"][0])
run.report()
"""

import hashlib
import shutil
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import xarray as xr

from airloom import __version__
from airloom.carrier import Carrier
from airloom.cube.stations import read_stations
from airloom.errors import StudyError
from airloom.facts import timings, versions
from airloom.files import fingerprint, read_json, sha256, whole, write_json
from airloom.infer.fields import create_zarr, read, write_day, write_netcdf, written
from airloom.learn.checkpoint import load_weights
from airloom.ledger import Ledger
from airloom.methods.pointconv.adapt import adapt
from airloom.methods.pointconv.card import card
from airloom.methods.pointconv.fuse import COVERAGE, Adapted, Fuser, Observed, with_interval
from airloom.methods.pointconv.lessons import Teacher
from airloom.methods.pointconv.method import network_of
from airloom.methods.pointconv.model import MODEL, Model
from airloom.methods.pointconv.models import model_worlds
from airloom.methods.pointconv.page import sections
from airloom.methods.pointconv.region import features_of, maps_of, with_heights
from airloom.methods.pointconv.reproduce import reproduce
from airloom.methods.pointconv.study import FusionStudy, LeaveOut
from airloom.methods.pointconv.teach import World, make_worlds, worlds_folder
from airloom.methods.pointconv.train import trainer
from airloom.methods.pointconv.validate import Case, LeftOut, cross_validate
from airloom.stations import Stations
from airloom.verify.collect import means
from airloom.verify.intervals import Calibration, coverage
from airloom.verify.report import write_report
from airloom.verify.tables import evaluate

FIELDS = "fields.zarr"


class FusionRun(Carrier[FusionStudy]):
    """Carries a study through `prepare`, `train`, `predict`, `evaluate`, `report`; each goes on where it was stopped."""

    @property
    def netcdf(self) -> Path:
        """The fields in one file."""
        return self.folder / "fields.nc"

    @property
    def fingerprint(self) -> str:
        """What checkpoints carry: the study but for its stations, of which a network learns nothing, and how it is scored."""
        own = {"method", "practice", "seed", *(["models"] if self.study.models else [])}
        return fingerprint(self.study.model_dump(mode="json", include=own) | self.study.taught())

    def prepare(self, scheduler: str | None = None) -> Path:
        """Make the worlds that teach; returns where they are.

        Raises:
            StudyError: a scheduler is named, which they do not need.
        """
        if scheduler:
            raise StudyError(
                f"--scheduler {scheduler}: the worlds that teach pointconv are made on this machine. Leave it out."
            )
        with self._timed("prepare"):
            self._write_study()
            _ = self._stations
            _ = self._worlds
        return self._home

    def train(self) -> list[dict[str, float]]:
        """Train on the worlds; returns the epochs.

        Raises:
            StudyError: there is more than one rank, as in `predict`.
        """
        self._require_alone("pointconv")
        with self._timed("train"):
            self._write_study()
            *seen, unseen = self._worlds
            asked = self.study.practice
            log = trainer(
                network_of(self.study),
                Teacher(seen, asked),
                Teacher([unseen], asked),
                steps=asked.steps,
                learning_rate=asked.learning_rate,
                study=self.fingerprint,
                seed=self.study.seed,
                folder=self._training,
            ).run(self.progress)
            self._keep_model()
        return log.epochs

    def predict(self) -> Path:
        """Fields of all days of the period on which the target has stations; returns the NetCDF file's path."""
        self._require_alone("pointconv")
        with self._timed("predict"):
            grid, observed = self.study.target_grid, self._observed
            days = np.flatnonzero(np.isfinite(observed[0].values).any(1))
            path = self.folder / FIELDS
            if path.exists() and not self._is_mine(read(path)):
                shutil.rmtree(path)
            if not path.exists():
                self._keep_model()
            what, beside = self.study.pollutant, {"coverage": COVERAGE}
            done = create_zarr(path, grid, self._days[days], pollutant=what, attrs=self._attributes, beside=beside)
            fuser, number = self._final, {day: i for i, day in enumerate(days)}
            for some, found, known in fuser.fields(observed, days[~done]):
                for day, field, reach in zip(some, found, known, strict=True):
                    write_day(path, number[day], field, pollutant=what, beside={"coverage": reach})
                self.progress("fuse, days", number[some[-1]] + 1, len(days))
            self._write_netcdf()
        return self.netcdf

    def _write_netcdf(self) -> None:
        """The fields in one file, with intervals once these are calibrated."""
        calibration = Model.load(self.folder).calibration
        finish = partial(with_interval, pollutant=self.study.pollutant, calibration=calibration)
        write_netcdf(self._field, self.netcdf, finish)

    def _is_predicted(self) -> bool:
        """Whether all days' fields are there, of what makes them now."""
        path = self.folder / FIELDS
        return path.is_dir() and bool(written(path).all()) and self._is_mine(read(path))

    def _is_mine(self, field: xr.Dataset) -> bool:
        """Whether a field is of these weights, maps and observations, and tells its coverage."""
        return "coverage" in field and field.attrs.get("made_of") == self._attributes["made_of"]

    def _keep_model(self) -> None:
        """Write what makes fields, for others to use."""
        fuser = self._final
        Model(self.study, fuser.network, fuser.maps, fuser.adapted).save(self.folder / MODEL)

    def evaluate(self) -> dict[str, Any]:
        """Every station left out in turn, beside the baselines, and an unseen world beside its truth; writes `pairs.parquet`,
        `scores.json`, `card.md` for whom the model is passed on to, and intervals beside the fields.
        """
        with self._timed("evaluate"):
            asked, case = self.study.verification, self._case
            fusers = [lambda _: self._fuser, *([self._adapted] if self.study.adaptation else [])]
            left_out = [
                cross_validate(
                    fusers,
                    case,
                    leave=leave,
                    baselines=asked.baselines,
                    target="withheld" if number == 0 else f"withheld {leave.what}",
                    seed=self.study.seed,
                    keep=self._folds(leave),
                    progress=self.progress,
                )
                for number, leave in enumerate(asked.leave)
            ]
            pairs = pl.concat([found.pairs for found in left_out])
            with whole(self.folder / "pairs.parquet") as aside:
                pairs.write_parquet(aside)
            scores = {"study": self.study.name, **evaluate(pairs, draws=asked.draws, seed=self.study.seed)}
            scores["worlds"] = self._reproduced()
            scores["intervals"] = self._calibrated(left_out[0])
            if self._is_predicted():
                self._write_netcdf()
            write_json(self.folder / "scores.json", scores)
            with whole(self.folder / "card.md") as aside:
                aside.write_text(card(self.study, scores, self._size), encoding="utf-8")
        return scores

    @property
    def _case(self) -> Case:
        """Who is predicted from what."""
        table = self._stations[0].table
        places = self.study.target_grid.project(table["lon"].to_numpy(), table["lat"].to_numpy())
        return Case(self._stations[0], self._observed, places, self._details[1].astype(float))

    def _folds(self, leave: LeaveOut) -> Path:
        """Where what was predicted of stations left out is kept, until anything that it depends on changes."""
        baselines = self.study.verification.baselines
        of = [self._attributes["made_of"], leave.model_dump(mode="json"), baselines, self.study.seed, __version__]
        return self.folder / "left-out" / f"{leave.what}-{fingerprint(of)}"

    def _calibrated(self, left_out: LeftOut) -> list[dict[str, Any]]:
        """How often intervals hold at stations that the calibration has not seen; the model is given what all of them say. Where it is
        adapted both are of background air.
        """
        observed, asked = self._observed[0].values, self.study.verification
        there = np.isfinite(observed) & np.isfinite(left_out.predicted)
        if self.study.adaptation:  # fields are of the background then, and so are their intervals
            background = (self._stations[0].table["type"] == "background").fill_null(True).to_numpy()
            there &= background | ~background.any()
        values = (a[there] for a in (left_out.predicted, left_out.known, observed))
        replace(Model.load(self.folder), calibration=Calibration.of(*values)).save(self.folder / MODEL)
        own = np.where(there, observed, np.nan)
        return coverage(left_out.predicted, left_out.known, own, draws=asked.draws, seed=self.study.seed)

    def _reproduced(self) -> dict[str, Any] | None:
        """How well the unseen world comes back from the cells of the real stations; None where it lies elsewhere."""
        world, asked = self._worlds[-1], self.study
        if (asked.worlds.number and asked.worlds.centre) or world.land.shape != asked.target_grid.shape:
            return None
        level = np.zeros((asked.channels - len(asked.maps), *world.land.shape), np.float32)  # no place stands above its cell
        maps = np.concatenate([world.maps, level])
        options = {"draws": asked.verification.draws, "seed": asked.seed}
        return reproduce(self._fuser.network, world, self._observed, maps, asked.grid.cell, **options)

    def report(self) -> Path:
        """Scores and fields to a self-contained HTML page."""
        path, scores = self.folder / "report.html", self._scores()
        with self._timed("report"):
            field_mean, seasons = means(self._field, self.study.pollutant)
            network = Model.load(self.folder).network
            write_report(
                path,
                study={**self._resolved(), "pollutant": self.study.pollutant},
                scores=scores,
                pairs=pl.read_parquet(self.folder / "pairs.parquet").filter(pl.col("target") == "withheld"),
                grid=self.study.target_grid,
                field_mean=field_mean,
                seasons=seasons,
                stations=self._stations[0].table.with_columns(withheld=pl.lit(True)),
                ledger=self.ledger,
                facts={**versions(), "network": f"{self._size:,} weights", **timings(self.folder)},
                training=[{"phase": 1, **epoch} for epoch in read_json(self._training / "log.json")],
                more=sections(network, self.study.variables, self.study.grid.cell, scores),
                split="each left out in turn and predicted from the others",
            )
            self.ledger.write(self.folder / "ledger.json")
        return path

    @property
    def ledger(self) -> Ledger:
        """Of all networks of stations, and of models that teach."""
        every = [*(stations.ledger for stations in self._stations), *(ledger for _, ledger in self._given)]
        return Ledger([entry for one in every for entry in one.entries])

    @property
    def _size(self) -> int:
        """Number of weights."""
        return sum(p.numel() for p in self._fuser.network.parameters())

    @property
    def _training(self) -> Path:
        return self.folder / "training"

    @cached_property
    def _attributes(self) -> dict[str, str]:
        told = [a for o in self._observed for a in (o.values, o.row, o.column)]
        told += [self._fuser.maps, self._fuser.places, *(self._details if self.study.adaptation else ())]
        hashes = [hashlib.sha256(np.ascontiguousarray(a).tobytes()).hexdigest() for a in told]
        return {
            "made_of": fingerprint([sha256(self._weights), *hashes, self._resolved()["adaptation"]]),
            "title": self.study.title,
            "source": f"airloom {__version__}, method pointconv, taught by {self.study.teachers}",
            "references": "Lyu et al. (2023), Geoscientific Model Development: PointConv fusion learnt from a chemistry model",
        }

    @property
    def _field(self) -> xr.Dataset:
        if not (self.folder / FIELDS).is_dir():
            raise StudyError(f"{self.folder}: there are no fields. Run `airloom predict` first.")
        return read(self.folder / FIELDS)

    @property
    def _weights(self) -> Path:
        """The best weights."""
        path = self._training / "best.safetensors"
        if not path.is_file():
            raise StudyError(f"{self.folder}: nothing is trained yet. Run `airloom train` first.")
        return path

    @property
    def _days(self) -> np.ndarray:
        """Days of the period, datetime64[D]."""
        return self._stations[0].daily.time.to_numpy().astype("datetime64[D]")

    @cached_property
    def _stations(self) -> list[Stations]:
        """Of each variable, screened."""
        study = self.study
        return [read_stations(n.stations, n.variable, study.target_grid, study.period, self.data) for n in study.networks]

    @cached_property
    def _observed(self) -> list[Observed]:
        target, *others = self._stations
        features = self._details[1] if self.study.adaptation else None
        return [Observed.of(target, features), *(Observed.of(stations) for stations in others)]

    @property
    def _worlds(self) -> list[World]:
        """What teaches, and what validates last."""
        return [*self._twins[:-1], *(world for world, _ in self._given), *self._twins[-1:]]

    @cached_property
    def _given(self) -> list[tuple[World, Ledger]]:
        """Worlds of chemistry models."""
        return list(model_worlds(self.study, self._home, self.data, lambda: self._maps, self.workers, self.progress))

    @cached_property
    def _twins(self) -> list[World]:
        """Worlds of the twin, the one that validates last."""
        return make_worlds(self.study, self._home, threads=self.workers, progress=self.progress)

    @property
    def _home(self) -> Path:
        """Where worlds are kept."""
        return worlds_folder(self.study, self.folder)

    @cached_property
    def _maps(self) -> np.ndarray:
        """The region's maps as the network sees them, on (map, y, x)."""
        return maps_of(self.study, self.data, self._taught)

    @cached_property
    def _details(self) -> tuple[np.ndarray, np.ndarray]:
        """What adaptation, and baselines, know of places: maps, perhaps finer ones, on (feature, y, x), and the stations' features on
        (station, feature).
        """
        parts = self.study.adaptation.parts if self.study.adaptation else 1
        maps = self._maps if parts == 1 else maps_of(self.study, self.data, self._taught, parts)
        fine = self.study.target_grid.refine(parts)
        return maps, features_of(self.study, maps, fine, self._stations[0].table)

    def _taught(self) -> np.ndarray:
        return self._twins[0].maps

    @cached_property
    def _fuser(self) -> Fuser:
        """The trained network over the region."""
        network = network_of(self.study)
        load_weights(self._weights, network, belongs_to=self.fingerprint)
        places = with_heights(self.study, self._maps, self._stations[0].table)
        return Fuser(network, with_heights(self.study, self._maps, None), places)

    def _adapted(self, observed: Observed) -> Fuser:
        """The same, having learnt from these stations of the target."""
        asked = self.study.adaptation
        assert asked is not None
        network, effect = adapt(self._fuser.network, observed, self.study.target_grid.shape, asked, self.study.seed)
        return replace(self._fuser, network=network, adapted=Adapted(effect, self._details[0]))

    @cached_property
    def _final(self) -> Fuser:
        """What fields are made by: adapted to all stations where that is asked for."""
        return self._adapted(self._observed[0]) if self.study.adaptation else self._fuser
