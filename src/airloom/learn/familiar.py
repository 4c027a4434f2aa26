"""Inputs beside those that the network was trained on: a swapped unit shows in mean and spread, a broken day in one number."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from airloom.cube.normalise import Scale
from airloom.errors import DataError
from airloom.learn.ready import CHANNELS

FARTHEST = 3.0  # training deviations that a period's mean may lie from the training mean; seasons move it by two at most
WIDEST, NARROWEST = 3.0, 0.01  # of the training deviation; a period may lack snow, or nearly


def check_familiar(
    group: str, names: Sequence[str], trained: Scale, found: Scale, *, period: str, levels: Sequence[float] = ()
) -> None:
    """Refuse inputs of `period` whose statistics are none of the training's.

    Arguments:
        group: what messages call the inputs together.
        names: of each, on (channel,).
        trained: mean and deviation on (channel,), or (channel, level), in physical units, of the training years.
        found: the same of `period`.
        period: what messages call it.
        levels: pressures [hPa], where there are levels.

    Raises:
        DataError: names each input that strays, with both figures.
    """
    shift = (found.mean - trained.mean) / trained.deviation
    ratio = found.deviation / trained.deviation
    constant = (found.deviation == 1.0) | (trained.deviation == 1.0)  # what does not vary has deviation 1
    strange = (abs(shift) > FARTHEST) | (ratio > WIDEST) | (ratio < NARROWEST)
    strange &= ~constant | ((trained.deviation != 1.0) & (abs(shift) > FARTHEST))
    if not strange.any():
        return
    lines = []
    for at in np.argwhere(strange):
        name = names[at[0]] + (f" at {levels[at[1]]:g} hPa" if len(at) > 1 else "")
        ours, theirs = ((s.mean[tuple(at)], s.deviation[tuple(at)]) for s in (found, trained))
        lines.append(f"{name}: {ours[0]:.4g} ± {ours[1]:.2g} found, {theirs[0]:.4g} ± {theirs[1]:.2g} in training")
    raise DataError(
        f"{group} of {period} is not what the network was trained on: {'; '.join(lines)}. Were units or levels swapped, or "
        "files of another product fetched? Put the right files in place, remove the cube and prepare again."
    )


def farthest(inputs: Mapping[str, Tensor], names: Callable[[str], Sequence[str]]) -> str:
    """Which of a batch's inputs, in z-scores, is farthest from what is usual; what is no number is as far as can be.

    Arguments:
        inputs: as `Batch.inputs`.
        names: of a group's inputs, on (channel,).
    """
    found: list[tuple[float, str]] = []
    for group, values in inputs.items():
        far = values.abs().nan_to_num(torch.inf, torch.inf).movedim(CHANNELS[group], 0).flatten(1).amax(1)
        found += zip(far.tolist(), names(group), strict=True)
    most, name = max(found)
    return f"{name} is farthest from what is usual, by {most:.4g} standard deviations"
