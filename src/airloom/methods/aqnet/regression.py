"""A line from what is seen to what comes: it speaks with the networks, and its errors in weeks left out say how sure a forecast is."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from airloom.methods.aqnet.designs import designs, flat, require, width
from airloom.methods.aqnet.network import Seen
from airloom.methods.aqnet.split import Parts
from airloom.methods.aqnet.windows import Forecasts

RIDGES = 10.0 ** np.arange(2, 8)  # penalties, of which weeks left out in turn choose one for each step
CROSSED = {1: 1, 24: 5}  # every so-manieth moment is enough for these, by the hours of a step


class Regression(nn.Module):
    """A line to the first target, each station by itself; what it says of a station that cannot be seen is of no use.

    Where extremes go beyond all that was learnt from, an LSTM saturates and a line goes on. `penalties` are those of each step.
    """

    penalties: Tensor

    def __init__(self, channels: int, seen: int, steps: int, ahead: int = 0) -> None:
        super().__init__()
        self.line = nn.Linear(width(channels, seen, ahead), steps)
        self.register_buffer("penalties", torch.zeros(steps, dtype=torch.float64))

    def forward(self, seen: Seen, places: Tensor, offsets: Tensor, k: int) -> Tensor:
        """As `Forecaster`, of one target."""
        return self.line(flat(seen))[:, :, None]

    @torch.no_grad()
    def solve(self, forecasts: Forecasts, turns: Sequence[Parts], known: np.ndarray, length: int) -> None:
        """Become the ridge regression of the first target at the moments that the first turn trains on and the `known` stations (bool on
        (station,)) together, each step with the penalty that errs least in the validating weeks of all turns.

        `length`: hours of a step.

        Raises:
            StudyError: a step has no value in these.
        """
        errors, checked = np.zeros((len(RIDGES), forecasts.steps)), []
        for inner, outer, share, asked in _turned(forecasts, turns, known, length):
            lines = [_solution(inner, outer, p * share) for p in RIDGES]
            for rows, wanted in designs(forecasts, asked, known):
                checked.append(np.isfinite(wanted).any(0))
                errors += [np.nansum((rows @ line[:-1] + line[-1] - wanted) ** 2, 0) for line in lines]
        require(np.stack(checked), "validation")
        penalties = RIDGES[errors.argmin(0)]
        line = _by_step(*_products(forecasts, turns[0].train, known), penalties)
        self.line.weight.copy_(torch.from_numpy(line[:-1].T))
        self.line.bias.copy_(torch.from_numpy(line[-1]))
        self.penalties.copy_(torch.from_numpy(penalties))


def crossed(
    forecasts: Forecasts, turns: Sequence[Parts], penalties: np.ndarray, known: np.ndarray, length: int
) -> tuple[np.ndarray, np.ndarray]:
    """What lines say of the validating weeks of each turn, from the training weeks of that turn, and what came; normalised, on (value, step).

    `penalties`: of each step, for as many moments as the first turn trains on; `length`: hours of a step.
    """
    told, came = [], []
    for inner, outer, share, asked in _turned(forecasts, turns, known, length):
        line = _by_step(inner, outer, penalties * share)
        for rows, wanted in designs(forecasts, asked, known):
            told.append(rows @ line[:-1] + line[-1])
            came.append(wanted)
    return np.concatenate(told), np.concatenate(came)


def _turned(
    forecasts: Forecasts, turns: Sequence[Parts], known: np.ndarray, length: int
) -> Iterator[tuple[np.ndarray, np.ndarray, float, np.ndarray]]:
    """Of each turn the products of its training moments, how many these are to those of the first, and its validating moments."""
    every = np.unique(np.concatenate([t.train for t in turns]))[:: CROSSED[length]]
    whole = _products(forecasts, every, known)
    for turn in turns:
        out = np.setdiff1d(every, turn.train)  # an eighth: sums without it are sooner made by taking it away
        inner, outer = (a - b for a, b in zip(whole, _products(forecasts, out, known), strict=True))
        yield inner, outer, (len(every) - len(out)) / len(turns[0].train), turn.validation[:: CROSSED[length]]


def _products(forecasts: Forecasts, moments: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Products of all inputs (and a constant, the last) with each other and with what is wanted, summed."""
    inner, outer = np.zeros(()), np.zeros(())
    for rows, wanted in designs(forecasts, moments, known):
        terms = np.concatenate([rows, np.ones((len(rows), 1))], 1).astype(float)
        there = np.isfinite(wanted)
        whole = there.any(1)  # where some steps are missing, they count as the mean: few do
        inner = inner + terms[whole].T @ terms[whole]
        outer = outer + terms[whole].T @ np.where(there, wanted, 0)[whole]
    return inner, outer


def _solution(inner: np.ndarray, outer: np.ndarray, penalty: float) -> np.ndarray:
    """Slopes and, last, the constant, which is free; on (number + 1, step)."""
    free = np.diag(np.append(np.ones(len(inner) - 1), 0))
    return np.linalg.solve(inner + penalty * free, outer).astype(np.float32)


def _by_step(inner: np.ndarray, outer: np.ndarray, penalties: np.ndarray) -> np.ndarray:
    """The same, each step with its own penalty."""
    found = np.empty_like(outer, np.float32)
    for penalty in np.unique(penalties):
        own = penalties == penalty
        found[:, own] = _solution(inner, outer[:, own], penalty)
    return found
