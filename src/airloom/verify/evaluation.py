"""The evaluation of whole fields: one pass over the days gives the scores, the means and what the report shows of them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from airloom.cube.regrid import block_mean
from airloom.files import whole
from airloom.verify.volumes import Day, FieldMeans, Model, VolumeSums

CAMS = ("cams-2km", None)
TRUTH = ("truth", None)


@dataclass(frozen=True)
class Volumes:
    """What is known of whole fields after their evaluation.

    Arguments:
        rows: scores of `VolumeSums.rows`, targets `cams` and `truth`.
        differences: those of `VolumeSums.differences`.
        skipped: days without a value of all models and the target, by target.
        means: mean fields on (level, y, x) [µg m⁻³] of each model, and of `truth` where there is one, over the days and cells
            that all of them have; of the method's phases alone where there are none.
        levels: heights [m], the ground first.
        factor: cells of the grid along one of the chemistry model as it is scored.
        population: inhabitants km⁻² on (y, x); None where the study does not say.
        elevation: height above the sea on (y, x) [m]; likewise.
    """

    rows: list[dict[str, Any]]
    differences: list[dict[str, Any]]
    skipped: dict[str, int]
    means: dict[Model, np.ndarray]
    levels: tuple[float, ...]
    factor: int
    population: np.ndarray | None
    elevation: np.ndarray | None

    def write(self, path: Path) -> None:
        """Keep all in one .npz file, whole or not at all."""
        named: dict[str, Any] = {
            f"mean:{name}:{'' if phase is None else phase}": field for (name, phase), field in self.means.items()
        }
        named |= {n: m for n, m in (("population", self.population), ("elevation", self.elevation)) if m is not None}
        facts = {
            "rows": self.rows,
            "differences": self.differences,
            "skipped": self.skipped,
            "levels": self.levels,
            "factor": self.factor,
        }
        with whole(path) as aside, aside.open("wb") as file:
            np.savez_compressed(file, facts=json.dumps(facts), **named)

    @classmethod
    def read(cls, path: Path) -> "Volumes":
        """What `write` kept."""
        with np.load(path) as file:
            facts = json.loads(str(file["facts"]))
            means = {}
            for key in file.files:
                if key.startswith("mean:"):
                    _, name, phase = key.split(":")
                    means[name, int(phase) if phase else None] = file[key]
            return cls(
                facts["rows"],
                facts["differences"],
                facts["skipped"],
                means,
                tuple(facts["levels"]),
                facts["factor"],
                file.get("population"),
                file.get("elevation"),
            )


def evaluate_volumes(
    models: Mapping[Model, Day],
    *,
    days: np.ndarray,
    levels: Sequence[float],
    cams: Day | None,
    truth: Day | None,
    factor: int,
    against: Model,
    population: np.ndarray | None,
    elevation: np.ndarray | None,
    draws: int,
    seed: int,
) -> Volumes:
    """Read every field once, day by day, and score it against the chemistry model and the truth.

    `models` and `truth` give a day's field on (level, y, x) [µg m⁻³] by its index in `days` (datetime64[D] on (time,));
    `cams` gives the chemistry model on its own cells, (level, y / factor, x / factor), to whose cells the models are
    averaged. All give NaN where they have no value. The model `cams-2km` is not scored against itself. Differences are
    `against` less every other model. A target has no rows where no day has a value of it and of all models; `skipped` then
    counts all days.

    Raises:
        DataError: shapes do not fit.
    """
    sums: dict[str, VolumeSums] = {}
    if cams is not None:
        sums["cams"] = VolumeSums([m for m in models if m != CAMS], levels, len(days))
    if truth is not None:
        sums["truth"] = VolumeSums(list(models), levels, len(days))
    means = FieldMeans()
    for day in range(len(days)):
        fields = {m: read(day) for m, read in models.items()}
        if cams is not None:
            coarse = {m: block_mean(f, factor) for m, f in fields.items() if m != CAMS}
            sums["cams"].add(day, coarse, cams(day))
        if truth is not None:
            fields[TRUTH] = truth(day)
            sums["truth"].add(day, {m: f for m, f in fields.items() if m != TRUTH}, fields[TRUTH])
        means.add(fields)
    if not means.any():  # the chemistry model and the truth have no day in common: each phase still has its own mean
        means = FieldMeans()
        for day in range(len(days)):
            means.add({m: read(day) for m, read in models.items() if m != CAMS})
    scored = {t: s for t, s in sums.items() if s.used.any()}
    years = ", ".join(str(y) for y in np.unique(days.astype("datetime64[Y]")))
    return Volumes(
        rows=[r for t, s in scored.items() for r in s.rows(t, years, draws=draws, seed=seed)],
        differences=[
            r for t, s in scored.items() if against in s.models for r in s.differences(t, against, draws=draws, seed=seed)
        ],
        skipped={t: int((~s.used).sum()) for t, s in sums.items()},
        means=means.means(),
        levels=tuple(float(v) for v in levels),
        factor=factor,
        population=population,
        elevation=elevation,
    )
