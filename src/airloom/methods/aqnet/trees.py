"""Gradient boosted trees from what is seen to what comes, a set a step: LightGBM, kept as its own text."""

import json
import zlib
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from airloom.errors import StudyError
from airloom.methods.aqnet.designs import designs, flat, gapped
from airloom.methods.aqnet.network import Seen
from airloom.methods.aqnet.windows import Forecasts
from airloom.progress import Progress, quiet

if TYPE_CHECKING:
    from lightgbm import Booster

MOST, PATIENCE = 300, 30  # trees of a step, and how many of them may come to nothing before no more are grown
CHECKED = 750  # moments that say so
THIN = {1: 4, 24: 24}  # every so-manieth moment is learnt from, by the hours of a step: neighbours are much alike
SETTINGS = {
    "objective": "regression",
    "learning_rate": 0.04,
    "num_leaves": 31,
    "min_data_in_leaf": 200,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "feature_fraction": 0.3,
    "lambda_l2": 5.0,
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}


class Trees(nn.Module):
    """Sets of trees, each station by itself; gaps are gaps to them. What they say of a station that cannot be seen is of no use.

    Arguments:
        channels: a station's own inputs of an hour, as `Hours.channels`.
        targets: pollutants that are told: the first of them is, others are 0.
        steps: hours or days that are told.
    """

    def __init__(self, channels: Sequence[str], targets: int, steps: int) -> None:
        super().__init__()
        self.channels, self.shape = tuple(channels), (targets, steps)
        self.sets: list[Booster] = []

    def forward(self, seen: Seen, places: Tensor, offsets: Tensor, k: int) -> Tensor:
        """As `Forecaster`."""
        rows = flat(gapped(seen, self.channels))
        asked = rows.flatten(0, 1).numpy()
        found = torch.zeros(*rows.shape[:2], *self.shape)
        for step, trees in enumerate(self.sets):
            told = np.asarray(trees.predict(asked, num_threads=1), np.float32)
            found[:, :, 0, step] = torch.from_numpy(told).view(rows.shape[:2])
        return found

    def grow(
        self,
        forecasts: Forecasts,
        moments: np.ndarray,
        checks: np.ndarray,
        known: np.ndarray,
        *,
        length: int,
        seed: int,
        progress: Progress = quiet,
    ) -> None:
        """Learn from some moments and the `known` stations (bool on (station,)); how many trees is told by the moments that check.

        `length`: hours of a step.
        """
        lightgbm = _library()
        every = (moments[:: THIN[length]], checks)
        (rows, wanted), (examined, due) = (
            map(np.concatenate, zip(*designs(forecasts, some, known, gaps=True), strict=True)) for some in every
        )
        self.sets = []
        for step in range(self.shape[1]):
            there, then = np.isfinite(wanted[:, step]), np.isfinite(due[:, step])
            lessons = lightgbm.Dataset(rows[there], wanted[there, step])
            exam = lightgbm.Dataset(examined[then], due[then, step], reference=lessons)
            stop = lightgbm.early_stopping(PATIENCE, verbose=False)
            settings = SETTINGS | {"seed": seed}
            self.sets.append(lightgbm.train(settings, lessons, MOST, valid_sets=[exam], callbacks=[stop]))
            progress("grow trees", step + 1, self.shape[1])

    def get_extra_state(self) -> Tensor:
        """The sets' texts as bytes: no weights of a fixed number, and nothing that is run when it is read."""
        texts = [trees.model_to_string(num_iteration=trees.best_iteration) for trees in self.sets]
        return torch.frombuffer(bytearray(zlib.compress(json.dumps(texts).encode())), dtype=torch.uint8)

    def set_extra_state(self, state: Tensor) -> None:
        """What `get_extra_state` gave."""
        lightgbm = _library()
        try:
            texts = json.loads(zlib.decompress(state.numpy().tobytes()))
            self.sets = [lightgbm.Booster(model_str=text) for text in texts]
        except (zlib.error, ValueError, lightgbm.basic.LightGBMError) as error:
            raise RuntimeError(f"no sets of trees: {error}") from error
        if len(self.sets) != self.shape[1]:
            raise RuntimeError(f"{len(self.sets)} sets of trees for {self.shape[1]} steps")


def _library() -> ModuleType:
    """LightGBM, slow to import.

    Raises:
        StudyError: it is not installed.
    """
    try:
        import lightgbm
    except ImportError as error:
        raise StudyError('aqnet: lightgbm is not installed. Run `pip install "airloom[series]"`.') from error
    return lightgbm
