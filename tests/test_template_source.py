import numpy as np
import pytest
import xarray as xr

from airloom.errors import DataError
from airloom.ledger import Ledger
from airloom.sources.members import Member
from airloom.sources.template import Template


def write(path, hours, values, *, latitude=(40.0, 41.0), units="K", name="t2m"):
    """A NetCDF file of one variable; `values` are one number an hour, the same everywhere plus its latitude's index."""
    cells = np.arange(len(latitude))[None, :, None] + np.zeros((1, 1, 2))
    array = np.asarray(values, float)[:, None, None] + cells
    time = np.datetime64("2023-01-01", "ns") + np.asarray(hours) * np.timedelta64(1, "h")
    coords = {"time": time, "latitude": list(latitude), "longitude": [-4.0, -3.0]}
    xr.Dataset({name: (("time", "latitude", "longitude"), array, {"units": units})}, coords).to_netcdf(
        path, engine="netcdf4"
    )
    return path


def test_hours_come_in_order_and_north_comes_first(tmp_path):
    later, earlier = write(tmp_path / "a.nc", [2, 3], [282, 283]), write(tmp_path / "b.nc", [0, 1], [280, 281])
    found = Template().open([later, earlier], ["t2m"])
    assert found["t2m"].dims == ("time", "latitude", "longitude")
    assert found["t2m"].dtype == "float32"
    assert found["t2m"].attrs["units"] == "K"
    assert found["latitude"].values.tolist() == [41, 40]
    # the file's second latitude, 41°N, holds one kelvin more and comes first
    assert found["t2m"].isel(longitude=0).values.tolist() == [[281, 280], [282, 281], [283, 282], [284, 283]]


def test_an_hour_told_twice_alike_is_kept_once_and_noted(tmp_path):
    ledger = Ledger()
    paths = [write(tmp_path / "a.nc", [0, 1], [280, 281]), write(tmp_path / "b.nc", [1, 2], [281, 282])]
    found = Template().open(paths, ["t2m"], ledger)
    assert found.sizes["time"] == 3
    assert [(e.what, e.count) for e in ledger.of("value", "out")] == [("template", 1)]


def test_an_hour_told_twice_differently_is_refused(tmp_path):
    paths = [write(tmp_path / "a.nc", [0, 1], [280, 281]), write(tmp_path / "b.nc", [1, 2], [290, 282])]
    with pytest.raises(DataError, match="two files differ about 2023-01-01T01"):
        Template().open(paths, ["t2m"])


def test_files_on_other_cells_are_refused(tmp_path):
    paths = [write(tmp_path / "a.nc", [0], [280]), write(tmp_path / "b.nc", [1], [281], latitude=(50.0, 51.0))]
    with pytest.raises(DataError, match="latitudes or longitudes differ"):
        Template().open(paths, ["t2m"])


def test_a_missing_variable_names_the_nearest(tmp_path):
    path = write(tmp_path / "a.nc", [0], [280], name="t2")
    with pytest.raises(DataError, match=r"a.nc holds no 't2m'. nearest: 't2'"):
        Template().open([path], ["t2m"])


def test_another_unit_is_refused(tmp_path):
    path = write(tmp_path / "a.nc", [0], [7], units="degC")
    with pytest.raises(DataError, match=r"a.nc, t2m: its unit is 'degC', expected 'K'"):
        Template().open([path], ["t2m"])


def test_a_broken_file_is_named(tmp_path):
    path = write(tmp_path / "a.nc", [0], [280])
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(DataError, match=r"a.nc cannot be read as NetCDF"):
        Template().open([path], ["t2m"])


def test_the_span_is_the_first_and_the_last_hour(tmp_path):
    source = Template()
    found = source.span(Member(write(tmp_path / "a.nc", [30, 2, 5], [280, 281, 282])))
    assert found == (np.datetime64("2023-01-01T02", "h"), np.datetime64("2023-01-02T06", "h"))
    assert source.span(Member(write(tmp_path / "b.nc", [0], [1], name="rain"))) is None
    (tmp_path / "c.nc").write_bytes(b"CDF")
    with pytest.raises(DataError, match=r"c.nc cannot be read as NetCDF"):
        source.span(Member(tmp_path / "c.nc"))
