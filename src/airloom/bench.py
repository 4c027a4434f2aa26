"""What this machine does with a study's network: training and prediction, timed on made-up numbers; no file is read."""

import calendar
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context

import torch

from airloom.cube.layers import group_channels
from airloom.device import device, wait
from airloom.grid import tiles
from airloom.memory import keep_freed_memory
from airloom.methods.base import predict
from airloom.methods.describe import describe, made_up
from airloom.methods.registry import method
from airloom.nets.memory import samples_at_once
from airloom.parts import Phase
from airloom.study import Study, changed

TITLES = ("preset", "weights", "GFLOP", "samples/s", "hours of phases", "GB to train", "s a day", "GB to predict")
FEWEST = 3  # timed steps
START = 1.0  # about what a network is told to give before it is trained


@dataclass(frozen=True)
class Work:
    """Seconds a sample, and the most memory [bytes] that a process took for it; None where it did not fit."""

    seconds: float
    memory: float


@dataclass(frozen=True)
class Speed:
    """What a preset costs here.

    `weights`: of one network; `operations`: of one sample's forward pass; `training`, `predicting`: None where memory was short;
    `hours`: of each phase, all members, empty where memory was short; `day`: seconds to predict one day of the whole region,
    all members.
    """

    preset: str
    weights: int
    operations: int
    training: Work | None
    predicting: Work | None
    hours: list[float]
    day: float | None

    def words(self) -> list[str]:
        """The figures as they stand under TITLES."""
        training, predicting = self.training, self.predicting
        return [
            self.preset,
            f"{self.weights:,}",
            f"{self.operations / 1e9:.2f}",
            f"{1 / training.seconds:.2f}" if training else "no room",
            " + ".join(f"{h:.1f}" for h in self.hours),
            f"{training.memory / 1e9:.1f}" if training else "",
            f"{self.day:.1f}" if self.day else "no room",
            f"{predicting.memory / 1e9:.1f}" if predicting else "",
        ]


def bench(study: Study, presets: Sequence[str] = (), *, cores: int = 2, seconds: float = 10) -> Iterator[Speed]:
    """Measure presets of the study's method, by default all, each in processes of its own for about so many seconds.

    Raises:
        StudyError: a preset is unknown.
    """
    windows = len(tiles(study.target_grid.shape, study.tiles.size, study.tiles.stride, study.tile_multiple))
    for preset in presets or method(study.method.name).presets:
        asked = changed(study, {"method.preset": preset})
        whole = describe(asked)[0]
        training, predicting = (_apart(work, asked, cores, seconds) for work in (_train, _predict))
        hours = [_hours(asked, p, training, windows, cores, seconds) for p in study.phases] if training else []
        day = windows * predicting.seconds * study.members if predicting else None
        yield Speed(preset, whole.parameters, whole.operations, training, predicting, hours, day)


def _hours(study: Study, phase: Phase, training: Work, windows: int, cores: int, seconds: float) -> float:
    """Of a phase, all members, its coarse epochs among them."""
    spent = 0.0
    for stage, scales in phase.stages:
        work = _apart(partial(_train, scales=scales), study, cores, seconds) if scales else training
        spent += _samples(study, stage, windows) * (work or training).seconds
    return spent / 3600


def _samples(study: Study, phase: Phase, windows: int) -> int:
    """Tiles that a phase sees, if it goes to its end and no day is missing."""
    within = [y for y in phase.years if study.period.start.year <= y <= study.period.end.year]
    days = sum(366 if calendar.isleap(y) else 365 for y in within)
    return days * min(windows, phase.tiles_a_day or windows) * phase.epochs * study.members


def _apart(work: Callable[[Study, int, float], Work], study: Study, cores: int, seconds: float) -> Work | None:
    """Do it in a fresh process, whose memory is its own; None where the system ended it for want of memory."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            return pool.submit(work, study, cores, seconds).result()
        except (BrokenProcessPool, MemoryError, torch.OutOfMemoryError):
            return None


def _train(study: Study, cores: int, seconds: float, scales: int | None = None) -> Work:
    """Steps of the first phase's micro-batch; of the coarsest `scales` alone where that is given."""
    _begin(cores)
    where, batch = device(), study.phases[0].batch
    channels = {g: n for g, n in group_channels(study).items() if n}
    network = method(study.method.name).network(study, channels, START)
    network = (method(study.method.name).coarsest(network, scales) if scales else network).to(where)
    inputs = {g: x.to(where) for g, x in made_up(study, channels, batch).items()}
    optimiser = torch.optim.AdamW(network.parameters())

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        network(inputs).square().mean().backward()
        optimiser.step()

    return Work(_median(step, seconds) / batch, _peak())


def _predict(study: Study, cores: int, seconds: float) -> Work:
    """Tiles as many at once as prediction takes them."""
    _begin(cores)
    where, batch = device(), samples_at_once(study.tiles.size, len(study.levels))
    channels = {g: n for g, n in group_channels(study).items() if n}
    network = method(study.method.name).network(study, channels, START).to(where)
    inputs = {g: x.to(where) for g, x in made_up(study, channels, batch).items()}
    return Work(_median(lambda: predict(network, inputs), seconds) / batch, _peak())


def _begin(cores: int) -> None:
    """Work with so many threads, and in such memory, as a run does it."""
    keep_freed_memory()
    torch.set_num_threads(cores)


def _median(work: Callable[[], object], seconds: float) -> float:
    """Of the times that some work takes, after a first one that does not count."""
    taken: list[float] = []
    started = time.perf_counter()
    while len(taken) < FEWEST + 1 or time.perf_counter() - started < seconds:
        begun = time.perf_counter()
        work()
        wait()
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken[1:])


def _peak() -> float:
    """The most memory that this process took: of the device where there is one [bytes]."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
