"""What carries a study: a folder that belongs to it, and what every kind of run keeps there."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import yaml
from pydantic import BaseModel

from airloom.errors import StudyError
from airloom.facts import timed
from airloom.files import full_disk_named, read_json, whole
from airloom.learn.ranks import ALONE, Ranks
from airloom.progress import Progress, quiet

S = TypeVar("S", bound=BaseModel)


class Carrier(Generic[S]):
    """A study, its data and the folder where it is carried out.

    Arguments:
        study: what is asked.
        data: folder that the study's file patterns start from.
        folder: where the run lives; made when something is first written.
        workers: processes, or threads, to work with.
        progress: called with what is done, how much of it, out of how much.
        ranks: the processes that share what can be shared.

    Raises:
        StudyError: the folder holds a run of another study.
    """

    may_change: ClassVar[frozenset[str]] = frozenset()  # keys of the study that matter after training alone

    def __init__(
        self,
        study: S,
        data: str | Path,
        folder: str | Path,
        *,
        workers: int = 1,
        progress: Progress = quiet,
        ranks: Ranks = ALONE,
    ) -> None:
        self.study, self.data, self.folder = study, Path(data), Path(folder)
        self.workers, self.progress, self.ranks = workers, progress, ranks
        resolved = self.folder / "study.yaml"
        if resolved.is_file():
            found, asked = yaml.safe_load(resolved.read_text(encoding="utf-8")) or {}, self._resolved()
            if any(found.get(k) != v for k, v in asked.items() if k not in self.may_change):
                raise StudyError(
                    f"{self.folder}: holds a run of another study, or of an earlier form of this one. "
                    f"Name another folder with --folder, or remove this one. What it ran: {resolved}"
                )

    def _resolved(self) -> dict[str, Any]:
        """The study with every default written out."""
        return self.study.model_dump(mode="json")

    def _write_study(self) -> None:
        """Keep the resolved study in the run."""
        with full_disk_named(self.folder), whole(self.folder / "study.yaml") as aside:
            aside.write_text(yaml.safe_dump(self._resolved(), sort_keys=False, allow_unicode=True), encoding="utf-8")

    def _scores(self) -> dict[str, Any]:
        """What `evaluate` wrote.

        Raises:
            StudyError: it has not run.
        """
        path = self.folder / "scores.json"
        if not path.is_file():
            raise StudyError(f"{self.folder}: there are no scores to report. Run `airloom evaluate` first.")
        return read_json(path)

    def _require_alone(self, method: str) -> None:
        """Refuse ranks where a `method` cannot share its work."""
        if self.ranks.size > 1:
            raise StudyError(
                f"{self.ranks.size} processes were started for {self.folder}; {method} works in one. Start it without torchrun."
            )

    def _timed(self, what: str) -> AbstractContextManager[None]:
        """Note how long a stage took, over all the times that it was taken up again; of ranks, what it took the leader."""
        return timed(self.folder, what) if self.ranks.lead else nullcontext()
