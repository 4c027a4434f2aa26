"""Fine-tuning on observations: a network taught by models learns what is peculiar to a region's own stations."""

from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import Tensor

from airloom.errors import DataError
from airloom.learn.schedule import rate
from airloom.methods.pointconv.effect import PlaceEffect, about
from airloom.methods.pointconv.fuse import Observed
from airloom.methods.pointconv.network import PointConvFusion, of_stations
from airloom.methods.pointconv.study import Adaptation
from airloom.nets.pointconv import Influence, PointConv

WARM_UP = 0.1  # share of the steps over which the learning rate rises
DECAY = 0.05  # of the effect's weights


def adapt(
    network: PointConvFusion, observed: Observed, shape: tuple[int, int], asked: Adaptation, seed: int
) -> tuple[PointConvFusion, PlaceEffect]:
    """The network with kernels fitted to these stations, and the effect of their places.

    Stations are hidden at random and predicted from the others of the day, by the point convolution alone: its values in stations'
    cells cost a hundredth of a field. What the network adds to it was learnt from models and stays as it is.

    Arguments:
        network: trained; is left as it was.
        observed: of the target, with `features`; nobody else's values are looked at.
        shape: of the grid.
        asked: how.
        seed: of weights, days and who is hidden.

    Raises:
        DataError: on no day do two stations have values.
    """
    assert observed.features is not None
    days = np.flatnonzero(np.isfinite(observed.values).sum(1) > 1)
    if not len(days):
        raise DataError("adaptation: on no day do two stations have values. Leave adaptation out of the study.")
    torch.manual_seed(seed)
    draw = np.random.default_rng(seed)
    network, effect = deepcopy(network), PlaceEffect(observed.features)
    points = network.points[0]
    assert isinstance(points, PointConv)
    cells = torch.tensor(observed.row), torch.tensor(observed.column)  # copies, for a table may not be written to
    influence = [Influence.between(step, *cells, shape) for step in points.steps]
    groups: list[dict[str, Any]] = [
        {"params": list(effect.parameters())},
        {"params": list(points.parameters()), "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=asked.learning_rate, weight_decay=DECAY)
    for step in range(asked.steps):
        for group in optimiser.param_groups:
            group["lr"] = asked.learning_rate * rate(step, asked.steps, WARM_UP)
        some = draw.choice(days, min(asked.batch, len(days)), replace=False)
        loss = _loss(points, effect, influence, observed, some, draw.random(len(cells[0])) < asked.hidden)
        if loss is None:
            continue
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
    return network, effect.eval()


def _loss(
    points: PointConv,
    effect: PlaceEffect,
    influence: list[Influence],
    observed: Observed,
    some: np.ndarray,
    hidden: np.ndarray,
) -> Tensor | None:
    """Absolute errors at hidden stations as a share of their days' spread; None where there is nothing to predict, or to predict from."""
    assert observed.features is not None
    values = torch.from_numpy(np.nan_to_num(observed.values[some]).astype(np.float32))
    there = torch.from_numpy(np.isfinite(observed.values[some]))
    seen, asked = ((there & torch.from_numpy(part)).float() for part in (~hidden, hidden))
    asked = asked * (seen.sum(1, keepdim=True) > 0)
    if not asked.any():
        return None
    mean, spread = _of_day(values, seen)
    effects = effect(torch.from_numpy(observed.features), about(observed.dates[some], mean, spread)) * spread
    air = values - effects
    level, width = _of_day(air, seen)
    found = level + width * points.at((air - level) / width, seen, influence) + effects
    return ((found - values).abs() * asked).sum() / (spread * asked).sum()


def _of_day(values: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and spread of values on (day, station), on (day, 1)."""
    mean, spread = of_stations(values[:, None, None], seen[:, None, None])
    return mean[:, 0, 0], spread[:, 0, 0]
