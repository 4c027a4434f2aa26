"""A run: one study carried from files to a report, in a folder that holds all of it.

from airloom import Run, load
run = Run(load("studies/madrid.yaml"), data="data", folder="runs/madrid")
run.prepare()
run.train()
run.predict()
print(run.evaluate()["rows"][0])
run.report()
"""

import shutil
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import xarray as xr

from airloom.carrier import Carrier
from airloom.cube.build import build
from airloom.cube.features import Features
from airloom.cube.store import Cube
from airloom.device import device
from airloom.errors import StudyError
from airloom.facts import timings, versions
from airloom.files import fingerprint, full_disk_named, read_json, whole, write_json
from airloom.grid import Tile, tiles
from airloom.infer.assimilate import assimilate_field
from airloom.infer.boosted import grow
from airloom.infer.fields import read, write_netcdf
from airloom.infer.misses import DAYS, FEWEST, Misses
from airloom.infer.predict import predict_field
from airloom.learn.batches import GROUPS, Normaliser, Reader
from airloom.ledger import Ledger
from airloom.members import side_by_side
from airloom.parts import Assimilation, Phase
from airloom.progress import Progress
from airloom.study import AFTER_TRAINING, Study
from airloom.tiled.base import NORMALISATION, Base
from airloom.tiled.learnt import Learnt
from airloom.tiled.networks import Networks
from airloom.tiled.products import MADE_BY, Products
from airloom.tiled.training import Training
from airloom.verify.assemble import pairs_of, volumes_of
from airloom.verify.collect import means
from airloom.verify.evaluation import Volumes
from airloom.verify.per_station import places
from airloom.verify.report import write_report
from airloom.verify.tables import evaluate
from airloom.verify.volumes import Model


class Run(Carrier[Study]):
    """Carries a study through `prepare`, `train`, `predict`, `evaluate`, `report`; each goes on where it was stopped.

    Arguments:
        study: what is asked.
        data: folder that the study's file patterns start from.
        folder: where the run lives; made when something is first written.
        workers: processes that decode files and train members; with more than one, a script must begin under
            `if __name__ == "__main__":`, as wherever Python starts processes.
        progress: called with what is done, how much of it, out of how much.
        ranks: the processes that train and predict together; the other stages are for one alone.

    Raises:
        StudyError: the folder holds a run of another study.
    """

    may_change = AFTER_TRAINING

    @property
    def cube_path(self) -> Path:
        """Where the cube is; runs that need the same one share it."""
        return self.folder.parent / "cubes" / f"{self.study.name}-{fingerprint(self.study.prepared())}.zarr"

    @cached_property
    def cube(self) -> Cube:
        """The prepared cube."""
        return Cube.open(self.cube_path, self.study)

    def prepare(self, scheduler: str | None = None) -> Path:
        """Files to cube, whose path is returned; a dask cluster decodes them where the address of its scheduler is given."""
        with self._timed("prepare"):
            self._write_study()
            self.cube_path.parent.mkdir(parents=True, exist_ok=True)
            build(self.study, self.data, self.cube_path, workers=scheduler or self.workers, progress=self.progress)
        return self.cube_path

    def train(self) -> dict[int, list[dict[str, float]]]:
        """Cube to weights, each member phase by phase; returns each phase's epochs, the mean of the members."""
        self._test_days()
        members = range(self.study.members)
        at_once = min(self.workers, len(members)) if self.ranks.size == 1 else 1
        with self._timed("train"):
            if self.ranks.lead:
                self._write_study()
                for phase in self.study.phases:  # what cannot be is told before days of training, not after
                    self._learnt.sets(phase)
                self._learnt.check_others(self._normaliser)  # written once, before members and other ranks read it
                if self.study.cache:
                    _ = self._reader.gridded  # likewise
            self.ranks.wait()
            if at_once > 1:
                work = [partial(_train_member, self.study, self.data, self.folder, m) for m in members]
                side_by_side(work, self.folder, at_once=at_once, progress=self.progress)
            else:
                for member in members:
                    self.train_member(member)
        return {p.number: self._networks.epochs(p) for p in self.study.phases}

    def train_member(self, member: int) -> None:
        """Train one member through all phases."""
        asked = self.study, self._networks, self._reader, self._tiles, self._learnt.sets
        Training(*asked, ranks=self.ranks, progress=self.progress).member(member)

    def predict(self) -> Path:
        """Weights to fields: a Zarr store a phase and, if asked, of the last drawn to the stations; NetCDF of the final one,
        whose path is returned. Fields of weights that training has changed since are made anew.
        """
        if self.ranks.lead:
            self._write_study()
        self._learnt.check_inputs(self._normaliser, self.study.verification.years)
        for phase in self._products.phases:
            with self._timed(f"predict phase {phase.number}"):
                self._predict(phase, self._products.of(phase), np.flatnonzero(self._test_days()))
        if self._compared.size:
            drawn = self._products.drawn
            with self._timed("predict days of training"):
                self._predict(drawn, self._products.of_training(drawn), self._compared)
        if self.ranks.lead:
            self._finish()
        return self.netcdf

    def _finish(self) -> None:
        """From the phases' fields to the final one in one file."""
        if self.study.assimilation:
            with self._timed("assimilate"):
                self._assimilate(self.study.assimilation)
        last, file = self._field(self._products.models[-1]), self.netcdf
        if not file.is_file() or any(read(file).attrs.get(k) != last.attrs.get(k) for k in ("title", *MADE_BY)):
            with self._timed("write NetCDF"):
                write_netcdf(last, file)

    def _predict(self, phase: Phase, model: Model, days: np.ndarray) -> None:
        """A phase's field of some days."""
        network = self._networks.ensemble(phase)  # first: nothing is removed for weights that cannot be read
        path, attributes = self._fresh(model, days)
        predict_field(
            network,
            self._reader,
            self._tiles,
            days,
            path,
            levels=self._levels,
            attrs=attributes,
            progress=self.progress,
            ranks=self.ranks,
        )

    def _fresh(self, model: Model, days: np.ndarray) -> tuple[Path, dict[str, str]]:
        """Where a field of a phase's weights goes, and its attributes; one of other days, or that was made otherwise, is removed."""
        path, attributes = self._products.path(model), self._attributes(model, days)
        found = read(path).attrs if self.ranks.lead and path.exists() else attributes
        if any(found.get(k) != attributes.get(k) for k in MADE_BY):
            shutil.rmtree(path)
        return path, attributes

    def _attributes(self, model: Model, days: np.ndarray) -> dict[str, str]:
        """Those of a field of some days, indices, of the weights and inputs that there are now."""
        phase = next(p for p in self._products.phases if p.number == model[1])
        return self._products.attributes(model, self._networks.digest(phase), self._learnt.inputs(days))

    def _assimilate(self, asked: Assimilation) -> None:
        """Draw a phase's field to the training stations."""
        phase, days = self._products.drawn, np.flatnonzero(self._test_days())
        features = Features(self.cube, self.study.weather_factor)
        path, attributes = self._fresh(self._products.models[-1], days)
        assimilate_field(
            self._field(self._products.of(phase)),
            self.cube,
            days,
            ~self._learnt.withheld,
            partial(self._misses, phase),
            partial(grow, features, days, share=asked.trees, seed=self.study.seed),
            path,
            depth=asked.depth,
            scales=self._normaliser.levels,
            levels=self._levels,
            attrs=attributes,
            progress=self.progress,
        )

    def _misses(self, phase: Phase) -> Misses | None:
        """What a phase's field misses of the chemistry model on days of training; None where no chemistry model taught it."""
        days = self._compared
        if not days.size:
            return None
        field = self._read(self._products.of_training(phase), days)
        return Misses.of(field, self.cube, days, self.study.chemistry_factor, self.study.pollutant)

    @property
    def _compared(self) -> np.ndarray:
        """Days of training, indices, on which the phase that is drawn is compared with the chemistry model, none of them predicted;
        none at all where nothing is drawn, or where they are too few.
        """
        if not self.study.assimilation:
            return np.empty(0, int)
        found = self._learnt.taught(self._products.drawn.number, self._test_days(), DAYS)
        return found if len(found) >= FEWEST else found[:0]

    def evaluate(self) -> dict[str, Any]:
        """Fields to scores beside baselines on the same split, at stations and, where the study has levels or a truth, in
        whole fields; writes `pairs.parquet`, `stations.parquet`, `scores.json`, `volumes.npz`.
        """
        with self._timed("evaluate"):
            self._write_study()
            fields = {m: self._field(m) for m in self._products.models}
            asked = self.study, self.cube, fields, self._test_days()
            pairs = pairs_of(*asked, withheld=self._learnt.withheld, train_years=self._learnt.years)
            for name, content in (("pairs", pairs), ("stations", self._learnt.stations)):
                with whole(self.folder / f"{name}.parquet") as aside:
                    content.write_parquet(aside)
            scores = {"study": self.study.name, **evaluate(pairs, draws=self.study.verification.draws, seed=self.study.seed)}
            scores["fields"] = self._made_by
            self._volumes_path.unlink(missing_ok=True)
            if volumes := volumes_of(*asked, data=self.data):
                scores["rows"] += volumes.rows
                scores["differences"] += volumes.differences
                volumes.write(self._volumes_path)
            write_json(self.folder / "scores.json", scores)
        return scores

    def report(self) -> Path:
        """Scores and fields to a self-contained HTML page.

        Raises:
            StudyError: there are no scores, or they are of other fields than lie there now.
        """
        path, scores = self.folder / "report.html", self._scores()
        if scores.get("fields") != self._made_by:
            raise StudyError(f"{self.folder}: the scores are of other fields than these. Run `airloom evaluate` first.")
        with self._timed("report"):
            field_mean, seasons = means(self._field(self._products.models[-1]), self.study.pollutant)
            write_report(
                path,
                study=self._resolved(),
                scores=scores,
                pairs=pl.read_parquet(self.folder / "pairs.parquet"),
                grid=self.study.target_grid,
                field_mean=field_mean,
                seasons=seasons,
                stations=self._learnt.stations,
                ledger=self.ledger,
                facts={**versions(), **self._networks.facts, **self.cube.facts, **timings(self.folder)},
                training=[{"phase": p.number, **epoch} for p in self.study.phases for epoch in self._networks.epochs(p)],
                volumes=Volumes.read(self._volumes_path) if self._volumes_path.is_file() else None,
                places=places(self.cube.stations.table, self._tiles),
            )
            self.ledger.write(self.folder / "ledger.json")
        return path

    @property
    def netcdf(self) -> Path:
        """The final field in one file."""
        return self._products.netcdf

    @property
    def _volumes_path(self) -> Path:
        return self.folder / "volumes.npz"

    @property
    def _made_by(self) -> str:
        """What changes when one of the fields does."""
        attributes = [self._field(m).attrs for m in self._products.models]
        return fingerprint([[a.get(k) for k in MADE_BY] for a in attributes])

    @property
    def ledger(self) -> Ledger:
        """The cube's ledger and that of the split."""
        return self._learnt.ledger

    @cached_property
    def _learnt(self) -> Learnt:
        """What it learns from."""
        return Learnt(self.study, self.cube, self._base)

    @cached_property
    def _base(self) -> Base | None:
        """The finished run that the first phase starts from."""
        return Base.of(self.study)

    @cached_property
    def _products(self) -> Products:
        """The fields of that phase which the study starts from, and of its own."""
        return Products(self.study, self.folder, [*([self._base.phase] if self._base else []), *self.study.phases])

    @cached_property
    def _normaliser(self) -> Normaliser:
        """Made of the training years and stations once, and kept in the run; made anew where what it was made of has changed."""
        path, marks = self.folder / NORMALISATION, {str(number): mark for number, mark in self._learnt.marks.items()}
        if not path.is_file() or read_json(path).get("marks") != marks:
            with full_disk_named(self.folder):
                learnt = self._learnt
                write_json(path, {"marks": marks, "learnt": learnt.known, **learnt.normaliser.to_json()})
        return Normaliser.from_json(read_json(path))

    @cached_property
    def _reader(self) -> Reader:
        asked, cache = self.study, self.folder / "cache" if self.study.cache else None
        return Reader(self.cube, self._normaliser, asked.weather_factor, asked.chemistry_factor, device(), cache)

    @cached_property
    def _networks(self) -> Networks:
        """Of all members and phases."""
        channels = {g: len(self.cube.channels(g)) for g in GROUPS if self.cube.channels(g)}
        start = self._normaliser.start
        return Networks(self.study, self.folder, self._base, channels, start, self._learnt.marks, device())

    @cached_property
    def _tiles(self) -> list[Tile]:
        part = self.study.tiles
        return tiles(self.study.target_grid.shape, part.size, part.stride, self.study.tile_multiple)

    @property
    def _levels(self) -> tuple[float, ...] | None:
        """Heights of a field that has more than the ground."""
        return self.study.levels if len(self.study.levels) > 1 else None

    def _test_days(self) -> np.ndarray:
        """Days that are predicted and scored, bool on (time,)."""
        return self._learnt.days(self.study.verification.years, "verification")

    def _field(self, model: Model) -> xr.Dataset:
        """A field of the days that are scored, whole."""
        return self._read(model, np.flatnonzero(self._test_days()))

    def _read(self, model: Model, days: np.ndarray) -> xr.Dataset:
        """A field of some days, indices, whole."""
        wanted = self._attributes(model, days) if self._products.path(model).exists() else {}
        return self._products.read(model, self.cube.days[days], wanted)


def _train_member(study: Study, data: Path, folder: Path, member: int, progress: Progress) -> None:
    """Train one member of a run in a process of its own."""
    Run(study, data, folder, progress=progress).train_member(member)
