"""The networks in their textbook form: what the fast ones must equal, and what benchmarks measure them against.

Each function takes a fast module and computes, by its weights alone, what it should give: tensors as they come (contiguous, float32 or
whatever is given), one convolution, norm, SiLU and dropout a branch, zeros where nothing is lifted to, and loops over time.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from airloom.methods.dacno2.network import DACNO2
from airloom.nets.convlstm import ClimbingConvLSTM, ConvLSTM, DescendingCNN
from airloom.nets.inception import Inception, Lifted


def inception(block: Inception, x: Tensor) -> Tensor:
    """On (batch, channel, y, x) or (batch, channel, level, y, x)."""
    return _finished(block, _branches(block, x))


def _branches(block: Inception, x: Tensor) -> list[Tensor]:
    """What each branch's convolutions give."""
    found = [_convolved(x, conv.weight) for conv in block.squares]
    if block.long is not None:
        found.append(_convolved(_convolved(x, block.long[0].weight), block.long[1].weight))
    if block.vertical is not None:
        found.append(_convolved(x, block.vertical.weight))
    flat = x.dim() == 4
    largest = functional.max_pool2d(x, 3, 1, 1) if flat else functional.max_pool3d(x, (1, 3, 3), 1, (0, 1, 1))
    return [*found, _convolved(largest, block.pooled.weight)]


def convlstm(layer: ConvLSTM, x: Tensor) -> list[Tensor]:
    """Shi et al., 2015, without peepholes: all gates from this step's input and the last hidden state, step by step; the input's branches
    are normalised over all steps.
    """
    states: list[Tensor] = []
    cell = hidden = None
    steps = [_branches(layer.branches, x[:, t]) for t in range(x.shape[1])]
    for seen in _finished(layer.branches, [torch.cat(ys) for ys in zip(*steps, strict=True)]).chunk(len(steps)):
        seen = doubled(seen) if layer.doubles else seen
        gates = _convolved(seen, layer.from_input.weight[:, :, None, None])
        gates = gates + layer.from_input.bias.view(-1, *[1] * (gates.dim() - 2))
        if hidden is not None:
            gates = gates + _convolved(hidden, layer.from_hidden.weight)
        enter, forget, leave, new = (g.clone() for g in gates.chunk(4, 1))
        cell = enter.sigmoid() * new.tanh() + (forget.sigmoid() * cell if cell is not None else 0)
        hidden = leave.sigmoid() * cell.tanh()
        states.append(hidden)
    return states


def climbing(encoder: ClimbingConvLSTM, x: Tensor) -> list[Tensor]:
    """Last states of all stages, coarse to fine."""
    last: list[Tensor] = []
    for stage in encoder.stages:
        states = convlstm(stage, x)
        last.append(states[-1])
        kept = states[1::2]
        x = torch.stack(kept if x.dim() == 6 else [doubled(s) for s in kept], 1)
    return last


def descending(encoder: DescendingCNN, x: Tensor) -> list[Tensor]:
    """Features, coarse to fine."""
    found: list[Tensor] = []
    for i, stage in enumerate(encoder.stages):
        x = inception(stage, functional.avg_pool2d(x, 2) if i else x)
        found.append(x)
    return found[::-1]


def dacno2(network: DACNO2, groups: dict[str, Tensor]) -> Tensor:
    """The field on (batch, level, y, x), of a network with neither gain nor pyramid."""
    assert network.gain is None
    assert not len(network.coarse_heads)
    batch = max(len(x) for x in groups.values())
    maps = [descending(network.surface[g], groups[g].expand(batch, -1, -1, -1)) for g in network.maps]
    weather = climbing(network.weather, groups["weather"])
    upper = climbing(network.upper, groups["upper"])
    below = None
    for scale, (fuse, decode) in enumerate(zip(network.fuse, network.decode, strict=True)):
        parts = [Lifted(found[scale], 1, network.levels) for found in maps]
        given = [lifted(p, batch) for p in [*parts, Lifted(weather[scale], 5, network.levels)]] + [upper[scale]]
        if scale == 0 and network.calendar is not None:
            told = network.calendar(groups["calendar"])[:, :, None, None, None]
            given.append(told.expand(-1, -1, *upper[0].shape[2:]))
        here = inception(fuse, torch.cat(given, 1))
        below = inception(decode, here if below is None else torch.cat([here, doubled(below)], 1))
    return functional.softplus(network.head(below.movedim(1, -1)).squeeze(-1))


def lifted(part: Tensor | Lifted, batch: int) -> Tensor:
    """A part on all levels, zeros and all."""
    if not isinstance(part, Lifted):
        return part
    x = part.features[:, :, None].expand(batch, -1, part.levels, -1, -1)
    return torch.where(torch.arange(part.levels, device=x.device)[:, None, None] < part.lowest, x, 0)


def doubled(x: Tensor) -> Tensor:
    """Twice the cells along y and x, bilinear; levels stay."""
    if x.dim() == 4:
        return functional.interpolate(x, scale_factor=2, mode="bilinear")
    return functional.interpolate(x, scale_factor=(1, 2, 2), mode="trilinear")


def _convolved(x: Tensor, weight: Tensor) -> Tensor:
    """A convolution that keeps the cells, in as many dimensions as there are."""
    if x.dim() == 4:
        return functional.conv2d(x, weight, padding=tuple(n // 2 for n in weight.shape[2:]))
    weight = weight[:, :, None] if weight.dim() == 4 else weight
    return functional.conv3d(x, weight, padding=tuple(n // 2 for n in weight.shape[2:]))


def _finished(block: Inception, branches: Sequence[Tensor]) -> Tensor:
    """Norm, SiLU and dropout of each branch; while training by its own statistics, as renormalisation begins."""
    norm, found, end = block.norm, [], 0
    for y in branches:
        own = slice(end, end := end + y.shape[1])
        given = None, None
        if not block.training:
            given = norm.mean[own], (norm.square - norm.mean**2).clamp_min(0)[own]
        y = functional.batch_norm(y, *given, norm.weight[own], norm.bias[own], block.training, 0.0, norm.eps)
        drop = functional.dropout2d if y.dim() == 4 else functional.dropout3d
        found.append(drop(functional.silu(y), block.dropout.p, block.training))
    return torch.cat(found, 1)
