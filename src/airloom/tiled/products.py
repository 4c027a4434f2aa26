"""The fields of a run: one a phase, and that which is drawn to the stations besides, where the study asks for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

import airloom
from airloom.errors import StudyError
from airloom.infer.assimilate import DRAWN
from airloom.infer.fields import read
from airloom.methods.registry import method
from airloom.parts import Phase
from airloom.study import Study
from airloom.verify.tables import model_title
from airloom.verify.volumes import ASSIMILATED, Model

TRAINING = "-training"  # ends the name of a method whose field is of days of training
# attributes in which a field differs that is to be made anew, and what they tell of
MADE_BY = {"weights": "weights", "drawn": "ways to draw it to stations", "inputs": "days, inputs or stations"}


@dataclass(frozen=True)
class Products:
    """Where a run's fields lie, and what they are called.

    `study`: what is asked; `folder`: the run's; `phases`: those that are predicted.
    """

    study: Study
    folder: Path
    phases: Sequence[Phase]

    @property
    def models(self) -> list[Model]:
        """Names and phases of all fields, the final one last."""
        drawn = [(self.study.method.name + ASSIMILATED, self.drawn.number)] if self.study.assimilation else []
        return [self.of(p) for p in self.phases] + drawn

    @property
    def drawn(self) -> Phase:
        """The phase whose field is drawn to the stations.

        Raises:
            StudyError: the study asks for one that is not predicted.
        """
        asked = self.study.assimilation and self.study.assimilation.phase
        found = [p for p in self.phases if asked in (None, p.number)]
        if not found:
            there = ", ".join(str(p.number) for p in self.phases)
            raise StudyError(f"assimilation.phase: {asked} is not among the phases that are predicted ({there}). Name one.")
        return found[-1]

    def of(self, phase: Phase) -> Model:
        """What the field of a phase is called in scores."""
        return self.study.method.name, phase.number

    def of_training(self, phase: Phase) -> Model:
        """What the field of a phase is called on days of training, which no scores are of."""
        return self.study.method.name + TRAINING, phase.number

    def path(self, model: Model) -> Path:
        """A field's store."""
        name, phase = model
        return self.folder / "fields" / f"phase-{phase}{name.removeprefix(self.study.method.name)}.zarr"

    @property
    def netcdf(self) -> Path:
        """The final field in one file."""
        return self.folder / "fields" / f"{self.study.name}.nc"

    def attributes(self, model: Model, weights: str, inputs: str) -> dict[str, str]:
        """Global attributes of a field; `weights` and `inputs` are digests of those that made it."""
        name, what = model[0], model_title(*model).split(", ", 1)[1]
        return {
            "title": f"{self.study.title}, {what}{', days of training' if name.endswith(TRAINING) else ''}",
            "source": f"airloom {airloom.__version__}, {method(self.study.method.name).title}",
            "references": "DACNO2: Sun et al., a multi-constraint deep learning framework for 3D NO2 fields",
            "institution": "not stated",
            "weights": weights,
            "inputs": inputs,
            **self._drawn(model),
        }

    def read(self, model: Model, days: np.ndarray, attributes: Mapping[str, str]) -> xr.Dataset:
        """A field, whole.

        Raises:
            StudyError: some of its `days`, datetime64[D], are still to be predicted, or it was made otherwise than its
                `attributes` would say now.
        """
        path = self.path(model)
        field = read(path) if path.exists() else None
        there = 0 if field is None else int(np.isin(days, field["time"].to_numpy().astype("datetime64[D]")).sum())
        if field is None or there < len(days):
            raise StudyError(f"{path}: {there} of {len(days)} days are predicted. Run `airloom predict` first.")
        if other := [k for k in MADE_BY if field.attrs.get(k) != attributes.get(k)]:
            raise StudyError(
                f"{path}: is of other {' and '.join(map(MADE_BY.__getitem__, other))} than now. Run `airloom predict` first."
            )
        return field

    def _drawn(self, model: Model) -> dict[str, str]:
        """How a field is drawn; nothing of one that is not."""
        asked = self.study.assimilation
        return {"drawn": f"{DRAWN}, {asked.model_dump_json()}"} if asked and model[0].endswith(ASSIMILATED) else {}
