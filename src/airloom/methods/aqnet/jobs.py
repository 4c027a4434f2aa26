"""The networks of a study: which are trained, where each lies, and what it is called while it learns."""

from dataclasses import dataclass
from pathlib import Path

from airloom.methods.aqnet.beside import BOOSTING, TITLES, VOICES
from airloom.methods.aqnet.score import OURS
from airloom.methods.aqnet.study import Forecast, SeriesStudy
from airloom.progress import Progress

SLOWER = {"patchtst": 4, BOOSTING: 3}  # times as long as the others


@dataclass(frozen=True)
class Job:
    """What is to be trained: of a task, with a fold of stations hidden or none, AQ-Net's network or what stands beside it, a member."""

    task: str
    fold: int | None
    which: str
    member: int

    @property
    def folder(self) -> Path:
        """Where it is trained, below the run."""
        stations = "all-stations" if self.fold is None else f"fold-{self.fold}"
        return Path("training") / self.task / stations / f"{self.which}-{self.member}"

    def named(self, progress: Progress) -> Progress:
        """Progress of its training, under its own name."""
        fold = [] if self.fold is None else [f"fold {self.fold}"]
        who = " ".join(map(str, (self.which, self.task, *fold, self.member)))
        return lambda what, done, total: progress(f"{who}, {what.partition(', ')[2]}", done, total)


def jobs_of(study: SeriesStudy) -> list[Job]:
    """All networks and what stands beside them, the slowest first; a hidden station needs networks alone."""
    folds = [None, *range(study.hidden.folds)] if study.hidden else [None]
    forecasts = [t for t in study.tasks if isinstance(t, Forecast)]
    rivals = [b for b in study.verification.baselines if b in TITLES and b not in VOICES]
    ours = [Job(t.name, f, OURS, m) for t in study.tasks for f in folds for m in range(study.practice.members)]
    others = [Job(t.name, None, b, 0) for t in forecasts for b in (*VOICES, *rivals)]
    cost = {t.name: t.window * t.steps / (t.coarse if isinstance(t, Forecast) else 1) for t in study.tasks}
    return sorted(ours + others, key=lambda j: -cost[j.task] * SLOWER.get(j.which, 1))
