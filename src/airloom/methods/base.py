"""What a method is: a network for a study's inputs, and which of its parts a phase may train."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from airloom.errors import StudyError
from airloom.study import Study


class Method(ABC):
    """Makes networks; knows nothing of files, phases or scores.

    A network takes a dict of normalised groups (see `airloom.learn.batches.Batch.inputs`) and returns the field on
    (batch, level, y, x), in units of the observations' standard deviation, the lowest level first.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    presets: ClassVar[tuple[str, ...]]

    @abstractmethod
    def network(self, study: Study, channels: Mapping[str, int], start: float) -> nn.Module:
        """A network with random weights.

        Arguments:
            study: its `method` part names the preset.
            channels: number of inputs of each group that the study has.
            start: about what the network should give before it is trained.

        Raises:
            StudyError: the preset is unknown, or the study lacks what the method needs.
        """

    @abstractmethod
    def decoder(self, network: nn.Module) -> list[nn.Module]:
        """The parts that a phase with `train: decoder` changes."""

    def coarsest(self, network: nn.Module, scales: int) -> nn.Module:
        """The coarsest `scales` of a network as a network that shares its weights, and gives its field on the same cells.

        Raises:
            StudyError: the method's networks have no scales, or not so many.
        """
        raise StudyError(f"phases.coarse: {self.name} has no coarse scales to begin with. Leave it out.")


class Ensemble(nn.Module):
    """The mean of several networks' fields."""

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """The field on (batch, level, y, x)."""
        return torch.stack([network(inputs) for network in self.networks]).mean(0)


def predict(network: nn.Module, inputs: dict[str, Tensor]) -> Tensor:
    """The field of a batch, on (batch, level, y, x), without a trace for gradients."""
    network.eval()
    with torch.inference_mode():
        return network(inputs)
