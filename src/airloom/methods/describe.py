"""What a study's network is made of: its parts, what they give, their weights and their arithmetic."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from airloom.cube.layers import group_channels
from airloom.cube.weather import HOURS
from airloom.methods.registry import method
from airloom.nets.convlstm import ConvLSTM
from airloom.nets.inception import Inception
from airloom.nets.pointconv import PointConv
from airloom.nets.unetpp import Node
from airloom.study import Study

WHOLE = (ConvLSTM, Inception, PointConv, Node, nn.Linear)  # parts that are not taken apart


@dataclass(frozen=True)
class Row:
    """A part of a network.

    `depth`: how deep it lies, 0 for the network. `shape`: of the last tensor that it gives for one sample, None where it
    gives none. `parameters`: its weights. `operations`: of one forward pass, two a multiplication with its addition; 0 where
    only elementwise work is done.
    """

    name: str
    depth: int
    kind: str
    shape: tuple[int, ...] | None
    parameters: int
    operations: int


def describe(study: Study) -> list[Row]:
    """The parts of the study's network down to its blocks, for one sample of one tile; no file is opened, nothing computed.

    Raises:
        StudyError: the method refuses the study.
    """
    channels = {group: n for group, n in group_channels(study).items() if n}
    with torch.device("meta"):  # shapes without numbers
        network = method(study.method.name).network(study, channels, 1.0)
        inputs = made_up(study, channels, 1)
    return rows(study.method.name, network, inputs)


def rows(title: str, network: nn.Module, *inputs: Any) -> list[Row]:
    """The parts of a network called `title`, for one sample of its inputs."""
    shapes: dict[str, tuple[int, ...]] = {}
    for name, part in network.named_modules():
        part.register_forward_hook(lambda _, __, given, name=name: shapes.update({name: _shape(given)}))
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        network(*inputs)
    counts = counter.get_flop_counts()
    top = type(network).__name__
    return [
        Row(
            name or title,
            depth,
            type(part).__name__,
            shapes.get(name),
            sum(p.numel() for p in part.parameters()),
            # lists have no forward pass of their own
            sum(sum(counts.get(".".join(filter(None, (top, n))), {}).values()) for n in _run(name, part)),
        )
        for name, part, depth in _parts(network)
    ]


def made_up(study: Study, channels: dict[str, int], batch: int) -> dict[str, Tensor]:
    """Random inputs for a network of the study: a batch of one tile, its maps shared by all samples."""
    cells, coarse = study.tiles.size, study.tiles.size // study.weather_factor
    shapes = {
        "calendar": (batch, channels.get("calendar", 0)),
        "weather": (batch, HOURS, channels.get("weather", 0), coarse, coarse),
        "upper": (batch, HOURS, channels.get("upper", 0), len(study.levels), coarse, coarse),
        "emissions": (1, channels.get("emissions", 0), cells, cells),
        "geography": (1, channels.get("geography", 0), cells, cells),
    }
    return {group: torch.randn(shapes[group]) for group, n in channels.items() if n}


def _parts(network: nn.Module, name: str = "", depth: int = 0) -> Iterator[tuple[str, nn.Module, int]]:
    """Parts with their dotted names, from the whole down to the blocks."""
    yield name, network, depth
    if not isinstance(network, WHOLE):
        for below, part in network.named_children():
            yield from _parts(part, f"{name}.{below}".lstrip("."), depth + 1)


def _run(name: str, part: nn.Module) -> list[str]:
    """Names of the parts within that have a forward pass: itself, or what a list or dictionary holds."""
    if not isinstance(part, nn.ModuleList | nn.ModuleDict):
        return [name]
    return [n for below, held in part.named_children() for n in _run(f"{name}.{below}", held)]


def _shape(given: Tensor | Sequence[Any]) -> tuple[int, ...]:
    """Of a tensor, or of the last of several."""
    return tuple((given if isinstance(given, Tensor) else [g for g in given if isinstance(g, Tensor)][-1]).shape)
