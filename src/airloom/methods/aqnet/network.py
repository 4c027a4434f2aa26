"""AQ-Net: an LSTM and attention along time, then learnable neighbours across stations (paper 004)."""

from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from airloom.learn.covariance import fit
from airloom.nets.kriged import Kriged
from airloom.nets.neighbours import DistanceNeighbours, NeuralNeighbours, nearest

PLACE = 2  # numbers that tell where a place is: east and north of the network's middle
CLOCK = 6  # sine and cosine of hour, weekday and day of the year


@dataclass(frozen=True)
class Preset:
    """Widths; the paper's repository has three LSTM layers of 128."""

    dim: int
    layers: int
    heads: int = 4
    dropout: float = 0.5  # years of hours hold some hundred episodes: little to learn from


WEIGHTS = {"features": NeuralNeighbours, "distance": DistanceNeighbours}
PRESETS = {"small": Preset(64, 1), "base": Preset(96, 2), "paper": Preset(128, 3)}


class Seen(NamedTuple):
    """What a network is given of some moments.

    `inputs`: (batch, step, station, channel), a step an hour or the mean of some, normalised, zero where nothing is known, with masks
    among the channels. `level`: the targets' last known values, normalised, NaN where none is, on (batch, station, target); of a
    reanalysis those of each hour, on (batch, time, station, target). `clock`: (batch, CLOCK) of the moment itself, or
    (batch, time, CLOCK). `visible`: which stations may be seen, bool on (batch, station). `ahead`: what is known of the
    hours to come on (batch, station, number), or none of it.
    """

    inputs: Tensor
    level: Tensor
    clock: Tensor
    visible: Tensor
    ahead: Tensor | None = None


class Encoder(nn.Module):
    """LSTM, then multi-head attention with a residual (paper 004, Eq. 1), along each station's time."""

    def __init__(self, channels: int, preset: Preset, *, both_ways: bool) -> None:
        super().__init__()
        dim, heads = preset.dim, preset.heads
        between = preset.dropout if preset.layers > 1 else 0.0
        self.lift = nn.Sequential(nn.Linear(channels, dim), nn.SiLU())
        hidden = dim // 2 if both_ways else dim
        self.lstm = nn.LSTM(dim, hidden, preset.layers, batch_first=True, dropout=between, bidirectional=both_ways)
        self.attention = nn.MultiheadAttention(dim, heads, dropout=preset.dropout, batch_first=True)
        self.drop = nn.Dropout(preset.dropout)

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, time, station, channel) → features on (batch · station, time, dim), and before attention."""
        batch, time, stations, channels = inputs.shape
        along = inputs.transpose(1, 2).reshape(batch * stations, time, channels)
        states, _ = self.lstm(self.lift(along))
        z = self.drop(states)
        attended, _ = self.attention(z, z, z, need_weights=False)
        return states + attended, states

    def weights(self, inputs: Tensor) -> Tensor:
        """What each hour attends to, on (batch, station, head, hour, hour)."""
        batch, time, stations, channels = inputs.shape
        states, _ = self.lstm(self.lift(inputs.transpose(1, 2).reshape(batch * stations, time, channels)))
        _, found = self.attention(states, states, states, average_attn_weights=False)
        return found.view(batch, stations, -1, time, time)


class Forecaster(nn.Module):
    """Hours or days to come of every station, and of those that cannot be seen, out of the past alone.

    Arguments:
        channels: inputs of a station and hour.
        targets: pollutants that are told.
        steps: hours or days that are told.
        preset: widths.
        ahead: numbers that are known of the time to come, at each station.
        neighbours: how neighbours are weighted.
    """

    def __init__(
        self,
        channels: int,
        targets: int,
        steps: int,
        preset: Preset,
        *,
        ahead: int = 0,
        neighbours: type[NeuralNeighbours] = NeuralNeighbours,
    ) -> None:
        super().__init__()
        dim = preset.dim
        self.targets, self.steps = targets, steps
        self.encoder = Encoder(channels, preset, both_ways=False)
        self.unseen = nn.Parameter(torch.zeros(2 * dim))
        self.neighbours = neighbours(2 * dim, 2 * dim + PLACE + CLOCK, dim, preset.heads)
        self.head = nn.Sequential(
            nn.Linear(3 * dim + PLACE + CLOCK + ahead, 2 * dim),
            nn.SiLU(),
            nn.Dropout(preset.dropout),
            nn.Linear(2 * dim, targets * steps),
        )
        self.kept = nn.Parameter(torch.zeros(targets, steps))  # how much of the last value is left, as a logit

    @torch.no_grad()
    def begin(self, share: Tensor) -> None:
        """Begin with what is left of the last value, 0 … 1 on (target, step)."""
        self.kept.copy_(torch.logit(share.clamp(0.02, 0.98)))

    def forward(self, seen: Seen, places: Tensor, offsets: Tensor, k: int) -> Tensor:
        """Normalised targets on (batch, station, target, step).

        Arguments:
            seen: of the past.
            places: on (station, PLACE).
            offsets: as `NeuralNeighbours`.
            k: neighbours.
        """
        batch, _, stations, _ = seen.inputs.shape
        features = self._pooled(seen.inputs).view(batch, stations, -1)
        own = torch.where(seen.visible[..., None], features, self.unseen)
        moment = torch.cat([places.expand(batch, -1, -1), seen.clock[:, None].expand(-1, stations, -1)], -1)
        chosen, there = nearest(offsets, seen.visible, k)
        said, weights = self.neighbours(torch.cat([own, moment], -1), features, offsets, chosen, there)
        parts = [own, said, moment, *([seen.ahead] if seen.ahead is not None else [])]
        change = self.head(torch.cat(parts, -1)).view(batch, stations, self.targets, self.steps)
        around = around_of(seen.level, chosen, weights.mean(-1))
        last = torch.where(seen.visible[..., None] & torch.isfinite(seen.level), torch.nan_to_num(seen.level), around)
        return change + torch.sigmoid(self.kept) * last[..., None]

    def _pooled(self, inputs: Tensor) -> Tensor:
        """A station's feature vector: the mean over time, as in the paper, and the last hour's state beside it."""
        features, states = self.encoder(inputs)
        return torch.cat([features.mean(1), states[:, -1]], -1)


class Reanalyser(nn.Module):
    """Every hour of a window at every station, out of what is known before and after, there and around.

    What others have at the hour is kriged by a covariance that is fitted first (`begin`). At stations that can be seen a correction is
    added to it; what is learnt of them does not carry over to other places, where it erred more than kriging alone.

    Arguments:
        channels: inputs of a station and hour.
        targets: pollutants that are told.
        preset: widths.
        neighbours: how neighbours are weighted.
    """

    def __init__(
        self, channels: int, targets: int, preset: Preset, *, neighbours: type[NeuralNeighbours] = NeuralNeighbours
    ) -> None:
        super().__init__()
        dim = preset.dim
        self.targets = targets
        self.encoder = Encoder(channels, preset, both_ways=True)
        self.neighbours = neighbours(dim + targets * 2, dim + PLACE + CLOCK, dim, preset.heads)
        self.kriged = nn.ModuleList(Kriged() for _ in range(targets)).requires_grad_(False)
        self.head = nn.Sequential(
            nn.Linear(2 * dim + PLACE + CLOCK + targets, 2 * dim),
            nn.SiLU(),
            nn.Dropout(preset.dropout),
            nn.Linear(2 * dim, targets),
        )

    def begin(self, level: Tensor, offsets: Tensor, *, seed: int) -> None:
        """Fit the covariances to normalised targets on (time, station, target); otherwise as `airloom.learn.covariance.fit`."""
        for layer, values in zip(self.kriged.requires_grad_(True), level.unbind(-1), strict=True):
            fit(cast("Kriged", layer), values, offsets, seed=seed)
        self.kriged.requires_grad_(False)

    def forward(self, seen: Seen, places: Tensor, offsets: Tensor, k: int) -> Tensor:
        """Normalised targets on (batch, time, station, target)."""
        level = seen.level.flatten(0, 1)
        found = torch.stack([krige(of, offsets) for krige, of in zip(self.kriged, level.unbind(-1), strict=True)], -1)
        shown = seen.visible.any(0).nonzero()[:, 0]  # a map's places need no more
        if len(shown):
            of = Seen(seen.inputs[:, :, shown], seen.level[:, :, shown], seen.clock, seen.visible[:, shown])
            change = self._change(of, found[:, shown], places[shown], offsets[shown][:, shown], k)
            found = found.index_add(1, shown, change * of.visible.repeat_interleave(seen.inputs.shape[1], 0)[..., None])
        return found.view(seen.level.shape)

    def _change(self, seen: Seen, kriged: Tensor, places: Tensor, offsets: Tensor, k: int) -> Tensor:
        """What is added to the kriged values, on (batch · time, station, target)."""
        batch, time, stations, _ = seen.inputs.shape
        features, _ = self.encoder(seen.inputs)
        own = features.view(batch, stations, time, -1).transpose(1, 2).reshape(batch * time, stations, -1)
        level = seen.level.flatten(0, 1)
        told = torch.cat([own, torch.nan_to_num(level), torch.isfinite(level).float()], -1)
        clock = seen.clock.reshape(batch * time, 1, CLOCK).expand(-1, stations, -1)
        moment = torch.cat([places.expand(batch * time, -1, -1), clock], -1)
        chosen, there = nearest(offsets, seen.visible.repeat_interleave(time, 0), k)
        said, _ = self.neighbours(torch.cat([own, moment], -1), told, offsets, chosen, there)
        return self.head(torch.cat([own, said, moment, kriged], -1))


def around_of(level: Tensor, chosen: Tensor, weights: Tensor) -> Tensor:
    """Neighbours' values by their weights, on (batch, place, target); those without a value do not count, and 0 where none has one.

    Arguments:
        level: values of stations on (batch, station, target), NaN where there is none.
        chosen: neighbours on (batch, place, k).
        weights: on (batch, place, k).
    """
    of = level[torch.arange(len(level))[:, None, None], chosen]
    weight = weights[..., None] * torch.isfinite(of)
    total = weight.sum(2)
    return (weight * torch.nan_to_num(of)).sum(2) / total.clamp(min=1e-6) * (total > 1e-6)
