"""How a kriging layer learns its covariance: by telling stations that are hidden from it."""

import numpy as np
import torch
from torch import Tensor

from airloom.learn.schedule import rate
from airloom.nets.kriged import Kriged

STEPS, BATCH = 600, 128  # changes of the covariance, each by so many moments
HIDDEN = 0.4  # largest share of the stations that a moment hides
RATE, WARM_UP = 0.03, 0.1  # Adam's rate at its highest, and the share of the steps over which it rises


def fit(layer: Kriged, values: Tensor, offsets: Tensor, *, seed: int) -> None:
    """Fit a layer's covariance; the stations that are hidden are drawn anew in every step.

    Arguments:
        layer: gets the covariance, and where roots are taken from.
        values: of stations on (moment, station), NaN where there is none.
        offsets: as `Kriged`.
        seed: of what is drawn.
    """
    known = torch.isfinite(values)
    if not known.any():
        return
    layer.bottom.copy_(values[known].min())
    optimiser = torch.optim.Adam(layer.parameters(), lr=RATE)
    for step in range(STEPS):
        optimiser.param_groups[0]["lr"] = RATE * rate(step, STEPS, WARM_UP)
        draw = np.random.default_rng([seed, step])
        some = torch.from_numpy(draw.choice(len(values), BATCH))
        out = torch.from_numpy(draw.random((BATCH, values.shape[1])) < draw.uniform(0, HIDDEN, (BATCH, 1)))
        asked = known[some] & out & (known[some] & ~out).any(1, keepdim=True)
        told = layer(values[some].masked_fill(out, torch.nan), offsets)
        loss = (torch.where(asked, told - values[some], 0) ** 2).sum() / asked.sum().clamp(min=1)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
