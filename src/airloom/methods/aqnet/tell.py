"""What networks tell of the test's hours: forecasts from the past alone, reanalyses of gaps and hidden stations; never in one table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from airloom.methods.aqnet.hours import Scaler
from airloom.methods.aqnet.learn import Forecasting, Reanalysing, blocks, tell
from airloom.methods.aqnet.windows import Lesson
from airloom.progress import Progress, quiet

L = TypeVar("L", Forecasting, Reanalysing)


@dataclass(frozen=True)
class Trained(Generic[L]):
    """Networks of a task that has learnt: the task's windows, the members, how values are restored, k, and other voices by name, each of
    which has as much to say of stations that are seen as all members together.
    """

    learning: L
    networks: Sequence[nn.Module]
    scaler: Scaler
    k: int
    voices: "Mapping[str, Trained[Forecasting]]" = field(default_factory=dict)
    progress: Progress = quiet

    def restored(self, values: np.ndarray) -> np.ndarray:
        """µg m⁻³, not below 0."""
        return np.maximum(self.scaler.restored(self.learning.windows.hours.targets[0], values), 0)

    @property
    def known(self) -> Tensor:
        """Stations that can be seen."""
        return torch.from_numpy(self.learning.known)


def forecast(trained: Trained[Forecasting], moments: np.ndarray, leads: Sequence[int]) -> np.ndarray:
    """What comes after some moments at every station, seen or not [µg m⁻³], on (moment, station, lead)."""
    return told_of(trained, blended(trained, moments), leads)


def told_of(trained: Trained[Forecasting], values: np.ndarray, leads: Sequence[int]) -> np.ndarray:
    """Some leads of what was told, normalised on (moment, station, target, step), as `forecast` gives it."""
    return trained.restored(values[:, :, 0, [lead - 1 for lead in leads]])


def members(trained: Trained[Forecasting], moments: np.ndarray) -> np.ndarray:
    """The mean of what members alone say of some moments, normalised, on (moment, station, target, step)."""
    windows = trained.learning.windows

    def lessons(some: np.ndarray) -> Lesson:
        return windows.lesson(some, trained.known)

    return tell(trained.networks, windows.hours, lessons, moments, trained.k, trained.progress)


def blended(trained: Trained[Forecasting], moments: np.ndarray, alone: np.ndarray | None = None) -> np.ndarray:
    """What members and other voices say together, as `members`, whose part may be given."""
    found = (members(trained, moments) if alone is None else alone).copy()
    if trained.voices:
        known = trained.learning.known
        others = sum(blended(v, moments)[:, known] for v in trained.voices.values())
        found[:, known] = (found[:, known] + others) / (1 + len(trained.voices))
    return found


def reanalyse(trained: Trained[Reanalysing], hours: range, gaps: np.ndarray) -> np.ndarray:
    """Every station's value of some hours [µg m⁻³], on (hour, station), out of all that is known but for the `gaps` (bool on (time,
    station), time that of the windows): windows overlap by half, and each tells its middle.
    """
    windows, window = trained.learning.windows, trained.learning.windows.window
    half, quarter = window // 2, window // 4
    last = len(windows.hours) - window
    begins = np.unique(np.clip(np.arange(hours.start - quarter, hours.stop, half), 0, last))
    taken = torch.from_numpy(gaps)

    def lessons(some: np.ndarray) -> Lesson:
        every = torch.as_tensor(some)[:, None] + torch.arange(window)
        return windows.lesson(some, trained.known.expand(len(some), -1), taken[every])

    found = tell(trained.networks, windows.hours, lessons, begins, trained.k, trained.progress)[..., 0]
    told = np.full((len(windows.hours), found.shape[2]), np.nan, np.float32)
    for begin, values in zip(begins, found, strict=True):
        first = 0 if begin == 0 else quarter
        told[begin + first : begin + window] = values[first:]  # the next one's middle replaces this one's end
    return trained.restored(told[hours.start : hours.stop])


def gaps_of(time: int, stations: int, share: float, longest: int, seed: int) -> np.ndarray:
    """Blocks that are taken out to be told, about a `share` of all hours; bool on (time, station)."""
    return blocks(time, stations, share, longest, np.random.default_rng([seed, round(1000 * share)]))
