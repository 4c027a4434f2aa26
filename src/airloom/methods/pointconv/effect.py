"""What a place and the kind of a station add to the air about them, learnt from a region's own stations."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

KINDS = ("traffic", "industrial")  # of stations; one of the background is neither, and so is a cell
YEAR = 365.25
TOLD = 6  # numbers about a day
ALIKE = 1e-3  # deviation of a feature below which all places are alike
FARTHEST = 4.0  # deviations beyond which a place is no stranger


class PlaceEffect(nn.Module):
    """Places and a day → by how much they differ from the air about them, in deviations of the day's stations.

    A small network of each place alone, which knows of the others nothing but their day's mean and spread. At first it says 0.

    Arguments:
        places: what is known of the places to learn from, on (place, feature); sets the features' scale.
        width: of its two layers.
        dropout: share of what is dropped while it learns; there are few places to learn from.
    """

    centre: Tensor
    scale: Tensor

    def __init__(self, places: np.ndarray, width: int = 32, dropout: float = 0.2) -> None:
        super().__init__()
        known = torch.from_numpy(np.asarray(places, np.float32))
        self.register_buffer("centre", known.mean(0))
        spread = known.std(0, correction=0)
        # nothing is learnt of what all places share, so nothing is said of it elsewhere
        self.register_buffer("scale", torch.where(spread > ALIKE, spread, torch.inf))
        last = nn.Linear(width, 1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.layers = nn.Sequential(
            nn.Linear(known.shape[1] + TOLD, width),
            nn.SiLU(),
            nn.Dropout(dropout),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Dropout(dropout),
            last,
        )

    def forward(self, places: Tensor, told: Tensor) -> Tensor:
        """Effects on (day, place), of `places` on (place, feature) and what `about` tells of days on (day, TOLD)."""
        scaled = ((places - self.centre) / self.scale).clamp(-FARTHEST, FARTHEST)
        each = scaled.expand(len(told), *scaled.shape), told[:, None].expand(-1, len(scaled), -1)
        effect: Tensor = self.layers(torch.cat(each, -1))[..., 0]
        return effect


def about(dates: np.ndarray, mean: Tensor, spread: Tensor) -> Tensor:
    """Numbers about days (datetime64[D]) on (day, TOLD): season, Saturday, Sunday, and the level and spread of their stations."""
    day = dates.astype("datetime64[D]")
    angle = 2 * np.pi * (day - day.astype("datetime64[Y]")).astype(int) / YEAR
    weekday = (day.astype(int) + 3) % 7  # 1 January 1970 was a Thursday
    calendar = np.stack([np.sin(angle), np.cos(angle), weekday == 5, weekday == 6], 1).astype(np.float32)
    levels = torch.stack([mean.flatten(), spread.flatten()], 1).clamp_min(1e-3).log()
    return torch.cat([torch.from_numpy(calendar), levels], 1)


def kinds_of(types: Sequence[str | None]) -> np.ndarray:
    """Kinds of stations as features on (station, KINDS); what is unknown counts as background.

    >>> kinds_of(["traffic", "background", None]).tolist()
    [[1.0, 0.0], [0.0, 0.0], [0.0, 0.0]]
    """
    return np.array([[float(t == kind) for kind in KINDS] for t in types], np.float32).reshape(len(types), len(KINDS))
