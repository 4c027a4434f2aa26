"""The verbs. No logic: each opens a study, makes a `Run` and shows its progress."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import yaml
from cyclopts import App, Parameter
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Column, Table

from airloom import kinds
from airloom.errors import AirloomError, StudyError
from airloom.kinds import AnyRun, AnyStudy
from airloom.progress import Progress as Reporter
from airloom.progress import quiet
from airloom.study import Study, changed

if TYPE_CHECKING:
    from airloom.learn.ranks import Ranks
    from airloom.ledger import Ledger

app = App(
    name="airloom",
    help="Complete air-quality fields out of models, weather, emissions and stations, and how good they are. "
    "A study is a YAML file that says what is asked; `airloom run STUDY` does all of it. Every verb goes on where it was "
    "stopped: type the same command again.",
)
twin = App(name="twin", help="A synthetic world over real geography, to try everything on and to score against its truth.")
app.command(twin)
console = Console(stderr=True)

StudyFile = Annotated[Path, Parameter(help="A study file, such as studies/madrid.yaml.")]
Data = Annotated[Path | None, Parameter(help="Folder of the input files; else the environment's AIRLOOM_DATA.")]
Folder = Annotated[Path | None, Parameter(help="Folder of the run; runs/NAME by default.")]
Workers = Annotated[int, Parameter(help="Processes that decode files, or cores that make worlds.")]
Set = Annotated[
    list[str] | None,
    Parameter(
        name="--set", negative="", help="Change a key of the study, as in --set seed=1 or --set stations.split.seed=2."
    ),
]


@app.command
def demo(
    folder: Annotated[Path, Parameter(help="Where the demo's world and run go.")] = Path("demo"),
    *,
    cores: Annotated[int, Parameter(help="Cores to use.")] = 2,
) -> None:
    """Make a small world whose truth is known, train DACNO₂ on its files in three phases, score it, and write a report."""
    from airloom.demo import demo as carry_through

    with _shown() as show:
        run, scores = carry_through(folder, cores=cores, progress=show)
    _tell(run, scores)


@app.command
def check(study: StudyFile, *, data: Data = None, folder: Folder = None, workers: Workers = 2, set_: Set = None) -> None:
    """Look at study, files, dates and stations, and estimate disk, memory and time; writes nothing."""
    asked = _study(study, set_)
    for line in kinds.check(asked, _data(asked, data), _folder(asked, folder), workers=workers):
        print(line)


@app.command
def prepare(
    study: StudyFile,
    *,
    data: Data = None,
    folder: Folder = None,
    workers: Workers = 2,
    scheduler: Annotated[
        str | None, Parameter(help="Address of a dask scheduler whose workers decode the files, as tcp://node1:8786.")
    ] = None,
    set_: Set = None,
) -> None:
    """Bring all files to one store, the cube: aligned, screened, with a ledger of what was left out and why."""
    with _run(study, data, folder, workers, set_) as run:
        print(run.prepare(scheduler))


@app.command
def train(study: StudyFile, *, data: Data = None, folder: Folder = None, workers: Workers = 2, set_: Set = None) -> None:
    """Train all phases; the best weights of each are kept. Ctrl-C saves, and the same command goes on.

    Several GPUs or machines train together where torchrun starts them: docs/many-machines.md.
    """
    from airloom.learn.ranks import joined

    with joined() as ranks, _run(study, data, folder, workers, set_, ranks) as run:
        run.train()
        if ranks.lead:
            print(run.folder)


@app.command
def predict(study: StudyFile, *, data: Data = None, folder: Folder = None, workers: Workers = 2, set_: Set = None) -> None:
    """Write the fields of the verification years as CF NetCDF and Zarr. torchrun shares the days among processes."""
    from airloom.learn.ranks import joined

    with joined() as ranks, _run(study, data, folder, workers, set_, ranks) as run:
        path = run.predict()
        if ranks.lead:
            print(path)


@app.command
def evaluate(study: StudyFile, *, data: Data = None, folder: Folder = None, workers: Workers = 2, set_: Set = None) -> None:
    """Score the fields at stations beside the baselines; prints the table and writes scores.json."""
    with _run(study, data, folder, workers, set_) as run:
        scores = run.evaluate()
    _print(kinds.tables(run.study, scores))


@app.command
def report(study: StudyFile, *, data: Data = None, folder: Folder = None, workers: Workers = 2, set_: Set = None) -> None:
    """Write the report: one HTML page with maps, scores, series, ledger and settings."""
    with _run(study, data, folder, workers, set_) as run:
        print(run.report())


@app.command(name="run")
def run_all(study: StudyFile, *, data: Data = None, folder: Folder = None, workers: Workers = 2, set_: Set = None) -> None:
    """All of it: prepare, train, predict, evaluate, report."""
    with _run(study, data, folder, workers, set_) as run:
        run.prepare()
        run.train()
        run.predict()
        scores = run.evaluate()
        run.report()
    _tell(run, scores)


@app.command
def fuse(
    model: Annotated[Path, Parameter(help="A model file, or the folder of a run of a `pointconv` study.")],
    observations: Annotated[
        list[Path], Parameter(help="Tables of sensors (time, lon, lat, value; CSV or parquet), or one folder of them.")
    ],
    *,
    out: Annotated[Path, Parameter(help="The NetCDF file of the fields; a folder with --watch.")] = Path("fused.nc"),
    start: Annotated[date | None, Parameter(help="First day; all by default.")] = None,
    end: Annotated[date | None, Parameter(help="Last day.")] = None,
    background: Annotated[Path | None, Parameter(help="A field on the model's grid that sensors are to correct.")] = None,
    watch: Annotated[
        bool, Parameter(negative="", help="Go on with each table that comes into the folder; Ctrl-C ends it.")
    ] = False,
) -> None:
    """Turn tables of stations or sensors into complete fields, with a trained model; they may move, and be new."""
    from airloom.methods.pointconv.live import fuse as make_fields
    from airloom.methods.pointconv.live import new_tables, tables_in
    from airloom.methods.pointconv.model import Model

    trained = Model.load(model)
    if not watch:
        paths = [t for path in observations for t in (tables_in(path) if path.is_dir() else [path])]
        _tell_fused(make_fields(trained, paths, out, first=start, last=end, background=background), out)
        return
    if len(observations) > 1 or not observations[0].is_dir():
        raise StudyError(f"--watch: waits for tables in one folder; got {', '.join(map(str, observations))}.")
    with suppress(KeyboardInterrupt):
        for table, to in new_tables(observations[0], out):
            try:
                _tell_fused(make_fields(trained, [table], to, first=start, last=end, background=background), to)
            except AirloomError as error:  # a broken table must not end the watch
                console.print(f"{table}: {error}", markup=False, highlight=False)


@app.command
def series(
    run: Annotated[Path, Parameter(help="The folder of an evaluated run of an `aqnet` study.")],
    observations: Annotated[list[Path], Parameter(help="Tables of stations' hours, of the form that the study reads.")],
    *,
    stations: Annotated[Path, Parameter(help="Table of where they stand: station, lon, lat.")],
    out: Annotated[Path, Parameter(help="Folder of what is told.")] = Path("series"),
    places: Annotated[
        Path | None, Parameter(help="Table of places without a station, to be told as well: station (a name), lon, lat.")
    ] = None,
    map_: Annotated[
        datetime | None,
        Parameter(name="--map", help="An hour (UTC, or with its offset) of which to draw a map, as 2017-01-01T06:00."),
    ] = None,
    neighbours: Annotated[
        int | None,
        Parameter(help="Nearest stations that say something of another; as in the study by default. Maps ask all stations."),
    ] = None,
) -> None:
    """Fill the gaps of station series and forecast them, with trained networks; the stations may be new, or none."""
    from airloom.methods.aqnet.live import tell_series

    with _shown() as show:
        ledger = tell_series(
            run, observations, stations, out, places=places, hour=map_, neighbours=neighbours, progress=show
        )
    _tell_left_out(ledger)
    print(out)


def _tell_fused(ledger: "Ledger", out: Path) -> None:
    """Where fields lie, and what was left out."""
    _tell_left_out(ledger)
    print(out)


def _tell_left_out(ledger: "Ledger") -> None:
    """What was left out, by reason."""
    reasons: dict[str, int] = {}
    for entry in ledger.entries:
        reasons[entry.why] = reasons.get(entry.why, 0) + entry.count
    for why, count in reasons.items():
        console.print(f"left out: {count} values, {why}", markup=False, highlight=False)


@twin.command
def make(
    folder: Annotated[Path, Parameter(help="Where the twin's files go; the same command goes on with what is there.")],
    *,
    start: Annotated[date, Parameter(help="First day.")] = date(2019, 1, 1),
    end: Annotated[date, Parameter(help="Last day.")] = date(2019, 12, 31),
    lon: Annotated[float, Parameter(help="Longitude of the window's centre [degrees].")] = 3.5,
    lat: Annotated[float, Parameter(help="Latitude of the window's centre [degrees].")] = 50.0,
    size: Annotated[float, Parameter(help="Edge of the window [m].")] = 512_000,
    cell: Annotated[float, Parameter(help="Edge of a cell of the truth [m].")] = 2000,
    species: Annotated[
        Literal["nox", "all"], Parameter(help="nox: NO, NO₂ and O₃; all: SO₂, NH₃ and particles besides.")
    ] = "nox",
    seed: Annotated[int, Parameter(help="Another one is another world.")] = 0,
    days: Annotated[int | None, Parameter(help="Make only the first so many days of each month; all by default.")] = None,
    cores: Annotated[int, Parameter(help="Cores to use; the files do not depend on it.")] = 2,
) -> None:
    """Make a small world whose truth is known, in the files of CAMS, ERA5, EEA and the others. Made month by month."""
    from airloom.twin.make import make as make_twin
    from airloom.twin.world import Plan

    plan = Plan(start, end, lon=lon, lat=lat, size=size, cell=cell, species=species, seed=seed, days=days)
    with _shown() as show:
        print(make_twin(plan, folder, threads=cores, progress=show))


@twin.command
def look(
    folder: Annotated[Path, Parameter(help="The twin; it may still be in the making.")],
    *,
    out: Annotated[Path, Parameter(help="The page.")] = Path("twin.html"),
) -> None:
    """Show whether a twin is real: maps, cycles, profiles, spectra and scores beside what papers report, on one HTML page."""
    from airloom.twin.page import look as look_at

    with _shown() as show:
        print(look_at(folder, out, show))


@app.command
def screen(
    files: Annotated[list[Path], Parameter(help="Files of the CAMS European reanalyses, NetCDF or zip archives of it.")],
    *,
    variable: Annotated[str, Parameter(help="The pollutant.")] = "no2",
    folder: Annotated[Path, Parameter(help="Where screen.json, screen.png and screen.parquet go.")] = Path("screen"),
) -> None:
    """Compare the distributions of model fields by level, month and year with the other years; name outlier years."""
    from airloom.sources.cams import CAMSEurope
    from airloom.verify.screen import screen as look

    with _shown() as show:
        found = look(files, CAMSEurope().read, variable, folder, show)
    for line in found.lines:
        print(line)


@app.command
def describe(study: StudyFile, *, set_: Set = None) -> None:
    """Show the study's network: its parts, what they give for one sample, their weights and their arithmetic."""
    table = Table("part", "kind", "gives", *(Column(c, justify="right") for c in ("weights", "GFLOP")), box=None)
    for row in kinds.describe(_study(study, set_)):
        shape = " × ".join(map(str, row.shape)) if row.shape else ""
        name = f"{'  ' * row.depth}{row.name.rpartition('.')[2]}"
        table.add_row(escape(name), row.kind, shape, f"{row.parameters:,}", f"{row.operations / 1e9:.3f}")
    Console().print(table)


@app.command
def bench(
    study: Annotated[Path | None, Parameter(help="A study file; the demo's by default.")] = None,
    *,
    preset: Annotated[
        list[str] | None, Parameter(negative="", help="One to measure; again for more. All by default.")
    ] = None,
    cores: Annotated[int, Parameter(help="Cores to use, where there is no GPU.")] = 2,
    seconds: Annotated[
        float, Parameter(help="How long to measure each preset, once for training and once for prediction.")
    ] = 10,
    set_: Set = None,
) -> None:
    """Say what this machine will do with a study's network, at each preset: samples a second, hours a phase, memory."""
    from airloom.bench import TITLES
    from airloom.bench import bench as measure
    from airloom.demo import STUDY

    table = Table(TITLES[0], *(Column(title, justify="right") for title in TITLES[1:]), box=None)
    asked = _study(study or STUDY, set_)
    if not isinstance(asked, Study):
        raise StudyError(f"bench: measures networks on tiles, and {asked.method.name} is none. Name a study of dacno2.")
    with console.status(f"{asked.title}: tiles of {asked.tiles.size} cells, {asked.members} members"):
        for found in measure(asked, preset or (), cores=cores, seconds=seconds):
            table.add_row(*found.words())
    Console().print(table)


@app.command(name="keys")
def print_keys(
    method: Annotated[str, Parameter(help="Of the studies of which method: dacno2, pointconv or aqnet.")] = "dacno2",
) -> None:
    """Every key that a study may have, with its default and what it means."""
    table = Table("key", "default", "what it is", box=None)
    for key, default, what in kinds.keys(method):
        table.add_row(escape(key), escape(default), escape(what))
    Console().print(table)


def _study(path: Path, changes: list[str] | None) -> AnyStudy:
    """The study, with the changes of the command line."""
    study = kinds.open_study(path)
    pairs = {}
    for change in changes or []:
        key, sign, value = change.partition("=")
        if not sign:
            raise StudyError(f"--set {change}: expected KEY=VALUE, as in --set seed=1.")
        pairs[key] = yaml.safe_load(value)
    return changed(study, pairs)


def _data(study: AnyStudy, given: Path | None) -> Path:
    """The data folder, from the flag or the environment."""
    folder = given or (Path(os.environ["AIRLOOM_DATA"]) if os.environ.get("AIRLOOM_DATA") else None)
    if folder is None or not folder.is_dir():
        wanted = "\n".join(f"  {pattern}" for pattern in study.patterns)
        where = f"{folder}: there is no such folder." if folder else "Where are the input files?"
        raise StudyError(
            f"{where} Set AIRLOOM_DATA to a folder, or use --data FOLDER. {study.name} reads from it:\n{wanted}"
        )
    return folder


def _folder(study: AnyStudy, given: Path | None) -> Path:
    return given or Path("runs") / study.name


def _tell(run: AnyRun, scores: Mapping[str, Any]) -> None:
    """The scores as tables, and where everything lies."""
    _print(kinds.tables(run.study, scores))
    print(f"fields: {run.netcdf}\nscores: {run.folder / 'scores.json'}\nreport: {run.folder / 'report.html'}")


def _print(tables: "list[Table]") -> None:
    Console().print(*tables, sep="\n\n")


@contextmanager
def _run(
    study: Path,
    data: Path | None,
    folder: Path | None,
    workers: int,
    changes: list[str] | None,
    ranks: "Ranks | None" = None,
) -> Iterator[AnyRun]:
    """A run whose progress is shown on the terminal, of `ranks` that of the leader; without them for one process alone."""
    from airloom.learn.ranks import ALONE, require_alone

    if ranks is None:
        require_alone()
        ranks = ALONE
    asked = _study(study, changes)
    with _shown() if ranks.lead else nullcontext(quiet) as show:
        yield kinds.open_run(asked, _data(asked, data), _folder(asked, folder), workers=workers, progress=show, ranks=ranks)


@contextmanager
def _shown() -> Iterator[Reporter]:
    """Bars on the terminal, one a stage."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bars:
        tasks: dict[str, TaskID] = {}

        def show(what: str, done: int, total: int) -> None:
            stage = what.split(",")[0]  # the words after a comma change while the bar stays
            if stage not in tasks:
                tasks[stage] = bars.add_task(what, total=total)
            bars.update(tasks[stage], description=what, completed=done, total=total)

        yield show


def main() -> None:
    """Entry point: errors that airloom raises on purpose are printed without a traceback."""
    from airloom.learn.stop import Stopped

    try:
        app()
    except AirloomError as error:
        console.print(f"[bold red]{type(error).__name__}[/]: ", end="")
        console.print(str(error), markup=False, highlight=False)
        sys.exit(1)
    except Stopped as stop:
        console.print(str(stop), markup=False, highlight=False)
        sys.exit(130)
