"""Forecasts' windows as plain rows of numbers, a row a station and moment: what a line, and trees, are given."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from airloom.errors import StudyError
from airloom.methods.aqnet.network import CLOCK, Seen
from airloom.methods.aqnet.windows import Forecasts, batches

AT_ONCE = 512  # moments
THIN = {
    1: 5,
    24: 23,
}  # every so-manieth moment is enough, by the hours of a step; none divides a day, so that all its hours come


def flat(seen: Seen) -> Tensor:
    """Every step, the clock once, and what is known ahead; on (batch, station, number)."""
    inputs = seen.inputs.transpose(1, 2)  # (batch, station, step, channel)
    parts = [inputs[..., :-CLOCK].flatten(2), inputs[:, :, -1, -CLOCK:]]
    return torch.cat([*parts, *([seen.ahead] if seen.ahead is not None else [])], -1)


def width(channels: int, steps: int, ahead: int) -> int:
    """Numbers that `flat` gives, of so many inputs of a step."""
    return (channels - CLOCK) * steps + CLOCK + ahead


def gapped(seen: Seen, channels: Sequence[str]) -> Seen:
    """The same with NaN where a station has no value of its own in one of its `channels`."""
    variables = [c for c in channels if not c.startswith("log ")]
    masks = [len(channels) + variables.index(c.removeprefix("log ")) for c in channels]
    inputs = seen.inputs
    own = inputs[..., : len(channels)] / inputs[..., masks]  # means over all hours to means over those that are there
    return seen._replace(inputs=torch.cat([own, inputs[..., len(channels) :]], -1))


def designs(
    forecasts: Forecasts, moments: np.ndarray, known: np.ndarray, *, gaps: bool = False
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Some moments at a time: `flat` on (moment · station, number), with `gaps` as `gapped`, and what is wanted of the first target on
    (moment · station, step); of the `known` stations, bool on (station,).
    """
    visible = torch.from_numpy(known)
    for some in batches(moments, AT_ONCE):
        seen = forecasts.lesson(some, visible).seen
        rows = flat(gapped(seen, forecasts.hours.channels) if gaps else seen)
        yield rows[:, visible].flatten(0, 1).numpy(), forecasts.wanted[some][:, visible, 0].flatten(0, 1).numpy()


def require(there: np.ndarray, part: str) -> None:
    """Refuse to go on where a step has no value in a part: bool on (value, step).

    Raises:
        StudyError: there is none.
    """
    lacking = np.flatnonzero(~there.any(0))
    if lacking.size:
        raise StudyError(
            f"verification: no value is known {lacking[0] + 1} steps after the moments of {part}. Choose another "
            "verification.test or validation, a longer period, or stations with fewer gaps."
        )
