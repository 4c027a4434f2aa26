"""What a study of series is made of and what it will cost, before anything runs."""

import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor, nn

from airloom.methods.aqnet.beside import BOOSTING, VOICES
from airloom.methods.aqnet.designs import designs
from airloom.methods.aqnet.hours import AMOUNTS
from airloom.methods.aqnet.learn import loss, told
from airloom.methods.aqnet.network import CLOCK, PLACE, PRESETS, Forecaster, Reanalyser, Seen
from airloom.methods.aqnet.run import SeriesRun
from airloom.methods.aqnet.study import Forecast, SeriesStudy, Task
from airloom.methods.aqnet.trees import Trees
from airloom.methods.describe import Row, rows
from airloom.sources.base import SERIES

PROBES = 3  # timed steps
SHARE = 7  # every so-manieth moment is enough to time trees
STATIONS = 10  # made up, to describe


def describe(study: SeriesStudy) -> list[Row]:
    """The parts of every task's network, for one made-up moment and STATIONS stations; nothing is read."""
    return [
        row
        for task in study.tasks
        for row in rows(f"{study.method.name}: {task.name}", *_made_up(study, task), study.method.neighbours)
    ]


def _made_up(study: SeriesStudy, task: Task) -> tuple[nn.Module, Seen, Tensor, Tensor]:
    """A task's network and random inputs for it."""
    preset = PRESETS[study.method.preset]
    measured = study.measured
    channels = 2 * (len(measured) + len([v for v in measured if SERIES[v] in AMOUNTS])) + len(measured) + 5 + CLOCK
    network: nn.Module = Reanalyser(channels, 1, preset)
    along: tuple[int, ...] = (task.window,)
    if isinstance(task, Forecast):
        network, along = (
            Forecaster(channels, 1, task.reach, preset, ahead=len(task.given) * task.reach * task.length),
            (),
        )
    seen = Seen(
        torch.randn(1, task.window // (task.coarse if isinstance(task, Forecast) else 1), STATIONS, channels),
        torch.randn(1, *along, STATIONS, 1),
        torch.randn(1, *along, CLOCK),
        torch.ones(1, STATIONS, dtype=torch.bool),
        torch.randn(1, STATIONS, len(task.given) * task.reach * task.length)
        if isinstance(task, Forecast) and task.ahead
        else None,
    )
    places = torch.randn(STATIONS, PLACE)
    return network, seen, places, 20_000 * (places[None] - places[:, None])


def check(study: SeriesStudy, data: Path, folder: Path, *, workers: int) -> list[str]:
    """Lines about the stations of a study and how long training takes; nothing is left written.

    Raises:
        StudyError, DataError: what would stop the study later.
    """
    SeriesRun(study, data, folder)  # whose folder it is
    with TemporaryDirectory() as aside:
        run = SeriesRun(study, data, aside)
        return _lines(run, workers)


def _lines(run: SeriesRun, workers: int) -> list[str]:
    study, series = run.study, run.series
    values = series.data[study.target].to_numpy()
    there = np.isfinite(values)
    lines = [
        f"{study.target}: {len(series.stations)} stations, {there.sum():,} hourly values, {1 - there.mean():.1%} of the hours are "
        f"gaps ({study.period.start} … {study.period.end})",
        f"measured besides: {', '.join(str(v) for v in series.data.data_vars if v != study.target)}",
    ]
    seconds = 0.0
    steps = {t.name: _step(run, t) for t in study.tasks}
    networks = [j for j in run.networks.jobs if j.which not in VOICES]
    for job in networks:
        seconds += run.networks.task(job.task).steps * steps[job.task]
    seconds += sum(_trees(run, t) for t in study.tasks if isinstance(t, Forecast))
    at_once = max(1, min(workers, len(networks)))
    minutes = seconds / at_once / 60
    return [
        *lines,
        f"training: {len(networks)} networks, {at_once} at a time, and trees, about {minutes:.0f} min on this machine",
    ]


def _step(run: SeriesRun, task: Task) -> float:
    """Seconds of a training step of AQ-Net [s]."""
    draw = np.random.default_rng(0)
    learning = run.networks.learning(task)
    network, spent = learning.network(run.study.method), []
    for _ in range(PROBES):
        started = time.perf_counter()
        lesson = learning.lesson(draw.choice(learning.parts.train, task.batch), draw, 0.0)
        loss(told(network, learning.windows.hours, lesson, run.study.method.neighbours), lesson.wanted).backward()
        spent.append(time.perf_counter() - started)
    return float(np.median(spent))


def _trees(run: SeriesRun, task: Forecast) -> float:
    """Seconds that growing a forecast's trees takes, by those of its first step on a share of the moments."""
    learning = run.networks.forecasting(task, which=BOOSTING)
    hours, parts = learning.windows.hours, learning.parts
    first = replace(learning.windows, wanted=learning.windows.wanted[..., :1])
    every = first, parts.train[::SHARE], learning.known
    next(designs(first, parts.train[:1], learning.known))  # what is made of all hours, once
    started = time.perf_counter()
    list(Trees(hours.channels, 1).grow(*every, length=task.length, seed=0))
    return SHARE * task.reach * (time.perf_counter() - started)
