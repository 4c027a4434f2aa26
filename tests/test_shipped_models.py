"""Models that come with the repository: they load, are small, and have a card."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import xarray as xr

from airloom.methods.pointconv.live import fuse
from airloom.methods.pointconv.model import Model

MODELS = sorted((Path(__file__).parents[1] / "models").glob("*.safetensors"))
LARGEST = 20e6  # bytes


@pytest.mark.parametrize("path", MODELS, ids=lambda p: p.stem)
def test_it_makes_a_field_of_a_handful_of_sensors(path, tmp_path):
    assert path.stat().st_size < LARGEST
    assert "## Not for" in path.with_suffix(".md").read_text()
    model = Model.load(path)
    assert model.study.name == path.stem
    assert model.calibration
    rows, columns = model.study.grid.shape
    lon, lat = (a[rows // 2, columns // 3 : columns // 3 + 8] for a in model.study.target_grid.lonlat())
    sensors = {"time": ["2024-01-20"] * 8, "lon": lon, "lat": lat, "value": 20.0 + np.arange(8)}
    pl.DataFrame(sensors).write_csv(tmp_path / "sensors.csv")
    fuse(model, [tmp_path / "sensors.csv"], tmp_path / "fused.nc")
    with xr.open_dataset(tmp_path / "fused.nc") as found:
        field = found[model.study.pollutant].values
        assert field.shape == (1, rows, columns)
        assert 15 < np.median(field) < 35
        assert (found[f"{model.study.pollutant}_low"].values <= field).all()


def test_there_are_some():
    assert MODELS
