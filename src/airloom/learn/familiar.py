"""Inputs beside those that the network was trained on: a swapped unit shows in mean and spread, a broken day in one number."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from airloom.cube.normalise import Scale
from airloom.errors import DataError
from airloom.learn.ready import CHANNELS

FARTHEST = 3.0  # training deviations that a year's mean may lie from the training mean
FARTHEST_MONTH = 5.0  # the same of a month's mean; a cold one moves it by less than three
WIDEST, NARROWEST = 3.0, 0.01  # of the training deviation
STORM = 30.0  # in place of WIDEST for what comes and goes: one snowstorm may be most of a year's snow
NONE = 1e-3  # training deviations below which a mean is nothing


def check_familiar(
    group: str, names: Sequence[str], trained: Scale, found: Scale, *, period: str, levels: Sequence[float] = ()
) -> None:
    """Refuse inputs of a whole `period` whose statistics are none of the training's.

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
    varies = (found.deviation != 1.0) & (trained.deviation != 1.0)  # what does not vary has deviation 1
    comes_and_goes = (trained.mean >= 0) & (trained.mean < trained.deviation)  # as snow, which a year may lack
    lacking = comes_and_goes & (abs(found.mean) < NONE * trained.deviation)
    ratio, widest = found.deviation / trained.deviation, np.where(comes_and_goes, STORM, WIDEST)
    other_spread = varies & ((ratio > widest) | (ratio < NARROWEST))
    stands_still = (found.deviation == 1.0) & (trained.deviation != 1.0) & ~lacking
    strange = _far(trained, found, FARTHEST) | other_spread | stands_still
    _refuse(group, names, trained, found, strange, period, levels)


def check_month(
    group: str, names: Sequence[str], trained: Scale, found: Scale, *, period: str, levels: Sequence[float] = ()
) -> None:
    """The same of a month, of which the mean alone is looked at: one file of a year may be the broken one."""
    _refuse(group, names, trained, found, _far(trained, found, FARTHEST_MONTH), period, levels)


def _far(trained: Scale, found: Scale, most: float) -> np.ndarray:
    """Whose mean lies farther from the training mean than so many deviations; of what did not vary in training nothing is asked."""
    return (abs(found.mean - trained.mean) / trained.deviation > most) & (trained.deviation != 1.0)


def _refuse(
    group: str,
    names: Sequence[str],
    trained: Scale,
    found: Scale,
    strange: np.ndarray,
    period: str,
    levels: Sequence[float],
) -> None:
    """Name the inputs that are strange, bool on (channel,) or (channel, level), where some are."""
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
