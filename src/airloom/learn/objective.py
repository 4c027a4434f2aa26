"""What a phase wants of a field: the terms of its loss, weighed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from airloom.grid import Tile
from airloom.learn.batches import Batch, Reader
from airloom.learn.losses import masked_mse, roughness, structural_dissimilarity
from airloom.nets.memory import samples_at_once
from airloom.parts import Loss
from airloom.progress import Progress


@dataclass(frozen=True)
class Objective:
    """A phase's loss of a batch.

    `weights`: of its terms; `cell`: edge of a grid cell [m]; `chemistry_factor`: grid cells along one of the chemistry model's;
    `former`: the former model's field of each day and tile, (level, y, x) on the cells on which the two are compared; empty
    where nothing holds the new one near it.
    """

    weights: Loss
    cell: float
    chemistry_factor: int
    former: Mapping[tuple[int, Tile], Tensor]

    def __call__(self, predicted: Tensor, batch: Batch) -> Tensor:
        """The loss of a prediction on (batch, level, y, x)."""
        weights = self.weights
        loss = weights.station_mse * masked_mse(predicted[:, 0], batch.observed)  # stations see the lowest level
        if batch.chemistry is not None:
            loss = loss + self._chemistry(predicted, batch.chemistry)
        if weights.roughness:
            loss = loss + weights.roughness * roughness(predicted, self.cell)
        if self.former:
            before = batch.mirror.field(torch.stack([self.former[day, batch.tile] for day in batch.days.tolist()]))
            now = compared(predicted, weights, self.cell)
            loss = loss + weights.former_ssim * structural_dissimilarity(now, before, window=weights.ssim_window)
        return loss

    def _chemistry(self, predicted: Tensor, target: Tensor) -> Tensor:
        """The terms against the chemistry model, on its cells; its days and edges without values are left out."""
        weights, coarse = self.weights, functional.avg_pool2d(predicted, self.chemistry_factor)
        loss = weights.chemistry_mse * masked_mse(coarse, target)
        there = torch.isfinite(target).any(0).any(0)  # a tile may hang over the grid
        if weights.chemistry_ssim and there.any():
            rows, columns = there.any(1).nonzero().flatten(), there.any(0).nonzero().flatten()
            inside = ..., slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
            coarse, target = coarse[inside], target[inside]
            whole = torch.isfinite(target).flatten(1).all(1)
            dissimilarity = structural_dissimilarity(coarse[whole], target[whole], window=weights.ssim_window)
            loss = loss + weights.chemistry_ssim * dissimilarity
        return loss


def compared(field: Tensor, weights: Loss, cell: float) -> Tensor:
    """A field on the cells on which it is compared with the former model's."""
    return functional.avg_pool2d(field, compared_factor(weights, cell))


def compared_factor(weights: Loss, cell: float) -> int:
    """Grid cells along one on which fields are compared."""
    return max(1, round(weights.ssim_cell / cell))


def remember(
    former: nn.Module,
    reader: Reader,
    tiles: Sequence[Tile],
    days: np.ndarray,
    weights: Loss,
    name: str,
    progress: Progress,
) -> dict[tuple[int, Tile], Tensor]:
    """The former model's field of every day (index) and tile; in a fixed order, so that a resumed phase has the same."""
    fields = {}
    for tile, block, told in told_by(former, reader, tiles, days, f"what {name} starts from, tile", progress):
        field = compared(told, weights, reader.cube.grid.cell)
        fields.update({(day, tile): one for day, one in zip(days[block].tolist(), field, strict=True)})
    return fields


@torch.no_grad()
def told_by(
    former: nn.Module, reader: Reader, tiles: Sequence[Tile], days: np.ndarray, what: str, progress: Progress
) -> Iterator[tuple[Tile, slice, Tensor]]:
    """The former model's fields on (day, level, y, x): tile by tile, block by block of `days`; `what` is told to `progress`."""
    at_once = samples_at_once(tiles[0].size, reader.levels)
    former.eval()
    for done, tile in enumerate(tiles):
        progress(what, done, len(tiles))
        for start in range(0, len(days), at_once):
            block = slice(start, start + at_once)
            yield tile, block, former(reader.read(days[block], tile).inputs)
    progress(what, len(tiles), len(tiles))
