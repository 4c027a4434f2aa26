"""`airloom demo`: a small world whose truth is known, and DACNO₂ from its files to a report, in minutes."""

from pathlib import Path
from typing import Any

from airloom.progress import Progress, quiet
from airloom.run import Run
from airloom.study import Study, load
from airloom.twin.make import make
from airloom.twin.world import Plan

STUDY = Path(__file__).with_name("demo.yaml")
DAYS = 5  # of each month: all seasons, at the cost of two months


def study() -> Study:
    """The study that the demo runs, as it stands beside this file."""
    return load(STUDY)


def plan() -> Plan:
    """The demo's twin: the study's window and period."""
    asked = study()
    lon, lat = asked.grid.centre
    start, end = asked.period.start, asked.period.end
    size = asked.grid.shape[0] * asked.grid.cell
    return Plan(start, end, lon=lon, lat=lat, size=size, cell=asked.grid.cell, days=DAYS)


def demo(folder: Path, *, cores: int = 2, progress: Progress = quiet) -> tuple[Run, dict[str, Any]]:
    """Make the twin and carry the study through; an interrupted demo goes on. Returns the finished run and its scores.

    Arguments:
        folder: where twin and run go.
        cores: to use.
        progress: as `Run`.
    """
    data = make(plan(), folder / "twin", threads=cores, progress=progress)
    run = Run(study(), data, folder / "run", workers=cores, progress=progress)
    run.prepare()
    run.train()
    run.predict()
    scores = run.evaluate()
    run.report()
    return run, scores
