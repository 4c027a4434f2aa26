"""Batches in a mirror."""

import numpy as np
import pytest
import torch

from airloom.grid import Tile
from airloom.learn.batches import Normaliser, Reader
from airloom.learn.mirror import AS_IT_IS, Mirror
from tests.memory_cube import FACTOR, memory_cube

NAMES = ["t2m", "u10", "v10", "vo"]
EAST, NORTH, BOTH = Mirror(True, False), Mirror(False, True), Mirror(True, True)


def seen(mirror, values):
    """Weather on (time, channel, y, x) whose calm is 0, in a mirror."""
    found = mirror.field(torch.tensor(values))
    mirror.turn(found, NAMES, -3, np.zeros(4))
    return found.numpy()


@pytest.mark.parametrize(
    ("mirror", "signs", "first"), [(AS_IT_IS, [1, 1, 1, 1], 0), (EAST, [1, -1, 1, -1], 1), (NORTH, [1, 1, -1, -1], 2)]
)
def test_winds_and_vorticity_turn_with_the_world(mirror, signs, first):
    values = np.broadcast_to(np.array([[1.0, 2.0], [3.0, 4.0]]), (5, 4, 2, 2))  # (time, channel, y, x)
    found = seen(mirror, values)
    assert found[0, :, 0, 0].tolist() == [sign * values[0, 0].ravel()[first] for sign in signs]


def test_two_mirrors_turn_winds_and_leave_vorticity():
    upper = torch.ones(1, 4, 3, 2, 2)  # (time, channel, level, y, x)
    BOTH.turn(upper, NAMES, -4, np.full((4, 3), 0.25))
    assert upper[0, :, 0, 0, 0].tolist() == [1, -0.5, -0.5, 1]  # as far on the other side of calm air, which is 0.25


@pytest.mark.parametrize("mirror", [AS_IT_IS, EAST, NORTH, BOTH])
def test_a_mirrored_mirror_image_is_the_thing_itself(mirror):
    values = np.random.default_rng(0).random((2, 4, 3, 5))
    np.testing.assert_array_equal(seen(mirror, seen(mirror, values)), values)
    assert torch.equal(mirror.field(mirror.field(torch.from_numpy(values))), torch.from_numpy(values))


def test_all_four_are_drawn_and_the_same_by_the_same_seed():
    assert {Mirror.drawn([0, n]) for n in range(40)} == {AS_IT_IS, EAST, NORTH, BOTH}
    assert Mirror.drawn([3, 1]) == Mirror.drawn([3, 1])


def test_inputs_and_observations_stay_together():
    cube = memory_cube()
    reader = Reader(cube, Normaliser.of(cube, [2020], np.ones(6, bool)), FACTOR)
    days, tile, seen = np.array([3, 4]), Tile(0, 0, 16), np.ones(cube.stations.daily.shape, bool)
    plain, turned = (reader.read(days, tile, seen, mirror=m) for m in (AS_IT_IS, BOTH))
    assert torch.equal(turned.inputs["geography"], plain.inputs["geography"].flip((-1, -2)))
    assert torch.isfinite(plain.observed).any()
    torch.testing.assert_close(turned.observed, plain.observed.flip((-1, -2)), equal_nan=True)
    assert torch.equal(turned.inputs["calendar"], plain.inputs["calendar"])
