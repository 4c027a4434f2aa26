"""A network and a cube to a field on disk: tiles blended into mosaics, block by block of days and strip by strip."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from airloom.errors import DataError
from airloom.grid import Tile, strips
from airloom.infer.fields import create_zarr, finish_day, start_day, write_rows
from airloom.learn.batches import Reader
from airloom.learn.ranks import ALONE, Ranks
from airloom.memory import keep_freed_memory
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

    Days that the store holds already are not predicted again; memory grows neither with the number of days nor with the
    region's height. Ranks share the blocks of days; when one goes on, all of them are written.

    Raises:
        DataError: a value is not finite; the message names the day. Or another field stands at `path`, or the disk is full.
    """
    keep_freed_memory()
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
        told = mosaics(network, reader, tiles, days[block])
        _write(path, block, ~done[block], told, cube.days[days[block]], ground=levels is None)
        progress(f"predict {path.stem}", int(block[-1]) + 1, len(days))
    ranks.wait()


def _write(
    path: Path,
    block: np.ndarray,
    missing: np.ndarray,
    told: Iterator[tuple[int, np.ndarray]],
    dates: np.ndarray,
    *,
    ground: bool,
) -> None:
    """Write the strips of a block of days, those that are `missing`; `ground`: the store has no levels."""
    for index in block[missing]:
        start_day(path, int(index))
    for top, values in told:
        finite = np.isfinite(values).all((1, 2, 3))
        if not finite.all():
            day = dates[finite.argmin()]
            raise DataError(f"{path.name}: the field of {day} is not finite. Look at that day's inputs.")
        for index, strip in zip(block[missing], values[missing], strict=True):
            write_rows(path, int(index), top, strip[0] if ground else strip)
    for index in block[missing]:
        finish_day(path, int(index))


def mosaics(network: nn.Module, reader: Reader, tiles: Sequence[Tile], days: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Fields [µg m⁻³], strip by strip from the north: the first row of each, and its values on (day, level, y, x)."""
    told = (
        (tile, reader.normaliser.physical(predict(network, reader.read(days, tile).inputs).to(torch.float32).cpu().numpy()))
        for tile in tiles
    )
    for top, values in strips(told, reader.cube.grid.shape):
        yield top, values.astype(np.float32)
