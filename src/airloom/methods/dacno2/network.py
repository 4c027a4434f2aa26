"""The DACNO₂ network (paper 000, §2.3, Fig. 2)."""

import math
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from airloom.nets.convlstm import ClimbingConvLSTM, DescendingCNN
from airloom.nets.inception import Lifted, inception_3d
from airloom.nets.levels import double

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
    ) -> None:
        super().__init__()
        self.reduced = reduced
        encoder, upper, decoder = (list(w[-scales:]) for w in (widths.encoder, widths.upper, widths.decoder))
        self.levels = levels
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
        nn.init.constant_(self.head.bias, math.log(math.expm1(start)))  # softplus of it is `start`

    def forward(self, groups: dict[str, Tensor]) -> Tensor:
        """Normalised NO₂ on (batch, level, y, x) from calendar (batch, channel), weather (batch, time, channel, y, x), upper
        (batch, time, channel, level, y, x) and maps (1 or batch, channel, y, x).
        """
        with torch.autocast(self.head.weight.device.type, torch.bfloat16) if self.reduced else nullcontext():
            state = self._state(groups)
        return functional.softplus(self.head(state.float().movedim(1, -1))).squeeze(-1)  # (batch, level, y, x, 1) → (…, x)

    def _state(self, groups: dict[str, Tensor]) -> Tensor:
        """What the decoder ends with, (batch, channel, level, y, x)."""
        state: Tensor | None = None
        for parts, fuse, decode in zip(self.encode(groups), self.fuse, self.decode, strict=True):
            here = fuse(parts)  # (batch, channel, level, y, x)
            if state is not None:
                here = torch.cat([here.expand(len(state), -1, -1, -1, -1), double(state)], 1)
            state = decode(here)
        assert state is not None
        return state

    def encode(self, groups: dict[str, Tensor]) -> list[list[Tensor | Lifted]]:
        """What each group gives to each scale, coarse to fine, and in which levels it stands."""
        found: list[list[Tensor | Lifted]] = [[] for _ in self.fuse]
        for group in self.maps:  # a map that all samples share comes, and is encoded, once
            for scale, features in zip(found, self.surface[group](groups[group]), strict=True):
                scale.append(Lifted(features, 1, self.levels))
        if self.weather is not None:
            for scale, features in zip(found, self.weather(groups["weather"]), strict=True):
                scale.append(Lifted(features, WEATHER_LEVELS, self.levels))
        if self.upper is not None:
            for scale, features in zip(found, self.upper(groups["upper"]), strict=True):
                scale.append(features)
        if self.calendar is not None:
            embedding = self.calendar(groups["calendar"])[:, :, None, None]
            first = found[0][0]
            cells = (first.features if isinstance(first, Lifted) else first).shape[-2:]
            found[0].append(Lifted(embedding.expand(-1, -1, *cells), self.levels, self.levels))
        return found
