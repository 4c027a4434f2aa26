"""Batches: tiles of days, normalised, in the order of a seed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from airloom.cube.normalise import Scale
from airloom.cube.store import CALENDAR, MAPS, Cube
from airloom.errors import DataError
from airloom.grid import Tile
from airloom.learn.mirror import AS_IT_IS, Mirror
from airloom.learn.ready import CHANNELS, Ready, ready
from airloom.stats.standing import without

PROCESSOR = torch.device("cpu")
GROUPS = (CALENDAR, "weather", "upper", *MAPS)


@dataclass(frozen=True)
class Batch:
    """Days of one tile, ready for a network.

    `inputs`: calendar (batch, channel), weather (batch, time, channel, y, x), upper (batch, time, channel, level, y, x), maps
    (1, channel, y, x), for all days share them. `observed`: (batch, y, x) in units of `Normaliser.unit`, NaN where no station
    is. `chemistry`: the chemistry model on its own cells, (batch, level, y, x) in the same unit, each level times its factor,
    NaN on days that it lacks; None where it is not asked for. `days`: (batch,) indices. All but `days` are as `mirror` shows
    them.
    """

    inputs: dict[str, Tensor]
    observed: Tensor
    chemistry: Tensor | None
    days: np.ndarray
    tile: Tile
    mirror: Mirror


@dataclass(frozen=True)
class Normaliser:
    """Physical values to what a network sees, and back; made of training years and training stations alone.

    `scales`: z-scores of each group; `logarithms`: the means by which maps are divided that enter as logarithms. `unit`: the
    observations' standard deviation [µg m⁻³], so that a squared error of 1 is their variance; `start`: their mean in that
    unit. `levels`: what the chemistry model's mean at the ground is to its mean on each level (paper 000, §2.2.3), so that
    every level asks for numbers of one size.
    """

    scales: dict[str, Scale]
    unit: float
    start: float
    levels: np.ndarray
    logarithms: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, cube: Cube, years: Sequence[int], training: np.ndarray) -> "Normaliser":
        """Statistics of `years` and of the stations where `training`, bool on (station,), is true.

        Raises:
            DataError: the training stations have no values in `years`, or all the same.
        """
        scales = {g: cube.scale(g, years) for g in GROUPS if cube.channels(g)}
        seen = cube.stations.daily.to_numpy()[np.isin(cube.years, years)][:, training]
        if not np.isfinite(seen).any() or np.nanstd(seen) == 0:
            found = "all values are the same" if np.isfinite(seen).any() else "no training station has a value"
            raise DataError(f"stations: {found} in {list(years)}. Train on other years, or withhold other stations.")
        levels = np.ones(1)
        if cube.has_chemistry:
            means = cube.chemistry_means(years)
            levels = means[0] / means
        logarithms = {name: mean for g in MAPS if g in scales for name, mean in cube.logarithms(g).items()}
        return cls(scales, float(np.nanstd(seen)), float(np.nanmean(seen) / np.nanstd(seen)), levels, logarithms)

    def physical(self, field: np.ndarray) -> np.ndarray:
        """A network's field on (…, level, y, x) in µg m⁻³."""
        return field * (self.unit / self.levels)[:, None, None].astype(field.dtype)

    def to_json(self) -> dict[str, object]:
        """Plain numbers."""
        return {
            "scales": {g: s.to_json() for g, s in self.scales.items()},
            "unit": self.unit,
            "start": self.start,
            "levels": self.levels.tolist(),
            "logarithms": dict(self.logarithms),
        }

    @classmethod
    def from_json(cls, content: dict) -> "Normaliser":
        """The inverse of `to_json`."""
        scales = {g: Scale.from_json(s) for g, s in content["scales"].items()}
        return cls(scales, content["unit"], content["start"], np.asarray(content["levels"], float), content["logarithms"])


@dataclass(frozen=True)
class Reader:
    """Reads batches of a cube.

    `factor`: grid cells along a weather cell; `chemistry_factor`: along a cell of the chemistry model; `device`: where the
    tensors of a batch are put; `cache`: folder for what is kept normalised in float16 where memory is too small for it, or None.
    """

    cube: Cube
    normaliser: Normaliser
    factor: int
    chemistry_factor: int = 1
    device: torch.device = PROCESSOR
    cache: Path | None = None

    @property
    def levels(self) -> int:
        """Heights of the field."""
        return len(self.normaliser.levels)

    def read(
        self,
        days: np.ndarray,
        tile: Tile,
        seen: np.ndarray | None = None,
        *,
        chemistry: bool = False,
        mirror: Mirror = AS_IT_IS,
        own: np.ndarray | None = None,
    ) -> Batch:
        """One batch: `days` (indices, ascending or not) of a tile, in a mirror or as it is; as targets the values that
        `seen`, bool on (time, station), shows, without the stations' `own` shares (`airloom.learn.own`) on (station,) where these
        are given, and the chemistry model's where `chemistry` is set.
        """
        inputs = {g: self._gridded(g, days, tile, mirror).to(self.device) for g in self.gridded}
        if CALENDAR in self.normaliser.scales:
            inputs[CALENDAR] = _tensor(self._calendar[days]).to(self.device)
        observed = _tensor(mirror.maps(self._observed(days, tile, seen, own))).to(self.device)
        taught = _tensor(mirror.maps(self._chemistry(days, tile))).to(self.device) if chemistry else None
        return Batch(inputs, observed, taught, days, tile, mirror)

    @cached_property
    def gridded(self) -> dict[str, Ready]:
        """Inputs on grids, normalised and ready to be cut."""
        scales, logarithms = self.normaliser.scales, self.normaliser.logarithms
        return {g: ready(self.cube, g, scales[g], self.cache, logarithms) for g in self._names if g != CALENDAR}

    @cached_property
    def _names(self) -> dict[str, list[str]]:
        """Inputs of each group that the study has."""
        return {g: names for g in GROUPS if (names := self.cube.channels(g))}

    @cached_property
    def _calendar(self) -> np.ndarray:
        """The daily numbers, normalised, on (time, channel)."""
        return self.normaliser.scales[CALENDAR].apply(self.cube.group[CALENDAR][:], CHANNELS[CALENDAR])

    def _gridded(self, group: str, days: np.ndarray, tile: Tile, mirror: Mirror) -> Tensor:
        """A group's inputs; maps on (1, …), for all days share them."""
        source, cells = self.gridded[group], self._cells(group, tile)
        which = [0] if group in MAPS else days
        found = torch.empty(len(which), *source.shape[1:-2], *map(len, cells))
        for day, out in zip(which, found, strict=True):
            source.cut(int(day), *cells, out)
        scale = self.normaliser.scales[group]
        shown = mirror.field(found)
        mirror.turn(shown, self._names[group], CHANNELS[group], -scale.mean / scale.deviation)
        return shown

    def _cells(self, group: str, tile: Tile) -> tuple[np.ndarray, np.ndarray]:
        """Rows and columns of a group's cells under a tile; beyond the grid its edge goes on."""
        factor = {"weather": self.factor, "upper": self.factor, "chemistry": self.chemistry_factor}.get(group, 1)
        rows, columns = (
            np.clip(np.arange(start // factor, (start + tile.size) // factor), 0, length // factor - 1)
            for start, length in zip((tile.row, tile.column), self.cube.grid.shape, strict=True)
        )
        return rows, columns

    def _observed(self, days: np.ndarray, tile: Tile, seen: np.ndarray | None, own: np.ndarray | None) -> np.ndarray:
        """Targets on (batch, y, x)."""
        target = np.full((len(days), tile.size, tile.size), np.nan, np.float32)
        if seen is None:
            return target
        table = self.cube.stations.table
        row, column = table["row"].to_numpy() - tile.row, table["column"].to_numpy() - tile.column
        inside = np.flatnonzero((row >= 0) & (row < tile.size) & (column >= 0) & (column < tile.size))
        at = np.ix_(days, inside)
        values = self._daily[at] if own is None else without(self._daily[at], own[inside])
        target[:, row[inside], column[inside]] = np.where(seen[at], values / self.normaliser.unit, np.nan)
        return target

    def _chemistry(self, days: np.ndarray, tile: Tile) -> np.ndarray:
        """Targets on (batch, level, y, x); NaN beyond the grid, where its edge stands for nothing that was modelled."""
        values = self.cube.read("chemistry", days, *self._cells("chemistry", tile))
        scaled = values * (self.normaliser.levels / self.normaliser.unit)[:, None, None]
        coarse = Tile(*(n // self.chemistry_factor for n in (tile.row, tile.column, tile.size)))
        target = np.full(scaled.shape, np.nan, np.float32)
        _, (y, x) = coarse.inside(tuple(n // self.chemistry_factor for n in self.cube.grid.shape))
        target[..., y, x] = scaled[..., y, x]
        return target

    @cached_property
    def _daily(self) -> np.ndarray:
        """Observed values on (time, station)."""
        return self.cube.stations.daily.to_numpy()


def _tensor(values: np.ndarray) -> Tensor:
    """Values in torch's own memory: numpy's begins anywhere, and the last bits of a matrix product depend on where."""
    return torch.from_numpy(np.ascontiguousarray(values, np.float32)).clone()


def order(
    days: np.ndarray, tiles: Sequence[Tile], size: int, seed: Sequence[int], *, tiles_a_day: int | None = None
) -> Iterator[tuple[np.ndarray, Tile]]:
    """Every day of every tile once, in batches of at most `size` days of one tile, shuffled by `seed`; of each day
    `tiles_a_day` tiles, drawn anew, where that is given.

    A last batch that would hold one sample alone joins the one before: of one day alone nothing tells what is usual.
    """
    draw = np.random.default_rng(list(seed))
    taken = np.ones((len(tiles), len(days)), bool)
    if tiles_a_day is not None:
        ranks = draw.random(taken.shape).argsort(0).argsort(0)
        taken = ranks < tiles_a_day
    batches = []
    for tile, mine in zip(tiles, taken, strict=True):
        shuffled = draw.permutation(days[mine])
        if not len(shuffled):
            continue
        cuts = list(range(size, len(shuffled), size))
        if cuts and len(shuffled) - cuts[-1] == 1:
            cuts.pop()
        batches += [(part, tile) for part in np.split(shuffled, cuts)]
    for i in draw.permutation(len(batches)):
        yield batches[i]
