"""What a run learns from: which stations, days and years, and what marks that all of it is still the same."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from airloom.cube.store import INPUTS, Cube
from airloom.errors import StudyError
from airloom.files import fingerprint
from airloom.learn.batches import Normaliser
from airloom.learn.familiar import check_familiar, check_month
from airloom.learn.sets import Sets
from airloom.ledger import Ledger
from airloom.parts import Phase
from airloom.stations import split
from airloom.stats.sample import evenly
from airloom.study import Study
from airloom.tiled.base import Base


@dataclass(frozen=True)
class Learnt:
    """What a `study` learns from out of its `cube`, on top of what the run knows that it starts from, its `base`."""

    study: Study
    cube: Cube
    base: Base | None

    @cached_property
    def withheld(self) -> np.ndarray:
        """Stations that are scored, bool on (station,): those of the split that the base run has not learnt from.

        Raises:
            StudyError: the base run has learnt from all of them; as `airloom.stations.split`.
        """
        found = self._split & ~self._known_to_base
        if not found.any():
            raise StudyError(
                f"stations.split: the base run {self.study.base} has learnt from all {self._split.sum()} stations that are withheld. "
                "Withhold those that it withheld, by stations.split.withheld."
            )
        return found

    @property
    def stations(self) -> pl.DataFrame:
        """The stations' table with a column `withheld`."""
        return self.cube.stations.table.with_columns(withheld=pl.Series(self.withheld))

    @property
    def ledger(self) -> Ledger:
        """The cube's ledger and that of the split."""
        ledger, names = self.cube.ledger, self.cube.stations.table["station"]
        for name in names.filter(pl.Series(self._split & self._known_to_base)):
            ledger.kept("station", name, "was to be withheld, but the base run has learnt from it: trained on, not scored")
        for name in names.filter(pl.Series(self.withheld)):
            ledger.kept("station", name, "withheld: scored, never trained on")
        return ledger

    @property
    def known(self) -> dict[str, list[Any]]:
        """Ids of all stations, each of a cell by itself, and years that weights have learnt from, those before an adaptation; the base's among
        them.
        """
        cells = self.stations.filter(~pl.col("withheld"))["station"]
        stations = {one for cell in cells for one in cell.split("+")} | (self.base.trained_on if self.base else set())
        years = {*self.study.train_years, *(self.base.trained_years if self.base else ())}
        return {"stations": sorted(stations), "years": sorted(years)}

    @property
    def years(self) -> list[int]:
        """Years of the cube that weights were trained on before they were adapted, or were adapted to where there are no others."""
        return [y for y in self.known["years"] if (self.cube.years == y).any()] or self.study.adapt_years

    @cached_property
    def normaliser(self) -> Normaliser:
        """The base run's, or made of the training years and stations."""
        if self.base:
            return self.base.normaliser
        return Normaliser.of(self.cube, self.study.train_years or self.study.adapt_years, ~self.withheld)

    @cached_property
    def marks(self) -> dict[int, str]:
        """What checkpoints of each phase carry: the study but for what comes after training, the weights that it starts from, and all that it
        and the phases before it learn from. What a file of another year says does not matter to them.
        """
        base = [self.base.digest] if self.base else []
        marks: dict[int, str] = {}
        years: set[int] = set()
        for phase in self.study.phases:
            years |= {*self.study.years_beside(phase)}  # validation days are drawn out of all of these
            found = self.study.learnt(), self.normaliser.to_json(), self.cube.digest(sorted(years), ~self.withheld)
            marks[phase.number] = fingerprint([*found, *base])
        return marks

    def inputs(self, days: np.ndarray) -> str:
        """What changes when anything does that a field of some days, indices, is made of besides weights."""
        years = np.unique(self.cube.years[days]).tolist()
        return fingerprint([self.cube.days[days].astype(str).tolist(), self.cube.digest(years, ~self.withheld)])

    def sets(self, phase: Phase) -> Sets:
        """Values that a phase sees; those of withheld stations are not among them.

        Raises:
            StudyError: the chemistry model teaches the phase and has nothing in one of its years; as `Sets.of`.
        """
        days, years = self.days(phase.years, f"phase {phase.number}"), self.study.years_beside(phase)
        untaught = [y for y in phase.years if not self.cube.chemistry_days[self.cube.years == y].any()]
        if phase.loss.chemistry and untaught:
            raise StudyError(
                f"phase {phase.number}: the chemistry model, which teaches it, has no whole day of {untaught}. Fetch its files of these "
                "years, or leave them out of the phase."
            )
        return Sets.of(phase, days, ~self.withheld, self.study.seed, self.cube.usable & np.isin(self.cube.years, years))

    def days(self, years: Sequence[int], what: str) -> np.ndarray:
        """Days of some years that have all inputs, bool on (time,).

        Raises:
            StudyError: there are none.
        """
        days = self.cube.usable & np.isin(self.cube.years, years)
        if not days.any():
            raise StudyError(
                f"{what}: no day of {list(years)} has all inputs. Fetch the weather of these years, or use others."
            )
        return days

    def taught(self, last: int, but: np.ndarray, most: int) -> np.ndarray:
        """At most so many days, indices, on which a chemistry model taught the phases up to the number `last`, `but` for some."""
        taught = np.isin(self.cube.years, self.study.taught_years(last))
        return evenly(np.flatnonzero(taught & self.cube.usable & self.cube.chemistry_days & ~but), most)

    def check_others(self, normaliser: Normaliser) -> None:
        """See that the weather of years whose statistics are not the normaliser's is what the network is trained on.

        Raises:
            DataError: as `check_inputs`.
        """
        known = [] if self.base else self.study.train_years or self.study.adapt_years
        others = {y for p in self.study.phases for y in p.years} - {*known}
        self.check_inputs(normaliser, sorted(y for y in others if self.cube.usable[self.cube.years == y].any()))

    def check_inputs(self, normaliser: Normaliser, years: Sequence[int]) -> None:
        """See that the weather of some years, and of each of their months, is what the network was trained on.

        Raises:
            DataError: as `airloom.learn.familiar`.
        """
        upper = self.study.upper
        for group in INPUTS:
            if not years or not (names := self.cube.channels(group)):
                continue
            levels = upper.levels if upper and group == "upper" else ()
            trained, found = normaliser.scales[group], self.cube.scale(group, years)
            check_familiar(group, names, trained, found, period=", ".join(map(str, years)), levels=levels)
            for month, of_month in self.cube.months(group, years).items():
                check_month(group, names, trained, of_month, period=month, levels=levels)

    @cached_property
    def _split(self) -> np.ndarray:
        """Stations that the study withholds, bool on (station,)."""
        part, stations, known = self.study.stations.split, self.cube.stations, self.cube.assimilated
        found = split(stations, withheld=part.withheld, assimilated=known, fraction=part.fraction, seed=part.seed)
        return found.to_numpy()

    @cached_property
    def _known_to_base(self) -> np.ndarray:
        """Stations that the base run has learnt from, bool on (station,)."""
        cells = self.cube.stations.table["station"].to_list()
        return self.base.knows(cells) if self.base else np.zeros(len(cells), bool)
