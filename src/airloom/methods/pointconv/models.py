"""Chemistry models' files as teachers: their days on the study's cells, kept as a world's are."""

from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import numpy as np

from airloom.cube.chemistry import daily_means
from airloom.cube.decode import Asked, Decode, decode, read_parts
from airloom.cube.workers import crew
from airloom.errors import DataError
from airloom.files import fingerprint
from airloom.ledger import Ledger
from airloom.methods.pointconv.study import FusionStudy
from airloom.methods.pointconv.teach import ALOFT, World, months_of, write_month
from airloom.progress import Progress
from airloom.sources.members import matching

LEDGER = "ledger.json"  # the last that is written: with it all of a model's days are there


def model_worlds(
    study: FusionStudy, folder: Path, data: Path, maps: Callable[[], np.ndarray], workers: int, progress: Progress
) -> Iterator[tuple[World, Ledger]]:
    """What each of the study's models teaches, and which of its days do not; files that were read before, and did not change, are
    not read again.

    Arguments:
        study: what is asked.
        folder: where fields are kept.
        data: folder that files are below.
        maps: the region's, on (map, y, x), as the network sees them; asked for where there are models.
        workers: processes that decode files.
        progress: told of files.

    Raises:
        DataError: a file is not there or cannot be used; no day is whole.
    """
    names = [m.name for m in study.maps]
    for number, model in enumerate(study.models):
        known = maps()  # what is wrong with them is told before files are read
        land = known[names.index("land")] if "land" in names else np.ones(study.target_grid.shape, np.float32)
        paths = matching(data, model.files, f"models.{number}")
        stamps = [(str(p.absolute()), p.stat().st_size, p.stat().st_mtime_ns) for p in paths]
        asked = [model.model_dump(mode="json"), study.grid.model_dump(mode="json"), study.variables, _heights(study), stamps]
        home = folder / f"model-{fingerprint(asked)}"
        if not (home / LEDGER).is_file():
            _read(study, number, paths, home, workers, progress)
        yield World(*months_of(home), known, land), Ledger.read(home / LEDGER)


def _heights(study: FusionStudy) -> tuple[float, ...]:
    """At which the target is needed [m]."""
    return (0.0, *ALOFT) if study.practice.above else (0.0,)


def _read(study: FusionStudy, number: int, paths: list[Path], home: Path, workers: int, progress: Progress) -> None:
    """Write the days of a model that are whole, month by month, and the ledger of the others."""
    model, ledger = study.models[number], Ledger()
    days = np.datetime64(model.start) + np.arange((model.end - model.start).days + 1)
    found = []
    for place, variable in enumerate(study.variables):
        heights, period = _heights(study) if place == 0 else (0.0,), (model.start, model.end)
        asked = Asked(f"models.{number}", model.source, tuple(model.files), (variable,), heights, study.target_grid, *period)
        plan = Decode.plan(asked, paths, home / "decoded")
        with crew(workers) as hands:
            for done in decode(plan, hands):
                progress(f"read model {number + 1}, {variable}", done, len(plan))
        found.append(daily_means(read_parts(plan, asked), asked, days, ledger))
    there = np.all([np.isfinite(f).all((1, 2, 3)) for f in found], 0)
    if not there.any():
        raise DataError(
            f"models.{number}: no day from {model.start} to {model.end} is whole in {len(paths)} files: "
            f"{ledger.entries[0].why}. Does the grid reach beyond the model?"
        )
    ground, aloft = np.stack([f[:, 0] for f in found], 1), found[0][:, 1:]
    months = days.astype("datetime64[M]")
    for month in np.unique(months[there]):
        some = there & (months == month)
        write_month(home, month.astype(date), ground[some], aloft[some])
    ledger.write(home / LEDGER)
    for path in (home / "decoded").iterdir():
        path.unlink()


def lines(study: FusionStudy, data: Path) -> Iterator[str]:
    """What there is to read, for `airloom check`.

    Raises:
        DataError: a file is not there.
    """
    for number, model in enumerate(study.models):
        paths = matching(data, model.files, f"models.{number}")
        yield f"models.{number}: {len(paths)} files of {model.source}, {model.start} … {model.end}"
