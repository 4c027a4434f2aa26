"""Gridded inputs as networks see them, ready to be cut: normalised once where they can be kept so, else as they are read."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

import numpy as np
import torch
import zarr
from torch import Tensor

from airloom.cube import store
from airloom.cube.normalise import Scale
from airloom.cube.store import CALENDAR, MAPS, Cube, box, spread
from airloom.files import fingerprint, full_disk_named, whole

CHANNELS = {CALENDAR: -1, "weather": -3, "upper": -4, **dict.fromkeys(MAPS, -3)}  # axis of the channels in a group


class Ready(Protocol):
    """A group's inputs in z-scores; `shape` begins with the day, of which maps have one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(day, …, y, x)."""

    def cut(self, day: int, rows: np.ndarray, columns: np.ndarray, out: Tensor) -> None:
        """Write a day at `rows` × `columns`, which ascend and may stand still at an edge, to `out`, float32."""


@dataclass(frozen=True)
class Kept:
    """Normalised before: float32 in memory, or float16 in a file, which torch turns into float32 much faster than numpy."""

    array: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """(day, …, y, x)."""
        return tuple(self.array.shape)

    def cut(self, day: int, rows: np.ndarray, columns: np.ndarray, out: Tensor) -> None:
        """As `Ready`."""
        y, x = box(rows, columns)
        found = spread(self.array[day][..., y, x], rows, columns)
        # rows of a tile are too short to convert one by one
        out.copy_(found if found.dtype == out.dtype else found.contiguous())


@dataclass(frozen=True)
class Stored:
    """Decompressed and normalised at each reading; `daily`: its first axis is the day, which maps lack."""

    array: zarr.Array
    scale: Scale
    axis: int
    daily: bool

    @property
    def shape(self) -> tuple[int, ...]:
        """(day, …, y, x)."""
        return self.array.shape if self.daily else (1, *self.array.shape)

    def cut(self, day: int, rows: np.ndarray, columns: np.ndarray, out: Tensor) -> None:
        """As `Ready`."""
        found = np.asarray(self.array[*([day] if self.daily else []), ..., *box(rows, columns)])
        self.scale.apply(spread(found, rows, columns), self.axis, out=out.numpy())


def ready(
    cube: Cube, group: str, scale: Scale, cache: Path | None = None, logarithms: Mapping[str, float] = MappingProxyType({})
) -> Ready:
    """A group of a cube: in memory where it is small, else, but for maps, in a float16 file in the folder `cache` where that is given,
    else stored. `logarithms`: the means by which maps were divided that the network has learnt from, where others than the cube's.
    """
    array, axis = cube.group[group], CHANNELS[group]
    small = array.nbytes < store.IN_MEMORY
    if group in MAPS:
        if small or any(logarithms.get(n, own) != own for n, own in cube.logarithms(group).items()):
            return Kept(torch.from_numpy(scale.apply(cube.maps(group, logarithms), axis)[None]))
        return Stored(array, scale, axis, daily=False)
    if small:
        found = np.empty(array.shape, np.float32)
        for part in _parts(array):
            scale.apply(array[part], axis, out=found[part])
        return Kept(torch.from_numpy(found))
    if cache is None:
        return Stored(array, scale, axis, daily=True)
    path = cache / f"{group}-{fingerprint([scale.to_json(), array.shape, cube.group.attrs['sums'][group]])}.float16"
    if not path.is_file():
        with full_disk_named(cache), whole(path) as aside, open(aside, "wb") as file:  # a memmap would die of a full disk
            for part in _parts(array):
                file.write(scale.apply(array[part], axis).astype(np.float16).tobytes())
        for other in cache.glob(f"{group}-*.float16"):
            if other != path:
                other.unlink()  # of files that were others; it may be as large as the cube
    mapped = np.memmap(path, np.float16, "c", shape=array.shape)  # not "r": torch warns of what cannot be written
    return Kept(torch.from_numpy(mapped))


def _parts(array: zarr.Array) -> Iterator[slice]:
    """Its first axis in chunks, each of which is decompressed once."""
    step = array.chunks[0]
    yield from (slice(i, i + step) for i in range(0, array.shape[0], step))
