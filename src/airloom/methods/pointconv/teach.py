"""What teaches: days of full fields, from worlds whose weather and emissions differ, kept on disk month by month."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from airloom.errors import StudyError
from airloom.files import fingerprint, full_disk_named, whole
from airloom.grid import Grid
from airloom.learn.stop import Stopped, stop_asked
from airloom.members import side_by_side
from airloom.methods.pointconv.study import FusionStudy, MapName
from airloom.progress import Progress

if TYPE_CHECKING:
    from airloom.twin.world import Plan

ALOFT = (50.0, 250.0, 500.0, 1000.0)  # m above ground, where the target is known besides
SCALES = {"elevation": 500.0, "land": 1.0, "population": 100.0, "impervious": 20.0, "motorway": 2000.0}  # about what each is
LOGARITHMIC = {"population", "motorway"}  # what spans decades
NOX_ONLY = {"no2", "o3", "relative_humidity", "wind"}  # what a world has without particles, in a fraction of the time
SOLID = 0.5  # share of land from which on a cell may hold a station


@dataclass(frozen=True)
class World:
    """One world: its fields at the ground, month by month, each on (day, variable, y, x), and the target's at the heights ALOFT
    on (day, height, y, x); `maps` on (map, y, x), scaled; the share of land on (y, x).
    """

    months: list[np.ndarray]  # mapped from disk
    aloft: list[np.ndarray]
    maps: np.ndarray
    land: np.ndarray

    def __len__(self) -> int:
        """Days."""
        return sum(map(len, self.months))

    def day(self, number: int) -> np.ndarray:
        """A day's fields at the ground on (variable, y, x)."""
        month, day = self._at(number)
        return np.asarray(self.months[month][day])

    def profile(self, number: int) -> np.ndarray:
        """The target's at the ground and at the heights ALOFT, on (height, y, x)."""
        month, day = self._at(number)
        return np.concatenate([self.months[month][day, :1], self.aloft[month][day]])

    def _at(self, number: int) -> tuple[int, int]:
        """The month that holds a day, and which of it the day is."""
        first = 0
        for month, fields in enumerate(self.months):
            if first <= number < first + len(fields):
                return month, number - first
            first += len(fields)
        raise IndexError(f"day {number} of a world of {len(self)}")

    @property
    def allowed(self) -> np.ndarray:
        """Cells that may hold a station, bool on (y, x)."""
        return self.land > SOLID


def scaled(name: MapName, values: np.ndarray) -> np.ndarray:
    """A map as the network sees it: in units of SCALES, and of what spans decades log(1 + that)."""
    share = values / SCALES[name]
    return (np.log1p(share) if name in LOGARITHMIC else share).astype(np.float32)


def teaching_grid(study: FusionStudy) -> Grid:
    """The square window that worlds are made on: about the study's own, or about another centre."""
    size = study.worlds.size or max(study.grid.shape)
    lon, lat = study.worlds.centre or study.grid.centre
    return Grid.around(lon, lat, cell=study.grid.cell, shape=(size, size))


def make_worlds(study: FusionStudy, folder: Path, *, threads: int, progress: Progress) -> list[World]:
    """The study's worlds of the twin, side by side, and after them one more, which validates; months that are there already stay. None
    where the study asks for none.

    Raises:
        StudyError: the twin knows no geography there, or is not installed.
        DataError: the disk is full.
        Stopped: SIGTERM or SIGINT came; months that are whole stay.
    """
    missing = [n for n in _numbers(study) if _missing(_plan(study, n), folder / f"world-{n}")]
    if (at_once := min(threads, len(missing))) > 1:  # a world has little to share out
        work = [partial(_make_in, study, number, folder, threads // at_once) for number in missing]
        side_by_side(work, folder, at_once=at_once, progress=progress)
    return [make_world(study, number, folder, threads=threads, progress=progress) for number in _numbers(study)]


def make_world(study: FusionStudy, number: int, folder: Path, *, threads: int, progress: Progress) -> World:
    """One of the study's worlds, by its number; months that are there already stay.

    Raises:
        StudyError, DataError, Stopped: as `make_worlds`.
    """
    _make_in(study, number, folder, threads, progress)
    return _open(folder / f"world-{number}")


def _make_in(study: FusionStudy, number: int, folder: Path, threads: int, progress: Progress) -> None:
    """Make what is missing of a world, perhaps in a process of its own."""
    with full_disk_named(folder):
        _make(study, number, folder / f"world-{number}", threads, progress)


def _numbers(study: FusionStudy) -> range:
    """Of the worlds, the one that validates last."""
    return range(study.worlds.number + 1) if study.worlds.number else range(0)


def worlds_folder(study: FusionStudy, run: Path) -> Path:
    """Where the worlds that teach are; runs side by side that need the same ones share them."""
    return run.parent / "worlds" / fingerprint(study.taught())


def days_to_make(study: FusionStudy, folder: Path) -> int:
    """Days of all worlds that are not in the folder yet."""
    return sum(len(days) for n in _numbers(study) for days in _missing(_plan(study, n), folder / f"world-{n}"))


def _plan(study: FusionStudy, number: int) -> "Plan":
    """What is asked of a world.

    Raises:
        StudyError: the twin is not installed.
    """
    try:
        from airloom.twin.world import Plan
    except ModuleNotFoundError as error:
        raise StudyError(
            f"worlds: the twin teaches, and {error.name} is not installed: pip install 'airloom[twin]'."
        ) from error
    asked, grid = study.worlds, teaching_grid(study)
    lon, lat = asked.centre or study.grid.centre
    species = "nox" if set(study.variables) <= NOX_ONLY else "all"
    seed, size = asked.seed + number, grid.shape[0] * grid.cell
    return Plan(
        asked.start, asked.end, lon=lon, lat=lat, size=size, cell=grid.cell, species=species, seed=seed, days=asked.days
    )


def write_month(folder: Path, month: date, ground: np.ndarray, aloft: np.ndarray) -> None:
    """Keep a month's fields: `ground` on (day, variable, y, x), `aloft` on (day, height, y, x)."""
    path = _month(folder, month)
    for to, values in ((_aloft(path), aloft), (path, ground)):  # the month is there when the last one is
        with whole(to) as aside:
            np.save(aside, values)


def _month(folder: Path, month: date) -> Path:
    """Where the fields of a month are."""
    return folder / f"{month:%Y-%m}.npy"


def _months(days: Sequence[date], folder: Path) -> Iterator[tuple[Path, list[date]]]:
    """The days of each month, and where their fields are kept."""
    for month in sorted({d.replace(day=1) for d in days}):
        yield _month(folder, month), [d for d in days if d.replace(day=1) == month]


def _aloft(path: Path) -> Path:
    """Where the fields above those of a month are."""
    return path.with_name(f"{path.stem}-aloft.npy")


def _make(study: FusionStudy, number: int, folder: Path, threads: int, progress: Progress) -> None:
    """Make what is missing of a world."""
    plan = _plan(study, number)
    missing = _missing(plan, folder)
    if missing or not (folder / "maps.npz").is_file():
        from airloom.twin.ground import ground_days, ground_map
        from airloom.twin.world import World as Twin

        twin = Twin(plan, threads=threads)
        own = [scaled(m.name, ground_map(twin.geography, m.name)) for m in study.maps]
        maps = np.stack(own) if own else np.zeros((0, *twin.geography.land.shape), np.float32)
        with whole(folder / "maps.npz") as aside:
            np.savez(aside, land=twin.geography.land, maps=maps)
    what, total = f"make world {number + 1} of {len(_numbers(study))}, day", len(plan.dates)
    done = total - sum(map(len, missing))
    with stop_asked() as asked:
        for days in missing:
            made = []
            for found in ground_days(twin, days, study.variables, ALOFT):
                made.append(found)
                progress(what, done + len(made), total)
                if asked():
                    raise Stopped(f"{folder}: stopped in {days[0]:%B %Y}; the same command goes on with that month.")
            write_month(folder, days[0], *(np.stack(parts) for parts in zip(*made, strict=True)))
            done += len(days)
    progress(what, done, total)


def _missing(plan: "Plan", folder: Path) -> list[list[date]]:
    """Days of the months that are not in the folder yet."""
    return [days for path, days in _months(plan.dates, folder) if not path.is_file()]


def _open(folder: Path) -> World:
    """A world that was made."""
    with np.load(folder / "maps.npz") as found:
        return World(*months_of(folder), found["maps"], found["land"])


def months_of(folder: Path) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """What `write_month` kept, in order: fields at the ground, and aloft."""
    paths = sorted(folder.glob("????-??.npy"))
    ground, aloft = ([np.load(p, mmap_mode="r") for p in some] for some in (paths, map(_aloft, paths)))
    return ground, aloft
