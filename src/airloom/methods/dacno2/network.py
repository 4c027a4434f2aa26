"""The DACNO₂ network (paper 000, §2.3, Fig. 2)."""

import math
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from airloom.nets.convlstm import ClimbingConvLSTM, DescendingCNN
from airloom.nets.inception import Lifted, inception_3d
from airloom.nets.levels import double
from airloom.nets.recompute import Recomputed

MOST_GAIN = 3.0  # of the logarithm: a factor of twenty
WEATHER_LEVELS = 5  # single-level weather informs the lowest five levels


@dataclass(frozen=True)
class Widths:
    """Channels of each scale, coarse to fine: of the encoders, of the one for weather on levels, and of the decoder."""

    encoder: tuple[int, ...]
    upper: tuple[int, ...]
    decoder: tuple[int, ...]
    embedding: int


PRESETS = {
    # for a processor: what climbs with all its levels is thin where cells are many
    "small": Widths(encoder=(16, 12, 8, 8), upper=(8, 8, 8, 5), decoder=(32, 24, 16, 16), embedding=8),
    "base": Widths(encoder=(32, 24, 16, 12), upper=(32, 24, 16, 12), decoder=(64, 48, 32, 16), embedding=16),
    "paper": Widths(encoder=(96, 80, 64, 48), upper=(96, 80, 64, 48), decoder=(192, 160, 128, 96), embedding=32),
}


class DACNO2(nn.Module):
    """Groups of inputs → a field.

    Arguments:
        channels: number of inputs of each group that the study has, among calendar, weather, upper, emissions, geography.
        levels: heights of the field.
        scales: coarse to fine, the number of times that cells double; 4 from 16 km to 2 km.
        widths: channels of each scale; the finest `scales` of them are used.
        start: the output before training, in units of the normalised target.
        reduced: compute in bfloat16 all but the head; weights stay float32.
        gain: multiply each level by a `Gain`; not in the paper.
        pyramid: each scale has a head of its own, and what they tell adds up; not in the paper.
        recompute: compute stages and blocks again in the backward pass rather than keep what they computed.
    """

    def __init__(
        self,
        channels: dict[str, int],
        *,
        levels: int,
        scales: int,
        widths: Widths,
        dropout: float = 0.0,
        start: float = 1.0,
        reduced: bool = False,
        gain: bool = False,
        pyramid: bool = False,
        recompute: bool = False,
    ) -> None:
        super().__init__()
        self.reduced = reduced
        encoder, upper, decoder = (list(w[-scales:]) for w in (widths.encoder, widths.upper, widths.decoder))
        self.levels, self.decoder = levels, decoder
        self.maps = [g for g in ("emissions", "geography") if channels.get(g)]
        self.weather = ClimbingConvLSTM(channels["weather"], encoder, dropout=dropout) if channels.get("weather") else None
        self.upper = (
            ClimbingConvLSTM(channels["upper"], upper, levels=True, dropout=dropout) if channels.get("upper") else None
        )
        self.surface = nn.ModuleDict({g: DescendingCNN(channels[g], encoder, dropout=dropout) for g in self.maps})
        self.calendar = (
            nn.Sequential(
                nn.Linear(channels["calendar"], widths.embedding),
                nn.SiLU(),
                nn.Linear(widths.embedding, widths.embedding),
                nn.SiLU(),
            )
            if channels.get("calendar")
            else None
        )
        given = [(len(self.maps) + (self.weather is not None)) * e for e in encoder]
        given = [n + u for n, u in zip(given, upper, strict=True)] if self.upper is not None else given
        given[0] += widths.embedding if self.calendar is not None else 0
        self.fuse = nn.ModuleList(inception_3d(n, d, dropout=dropout) for n, d in zip(given, decoder, strict=True))
        self.decode = nn.ModuleList(
            inception_3d(d + (decoder[i - 1] if i else 0), d, dropout=dropout) for i, d in enumerate(decoder)
        )
        self.head = nn.Linear(decoder[-1], 1)
        coarse = [nn.Linear(width, 1) for width in decoder[:-1]] if pyramid else []
        self.coarse_heads = nn.ModuleList(coarse)
        first, *finer = [*coarse, self.head]
        nn.init.constant_(first.bias, math.log(math.expm1(start)))  # softplus of it is `start`
        for head in finer:  # nothing is added to what coarser scales tell
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)
        self.gain = Gain(channels, levels, len(self.maps) * encoder[0]) if gain else None
        encoders = [e for e in (self.weather, self.upper, *self.surface.values()) if e is not None]
        stages = [stage for e in encoders if isinstance(e, ClimbingConvLSTM | DescendingCNN) for stage in e.stages]
        for part in (*self.fuse, *self.decode, *stages):
            assert isinstance(part, Recomputed)
            part.recompute = recompute

    def forward(self, groups: dict[str, Tensor]) -> Tensor:
        """Normalised NO₂ on (batch, level, y, x) from calendar (batch, channel), weather (batch, time, channel, y, x), upper
        (batch, time, channel, level, y, x) and maps (1 or batch, channel, y, x).
        """
        return self.field(groups, len(self.fuse))

    def field(self, groups: dict[str, Tensor], scales: int) -> Tensor:
        """What the coarsest `scales` tell, on the cells of the whole network; fewer than all have heads in a pyramid alone."""
        with torch.autocast(self.head.weight.device.type, torch.bfloat16) if self.reduced else nullcontext():
            encoded = self.encode(groups, scales)
            states = self._states(encoded)
        field = functional.softplus(self._read(states))
        if self.gain is None:
            return field
        maps = [part.features for part in encoded[0][: len(self.maps)] if isinstance(part, Lifted)]
        return field * self.gain(groups, maps, field.shape[-2:])

    def _read(self, states: list[Tensor]) -> Tensor:
        """The sum of what heads read off the scales' states, coarse to fine, on the finest cells: (batch, level, y, x)."""
        last = len(self.fuse) - 1
        heads = dict(enumerate(self.coarse_heads)) | {last: self.head}
        told: Tensor | None = None
        for scale in range(last + 1):
            told = None if told is None else double(told)
            if scale in heads and scale < len(states):
                here = heads[scale](states[scale].float().movedim(1, -1)).squeeze(-1)  # (batch, level, y, x, 1) → (…, x)
                told = here if told is None else told + here
        assert told is not None
        return told

    def _states(self, encoded: list[list[Tensor | Lifted]]) -> list[Tensor]:
        """The decoder's states at the scales that are encoded, coarse to fine, each (batch, channel, level, y, x)."""
        states: list[Tensor] = []
        for parts, fuse, decode in zip(encoded, self.fuse, self.decode, strict=False):
            here = fuse(parts)  # (batch, channel, level, y, x)
            if states:
                here = torch.cat([here.expand(len(states[-1]), -1, -1, -1, -1), double(states[-1])], 1)
            states.append(decode(here))
        return states

    def encode(self, groups: dict[str, Tensor], scales: int | None = None) -> list[list[Tensor | Lifted]]:
        """What each group gives to each of the coarsest `scales`, by default all, coarse to fine, and in which levels it
        stands.
        """
        found: list[list[Tensor | Lifted]] = [[] for _ in self.fuse[:scales]]
        for group in self.maps:  # a map that all samples share comes, and is encoded, once
            for scale, features in zip(found, self.surface[group](groups[group]), strict=False):
                scale.append(Lifted(features, 1, self.levels))
        if self.weather is not None:
            for scale, features in zip(found, self.weather(groups["weather"], scales), strict=True):
                scale.append(Lifted(features, WEATHER_LEVELS, self.levels))
        if self.upper is not None:
            for scale, features in zip(found, self.upper(groups["upper"], scales), strict=True):
                scale.append(features)
        if self.calendar is not None:
            embedding = self.calendar(groups["calendar"])[:, :, None, None]
            first = found[0][0]
            cells = (first.features if isinstance(first, Lifted) else first).shape[-2:]
            found[0].append(Lifted(embedding.expand(-1, -1, *cells), self.levels, self.levels))
        return found


class Gain(nn.Module):
    """A factor on each level of a field, log-linear in the day's mean weather, over the tile and in the cell, in the calendar,
    and in what the maps' encoders see in the coarsest cell.

    Arguments:
        channels: as `DACNO2`.
        levels: heights of the field.
        seen: channels of the maps' encoders, together.
    """

    def __init__(self, channels: dict[str, int], levels: int, seen: int) -> None:
        super().__init__()
        weather = channels.get("weather", 0) + levels * channels.get("upper", 0)
        cell, day = weather + seen, weather + channels.get("calendar", 0)
        self.cell = nn.Conv2d(cell, levels, 1, bias=False) if cell else None
        self.day = nn.Linear(day, levels) if day else None
        for weight in self.parameters():
            nn.init.zeros_(weight)  # every factor is 1

    def forward(self, groups: dict[str, Tensor], maps: Sequence[Tensor], cells: Sequence[int]) -> Tensor:
        """The factor on (batch, level, y, x) for a field of so many `cells`, smooth between the coarsest.

        `maps`: features of the maps on the coarsest cells, each (1 or batch, channel, y, x).
        """
        means = [groups[g].mean(1).flatten(1, -3) for g in ("weather", "upper") if g in groups]  # (batch, number, y, x)
        logs = []
        if self.cell is not None:
            batch = max(len(part) for part in [*means, *maps])
            known = torch.cat([part.float().expand(batch, -1, -1, -1) for part in [*means, *maps]], 1)
            logs.append(functional.interpolate(self.cell(known), tuple(cells), mode="bilinear"))
        if self.day is not None:
            day = [*(m.mean((-2, -1)) for m in means), *([groups["calendar"]] if "calendar" in groups else [])]
            logs.append(self.day(torch.cat(day, 1))[:, :, None, None])
        return sum(logs[1:], logs[0]).clamp(-MOST_GAIN, MOST_GAIN).exp()


class Coarsest(nn.Module):
    """The coarsest `scales` of a network that is a pyramid, as a network of its own that shares its weights.

    It gives its field on the cells of the whole network, freezes what it has no use for, and leaves off where the whole goes on.
    """

    def __init__(self, network: DACNO2, scales: int) -> None:
        super().__init__()
        self.network, self.scales = network, scales
        climbing = [encoder.stages for encoder in (network.weather, network.upper) if encoder is not None]
        finer = [
            part for parts in (network.fuse, network.decode, network.coarse_heads, *climbing) for part in parts[scales:]
        ]
        for part in [network.head, *finer]:
            part.requires_grad_(False)

    def forward(self, groups: dict[str, Tensor]) -> Tensor:
        """As the whole network."""
        return self.network.field(groups, self.scales)
