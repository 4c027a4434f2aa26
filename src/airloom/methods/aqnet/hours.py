"""A network's hours as networks see them: normalised by what the training hours hold, gaps as zeros beside masks."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from airloom.errors import StudyError
from airloom.series import Series
from airloom.sources.base import SERIES

YEAR = 365.25 * 24
WEEK = 168
MONDAY = 4 * 24  # hours from the first hour of 1970, a Thursday, to the first Monday's
AMOUNTS = ("ug m-3", "mm")  # units of what cannot be negative and spans decades: the logarithm is told besides
FAR = 50_000.0  # m from the network's middle that count as one


@dataclass(frozen=True)
class Scaler:
    """Means and deviations by channel name, over training hours and stations that were seen alone; the network's middle [degrees]."""

    mean: dict[str, float]
    deviation: dict[str, float]
    middle: tuple[float, float]

    @classmethod
    def of(cls, series: Series, hours: np.ndarray, stations: np.ndarray) -> "Scaler":
        """Of the values at `hours` and `stations`, both bool.

        A variable that has no value there is left out: how large it is when it comes, nobody knows yet.
        """
        found = {n: v[hours][:, stations] for n, v in _channels(series).items()}
        there = {n: v[np.isfinite(v)].astype(float) for n, v in found.items() if np.isfinite(v).any()}
        mean = {n: float(v.mean()) for n, v in there.items()}
        return cls(mean, {n: float(v.std()) or 1.0 for n, v in there.items()}, series.middle)

    def normalised(self, name: str, values: np.ndarray) -> np.ndarray:
        """Values of a channel in its deviations from its mean, float32."""
        return ((values - self.mean[name]) / self.deviation[name]).astype(np.float32)

    def restored(self, name: str, values: np.ndarray) -> np.ndarray:
        """The reverse."""
        return values * self.deviation[name] + self.mean[name]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Scaler":
        """What `to_json` gave."""
        return cls(content["mean"], content["deviation"], tuple(content["middle"]))


@dataclass(frozen=True)
class Hours:
    """What is known of each hour.

    `values`: (time, station, channel): each variable, and its logarithm where it is an amount, normalised, 0 where there is
    none; `there`: whether there is one, of the same shape, 0 or 1. `level`: the targets, normalised, NaN where there is
    none, on (time, station, target). `clock`: (time, CLOCK). `places`: (station, PLACE). `offsets`: from places to stations
    on (place, station, 2) [m]. `time`: datetime64[h].
    """

    values: Tensor
    there: Tensor
    level: Tensor
    clock: Tensor
    places: Tensor
    offsets: Tensor
    time: np.ndarray
    channels: tuple[str, ...]
    targets: tuple[str, ...]

    @classmethod
    def of(cls, series: Series, scaler: Scaler, targets: Sequence[str], *, cyclic: bool = True) -> "Hours":
        """Of screened series; without the cyclic encoding the clock tells hour, weekday and day of the year as shares of their turns.

        Channels are the scaler's: of the series' other variables nothing is seen, and what the series lack is missing throughout.

        Raises:
            StudyError: the scaler knows nothing of a target.
        """
        if unknown := [t for t in targets if t not in scaler.mean]:
            raise StudyError(
                f"target: {unknown[0]} has no value at the hours and stations that are learnt from. Choose a later "
                "verification.test, a longer period, or another target."
            )
        found, nothing = _channels(series), np.full((len(series.hours), len(series.stations)), np.nan)
        every = {n: scaler.normalised(n, found.get(n, nothing)) for n in scaler.mean}
        stacked = torch.from_numpy(np.stack(list(every.values()), -1))
        places = np.stack(series.metres(scaler.middle), -1)
        offsets = places[None] - places[:, None]  # (place, station, 2)
        return cls(
            torch.nan_to_num(stacked),
            torch.isfinite(stacked).float(),
            torch.from_numpy(np.stack([every[t] for t in targets], -1)),
            torch.from_numpy(clock(series.hours) if cyclic else _plain_clock(series.hours)),
            torch.from_numpy((places / FAR).astype(np.float32)),
            torch.from_numpy(offsets.astype(np.float32)),
            series.hours,
            tuple(every),
            tuple(targets),
        )

    def __len__(self) -> int:
        return len(self.clock)

    @property
    def sloping(self) -> list[int]:
        """Channels whose slope over the network is told besides their mean: the targets', which air masses carry."""
        return [i for i, c in enumerate(self.channels) if c.removeprefix("log ") in self.targets]

    @property
    def masks(self) -> list[int]:
        """Channels whose mask tells that of a variable."""
        return [i for i, c in enumerate(self.channels) if not c.startswith("log ")]


def clock(hours: np.ndarray) -> np.ndarray:
    """Cyclic encoding (paper 004, §3.2) of datetime64[h]: sine and cosine of hour, weekday and day of the year, on (time, CLOCK)."""
    turns = _turns(hours) * 2 * np.pi
    return np.concatenate([np.sin(turns), np.cos(turns)], -1).astype(np.float32)


def _plain_clock(hours: np.ndarray) -> np.ndarray:
    """The same shares as they are, −1 … 1, twice, so that networks have the same shape."""
    return np.tile(2 * _turns(hours) - 1, 2).astype(np.float32)


def _turns(hours: np.ndarray) -> np.ndarray:
    """How much of the day, of the week and of the year is over, 0 … 1, on (time, 3)."""
    since = hours.astype("datetime64[h]").astype(int)
    of_year = (hours.astype("datetime64[h]") - hours.astype("datetime64[Y]").astype("datetime64[h]")).astype(int)
    return np.stack([since % 24 / 24, (since - MONDAY) % WEEK / WEEK, of_year / YEAR], -1)


def last_seen(values: np.ndarray, within: int) -> np.ndarray:
    """The last value that was there, at most `within` hours ago, itself included; along the first axis.

    >>> last_seen(np.array([np.nan, 1, np.nan, np.nan, np.nan]), 3)
    array([nan,  1.,  1.,  1., nan])
    """
    there = np.isfinite(values)
    number = np.arange(len(values)).reshape(-1, *[1] * (values.ndim - 1))
    last = np.maximum.accumulate(np.where(there, number, -1), axis=0)
    found = np.take_along_axis(values, np.maximum(last, 0), 0)
    return np.where((last >= 0) & (number - last < within), found, np.nan).astype(values.dtype)


def _channels(series: Series) -> dict[str, np.ndarray]:
    """Every variable, and the logarithm of one more than each amount."""
    found = {}
    for name in map(str, series.data.data_vars):
        values = series.data[name].to_numpy()
        found[name] = values
        if SERIES[name] in AMOUNTS:
            found[f"log {name}"] = np.log1p(np.maximum(values, 0))
    return found
