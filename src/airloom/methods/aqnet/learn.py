"""Networks of a task: what they learn from, and what they then tell."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from airloom.learn.checkpoint import load_weights
from airloom.learn.steps import Log, Trainer
from airloom.methods.aqnet.hours import Hours
from airloom.methods.aqnet.network import PRESETS, WEIGHTS, Forecaster, Reanalyser
from airloom.methods.aqnet.split import Parts
from airloom.methods.aqnet.study import Forecast, Reanalysis, SeriesMethod, SeriesPractice
from airloom.methods.aqnet.windows import Forecasts, Lesson, Reanalyses, batches, width
from airloom.progress import Progress, quiet

EXAM = 10**6  # numbers the draws of validation apart from those of steps
EXAMINED = 512  # moments that validate an epoch
AT_ONCE = 64  # moments that are told at once
GAPPY = 0.6  # largest share of a station's hours that a lesson takes out


@dataclass(frozen=True)
class Forecasting:
    """A forecast's task.

    `known`: stations that may be learnt from, bool on (station,).
    """

    task: Forecast
    windows: Forecasts
    parts: Parts
    known: np.ndarray

    def network(self, method: SeriesMethod) -> nn.Module:
        """With random weights."""
        windows = self.windows
        given = windows.ahead.shape[-1] if windows.ahead is not None else 0
        hours = windows.hours
        of, preset = WEIGHTS[method.weights], PRESETS[method.preset]
        return Forecaster(width(hours), len(hours.targets), windows.steps, preset, ahead=given, neighbours=of)

    def persisting(self) -> Tensor:
        """How much of what was last known is left in what comes, by training moments and known stations; on (target, step)."""
        at = thinned(self.parts.train, EXAMINED * 10)
        last, wanted = self.windows.last[at][:, self.known, :, None], self.windows.wanted[at][:, self.known]
        there = torch.isfinite(last) & torch.isfinite(wanted)
        last, wanted = (torch.where(there, x, 0) for x in (last.expand_as(wanted), wanted))
        return (last * wanted).sum((0, 1)) / (last * last).sum((0, 1)).clamp(min=1e-6)

    def lesson(self, moments: np.ndarray, draw: np.random.Generator, hidden: float) -> Lesson:
        """Of moments, with some of the known stations hidden."""
        known = torch.from_numpy(self.known)
        visible = _visible(self.known, len(moments), draw, hidden) if hidden else known
        return self.windows.lesson(moments, visible, known.expand(len(moments), -1))

    def exam(self, moments: np.ndarray, *, hidden: bool) -> Lesson:
        """Of moments; asked are the known stations, or those of which nothing is known."""
        known = torch.from_numpy(self.known)
        return self.windows.lesson(moments, known, (~known if hidden else known).expand(len(moments), -1))


@dataclass(frozen=True)
class Reanalysing:
    """A reanalysis' task; `known` as of a forecast's."""

    task: Reanalysis
    windows: Reanalyses
    parts: Parts
    known: np.ndarray

    def network(self, method: SeriesMethod) -> nn.Module:
        """With random weights."""
        hours = self.windows.hours
        return Reanalyser(width(hours), len(hours.targets), PRESETS[method.preset], neighbours=WEIGHTS[method.weights])

    def shared(self) -> tuple[Tensor, Tensor]:
        """What known stations had in training hours, on (time, station, target), and the offsets among them [m]."""
        hours = self.windows.hours
        return hours.level[self.parts.train][:, self.known], hours.offsets[self.known][:, self.known]

    def lesson(self, moments: np.ndarray, draw: np.random.Generator, hidden: float) -> Lesson:
        """Of windows that begin at some moments, with blocks of hours taken out and some of the known stations hidden."""
        visible = _visible(self.known, len(moments), draw, hidden)
        gaps = np.stack(
            [blocks(self.windows.window, len(self.known), draw.uniform(0, GAPPY), self.task.block, draw) for _ in moments]
        )
        asked = (torch.from_numpy(gaps) | ~visible[:, None]) & torch.from_numpy(self.known)
        return self.windows.lesson(moments, visible, torch.from_numpy(gaps), asked)

    def exam(self, moments: np.ndarray, *, hidden: bool) -> Lesson:
        """Of windows that begin at some moments; asked, in the middle half, is what was taken out of the known stations, or are those of
        which nothing is known.
        """
        window, known = self.windows.window, torch.from_numpy(self.known)
        gaps = torch.zeros(len(moments), window, len(known), dtype=torch.bool)
        if not hidden:
            draws = [np.random.default_rng([EXAM, m]) for m in moments]
            taken = [blocks(window, len(known), d.uniform(0, GAPPY), self.task.block, d) for d in draws]
            gaps = torch.from_numpy(np.stack(taken)) & known
        asked = (gaps if not hidden else (~known).expand_as(gaps)).clone()
        asked[:, : window // 4] = asked[:, window - window // 4 :] = False  # other windows tell these hours
        return self.windows.lesson(moments, known.expand(len(moments), -1), gaps, asked)


Learning = Forecasting | Reanalysing


def blocks(hours: int, stations: int, share: float, longest: int, draw: np.random.Generator) -> np.ndarray:
    """Hours of each station that are taken out in blocks of 1 … `longest` hours, about `share` of them; bool on (hour, station)."""
    found = np.zeros((hours, stations), bool)
    mean = (1 + longest) / 2
    number = draw.poisson(-np.log1p(-min(share, 0.99)) * hours / mean, stations)  # blocks overlap
    for station, count in enumerate(number):
        length = draw.integers(1, longest + 1, count)
        begin = draw.integers(1 - longest, hours, count)
        for first, last in zip(np.maximum(begin, 0), np.maximum(begin + length, 0), strict=True):
            found[first:last, station] = True
    return found


def train(
    learning: Learning,
    method: SeriesMethod,
    practice: SeriesPractice,
    *,
    seed: int,
    study: str,
    folder: Path,
    progress: Progress = quiet,
) -> Log:
    """Train one network of a task in a folder, or go on; its best weights lie there then."""
    torch.manual_seed(seed)
    network = learning.network(method)
    if isinstance(learning, Forecasting) and isinstance(network, Forecaster):
        network.begin(learning.persisting())
    if isinstance(learning, Reanalysing) and isinstance(network, Reanalyser):
        network.begin(*learning.shared(), seed=seed)

    def lesson(step: int) -> Lesson:
        draw = np.random.default_rng([seed, step])
        return learning.lesson(draw.choice(learning.parts.train, learning.task.batch), draw, practice.hidden)

    def exams() -> Iterator[Lesson]:
        for number, some in enumerate(batches(thinned(learning.parts.validation, EXAMINED), AT_ONCE)):
            yield learning.lesson(some, np.random.default_rng([seed, EXAM, number]), practice.hidden)

    return Trainer(
        network,
        lesson,
        exams,
        lambda lesson: loss(told(network, learning.windows.hours, lesson, method.neighbours), lesson.wanted),
        steps=learning.task.steps,
        learning_rate=practice.learning_rate,
        study=study,
        seed=seed,
        folder=folder,
    ).run(progress)


def loss(found: Tensor, wanted: Tensor) -> Tensor:
    """Mean squared error of what is there."""
    there = torch.isfinite(wanted)
    return ((found - torch.nan_to_num(wanted)) ** 2 * there).sum() / there.sum().clamp(min=1)


def told(network: nn.Module, hours: Hours, lesson: Lesson, k: int) -> Tensor:
    """What a network says of a lesson."""
    return network(lesson.seen, hours.places, hours.offsets, k)


def load(learning: Learning, method: SeriesMethod, paths: Sequence[Path], study: str) -> list[nn.Module]:
    """Trained networks of a task.

    Raises:
        CheckpointError: as `load_weights`.
    """
    networks: list[nn.Module] = []
    for path in paths:
        network = learning.network(method)
        load_weights(path, network, belongs_to=study)
        networks.append(network.eval())
    return networks


def tell(
    networks: Sequence[nn.Module],
    hours: Hours,
    lessons: Callable[[np.ndarray], Lesson],
    moments: np.ndarray,
    k: int,
    progress: Progress = quiet,
) -> np.ndarray:
    """The networks' mean at some moments, normalised, as they give it."""
    found = []
    with torch.inference_mode():
        for some in batches(moments, AT_ONCE):
            lesson = lessons(some)
            found.append(torch.stack([told(n, hours, lesson, k) for n in networks]).mean(0).numpy())
            progress("tell, moments", min(len(found) * AT_ONCE, len(moments)), len(moments))
    return np.concatenate(found)


def _visible(known: np.ndarray, batch: int, draw: np.random.Generator, hidden: float) -> Tensor:
    """The known stations but for a share of 0 … `hidden` of them, drawn for each moment; bool on (batch, station)."""
    share = draw.uniform(0, hidden, (batch, 1))
    out = draw.random((batch, len(known))) < share
    return torch.from_numpy(known & ~out)


def thinned(moments: np.ndarray, most: int) -> np.ndarray:
    """Evenly taken, at most `most` of them."""
    return moments[:: max(1, -(-len(moments) // most))]
