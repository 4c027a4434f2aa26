"""Windows of hours: what a network is given, and what it should have told. Contiguous in time: gaps are masked, never closed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from airloom.errors import StudyError
from airloom.methods.aqnet.hours import Hours, last_seen
from airloom.methods.aqnet.network import Seen

DAY_HOURS = 18  # valid hours that a day's mean needs
RECENT = 6  # hours that a line and trees see one by one
TODAY = 24  # hours of which they see parts; of those before, days
PART = 6  # hours of a part
AT_ONCE = 2048  # hours
LEVEL = 0.1  # how much a plane is held level, in stations as far off as counts as one


Steps = tuple[tuple[int, int], ...]  # how a window is seen, the oldest first: means of so many hours, how many of them


class Lesson(NamedTuple):
    """What is seen, and what is wanted: normalised, NaN where nothing is told or asked, as the network gives it."""

    seen: Seen
    wanted: Tensor


@dataclass(frozen=True)
class Forecasts:
    """Windows of the past and what comes after.

    Arguments:
        hours: of a network.
        shape: steps that are seen.
        wanted: what comes after each hour, normalised, on (time, station, target, step), NaN where it is not known.
        last: what `latest` gives at each hour, on (time, station, target).
        ahead: what is known of the time to come on (time, station, number).
    """

    hours: Hours
    shape: Steps
    wanted: Tensor
    last: Tensor
    ahead: Tensor | None = None
    _kept: dict[bytes, list[Tensor]] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, hours: Hours, shape: Steps, steps: int, length: int, ahead: Sequence[str] = ()) -> "Forecasts":
        """Windows of a shape, and `steps` hours (`length` 1) or means of so many hours to come; `ahead` names channels known of them."""
        level = hours.level.numpy()
        wanted = torch.from_numpy(to_come(level, steps, length))
        last = torch.from_numpy(latest(level, length, _hours(shape)))
        return cls(hours, shape, wanted, last, _ahead(hours, steps * length, ahead) if ahead else None)

    @property
    def window(self) -> int:
        """Hours that are seen."""
        return _hours(self.shape)

    @property
    def steps(self) -> int:
        """That are told."""
        return self.wanted.shape[-1]

    @property
    def moments(self) -> np.ndarray:
        """Hours after which something is told: those with a whole window before them."""
        return np.arange(self.window - 1, len(self.hours))

    def lesson(self, moments: np.ndarray, visible: Tensor, asked: Tensor | None = None) -> Lesson:
        """Of some hours, with the stations that can be seen, bool on (batch, station), or on (station,) where all hours see the same, and
        those that are asked for, bool on (batch, station).
        """
        at = torch.as_tensor(moments)
        wanted = self.wanted[at]
        if asked is not None:
            wanted = wanted.masked_fill(~asked[:, :, None, None], torch.nan)
        ahead = self.ahead[at] * visible[..., None] if self.ahead is not None else None
        inputs = self._gathered(at, visible) if visible.dim() == 1 else self._made(at, visible)
        return Lesson(Seen(inputs, self.last[at], self.hours.clock[at], visible.expand(len(at), -1), ahead), wanted)

    def _made(self, at: Tensor, visible: Tensor) -> Tensor:
        """What is seen of some hours, on (batch, step, station, `width`), where stations are hidden from one and not from another."""
        every = at[:, None] + torch.arange(1 - self.window, 1)
        inputs = inputs_of(self.hours, every, visible[:, None].expand(-1, self.window, -1))
        parts = inputs.split([length * number for length, number in self.shape], 1)
        return torch.cat([p.unflatten(1, (-1, s[0])).mean(2) for p, s in zip(parts, self.shape, strict=True)], 1)

    def _gathered(self, at: Tensor, visible: Tensor) -> Tensor:
        """The same where all hours see the same stations: from what was made of every hour, once."""
        key = visible.numpy().tobytes()
        if key not in self._kept:
            self._kept[key] = self._every(visible)
        found, begin = [], 1 - self.window
        for made, (length, number) in zip(self._kept[key], self.shape, strict=True):
            found.append(made[at[:, None] + begin + length * torch.arange(number)])
            begin += length * number
        return torch.cat(found, 1)

    def _every(self, visible: Tensor) -> list[Tensor]:
        """Means of what is seen of the hours from each on, by the shape's lengths; on (time, station, `width`)."""
        parts = torch.arange(len(self.hours)).split(AT_ONCE)
        inputs = torch.cat([inputs_of(self.hours, p[None], visible.expand(1, len(p), -1))[0] for p in parts])
        return [inputs.unfold(0, length, 1).mean(-1) if length > 1 else inputs for length, _ in self.shape]


@dataclass(frozen=True)
class Reanalyses:
    """Windows with hours before and after.

    Arguments:
        hours: of a network.
        window: hours of a window.
    """

    hours: Hours
    window: int

    @property
    def moments(self) -> np.ndarray:
        """First hours of windows."""
        return np.arange(len(self.hours) - self.window + 1)

    def lesson(self, moments: np.ndarray, visible: Tensor, gaps: Tensor, asked: Tensor | None = None) -> Lesson:
        """Of windows that begin at some hours.

        Arguments:
            moments: first hours.
            visible: stations that can be seen at all, bool on (batch, station).
            gaps: hours of stations that are taken out, bool on (batch, time, station).
            asked: what is asked for, of the same shape; what is taken out by default, and stations that cannot be seen.
        """
        every = torch.as_tensor(moments)[:, None] + torch.arange(self.window)
        out = gaps | ~visible[:, None]
        level = self.hours.level[every]
        known = level.masked_fill(out[..., None], torch.nan)
        wanted = level.masked_fill(~(out if asked is None else asked)[..., None], torch.nan)
        return Lesson(Seen(inputs_of(self.hours, every, ~out), known, self.hours.clock[every], visible), wanted)


def inputs_of(hours: Hours, every: Tensor, open_: Tensor) -> Tensor:
    """What is told of each station and hour: its values and masks; of the network the mean of each channel over the stations that have one,
    and the slopes of the targets; the clock. On (batch, time, station, `width`).

    Arguments:
        hours: of the network.
        every: hours on (batch, time).
        open_: what may be seen, bool on (batch, time, station).
    """
    there = hours.there[every] * open_[..., None]
    own = hours.values[every] * there
    count = there.sum(2, keepdim=True)
    mean = own.sum(2, keepdim=True) / count.clamp(min=1)
    slopes = _slopes(own[..., hours.sloping], there[..., hours.sloping], hours.places)
    shared = torch.cat([mean, slopes, (count[..., hours.sloping[:1]] > 0).float(), hours.clock[every][:, :, None]], -1)
    return torch.cat([own, there[..., hours.masks], shared.expand(-1, -1, own.shape[2], -1)], -1)


def width(hours: Hours) -> int:
    """Numbers that `inputs_of` gives."""
    return 2 * len(hours.channels) + len(hours.masks) + 2 * len(hours.sloping) + 1 + hours.clock.shape[-1]


def even(window: int, length: int) -> Steps:
    """A window in steps that are all as long.

    >>> even(336, 6)
    ((6, 56),)
    """
    return ((length, window // length),)


def recent_finest(window: int) -> Steps:
    """The last RECENT hours one by one, before them means of PART hours of the last TODAY, before these means of days.

    >>> recent_finest(24), recent_finest(336)
    (((6, 3), (1, 6)), ((24, 13), (6, 3), (1, 6)))
    >>> recent_finest(34), recent_finest(8)
    (((10, 1), (6, 3), (1, 6)), ((2, 1), (1, 6)))
    """
    today, recent = min(window, TODAY), min(window, RECENT)
    days, older = divmod(window - today, 24)
    parts, odd = divmod(today - recent, PART)
    shape = ((older, min(older, 1)), (24, days), (odd, min(odd, 1)), (PART, parts), (1, recent))
    return tuple(s for s in shape if all(s))


def _hours(shape: Steps) -> int:
    """That a shape covers."""
    return sum(length * number for length, number in shape)


def _slopes(values: Tensor, there: Tensor, places: Tensor) -> Tensor:
    """How values rise to the east and to the north, a plane through those that are there, drawn to no slope where they say little.

    Takes values and masks on (batch, time, station, channel); gives (batch, time, 1, 2 · channel).
    """
    plane = torch.cat([torch.ones(len(places), 1), places], -1)
    weighted = there.movedim(-1, 2)  # (batch, time, channel, station)
    inner = torch.einsum("btcs,si,sj->btcij", weighted, plane, plane) + torch.diag(torch.tensor([1e-3, LEVEL, LEVEL]))
    outer = torch.einsum("btcs,si->btci", weighted * values.movedim(-1, 2), plane)
    return torch.linalg.solve(inner, outer)[..., 1:].flatten(2)[:, :, None]


def to_come(level: np.ndarray, steps: int, length: int) -> np.ndarray:
    """Means of the `steps` stretches of `length` hours after each hour, on (time, station, target, step); NaN where a stretch has fewer
    than DAY_HOURS of 24 hours, or ends after the last.

    >>> to_come(np.arange(4.0)[:, None, None], 2, 1)[:, 0, 0].tolist()
    [[1.0, 2.0], [2.0, 3.0], [3.0, nan], [nan, nan]]
    """
    there = np.isfinite(level)
    nil = np.zeros((1, *level.shape[1:]))
    total = np.concatenate([nil, np.cumsum(np.nan_to_num(level), 0, dtype=float)])
    count = np.concatenate([nil, np.cumsum(there, 0)])
    found = np.full((*level.shape, steps), np.nan, level.dtype)
    for step in range(steps):
        first, last = 1 + step * length, 1 + (step + 1) * length
        number = count[last:] - count[first : len(count) - last + first]
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = (total[last:] - total[first : len(total) - last + first]) / number
        mean[number < length * DAY_HOURS / 24] = np.nan
        found[: len(mean), ..., step] = mean
    return found


def latest(level: np.ndarray, length: int, within: int) -> np.ndarray:
    """What would persist after each hour, along the first axis: the last value known, at most `within` hours ago, or of longer stretches the
    mean of the last `length` hours, where any is known.

    >>> latest(np.array([1.0, np.nan, 3.0]), 1, 2).tolist(), latest(np.array([1.0, np.nan, 3.0]), 2, 2).tolist()
    ([1.0, 1.0, 3.0], [1.0, 1.0, 3.0])
    """
    if length == 1:
        return last_seen(level, within)
    there = np.isfinite(level)
    total, count = (np.cumsum(x, 0, dtype=float) for x in (np.where(there, level, 0), there))
    for sums in (total, count):
        sums[length:] -= sums[:-length].copy()
    return np.divide(total, count, out=np.full(level.shape, np.nan), where=count > 0).astype(level.dtype)


def _ahead(hours: Hours, reach: int, names: Sequence[str]) -> Tensor:
    """Channels of the hours to come on (time, station, hour · channel); zeros after the last hour.

    Raises:
        StudyError: nothing was learnt of one of them.
    """
    if unknown := [n for n in names if n not in hours.channels]:
        raise StudyError(
            f"ahead: {unknown[0]} has no value at the hours and stations that are learnt from. Leave it out of ahead, or give "
            "tables that hold it."
        )
    columns = [hours.channels.index(n) for n in names]
    time, stations = hours.values.shape[:2]
    padded = torch.cat([hours.values[..., columns], torch.zeros(reach, stations, len(columns))])
    return torch.stack([padded[1 + h : 1 + h + time] for h in range(reach)], 2).flatten(2)


def batches(moments: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Some moments at a time."""
    yield from (moments[i : i + size] for i in range(0, len(moments), size))
