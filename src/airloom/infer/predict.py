"""A network and a cube to a field on disk: tiles blended into mosaics, block by block of days."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from airloom.errors import DataError
from airloom.grid import Mosaic, Tile
from airloom.infer.fields import create_zarr, write_day
from airloom.learn.batches import Reader
from airloom.learn.ranks import ALONE, Ranks
from airloom.methods.base import predict
from airloom.nets.memory import samples_at_once
from airloom.progress import Progress


def predict_field(
    network: nn.Module,
    reader: Reader,
    tiles: Sequence[Tile],
    days: np.ndarray,
    path: Path,
    *,
    levels: Sequence[float] | None,
    attrs: dict[str, str],
    progress: Progress,
    ranks: Ranks = ALONE,
) -> None:
    """Write the field [µg m⁻³] of `days` (indices into the cube, all usable) to a Zarr store at `path`.

    Days that the store holds already are not predicted again; memory does not grow with the number of days. Ranks share the
    blocks of days; when one goes on, all of them are written.

    Raises:
        DataError: a value is not finite; the message names the day. Or another field stands at `path`, or the disk is full.
    """
    cube = reader.cube
    lay_out = partial(create_zarr, path, cube.grid, cube.days[days], levels=levels, hours=cube.hours, attrs=attrs)
    if ranks.lead:
        lay_out()
    ranks.wait()
    done = lay_out()
    at_once = samples_at_once(tiles[0].size, reader.levels)
    for start in ranks.share(range(0, len(days), at_once)):
        block = np.arange(start, min(start + at_once, len(days)))
        if done[block].all():
            continue
        # a block is predicted whole, also where some of it is there: the last bits may depend on the company of a day
        for index, values in zip(block, mosaics(network, reader, tiles, days[block]), strict=True):
            if not np.isfinite(values).all():
                raise DataError(
                    f"{path.name}: the field of {cube.days[days[index]]} is not finite. Look at that day's inputs."
                )
            if not done[index]:
                write_day(path, int(index), values if levels is not None else values[0])
        progress(f"predict {path.stem}", int(block[-1]) + 1, len(days))
    ranks.wait()


def mosaics(network: nn.Module, reader: Reader, tiles: Sequence[Tile], days: np.ndarray) -> np.ndarray:
    """Fields [µg m⁻³] on (day, level, y, x)."""
    blended: list[Mosaic] = []
    for tile in tiles:
        field = predict(network, reader.read(days, tile).inputs).to(torch.float32).cpu().numpy()
        values = reader.normaliser.physical(field)
        if not blended:
            blended = [Mosaic(reader.cube.grid.shape, values.shape[1:2]) for _ in days]
        for mosaic, field in zip(blended, values, strict=True):
            mosaic.add(tile, field)
    return np.stack([m.field() for m in blended]).astype(np.float32)
