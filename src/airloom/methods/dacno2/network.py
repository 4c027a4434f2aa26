"""The DACNO₂ network (paper 000, §2.3, Fig. 2)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from airloom.nets.convlstm import ClimbingConvLSTM, DescendingCNN
from airloom.nets.inception import inception_3d

WEATHER_LEVELS = 5  # single-level weather informs the lowest five levels


@dataclass(frozen=True)
class Widths:
    """Channels of each scale, coarse to fine."""

    encoder: tuple[int, ...]
    decoder: tuple[int, ...]
    embedding: int


PRESETS = {
    "small": Widths(encoder=(16, 12, 8, 8), decoder=(32, 24, 16, 16), embedding=8),
    "base": Widths(encoder=(32, 24, 16, 12), decoder=(64, 48, 32, 16), embedding=16),
}


class DACNO2(nn.Module):
    """Groups of inputs → a field.

    Arguments:
        channels: number of inputs of each group that the study has, among calendar, weather, emissions, geography.
        levels: heights of the field.
        scales: coarse to fine, the number of times that cells double; 4 from 16 km to 2 km.
        widths: channels of each scale; the finest `scales` of them are used.
        start: the output before training, in units of the normalised target.
    """

    def __init__(
        self, channels: dict[str, int], *, levels: int, scales: int, widths: Widths, dropout: float = 0.0, start: float = 1.0
    ) -> None:
        super().__init__()
        encoder, decoder = list(widths.encoder[-scales:]), list(widths.decoder[-scales:])
        self.levels = levels
        self.maps = [g for g in ("emissions", "geography") if channels.get(g)]
        self.weather = ClimbingConvLSTM(channels["weather"], encoder, dropout=dropout) if channels.get("weather") else None
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
        groups = len(self.maps) + (self.weather is not None)
        embedding = widths.embedding if self.calendar is not None else 0
        self.fuse = nn.ModuleList(
            inception_3d(groups * e + (embedding if i == 0 else 0), d, dropout=dropout)
            for i, (e, d) in enumerate(zip(encoder, decoder, strict=True))
        )
        self.decode = nn.ModuleList(
            inception_3d(d + (decoder[i - 1] if i else 0), d, dropout=dropout) for i, d in enumerate(decoder)
        )
        self.head = nn.Conv3d(decoder[-1], 1, 1)
        assert self.head.bias is not None
        nn.init.constant_(self.head.bias, float(torch.tensor(start).expm1().log()))  # softplus of it is `start`

    def forward(self, groups: dict[str, Tensor]) -> Tensor:
        """Normalised NO₂ on (batch, level, y, x) from calendar (batch, channel), weather (batch, time, channel, y, x) and
        maps (batch, channel, y, x).
        """
        scales = self.encode(groups)
        state = None
        for i, (fuse, decode) in enumerate(zip(self.fuse, self.decode, strict=True)):
            here = scales[i]  # (batch, channel, level, y, x)
            if i == 0 and self.calendar is not None:
                embedding = self.calendar(groups["calendar"])[:, :, None, None, None]
                here = torch.cat([here, embedding.expand(-1, -1, *here.shape[2:])], 1)
            here = fuse(here)
            state = decode(here if state is None else torch.cat([here, _double(state)], 1))
        assert state is not None
        return functional.softplus(self.head(state)).squeeze(1)  # (batch, 1, level, y, x) → (batch, level, y, x)

    def encode(self, groups: dict[str, Tensor]) -> list[Tensor]:
        """All groups lifted to levels and concatenated, one (batch, channel, level, y, x) a scale, coarse to fine."""
        lifted = [[_lift(f, self.levels, 1) for f in self.surface[g](groups[g])] for g in self.maps]
        if self.weather is not None:
            lifted.append([_lift(f, self.levels, WEATHER_LEVELS) for f in self.weather(groups["weather"])])
        batch = max(len(x) for x in groups.values())  # a map that all samples share comes, and is encoded, once
        return [torch.cat([f.expand(batch, -1, -1, -1, -1) for f in scale], 1) for scale in zip(*lifted, strict=True)]


def _lift(x: Tensor, levels: int, lowest: int) -> Tensor:
    """(batch, channel, y, x) → (batch, channel, level, y, x): the same in the `lowest` levels, zeros above."""
    lowest = min(lowest, levels)
    filled = x[:, :, None].expand(-1, -1, lowest, -1, -1)
    return functional.pad(filled, (0, 0, 0, 0, 0, levels - lowest))


def _double(x: Tensor) -> Tensor:
    """Twice the cells along y and x, none along levels."""
    return functional.interpolate(x, scale_factor=(1, 2, 2), mode="nearest")
