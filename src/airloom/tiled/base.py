"""A finished run that another one starts from: its weights, and the normalisation that belongs to them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from airloom.errors import StudyError
from airloom.files import fingerprint, read_json, sha256
from airloom.learn.batches import Normaliser
from airloom.learn.checkpoint import load_weights
from airloom.parts import Phase
from airloom.study import Study, load

NORMALISATION = "normalisation.json"  # in the folder of a run: statistics, marks of its phases, and whom it has learnt from
SAME = "levels", "hours", "method", "calendar", "season", "weather", "upper", "daily", "emissions", "geography"
MAY_DIFFER = {"files", "fill_hours", "fill"}  # in these parts: another year's files, and how whole they are


@dataclass(frozen=True)
class Base:
    """A finished run's `phase`, from which the first phase of another study goes on.

    `folder`: of the finished run; `study`: what it ran.
    """

    folder: Path
    study: Study
    phase: Phase

    @classmethod
    def of(cls, study: Study) -> "Base | None":
        """What `study.base` names; None where it names nothing.

        Raises:
            StudyError: no run is there, it has no phase below the study's first one or fewer members, or its network takes
                other inputs.
        """
        if study.base is None:
            return None
        folder = Path(study.base)
        if not (folder / NORMALISATION).is_file():
            raise StudyError(f"base: {folder} holds no trained run. Name the folder of one, such as runs/{study.name}.")
        if lacking := {"marks", "learnt", "logarithms"} - set(read_json(folder / NORMALISATION)):
            raise StudyError(f"base: {folder} is of an earlier airloom, without {min(lacking)}. Train it anew.")
        found = load(folder / "study.yaml")
        first = study.phases[0].number
        below = [p for p in found.phases if p.number < first]
        if not below:
            raise StudyError(
                f"base: {folder} has phases {[p.number for p in found.phases]}, none below {first}, with which this study "
                "begins. Name another run, or other phases."
            )
        if found.members < study.members:
            raise StudyError(f"base: {folder} has {found.members} members, this study {study.members}. Ask for as many.")
        ours, theirs = _inputs(study), _inputs(found)
        if other := [f"{k} ({theirs.get(k)} there, {ours[k]} here)" for k in ours if ours[k] != theirs.get(k)]:
            raise StudyError(f"base: the network of {folder} was made for other {'; '.join(other)}. Make them the same.")
        return cls(folder, found, below[-1])

    def weights(self, member: int) -> Path:
        """Where a member's weights lie."""
        return self.folder / f"phase-{self.phase.number}" / f"member-{member + 1}" / "best.safetensors"

    def load(self, network: nn.Module, member: int) -> None:
        """Put a member's weights into a network.

        Raises:
            CheckpointError: as `airloom.learn.checkpoint.load_weights`.
        """
        load_weights(self.weights(member), network, belongs_to=self._kept["marks"][str(self.phase.number)])

    @property
    def normaliser(self) -> Normaliser:
        """That of the finished run."""
        return Normaliser.from_json(self._kept)

    @property
    def trained_on(self) -> set[str]:
        """Ids of the stations that the finished run has learnt from, each station of a cell by itself."""
        return set(self._kept["learnt"]["stations"])

    @property
    def trained_years(self) -> list[int]:
        """Years that it was trained on before it was adapted."""
        return self._kept["learnt"]["years"]

    def knows(self, cells: Sequence[str]) -> np.ndarray:
        """Whether it has learnt from some of a cell's stations, bool on (station,); names of joined stations are joined by +."""
        known = self.trained_on
        return np.array([not known.isdisjoint(cell.split("+")) for cell in cells])

    @property
    def _kept(self) -> dict[str, Any]:
        """What the finished run has kept of what it learnt from."""
        return read_json(self.folder / NORMALISATION)

    @property
    def digest(self) -> str:
        """What changes when the weights do."""
        return fingerprint([sha256(self.weights(m)) for m in range(self.study.members)])


def _inputs(study: Study) -> dict[str, Any]:
    """What a network's inputs and outputs depend on, by key."""
    content = study.model_dump(mode="json", include={*SAME})
    of_tile = {"tiles.size": study.tiles.size} if content["method"].get("gain") else {}  # which its means are taken over
    return {"grid.cell": study.grid.cell, **of_tile, **{k: _without_files(v) for k, v in content.items()}}


def _without_files(part: Any) -> Any:
    if isinstance(part, list):
        return [_without_files(p) for p in part]
    return {k: v for k, v in part.items() if k not in MAY_DIFFER} if isinstance(part, dict) else part
