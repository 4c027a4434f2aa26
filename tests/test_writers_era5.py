"""Weather written as the Climate Data Store writes it, read back, and compared with real files."""

import zipfile

import netCDF4
import numpy as np
import pytest
import xarray as xr

from airloom.cube.regrid import Bilinear
from airloom.errors import DataError, StudyError
from airloom.grid import Grid
from airloom.ledger import Ledger
from airloom.sources.era5 import ERA5Pressure, ERA5Single
from airloom.sources.era5_variables import PRESSURE, SINGLE
from airloom.twin.writers.degrees import on_degrees
from airloom.twin.writers.era5 import write_former, write_present
from airloom.twin.writers.era5_names import NAMES

LATITUDE, LONGITUDE = np.arange(46, 44, -0.25), np.arange(-1, 1.01, 0.25)
LEVELS = np.array([1000.0, 925, 550])
# typical values, and how far they vary
TYPICAL = {
    **{"t2m": (285, 10), "d2m": (280, 8), "u10": (2, 5), "v10": (-1, 5), "sp": (1e5, 2e3), "lai_lv": (2, 1)},
    **{"lai_hv": (3, 1), "tp": (1e-4, 9e-5), "ssr": (300, 290), "ssrd": (400, 390), "blh": (600, 500), "avg_ibld": (5, 4)},
    **{"avg_ie": (-3e-5, 2e-5), "avg_tsrwe": (1e-5, 9e-6), "avg_snswrf": (300, 290), "avg_snlwrf": (-60, 30)},
    **{"avg_tprate": (1e-4, 9e-5), "z": (2e4, 1e4), "vo": (0, 1e-4), "r": (60, 40), "t": (270, 20), "u": (5, 15)},
    **{"v": (0, 15), "w": (0, 1), "q": (5e-3, 4e-3)},
}


def weather(names, hours=25) -> xr.Dataset:
    """Canonical fields from 23 UTC of the day before, one hour more than a day."""
    random = np.random.default_rng(0)
    time = np.datetime64("2019-12-31T23", "ns") + np.arange(hours) * np.timedelta64(1, "h")
    coords = {"time": time, "level": LEVELS, "latitude": LATITUDE, "longitude": LONGITUDE}
    arrays = {}
    for name in names:
        dims = ["time", *(["level"] if name in PRESSURE else []), "latitude", "longitude"]
        centre, half = TYPICAL[name]
        values = centre + half * random.uniform(-1, 1, [len(coords[d]) for d in dims])
        units = (SINGLE | PRESSURE)[name].variable.units
        arrays[name] = (dims, values.astype(np.float32), {"units": units})
    found = xr.Dataset(arrays)
    return found.assign_coords({d: coords[d] for d in found.dims})


def assert_same(found: xr.Dataset, given: xr.Dataset, packed: bool) -> None:
    """Every value that was read is the one given, within half a step of packing where values were packed."""
    for name in given.data_vars:
        present = found[name].dropna("time", how="all")
        expected = given[name].sel(time=present.time).transpose(*present.dims)
        assert present.shape == expected.shape
        spread = float(given[name].max() - given[name].min())
        np.testing.assert_allclose(present, expected, rtol=2e-6, atol=0.51 * spread / 65532 if packed else 0)


@pytest.mark.parametrize(("source", "names"), [(ERA5Single, list(SINGLE)), (ERA5Pressure, list(PRESSURE))])
@pytest.mark.parametrize("present", [False, True], ids=["former", "present"])
def test_round_trip(tmp_path, source, names, present):
    given = weather(names)
    if present:
        path = write_present(given, tmp_path, "era5_2020-01")
    else:
        path = tmp_path / "era5_2020-01.nc"
        write_former(given, path)
    found = source().open([path], names, Ledger())
    assert_same(found, given, packed=not present)
    assert set(found.data_vars) == set(names)
    assert not [p for p in tmp_path.iterdir() if p != path]


def test_means_stand_at_the_end_of_their_hour_as_the_provider_has_them(tmp_path):
    given = weather(["t2m", "avg_tprate"])  # 23 UTC of the day before to 23 UTC
    given["avg_tprate"][:] = np.arange(25)[:, None, None] * np.float32(1e-5)  # 0 in the hour from 23 UTC of the day before
    path = write_present(given, tmp_path, "x")
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["data_stream-oper_stepType-instant.nc", "data_stream-oper_stepType-avg.nc"]
        archive.extractall(tmp_path)
    with netCDF4.Dataset(tmp_path / "data_stream-oper_stepType-avg.nc") as file:
        assert file["valid_time"][[0, -1]].tolist() == [1577836800, 1577836800 + 23 * 3600]  # 2020-01-01, 00 and 23 UTC
        # the hour that ends at 00 UTC is the first one given; the one that ends at 24 UTC is in the next day's file
        np.testing.assert_allclose(file["avg_tprate"][[0, -1], 0, 0], [0, 23e-5], rtol=1e-6)
    with netCDF4.Dataset(tmp_path / "data_stream-oper_stepType-instant.nc") as file:
        np.testing.assert_array_equal(file["t2m"][0], given["t2m"][1])


def test_a_file_of_one_kind_holds_every_hour(tmp_path):
    path = write_present(weather(["avg_tprate"], hours=3), tmp_path, "x")
    assert path.suffix == ".nc"
    with netCDF4.Dataset(path) as file:
        assert file.dimensions["valid_time"].size == 3


def test_sums_are_metres_in_the_hour(tmp_path):
    given = weather(["tp"], hours=2)
    given["tp"][:] = 0.001  # kg m⁻² s⁻¹: 3.6 kg m⁻² in the hour, 3.6 mm
    write_former(given, tmp_path / "tp.nc")
    with netCDF4.Dataset(tmp_path / "tp.nc") as file:
        assert file["tp"].units == "m"
        np.testing.assert_allclose(file["tp"][:], 0.0036, rtol=1e-6)


def test_missing_values_stay_missing(tmp_path):
    given = weather(["t2m"], hours=2)
    given["t2m"][0, 0, 0] = np.nan
    write_former(given, tmp_path / "a.nc")
    path = write_present(given, tmp_path, "b")
    for file in (tmp_path / "a.nc", path):
        found = ERA5Single().open([file], ["t2m"], Ledger())["t2m"]
        assert int(found.isnull().sum()) == 1
        assert np.isnan(found[0, 0, 0])


def header(variable: netCDF4.Variable) -> dict:
    """What a reader sees of a variable, but for the numbers that depend on its values."""
    attributes = {k: variable.getncattr(k) for k in variable.ncattrs() if k not in ("scale_factor", "add_offset")}
    return {"type": str(variable.dtype), "dims": variable.dimensions, **{k: str(v) for k, v in attributes.items()}}


@pytest.mark.parametrize(
    ("real", "names"), [("feedinlib_ERA5_example_data.nc", ["u10", "v10", "t2m", "sp"]), ("earthkit_test4.nc", ["t", "z"])]
)
def test_former_files_have_the_headers_of_real_ones(data, tmp_path, real, names):
    write_former(weather(names), tmp_path / "x.nc")
    with netCDF4.Dataset(data / "era5" / real) as file, netCDF4.Dataset(tmp_path / "x.nc") as ours:
        assert ours.data_model == file.data_model
        assert list(ours.dimensions) == list(file.dimensions)
        assert ours.Conventions == file.Conventions
        for name in [*file.dimensions, *names]:
            assert header(ours[name]) == header(file[name])
            assert ours[name].ncattrs() == file[name].ncattrs() or name in names
        for name in names:
            assert set(ours[name].ncattrs()) == set(file[name].ncattrs())
            ours.set_auto_maskandscale(False)
            assert ours[name][:].min() == -32766
            assert ours[name][:].max() == 32766
        axes = ["latitude", "level"] if "level" in names else ["latitude"]
        for axis in axes:
            assert np.sign(np.diff(ours[axis][:])).tolist()[0] == np.sign(np.diff(file[axis][:])).tolist()[0]


def test_present_files_have_the_header_that_cfgrib_writes(tmp_path):
    # a header of a real file of January 2020, pressure levels, as ncdump prints it
    path = write_present(weather(["t"], hours=2), tmp_path, "pressure")
    with netCDF4.Dataset(path) as file:
        assert list(file.dimensions) == ["valid_time", "pressure_level", "latitude", "longitude"]
        assert list(file.variables) == ["number", "valid_time", "pressure_level", "latitude", "longitude", "expver", "t"]
        assert file["pressure_level"][:].tolist() == [1000, 925, 550]
        assert file["pressure_level"].ncattrs() == [
            *("_FillValue", "long_name", "units", "positive", "stored_direction", "standard_name")
        ]
        assert file["valid_time"].dtype == np.int64
        assert file["valid_time"].units == "seconds since 1970-01-01"
        assert file["expver"].dtype is str
        assert file["expver"][:].tolist() == ["0001", "0001"]
        assert file["number"].shape == ()
        assert file["t"].dtype == np.float32
        expected = {
            **{"GRIB_paramId": 130, "GRIB_dataType": "an", "GRIB_typeOfLevel": "isobaricInhPa", "GRIB_stepType": "instant"},
            **{"GRIB_cfName": "air_temperature", "GRIB_cfVarName": "t", "GRIB_name": "Temperature", "GRIB_units": "K"},
            **{"GRIB_Nx": 9, "GRIB_Ny": 8, "GRIB_numberOfPoints": 72, "GRIB_iDirectionIncrementInDegrees": 0.25},
            **{"GRIB_latitudeOfFirstGridPointInDegrees": 46, "GRIB_longitudeOfFirstGridPointInDegrees": -1},
            "coordinates": "number valid_time isobaricInhPa latitude longitude expver",
        }
        assert {k: file["t"].getncattr(k) for k in expected} == expected


def test_names_are_those_of_eccodes():
    eccodes = pytest.importorskip("eccodes")
    for name, known in NAMES.items():
        kind = "pl" if name in PRESSURE else "sfc"
        message = eccodes.codes_grib_new_from_samples(f"regular_ll_{kind}_grib1")
        for key, value in {"setLocalDefinition": 1, "class": "ea", "paramId": known.number}.items():
            eccodes.codes_set(message, key, value)
        found = [eccodes.codes_get(message, k) for k in ("cfVarName", "shortName", "name", "units", "cfName")]
        eccodes.codes_release(message)
        assert found == [name, known.short, known.name, known.units, known.standard or "unknown"]


def test_what_is_not_canonical_is_refused(tmp_path):
    path = tmp_path / "x.nc"
    with pytest.raises(DataError, match="'mtpr' is not a variable of ERA5"):
        write_former(weather(["avg_tprate"]).rename(avg_tprate="mtpr"), path)
    with pytest.raises(DataError, match="single levels or pressure levels, not both"):
        write_former(weather(["t", "t2m"]), path)
    with pytest.raises(DataError, match="t2m is in 'degC', expected 'K'"):
        write_former(xr.Dataset({"t2m": weather(["t2m"])["t2m"].assign_attrs(units="degC")}), path)
    with pytest.raises(DataError, match="latitude must descend"):
        write_former(weather(["t2m"]).isel(latitude=slice(None, None, -1)), path)
    with pytest.raises(DataError, match="no hour has all of t2m, avg_ie"):
        write_former(weather(["t2m", "avg_ie"], hours=1), path)
    assert not list(tmp_path.iterdir())


def margin(window: Grid, cells: int, cell: float = 16e3) -> Grid:
    """A grid of 16 km cells over a window, and as many round it."""
    rows, columns = (int(n * window.cell / cell) + 2 * cells for n in window.shape)
    return Grid(window.crs, window.left - cells * cell, window.top + cells * cell, cell, (rows, columns))


@pytest.mark.parametrize("place", [(3, 47), (-6, 53), (24, 60)])
def test_box_encloses_the_window_and_interpolation_is_exact_for_planes(place):
    window = Grid.around(*place, cell=2000, shape=(128, 128))
    grid = margin(window, 3)
    # a plane in easting and northing is its own bilinear interpolation
    plane = (grid.x[None, :] - 4e6) / 1e3 + 2 * (grid.y[:, None] - 2.5e6) / 1e3
    values = np.stack([plane, plane + 1]).astype(np.float32)
    fields = xr.Dataset({"t2m": (("time", "y", "x"), values, {"units": "K"})}, {"time": [0, 1]})
    found = on_degrees(fields, grid, window)
    assert found["t2m"].dims == ("time", "latitude", "longitude")
    assert found["t2m"].attrs == {"units": "K"}
    latitude, longitude = found["latitude"].to_numpy(), found["longitude"].to_numpy()
    assert np.allclose(np.diff(latitude), -0.25)
    assert np.allclose(np.diff(longitude), 0.25)
    assert np.allclose(latitude * 4, np.round(latitude * 4))
    lon, lat = window.lonlat()
    assert latitude[-1] < lat.min() < latitude[-1] + 0.3
    assert latitude[0] > lat.max() > latitude[0] - 0.3
    assert longitude[0] < lon.min() < longitude[0] + 0.3
    x, y = grid.project(*np.meshgrid(longitude, latitude))
    expected = (x - 4e6) / 1e3 + 2 * (y - 2.5e6) / 1e3
    left, bottom, right, top = window.bounds
    near = (x > left - 25e3) & (x < right + 25e3) & (y > bottom - 25e3) & (y < top + 25e3)
    assert near.sum() > 20
    np.testing.assert_allclose(found["t2m"].to_numpy()[1][near], expected[near] + 1, rtol=1e-5)
    assert np.isfinite(found["t2m"]).all()


def test_what_is_written_comes_back_on_the_window(tmp_path):
    """Onto degrees, into the store's file, out of it, and onto the grid: a smooth field is what it was."""
    window = Grid.around(-3, 50, cell=16e3, shape=(16, 16))
    grid = margin(window, 3)
    lon, lat = grid.lonlat()
    values = np.broadcast_to(280 + 0.5 * (lat - 50) + 0.3 * (lon + 3), (2, *grid.shape)).astype(np.float32)
    time = np.datetime64("2020-01-01", "ns") + np.arange(2) * np.timedelta64(1, "h")
    fields = xr.Dataset({"t2m": (("time", "y", "x"), values, {"units": "K"})}, {"time": time})
    path = write_present(on_degrees(fields, grid, window), tmp_path, "t2m")
    read = ERA5Single().open([path], ["t2m"], Ledger())
    weights = Bilinear.between(read["latitude"].to_numpy(), read["longitude"].to_numpy(), window)
    assert weights.outside == 0
    np.testing.assert_allclose(weights.apply(read)["t2m"], values[:, 3:-3, 3:-3], atol=2e-3)


def test_too_small_a_margin_is_refused():
    window = Grid.around(3, 47, cell=2000, shape=(128, 128))
    grid = margin(window, 1)
    fields = xr.Dataset({"t2m": (("y", "x"), np.zeros(grid.shape, np.float32))})
    with pytest.raises(
        StudyError, match=r"lie \d+ km beyond the fields' outermost cells. Give the fields a margin that is 2"
    ):
        on_degrees(fields, grid, window)
