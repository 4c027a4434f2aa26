"""The PointConv fusion network (paper 001, §2.3, Fig. 2)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from airloom.nets.pointconv import PAPER, PointConv, Step
from airloom.nets.unetpp import UNetPP

LEAST_SPREAD = 0.15  # of a day's stations, as a share of their mean: one station alone has no spread


@dataclass(frozen=True)
class Preset:
    """`widths` of the UNet++, fine to coarse; `steps` of each variable's PointConv; `cautious` as there."""

    widths: tuple[int, ...]
    steps: tuple[Step, ...]
    cautious: bool


PRESETS = {
    # from far to near: a sparse network's stations inform one another over more than the paper's ten cells
    "small": Preset((16, 24, 32, 48), (Step(21, 4), *PAPER), cautious=True),
    "base": Preset((32, 48, 64, 96), (Step(21, 4), *PAPER), cautious=True),
    "paper": Preset((32, 64, 128, 256), PAPER, cautious=False),
}


class PointConvFusion(nn.Module):
    """Stations of some variables → the field of the first.

    Each day is seen relative to its own stations: of every variable their mean is taken away and their spread divided by, and
    the field is given back in its unit. So what is learnt is how values belong together, not how high they are, and a network
    taught by one model's PM2.5 serves another's PM10.

    Of every map the network sees, besides the map, by how much a cell differs from the stations that speak for it: what a drift is
    in kriging.

    Arguments:
        variables: number of variables, each with stations of its own; the first is the target.
        maps: number of maps.
        preset: see `PRESETS`.
    """

    def __init__(self, variables: int, maps: int, preset: Preset) -> None:
        super().__init__()
        self.points = nn.ModuleList(PointConv(preset.steps, cautious=preset.cautious) for _ in range(variables))
        inputs = variables * (1 + len(preset.steps)) + 2 * maps
        self.blend = UNetPP(inputs, 1, preset.widths)

    def forward(
        self, values: Tensor, weights: Tensor, maps: Tensor, at_stations: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The field [the first variable's unit] and how well stations know it (0 … 1), each on (batch, y, x).

        Arguments:
            values: on (batch, variable, y, x), each in a unit of its own; whatever is finite where no station is.
            weights: of the stations, 0 where none is, on (batch, variable, y, x).
            maps: scaled, on (map, y, x) or (batch, map, y, x).
            at_stations: the same as they are at stations, where that differs from their cells; as `maps` by default.
        """
        mean, spread = of_stations(values, weights)
        scaled = (values - mean) / spread
        here = maps.expand(len(values), *maps.shape[-3:])
        there = here if at_stations is None else at_stations.expand_as(here)
        fields, parts = [], []
        for number, points in enumerate(self.points):
            own = slice(number, number + 1)
            seen = [scaled[:, own], there] if number == 0 else [scaled[:, own]]
            field, known = points(torch.cat(seen, 1), weights[:, own])
            fields.append(field)
            parts += [field[:, :1], known]
        drift = here - fields[0][:, 1:]  # by how much a cell differs from the stations that speak for it
        told = parts[0] + self.blend(torch.cat([*parts, here, drift], 1))
        return (mean[:, 0] + spread[:, 0] * told[:, 0]), parts[1].amax(1)


def of_stations(values: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted mean and standard deviation of each variable's stations, on (batch, variable, 1, 1).

    The deviation is at least LEAST_SPREAD of the mean. Without any station the mean is 0 and the deviation 1.
    """
    total = weights.sum((-2, -1), keepdim=True)
    some = total.clamp_min(1e-9)
    mean = (weights * values).sum((-2, -1), keepdim=True) / some
    variance = (weights * (values - mean) ** 2).sum((-2, -1), keepdim=True) / some
    spread = torch.maximum(variance.sqrt(), LEAST_SPREAD * mean.abs())
    return mean, torch.where((total > 0) & (spread > 0), spread, torch.ones_like(spread))
