"""Gradient boosted trees from what is seen to what comes, a set a step: LightGBM, kept as its own text."""

import zlib
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from airloom.errors import StudyError
from airloom.methods.aqnet.designs import THIN, designs, flat, gapped, require
from airloom.methods.aqnet.network import Seen
from airloom.methods.aqnet.windows import Forecasts

if TYPE_CHECKING:
    from lightgbm import Booster

# trees of a step, by its hours: what erred least in weeks of Beijing that were left out in turn
TREES = {1: 200, 24: 50}
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
    """Sets of trees to the first target, each station by itself; gaps are gaps to them. What they say of a station that cannot be seen is
    of no use.

    Arguments:
        channels: a station's own inputs of an hour, as `Hours.channels`.
        steps: hours or days that are told.
    """

    def __init__(self, channels: Sequence[str], steps: int) -> None:
        super().__init__()
        self.channels, self.steps = tuple(channels), steps
        self.sets: list[Booster] = []
        self._texts: list[bytes] = []  # of the sets, compressed

    def forward(self, seen: Seen, places: Tensor, offsets: Tensor, k: int) -> Tensor:
        """As `Forecaster`, of one target."""
        rows = flat(gapped(seen, self.channels))
        asked = rows.flatten(0, 1).numpy()
        told = [np.asarray(trees.predict(asked, num_threads=1), np.float32) for trees in self.sets]
        return torch.from_numpy(np.stack(told, -1)).view(*rows.shape[:2], 1, self.steps)

    def grow(self, forecasts: Forecasts, moments: np.ndarray, known: np.ndarray, *, length: int, seed: int) -> Iterator[int]:
        """Learn from some moments and the `known` stations (bool on (station,)), a step at a time from the first that has no trees; yields
        how many steps are done.

        `length`: hours of a step.

        Raises:
            StudyError: a step has no value to learn from; or LightGBM is not installed.
        """
        lightgbm = _library()
        parts = zip(*designs(forecasts, moments[:: THIN[length]], known, gaps=True), strict=True)
        rows, wanted = map(np.concatenate, parts)
        require(np.isfinite(wanted), "training")
        for step in range(len(self.sets), self.steps):
            there = np.isfinite(wanted[:, step])
            lessons = lightgbm.Dataset(rows[there], wanted[there, step])
            text = lightgbm.train(SETTINGS | {"seed": seed}, lessons, TREES[length]).model_to_string()
            self.sets.append(lightgbm.Booster(model_str=text))  # as it will be read again
            self._texts.append(zlib.compress(text.encode()))
            yield len(self.sets)

    def get_extra_state(self) -> Tensor:
        """The sets' texts as bytes: their number, their lengths, themselves. Nothing in it is run when it is read."""
        head = np.array([len(self._texts), *map(len, self._texts)], np.int64).tobytes()
        return torch.frombuffer(bytearray(b"".join([head, *self._texts])), dtype=torch.uint8)

    def set_extra_state(self, state: Tensor) -> None:
        """What `get_extra_state` gave, perhaps of fewer steps.

        Raises:
            RuntimeError: it is not that, or of more steps, as torch expects where weights do not fit.
        """
        lightgbm = _library()
        raw = state.numpy().tobytes()
        try:
            number = int(np.frombuffer(raw, np.int64, 1)[0])
            lengths = np.frombuffer(raw, np.int64, number, 8)
            ends = 8 * (1 + number) + np.cumsum(lengths)
            self._texts = [raw[end - length : end] for end, length in zip(ends, lengths, strict=True)]
            self.sets = [lightgbm.Booster(model_str=zlib.decompress(text).decode()) for text in self._texts]
        except (zlib.error, ValueError, lightgbm.basic.LightGBMError) as error:
            raise RuntimeError(f"no sets of trees: {error}") from error
        if len(self.sets) > self.steps:
            raise RuntimeError(f"{len(self.sets)} sets of trees for {self.steps} steps")


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
