import zipfile

import netCDF4
import numpy as np
import pytest
import xarray as xr

from airloom.errors import DataError
from airloom.ledger import Ledger
from airloom.sources.cams import CAMSEurope
from airloom.sources.members import Member, members
from airloom.twin.writers.cams import write_cams

NAME = "cams.eaq.vra.ENSa.no2.l0.2019-01.nc"


def fields(hours=48, heights=(0.0, 250.0), name="no2", first="2019-01-01", units="ug m-3"):
    """Values are 100 × height's number + row + hour / 1000, so that each cell, hour and height can be told."""
    time = np.datetime64(first, "ns") + np.arange(hours) * np.timedelta64(1, "h")
    values = (
        np.arange(hours)[:, None, None, None] / 1000
        + 100.0 * np.arange(len(heights))[:, None, None]
        + np.arange(4)[:, None]
        + np.zeros((1, 1, 1, 3))
    )
    coords = {"time": time, "height": list(heights), "latitude": [50.3, 50.2, 50.1, 50.0], "longitude": [4.0, 4.1, 4.2]}
    return xr.Dataset({name: (("time", "height", "latitude", "longitude"), values, {"units": units})}, coords)


def test_what_was_written_is_read(tmp_path):
    paths = write_cams(fields(), tmp_path)
    assert [p.name for p in paths] == [NAME, "cams.eaq.vra.ENSa.no2.l250.2019-01.nc"]
    found = CAMSEurope().open(paths[::-1], ["no2"])
    assert found["no2"].dims == ("time", "height", "latitude", "longitude")
    assert found["no2"].attrs["units"] == "ug m-3"
    assert found["height"].values.tolist() == [0, 250]
    assert found["latitude"].values.tolist() == [50.3, 50.2, 50.1, 50.0]
    assert found["no2"].values == pytest.approx(fields()["no2"].values.astype("float32"), abs=0)
    assert found["time"].values[[0, -1]].astype("datetime64[h]").astype(str).tolist() == ["2019-01-01T00", "2019-01-02T23"]


def test_the_file_looks_like_the_real_one(tmp_path):
    write_cams(fields(), tmp_path, stream="ira")
    with netCDF4.Dataset(tmp_path / NAME.replace("vra", "ira")) as file:
        assert file["no2"].dimensions == ("time", "lat", "lon")
        assert file["no2"].units == "µg/m3"
        assert file["lat"][:].tolist() == [50.0, 50.1, 50.2, 50.3]  # ascending
        assert file["time"].units == "hours since 2019-01-01 00:00:00"
        assert file["time"][:3].tolist() == [0, 1, 2]
        assert file.Title == "CAMS European air quality interim reanalysis"


def test_a_box_and_some_hours_are_read_alone(tmp_path):
    write_cams(fields(), tmp_path)
    hours = np.datetime64("2019-01-01T05"), np.datetime64("2019-01-01T06")
    part = CAMSEurope().read(Member(tmp_path / NAME), ["no2"], box=(4.05, 50.05, 4.15, 50.25), hours=hours)
    assert part["latitude"].values.tolist() == [50.2, 50.1]
    assert part["longitude"].values.tolist() == [4.1]
    # rows 1 and 2 of the second hour and the third: 1 + 0.005, 2 + 0.005, and 0.001 more
    assert part["no2"].values.ravel() == pytest.approx([1.005, 2.005, 1.006, 2.006])
    with pytest.raises(DataError, match="no cell lies in 10…11°E 50…51°N"):
        CAMSEurope().read(Member(tmp_path / NAME), ["no2"], box=(10, 50, 11, 51))


def test_archives_and_months_are_joined(tmp_path):
    paths = write_cams(fields(hours=32 * 24, heights=(0.0,)), tmp_path)  # 32 days: January, and one day of February
    assert [p.name[-10:] for p in paths] == ["2019-01.nc", "2019-02.nc"]
    with zipfile.ZipFile(tmp_path / "both.zip", "w") as archive:
        for path in paths:
            archive.write(path, path.name)
    source = CAMSEurope()
    found = source.open([tmp_path / "both.zip"], ["no2"])
    assert found["no2"].values == pytest.approx(fields(hours=32 * 24, heights=(0.0,))["no2"].values.astype("float32"), abs=0)
    spans = [source.span(m) for m in members([tmp_path / "both.zip"])]
    assert [str(h) for span in spans for h in span] == ["2019-01-01T00", "2019-01-31T23", "2019-02-01T00", "2019-02-01T23"]


def test_a_height_that_a_month_lacks_is_nan(tmp_path):
    paths = write_cams(fields(hours=24), tmp_path) + write_cams(
        fields(hours=24, heights=(0.0,), first="2019-02-01"), tmp_path
    )
    found = CAMSEurope().open(paths, ["no2"])["no2"]
    assert np.isnan(found.values).sum() == 24 * 4 * 3  # February's 250 m
    assert np.isnan(found.sel(height=250, time="2019-02")).all()


def test_the_validated_stream_wins_and_the_ledger_tells(tmp_path):
    validated = write_cams(fields(hours=24, heights=(0.0,)), tmp_path)
    other = fields(hours=30, heights=(0.0,))
    other["no2"] = (other["no2"] + 5).assign_attrs(units="ug m-3")
    ledger = Ledger()
    found = CAMSEurope().open(write_cams(other, tmp_path, stream="ira") + validated, ["no2"], ledger)
    assert found["no2"].isel(time=23, height=0, latitude=0, longitude=0) == pytest.approx(0.023)
    assert found["no2"].isel(time=24, height=0, latitude=0, longitude=0) == pytest.approx(5.024)
    assert [(e.verdict, e.count, e.what) for e in ledger.of("value")] == [
        ("kept", 6, "cams-europe, 2019-01-02T00 to 2019-01-02T05"),
        ("out", 24, "cams-europe, 2019-01-01T00 to 2019-01-01T23"),
    ]


def test_files_of_one_stream_that_differ_are_refused(tmp_path):
    (a,) = write_cams(fields(hours=24, heights=(0.0,)), tmp_path / "a")
    other = fields(hours=24, heights=(0.0,))
    other["no2"] = (other["no2"] + 1).assign_attrs(units="ug m-3")
    (b,) = write_cams(other, tmp_path / "b")
    with pytest.raises(DataError, match=r"no2 at 0 m at 2019-01-01 00:00: .* differ by up to 1"):
        CAMSEurope().open([a, b], ["no2"])


def test_cells_that_moved_are_refused(tmp_path):
    (a,) = write_cams(fields(hours=24, heights=(0.0,)), tmp_path / "a")
    moved = fields(hours=24, heights=(0.0,), first="2020-01-01").assign_coords(longitude=[4.05, 4.15, 4.25])
    (b,) = write_cams(moved, tmp_path / "b")
    with pytest.raises(DataError, match=r"lie on different cells. CAMS moved its cells"):
        CAMSEurope().open([a, b], ["no2"])


def test_pollutants_lie_in_files_of_their_own(tmp_path):
    both = xr.merge([fields(24, (0.0,)), fields(24, (0.0,), "pm2p5")])
    found = CAMSEurope().open(write_cams(both, tmp_path), ["pm2p5", "no2"])
    assert set(found) == {"no2", "pm2p5"}
    assert not np.isnan(found["pm2p5"]).any()
    with pytest.raises(DataError, match=r"o3 \(concentration of ozone\) is in none of 2 files; they hold no2, pm2p5"):
        CAMSEurope().open(sorted(tmp_path.iterdir()), ["o3"])


def test_a_height_as_a_dimension_and_bare_hours_are_understood(tmp_path):
    path = tmp_path / NAME
    with netCDF4.Dataset(path, "w") as file:
        for name, values in {"time": [0, 1], "level": [50, 0], "lat": [50.0, 50.1], "lon": [359.9, 0.0]}.items():
            file.createDimension(name, len(values))
            file.createVariable(name, "f4", (name,))[:] = values
        data = file.createVariable("no2", "f4", ("time", "level", "lat", "lon"))
        data.units = "ug/m3"
        data[:] = np.arange(16).reshape(2, 2, 2, 2)
    found = CAMSEurope().open([path], ["no2"])
    assert found["height"].values.tolist() == [0, 50]
    assert found["longitude"].values.tolist() == [-0.1, 0.0]
    assert found["time"].values[1] == np.datetime64("2019-01-01T01")
    # the ground is the file's second level; north, its second row, comes first
    assert found["no2"].isel(time=0, height=0).values.tolist() == [[6, 7], [4, 5]]


def change(path, new, edit):
    """A copy of a file, changed in xarray."""
    with xr.open_dataset(path, engine="netcdf4") as file:
        edit(file.load()).to_netcdf(new, engine="netcdf4")
    return new


def test_bad_files_are_named(tmp_path):
    source, good = CAMSEurope(), write_cams(fields(24, (0.0,)), tmp_path)[0]
    folder = tmp_path / "bad"
    folder.mkdir()
    bad = folder / NAME
    with pytest.raises(DataError, match=r"'nox' is not a variable of CAMS European .* nearest: 'no2?'"):
        source.read(Member(good), ["nox"])
    change(good, bad, lambda f: f.assign(no2=f["no2"].assign_attrs(units="ppb")))
    with pytest.raises(DataError, match=r"no2.l0.2019-01.nc: no2 is in 'ppb', expected 'µg/m3'"):
        source.read(Member(bad), ["no2"])
    change(good, bad, lambda f: f.rename(lat="row"))
    with pytest.raises(DataError, match=r"no2 has dimensions .*'row'.*, expected time, lat, lon"):
        source.read(Member(bad), ["no2"])
    change(good, bad, lambda f: f.assign(no2=(f["no2"] * 0 - 999).assign_attrs(units="µg/m3")))
    with pytest.raises(DataError, match="no2 holds -999 µg/m3, which cannot be"):
        source.read(Member(bad), ["no2"])
    change(good, bad, lambda f: f.assign_coords(time=f["time"] + np.timedelta64(30, "m")))
    with pytest.raises(DataError, match="has the time 2019-01-01T00:30:00, expected full hours"):
        source.read(Member(bad), ["no2"])
    nameless = change(good, folder / "no2.nc", lambda f: f)
    with pytest.raises(DataError, match=r"no2.nc does not say its height"):
        source.read(Member(nameless), ["no2"])
    bad.write_bytes(good.read_bytes()[:500])
    with pytest.raises(DataError, match=r"2019-01.nc cannot be read as NetCDF"):
        source.span(Member(bad))
    bad.write_bytes(b"")
    with pytest.raises(DataError, match="is empty"):
        source.open([bad], ["no2"])
    with pytest.raises(DataError, match="no2 is on"):
        write_cams(fields(units="ppb"), tmp_path)
