"""A method to copy: a linear regression at each cell, on the calendar, the day's mean weather and the maps.

To add a method: copy this file, write its network, add the class to `registry.py`, and copy
`tests/test_template_method.py`. What a network takes and gives stands in `base.py`.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from airloom.errors import StudyError, nearest
from airloom.methods.base import Method
from airloom.study import Study


class LinearField(nn.Module):
    """softplus(a + Σ weight × input), cell by cell; softplus, so that no concentration is negative.

    Arguments:
        channels: number of inputs of each group that the study has.
        factor: grid cells along a weather cell.
        start: the output before training, when all weights are 0, in units of the normalised target.
    """

    def __init__(self, channels: Mapping[str, int], *, factor: int, start: float) -> None:
        super().__init__()
        self.factor = factor
        self.offset = nn.Parameter(torch.tensor(start).expm1().log())  # softplus of it is `start`
        layers = {group: nn.Conv2d(n, 1, 1, bias=False) for group, n in channels.items()}
        for layer in layers.values():
            nn.init.zeros_(layer.weight)
        self.weights = nn.ModuleDict(layers)

    def forward(self, groups: dict[str, Tensor]) -> Tensor:
        """Normalised field on (batch, 1, y, x) from calendar (batch, channel), weather (batch, time, channel, y, x) and
        maps (batch, channel, y, x), where a map that all samples share comes once.
        """
        total = self.offset
        for group, layer in self.weights.items():
            x = groups[group]
            if group == "calendar":
                x = x[:, :, None, None]  # (batch, channel) → (batch, channel, 1, 1): the same at all cells
            elif group == "weather":
                x = functional.interpolate(x.mean(1), scale_factor=self.factor, mode="nearest")  # (batch, channel, y, x)
            total = total + layer(x)
        return functional.softplus(total)


class Template(Method):
    """Use it as a floor that a network must beat. Not for fields whose cells depend on their neighbours.

    It has nothing to drop while training: `method.dropout` changes nothing.
    """

    name = "template"
    title = "linear regression at each cell"
    presets = ("small",)

    def network(self, study: Study, channels: Mapping[str, int], start: float) -> nn.Module:
        """A regression that gives `start` everywhere until it is trained."""
        if study.method.preset not in self.presets:
            raise StudyError(
                f"method.preset: template has no preset {study.method.preset!r}. {nearest(study.method.preset, self.presets)}"
            )
        return LinearField(channels, factor=study.weather_factor, start=start)

    def decoder(self, network: nn.Module) -> list[nn.Module]:
        """All of it: a regression has no encoder."""
        return [network]
