"""What a network is given: normalisation, order, and the right value at the right cell."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from airloom.cube import store
from airloom.errors import DataError
from airloom.grid import Tile
from airloom.learn.batches import Normaliser, Reader, order
from tests.memory_cube import COLUMNS, DAYS, FACTOR, ROWS, SHAPE, memory_cube

TRAINING = np.array([True, True, True, False, True, True])  # s3 is withheld
IN_2020, WHOLE = np.arange(20), Tile(0, 0, 16)


def observations() -> np.ndarray:
    """10 and 20 by turns in 2020, mean 15 and deviation 5; what must not be seen is 1000."""
    values = np.full((DAYS, 6), 1000.0)
    values[:20] = np.where(np.arange(20) % 2, 20.0, 10.0)[:, None]
    values[:20, 3] = 1000
    values[:2, 0] = np.nan  # a 10 and a 20
    return values


def reader(cube=None) -> Reader:
    cube = cube or memory_cube()
    return Reader(cube, Normaliser.of(cube, [2020], TRAINING), FACTOR)


# Normaliser


def test_the_unit_is_the_deviation_of_training_years_and_stations():
    found = Normaliser.of(memory_cube(observed=observations()), [2020], TRAINING)
    assert (found.unit, found.start) == (pytest.approx(5), pytest.approx(3))  # 15 / 5


def test_inputs_are_scaled_by_the_training_years_alone():
    cube = memory_cube()
    found = Normaliser.of(cube, [2020], TRAINING).scales
    weather, maps = cube.group["weather"][:20].astype(float), cube.group["geography"][:].astype(float)
    np.testing.assert_allclose(found["weather"].mean, weather.mean((0, 1, 3, 4)), atol=1e-6)
    np.testing.assert_allclose(found["weather"].deviation, weather.std((0, 1, 3, 4)), rtol=1e-6)
    np.testing.assert_allclose(found["geography"].mean, maps.mean((1, 2)), atol=1e-6)
    np.testing.assert_allclose(found["geography"].deviation, maps.std((1, 2)), rtol=1e-6)
    np.testing.assert_array_equal(found["calendar"].deviation, 1)  # the day of the week stays as it is


def test_other_years_and_withheld_stations_change_nothing():
    observed, cube = observations(), memory_cube()
    weather = cube.group["weather"][:]
    before = Normaliser.of(memory_cube(observed=observed, weather=weather), [2020], TRAINING).to_json()
    observed[20:], observed[:, 3], weather[20:] = -1, np.nan, 1e4
    assert Normaliser.of(memory_cube(observed=observed, weather=weather), [2020], TRAINING).to_json() == before
    observed[5, 0] += 1
    assert Normaliser.of(memory_cube(observed=observed, weather=weather), [2020], TRAINING).to_json() != before


def test_a_normaliser_written_and_read_again_is_itself():
    found = Normaliser.of(memory_cube(), [2020, 2021], TRAINING)
    assert Normaliser.from_json(found.to_json()).to_json() == found.to_json()


def test_training_stations_without_a_value_are_refused():
    observed = observations()
    observed[:20] = np.nan
    with pytest.raises(DataError, match=r"no training station has a value in \[2020\]"):
        Normaliser.of(memory_cube(observed=observed), [2020], TRAINING)


# Order


@pytest.mark.parametrize(("days", "size"), [(20, 6), (19, 6), (13, 4), (12, 4), (2, 8), (3, 2), (7, 2)])
def test_every_day_of_every_tile_comes_once_and_none_alone(days, size):
    tiles = [Tile(0, 0, 8), Tile(0, 8, 8), Tile(8, 0, 8)]
    batches = list(order(np.arange(100, 100 + days), tiles, size, [1, 2]))
    for tile in tiles:
        parts = [part for part, where in batches if where == tile]
        assert sorted(np.concatenate(parts).tolist()) == list(range(100, 100 + days))
        assert all(2 <= len(part) <= size + 1 for part in parts)
        assert sum(len(part) > size for part in parts) == (days > size and days % size == 1)


def plain(batches) -> list:
    return [(part.tolist(), tile) for part, tile in batches]


def test_the_order_is_that_of_the_seed():
    days, tiles = np.arange(20), [Tile(0, 0, 8), Tile(8, 8, 8)]
    first = plain(order(days, tiles, 6, [0, 2, 5]))
    assert plain(order(days, tiles, 6, [0, 2, 5])) == first
    assert all(plain(order(days, tiles, 6, seed)) != first for seed in ([1, 2, 5], [0, 3, 5], [0, 2, 6]))


def test_days_and_tiles_are_mixed():
    tiles = [Tile(0, 0, 8), Tile(8, 8, 8)]
    batches = plain(order(np.arange(40), tiles, 4, [0]))
    assert [tile for _, tile in batches] not in ([tiles[0]] * 10 + [tiles[1]] * 10, [tiles[1]] * 10 + [tiles[0]] * 10)
    assert all(part != sorted(part) for part, _ in batches[:5])


# Reader


@pytest.mark.parametrize(
    "tile", [WHOLE, Tile(4, 8, 8), Tile(-4, -4, 24), Tile(-2, 10, 12)], ids=["whole", "inner", "around", "corner"]
)
def test_inputs_are_those_of_the_tiles_cells_and_the_edge_goes_on(tile):
    made = reader()
    days = np.array([7, 3, 12])
    inputs = made.read(days, tile).inputs
    rows = np.clip(np.arange(tile.row, tile.row + tile.size), 0, SHAPE[0] - 1)
    columns = np.clip(np.arange(tile.column, tile.column + tile.size), 0, SHAPE[1] - 1)
    for group, channels in (("emissions", 1), ("geography", 2)):
        values = made.cube.group[group][:].astype(float)
        expected = (values - values.mean((1, 2), keepdims=True)) / values.std((1, 2), keepdims=True)
        assert inputs[group].shape == (1, channels, tile.size, tile.size)
        np.testing.assert_allclose(inputs[group][0], expected[:, rows][:, :, columns], atol=1e-5)
    weather = made.cube.group["weather"][:].astype(float)
    mean, deviation = (f(weather[IN_2020], (0, 1, 3, 4)).reshape(-1, 1, 1) for f in (np.mean, np.std))
    expected = ((weather[days] - mean) / deviation)[:, :, :, rows // FACTOR][..., columns // FACTOR]  # at the tile's cells
    assert inputs["weather"].shape == (3, 24, 2, tile.size // FACTOR, tile.size // FACTOR)
    fine = inputs["weather"].repeat_interleave(FACTOR, -1).repeat_interleave(FACTOR, -2)
    np.testing.assert_allclose(fine, expected, atol=1e-5)
    np.testing.assert_allclose(inputs["calendar"], made.cube.group["calendar"][:][days], atol=1e-7)


@pytest.mark.parametrize("room", [10_000, 0])  # bytes; the weather is larger, the maps are not
def test_a_cube_too_large_for_memory_gives_the_same(monkeypatch, room):
    days, tile = np.array([7, 3, 12]), Tile(-2, 10, 12)
    kept = reader().read(days, tile).inputs
    monkeypatch.setattr(store, "IN_MEMORY", room)
    found = reader().read(days, tile).inputs
    assert found.keys() == kept.keys()
    for group, values in kept.items():
        np.testing.assert_array_equal(found[group], values)


def test_a_cache_in_float16_gives_nearly_the_same_and_is_made_once(monkeypatch, tmp_path):
    days, tile = np.array([7, 3, 12]), Tile(-2, 10, 12)
    kept = reader().read(days, tile).inputs["weather"]
    monkeypatch.setattr(store, "IN_MEMORY", 10_000)
    cached = replace(reader(), cache=tmp_path)
    np.testing.assert_allclose(cached.read(days, tile).inputs["weather"], kept, rtol=1e-3, atol=1e-6)
    (file,) = tmp_path.iterdir()
    made = file.stat().st_mtime_ns
    again = replace(reader(), cache=tmp_path).read(days, tile).inputs["weather"]
    assert torch.equal(again, cached.read(days, tile).inputs["weather"])
    assert file.stat().st_mtime_ns == made
    assert file.stat().st_size == 2 * cached.cube.group["weather"].size


@pytest.mark.parametrize("tile", [WHOLE, Tile(4, 4, 8), Tile(-4, -4, 24)], ids=["whole", "inner", "around"])
def test_observed_stands_at_the_stations_cells_in_the_normalisers_unit(tile):
    made, stations, days = reader(memory_cube(observed=observations())), np.array([0, 2, 4]), np.array([1, 4, 25])
    batch = made.read(days, tile, np.broadcast_to(np.isin(np.arange(6), stations), (40, 6)))
    expected = np.full((3, tile.size, tile.size), np.nan)
    for station in stations:
        row, column = ROWS[station] - tile.row, COLUMNS[station] - tile.column
        if 0 <= row < tile.size and 0 <= column < tile.size:
            expected[:, row, column] = [4, 2, 200]  # 20, 10 and 1000 µg m⁻³ over 5
            if station == 0:
                expected[0, row, column] = np.nan
    np.testing.assert_allclose(batch.observed, expected, rtol=1e-6)
    assert batch.tile == tile
    assert batch.days.tolist() == [1, 4, 25]


def test_without_stations_nothing_is_observed():
    assert np.isnan(reader().read(IN_2020, WHOLE).observed.numpy()).all()
    assert np.isnan(reader().read(IN_2020, WHOLE, np.zeros((40, 6), bool)).observed.numpy()).all()


def test_a_batch_is_the_readers_own():
    made = reader()
    first = made.read(IN_2020, WHOLE, np.ones((40, 6), bool))
    kept = {g: x.clone() for g, x in first.inputs.items()}
    for x in first.inputs.values():
        x += 1
    assert all((x == kept[g]).all() for g, x in made.read(IN_2020, WHOLE).inputs.items())


def test_a_batch_lies_where_the_reader_is_told():
    # on "meta" tensors have shapes and no numbers, on every machine
    found = replace(reader(), device=torch.device("meta")).read(np.array([0, 1]), WHOLE)
    assert {t.device.type for t in (*found.inputs.values(), found.observed)} == {"meta"}
    assert found.observed.shape == (2, 16, 16)
