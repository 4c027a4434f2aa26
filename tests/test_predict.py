"""Prediction: tiles make one field, whatever the blocks, and however often it was interrupted."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from airloom.errors import DataError
from airloom.grid import hann, tiles
from airloom.infer import predict
from airloom.infer.fields import create_zarr, read, written
from airloom.learn.batches import Normaliser, Reader
from airloom.progress import quiet

SHAPE, FACTOR = (32, 32), 8
ONE, MANY = tiles(SHAPE, 32, 32, FACTOR), tiles(SHAPE, 16, 8, FACTOR)
DAYS = np.array([35, 36, 37, 50, 51, 52, 53])


class Local(nn.Module):
    """A field that depends on its own cell alone: population times the day's warmth, and the weekday."""

    def forward(self, inputs):
        warmth = functional.interpolate(inputs["weather"][:, :, 0].mean(1, keepdim=True), scale_factor=FACTOR)
        return functional.softplus(inputs["emissions"] + warmth + inputs["calendar"][:, :1, None, None])


class Neighbours(nn.Module):
    """The mean of a constant 1 over 3 × 3 cells where nothing lies beyond the tile: 2/3 on its edges, 4/9 in its corners."""

    def forward(self, inputs):
        one = torch.ones(len(inputs["calendar"]), 1, *inputs["emissions"].shape[-2:])
        return functional.avg_pool2d(one, 3, stride=1, padding=1)


@pytest.fixture(scope="module")
def reader(finished) -> Reader:
    return Reader(finished.cube, Normaliser.of(finished.cube, [2022], np.ones(6, bool)), FACTOR)


def field(network, reader, windows, path, days=DAYS) -> np.ndarray:
    predict.predict_field(network, reader, windows, days, path, levels=None, attrs={}, progress=quiet)
    return read(path).no2.to_numpy()


def whole_field(network, reader, windows, days=DAYS) -> np.ndarray:
    return np.concatenate([values for _, values in predict.mosaics(network, reader, windows, days)], axis=-2)


def test_tiles_of_a_local_network_make_the_field_of_one_tile(reader):
    whole, tiled = (whole_field(Local(), reader, windows) for windows in (ONE, MANY))
    assert whole.shape == (7, 1, 32, 32)
    assert whole.std() > 0.1 * whole.mean()
    np.testing.assert_allclose(tiled, whole, rtol=1e-5)


def test_prediction_keeps_freed_memory(reader, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(predict, "keep_freed_memory", lambda: asked.append(True))
    field(Local(), reader, ONE, tmp_path / "field.zarr", DAYS[:1])
    assert asked == [True]


def test_a_tile_that_hangs_over_the_grid_changes_nothing_inside(reader):
    over = tiles(SHAPE, 48, 48, FACTOR)
    assert over[0].row < 0
    np.testing.assert_allclose(whole_field(Local(), reader, over), whole_field(Local(), reader, ONE), rtol=1e-5)


def test_edges_of_overlapping_tiles_leave_no_seam(reader):
    found = whole_field(Neighbours(), reader, MANY, DAYS[:1])[0, 0] / reader.normaliser.unit
    inside = found[1:-1, 1:-1]  # the grid's own edge is an edge of every tile there
    # an outermost cell of a tile of 16 has sin²(π/32) = 0.0096 of its middle's weight, so what is lacking there, a third
    # or five ninths, all but disappears under the neighbour tile's middle
    assert hann(16)[0].max() == pytest.approx(0.0096, abs=1e-4)
    assert inside.min() > 0.99
    assert inside.max() == pytest.approx(1)


def test_blocks_of_days_change_nothing(finished, reader, tmp_path, monkeypatch):
    network = finished._networks.random(0).eval()
    fields = []
    for block in (1, 3, 16):
        monkeypatch.setattr(predict, "samples_at_once", lambda *_, block=block: block)
        fields.append(field(network, reader, MANY, tmp_path / f"{block}.zarr"))
    assert fields[0].mean() > 1  # µg m⁻³
    np.testing.assert_allclose(fields[1], fields[0], rtol=1e-5)
    np.testing.assert_allclose(fields[2], fields[0], rtol=1e-5)


def test_an_interrupted_prediction_goes_on_to_the_same_bits(finished, reader, tmp_path, monkeypatch):
    network = finished._networks.random(0).eval()
    monkeypatch.setattr(predict, "samples_at_once", lambda *_: 3)
    at_once = field(network, reader, MANY, tmp_path / "once.zarr")
    path, real, stops = tmp_path / "parts.zarr", predict.write_rows, iter([2, 11, 8, 7])
    while not path.exists() or not written(path).all():
        left = [next(stops, 99)]

        def breaking(*args, left=left, **kwargs):
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
            real(*args, **kwargs)

        monkeypatch.setattr(predict, "write_rows", breaking)
        try:
            field(network, reader, MANY, path)
        except KeyboardInterrupt:
            assert not written(path).all()
    np.testing.assert_array_equal(read(path).no2, at_once)


def test_days_that_are_there_are_not_written_again(finished, reader, tmp_path, monkeypatch):
    field(Local(), reader, ONE, tmp_path / "a.zarr")
    monkeypatch.setattr(predict, "mosaics", None)
    assert field(Local(), reader, ONE, tmp_path / "a.zarr").shape == (7, 32, 32)


def test_weights_that_are_not_finite_name_the_day(finished, reader, tmp_path):
    network = finished._networks.random(0)
    network.head.bias.data.fill_(torch.nan)
    with pytest.raises(DataError, match=r"a\.zarr: the field of 2023-01-05 is not finite"):
        field(network, reader, ONE, tmp_path / "a.zarr")
    assert not written(tmp_path / "a.zarr").any()


def test_a_field_of_other_days_is_not_overwritten(finished, reader, tmp_path):
    create_zarr(tmp_path / "a.zarr", finished.cube.grid, finished.cube.days[:3])
    with pytest.raises(DataError, match="holds a field of another grid, period"):
        field(Local(), reader, ONE, tmp_path / "a.zarr")
