"""Lessons: full fields of a day and what stations, had there been some, would have told of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from airloom.grid import Tile
from airloom.methods.pointconv.scatter import Scatter
from airloom.methods.pointconv.study import Practice
from airloom.methods.pointconv.teach import ALOFT, World, scaled


@dataclass(frozen=True)
class Lesson:
    """A batch of days of one window.

    `values` and `weights` of pseudo-stations on (batch, variable, y, x); `maps` on (map, y, x), or on (batch, map, y, x) where the
    last is how far places stand above their cell; `field`, which is to be found, on (batch, y, x); `scored`: cells on (y, x) that
    count, 1 on land.
    """

    values: Tensor
    weights: Tensor
    maps: Tensor
    field: Tensor
    scored: Tensor

    def turned(self, draw: np.random.Generator) -> "Lesson":
        """The same window mirrored or turned, at random: the laws of the air are the same."""
        axes = [axis for axis, backwards in ((-1, draw.random() < 0.5), (-2, draw.random() < 0.5)) if backwards]
        across = draw.random() < 0.5
        tensors = (self.values, self.weights, self.maps, self.field, self.scored)
        return Lesson(*((t.flip(axes).transpose(-1, -2) if across else t.flip(axes)) for t in tensors))


@dataclass(frozen=True)
class Teacher:
    """Makes lessons of worlds."""

    worlds: Sequence[World]
    practice: Practice

    def lesson(self, seed: Sequence[int], *, turn: bool) -> Lesson:
        """A batch of days of one world and window, drawn by a seed."""
        draw = np.random.default_rng(list(seed))
        world = self.worlds[draw.choice(len(self.worlds), p=_shares(self.worlds))]
        tile = self._window(world, draw)
        rows, columns = tile.inside(world.land.shape)[0]
        allowed = world.allowed[rows, columns]
        days = draw.integers(len(world), size=self.practice.batch)
        samples = [self._sample(world, int(day), (rows, columns), allowed, draw) for day in days]
        values, weights, fields, above = (np.stack(parts) for parts in zip(*samples, strict=True))
        maps = world.maps[:, rows, columns]
        if self.practice.above:
            shared = np.broadcast_to(maps, (len(days), *maps.shape))
            maps = np.concatenate([shared, scaled("elevation", above)[:, None]], 1)
        arrays = (values, weights, maps, fields, allowed.astype(np.float32))
        made = Lesson(*(torch.from_numpy(np.ascontiguousarray(a)) for a in arrays))
        return made.turned(draw) if turn else made

    def _window(self, world: World, draw: np.random.Generator) -> Tile:
        """Where to look: a window that has room for stations."""
        size = min(self.practice.window, *world.land.shape)
        for _ in range(100):
            row, column = (int(draw.integers(length - size + 1)) for length in world.land.shape)
            tile = Tile(row, column, size)
            if world.allowed[tile.inside(world.land.shape)[0]].sum() >= self.practice.stations[0]:
                break
        return tile

    def _sample(
        self, world: World, day: int, window: tuple[slice, slice], allowed: np.ndarray, draw: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """What pseudo-stations, of each variable in other cells, tell of a day: values, weights; the target's field; and how far
        above their cell places stand [m].
        """
        fields, above = world.day(day)[(slice(None), *window)].copy(), np.zeros(allowed.shape)
        if self.practice.above:
            above = _rough(allowed.shape, self.practice.above, draw)
            fields[0] = aloft(world.profile(day)[(slice(None), *window)], above)
        values, weights = np.zeros_like(fields), np.zeros_like(fields)
        for number, field in enumerate(fields):
            scatter = self._scatter(number)
            there = scatter.cells(allowed, draw)
            values[number], weights[number] = scatter.observe(field, there, draw), there
        return values, weights, fields[0], above

    def _scatter(self, number: int) -> Scatter:
        """Of the target (0), or of another variable."""
        asked = self.practice
        least, most = asked.stations if number == 0 else asked.others or asked.stations
        return Scatter(least, most, asked.clustered, asked.noise)


def aloft(profile: np.ndarray, above: np.ndarray) -> np.ndarray:
    """What stands `above` [m] the ground on (y, x), out of a profile at the ground and at the heights ALOFT, linear between them."""
    heights = np.array([0.0, *ALOFT])
    upper = np.clip(np.searchsorted(heights, above), 1, len(heights) - 1)
    share = np.clip((above - heights[upper - 1]) / (heights[upper] - heights[upper - 1]), 0, 1)
    low, high = (np.take_along_axis(profile, at[None], 0)[0] for at in (upper - 1, upper))
    return ((1 - share) * low + share * high).astype(np.float32)


def _rough(shape: tuple[int, ...], height: float, draw: np.random.Generator) -> np.ndarray:
    """How far places stand above their cell [m]: half of them not at all, the others exponentially with that mean, which a day's
    country may have less of.
    """
    return draw.uniform(0, 1) * height * draw.exponential(size=shape) * (draw.random(shape) < 0.5)


def _shares(worlds: Sequence[World]) -> np.ndarray:
    """Worlds are seen as often as they have days."""
    days = np.array([len(world) for world in worlds], float)
    return days / days.sum()
