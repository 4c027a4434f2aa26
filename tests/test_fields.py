import errno
import tracemalloc

import netCDF4
import numpy as np
import pytest
import rasterio
import xarray as xr
import zarr
from compliance_checker.runner import CheckSuite, ComplianceChecker

from airloom.errors import DataError
from airloom.grid import Grid
from airloom.infer.cf import field_dataset, linked
from airloom.infer.fields import create_zarr, read, write_day, write_netcdf, written

GRID = Grid.around(-3.7, 40.43, cell=2000, shape=(5, 4))
DAYS = np.arange("2023-02-27", "2023-03-02", dtype="datetime64[D]")  # 27, 28 February, 1 March
LEVELS = (0, 50)


def values(levels=None):
    shape = (3, 5, 4) if levels is None else (3, 2, 5, 4)
    array = np.arange(np.prod(shape), dtype="float32").reshape(shape)
    array[0, ..., 0, 0] = np.nan
    return array


def field(levels=None, hours=(0, 24)):
    return field_dataset(values(levels), grid=GRID, days=DAYS, levels=levels, hours=hours, attrs={"title": "A test"})


@pytest.fixture(params=[None, LEVELS], ids=["surface", "levels"])
def levels(request):
    return request.param


def test_a_field_written_read_and_written_again_is_itself(tmp_path, levels):
    write_netcdf(field(levels), tmp_path / "a.nc")
    first = read(tmp_path / "a.nc").load()
    write_netcdf(first, tmp_path / "b.nc")
    xr.testing.assert_identical(first, read(tmp_path / "b.nc"))
    xr.testing.assert_identical(first.drop_attrs(deep=False), field(levels).drop_attrs(deep=False))  # but for its history
    assert first.attrs["title"] == "A test"


def test_zarr_holds_what_netcdf_holds(tmp_path, levels):
    path = tmp_path / "a.zarr"
    create_zarr(path, GRID, DAYS, levels=levels)
    for index, day in enumerate(values(levels)):
        write_day(path, index, day)
    xr.testing.assert_identical(read(path).drop_attrs(deep=False), field(levels).drop_attrs(deep=False))
    write_netcdf(read(path), tmp_path / "a.nc")
    xr.testing.assert_identical(read(path), read(tmp_path / "a.nc"))


def test_the_file_as_another_library_sees_it(tmp_path):
    write_netcdf(field(LEVELS), tmp_path / "a.nc")
    with netCDF4.Dataset(tmp_path / "a.nc") as file:
        no2 = file["no2"]
        assert no2.dimensions == ("time", "level", "y", "x")
        assert no2.dtype == "float32"
        assert (no2.units, no2.cell_methods, no2.grid_mapping, no2.coordinates) == ("ug m-3", "time: mean", "crs", "lat lon")
        assert no2.chunking() == [1, 2, 5, 4]
        assert no2.filters()["zlib"]
        # 27 February 2023 is day 19,415 since 1970: 53 years of 365 days, 13 leap days, 31 + 26 days
        assert 53 * 365 + 13 + 31 + 26 == 19_415
        assert file["time"][:].tolist() == [19_415, 19_416, 19_417]
        assert file["time"].units.startswith("days since 1970-01-01")
        assert file["time_bnds"][:].tolist() == [[19_415, 19_416], [19_416, 19_417], [19_417, 19_418]]
        assert file["x_bnds"][0].tolist() == [GRID.left, GRID.left + 2000]
        assert file["y_bnds"][0].tolist() == [GRID.top, GRID.top - 2000]
        assert {"Conventions", "history", "title", "source", "institution", "references"} <= set(file.ncattrs())


def test_a_mean_of_some_hours_says_which(tmp_path):
    # day 19,415 has the hours from 465,960 on, and 11:00 is the eleventh after it
    assert 19_415 * 24 == 465_960
    expected = [[465_971, 465_973], [465_995, 465_997], [466_019, 466_021]]
    write_netcdf(field(hours=(11, 13)), tmp_path / "a.nc")
    with netCDF4.Dataset(tmp_path / "a.nc") as file:
        assert file["time"].units.startswith("hours since 1970-01-01")
        assert file["time_bnds"][:].tolist() == expected
        assert file["time"][:].tolist() == [first for first, _ in expected]  # within its bounds
        assert file["no2"].cell_methods == "time: mean"
        assert file["no2"].long_name == "11:00 to 13:00 UTC mean mass concentration of nitrogen dioxide"
    create_zarr(tmp_path / "a.zarr", GRID, DAYS, hours=(11, 13))
    for index, day in enumerate(values()):
        write_day(tmp_path / "a.zarr", index, day)
    xr.testing.assert_identical(
        read(tmp_path / "a.zarr").drop_attrs(deep=False), read(tmp_path / "a.nc").drop_attrs(deep=False)
    )
    bounds = read(tmp_path / "a.zarr")["time_bnds"].values
    assert bounds[0].astype("datetime64[h]").astype(str).tolist() == ["2023-02-27T11", "2023-02-27T13"]


def description(path):
    """All that a NetCDF file says, but for its values; and these as bytes."""
    with netCDF4.Dataset(path) as file:
        file.set_auto_mask(False)
        variables = {
            name: (v.dtype, v.dimensions, v.chunking(), v.filters(), [(a, str(v.getncattr(a))) for a in v.ncattrs()])
            for name, v in file.variables.items()
        }
        sizes = {name: (d.size, d.isunlimited()) for name, d in file.dimensions.items()}
        attributes = [(a, file.getncattr(a)) for a in file.ncattrs()]
        return variables, sizes, attributes, {name: v[:].tobytes() for name, v in file.variables.items()}


@pytest.mark.parametrize("hours", [(0, 24), (11, 13)])
def test_a_file_written_day_by_day_is_the_file_written_at_once(tmp_path, levels, hours):
    whole = field(levels, hours)
    write_netcdf(whole, tmp_path / "days.nc")
    unit = {"units": f"{'days' if hours == (0, 24) else 'hours'} since 1970-01-01 00:00:00", "calendar": "standard"}
    encoding = {n: {"_FillValue": None} for n in whole.variables}
    encoding |= {n: {"dtype": "int32", "_FillValue": None, **unit} for n in ("time", "time_bnds")}
    encoding |= {n: {"zlib": True, "complevel": 4, "_FillValue": None} for n in ("lat", "lon")}
    chunks = (1, *whole["no2"].shape[1:])
    encoding["no2"] = {"zlib": True, "complevel": 4, "chunksizes": chunks, "_FillValue": np.float32(np.nan)}
    linked(whole).to_netcdf(tmp_path / "once.nc", engine="netcdf4", encoding=encoding, unlimited_dims=["time"])
    assert description(tmp_path / "days.nc") == description(tmp_path / "once.nc")


def test_memory_does_not_grow_with_the_days_that_are_written(tmp_path):
    grid, days = (
        Grid.around(4, 50, cell=2000, shape=(128, 128)),
        np.arange("2023-01-01", "2023-03-02", dtype="datetime64[D]"),
    )
    create_zarr(tmp_path / "a.zarr", grid, days)
    for day in range(len(days)):
        write_day(tmp_path / "a.zarr", day, np.full((128, 128), day))
    stored = read(tmp_path / "a.zarr")
    tracemalloc.start()
    write_netcdf(stored, tmp_path / "a.nc")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < stored["no2"].nbytes / 4  # of sixty days
    assert read(tmp_path / "a.nc")["no2"][:, 5, 5].values.tolist() == list(range(60))


def test_gdal_knows_where_a_field_lies(tmp_path):
    write_netcdf(field(), tmp_path / "a.nc")
    with rasterio.open(f"netcdf:{tmp_path / 'a.nc'}:no2") as file:
        assert file.crs.to_epsg() == 3035
        assert file.transform.almost_equals(GRID.transform)
        assert file.count == 3
        assert file.read(2).tolist() == values()[1].tolist()


@pytest.mark.parametrize("hours", [(0, 24), (11, 13)])
def test_a_field_complies_with_cf(tmp_path, levels, hours):
    write_netcdf(field(levels, hours), tmp_path / "a.nc")
    CheckSuite.load_all_available_checkers()
    passed, failed = ComplianceChecker.run_checker(
        str(tmp_path / "a.nc"), ["cf:1.11"], 0, "strict", output_filename=str(tmp_path / "report.txt"), output_format="text"
    )
    assert not failed
    assert passed, (tmp_path / "report.txt").read_text()


def test_a_store_has_room_for_what_lies_beside_the_field(tmp_path):
    path, known = tmp_path / "a.zarr", {"coverage": {"long_name": "how well stations know the cell", "units": "1"}}
    create_zarr(path, GRID, DAYS, levels=LEVELS, beside=known)
    share = np.full(GRID.shape, 0.25)
    write_day(path, 1, values(LEVELS)[1], beside={"coverage": share})
    write_netcdf(read(path), tmp_path / "a.nc")
    with xr.open_dataset(tmp_path / "a.nc") as found:
        assert found["coverage"].dims == ("time", "y", "x")
        assert found["coverage"].attrs["units"] == "1"
        assert (found["coverage"] == 0.25).all()
        assert found["no2"].values.tolist() == values(LEVELS)[1:2].tolist()
    assert create_zarr(path, GRID, DAYS, levels=LEVELS, beside=known).tolist() == [False, True, False]
    with pytest.raises(DataError, match="holds a field without spread"):
        create_zarr(path, GRID, DAYS, levels=LEVELS, beside={"spread": {}})
    with pytest.raises(DataError, match="day 0: coverage belongs to a day of this store"):
        write_day(path, 0, values(LEVELS)[0])
    with pytest.raises(DataError, match="coverage has the shape"):
        write_day(path, 0, values(LEVELS)[0], beside={"coverage": share[1:]})


def test_a_store_knows_its_days(tmp_path):
    path = tmp_path / "a.zarr"
    assert create_zarr(path, GRID, DAYS).tolist() == [False, False, False]
    write_day(path, 2, values()[2])
    assert written(path).tolist() == [False, False, True]
    assert read(path)["time"].values.tolist() == DAYS[2:].astype("datetime64[ns]").tolist()
    assert read(path)["no2"].values.tolist() == values()[2:].tolist()
    # an interrupted run comes again, sees what is there and writes the rest
    assert create_zarr(path, GRID, DAYS).tolist() == [False, False, True]
    for index in np.flatnonzero(~written(path)):
        write_day(path, int(index), values()[index])
    xr.testing.assert_equal(read(path)["no2"], field()["no2"])


def test_a_store_opens_without_airloom(tmp_path):
    create_zarr(tmp_path / "a.zarr", GRID, DAYS)
    write_day(tmp_path / "a.zarr", 0, values()[0])
    opened = xr.open_zarr(tmp_path / "a.zarr", chunks=None, consolidated=True)
    assert zarr.open_group(tmp_path / "a.zarr").metadata.zarr_format == 3
    assert opened["no2"].attrs["units"] == "ug m-3"
    assert opened["written"].values.tolist() == [1, 0, 0]
    assert set(opened["no2"].coords) >= {"lat", "lon", "time", "y", "x"}


def test_a_day_that_breaks_off_does_not_count(tmp_path, monkeypatch):
    path = tmp_path / "a.zarr"
    create_zarr(path, GRID, DAYS)
    write_day(path, 1, values()[1])
    real = zarr.Array.__setitem__

    def full_disk(self, selection, value):
        if self.name == "/no2":
            raise OSError(errno.ENOSPC, "No space left on device")
        real(self, selection, value)

    monkeypatch.setattr(zarr.Array, "__setitem__", full_disk)
    # a day of 5 × 4 cells of 4 bytes
    with pytest.raises(DataError, match=r"the disk is full. 80 bytes were needed"):
        write_day(path, 1, values()[1])
    assert written(path).tolist() == [False, False, False]  # it was being replaced
    assert read(path).sizes["time"] == 0


def test_a_full_disk_leaves_no_file(tmp_path, monkeypatch):
    def full_disk(self, path, **_):
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(xr.Dataset, "to_netcdf", full_disk)
    with pytest.raises(DataError, match=f"a.nc: the disk is full. {field().nbytes:,} bytes were needed"):
        write_netcdf(field(), tmp_path / "a.nc")
    assert list(tmp_path.iterdir()) == []


def test_another_error_stays_itself(tmp_path, monkeypatch):
    def no_permission(self, path, **_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(xr.Dataset, "to_netcdf", no_permission)
    with pytest.raises(PermissionError):
        write_netcdf(field(), tmp_path / "a.nc")


@pytest.mark.parametrize(
    "other",
    [
        {"grid": Grid.around(-3.7, 40.43, cell=1000, shape=(5, 4))},
        {"grid": Grid("EPSG:32630", GRID.left, GRID.top, 2000, (5, 4))},
        {"days": DAYS + 1},
        {"levels": LEVELS},
        {"hours": (0, 12)},
    ],
    ids=["cells", "projection", "days", "levels", "hours"],
)
def test_a_store_of_another_field_is_not_overwritten(tmp_path, other):
    create_zarr(tmp_path / "a.zarr", GRID, DAYS)
    with pytest.raises(DataError, match="another grid, period, pollutant, or of other hours or levels"):
        create_zarr(tmp_path / "a.zarr", **({"grid": GRID, "days": DAYS} | other))


def test_shapes_are_checked(tmp_path):
    with pytest.raises(DataError, match=r"the shape \(3, 5, 4\); values have \(3, 4, 5\)"):
        field_dataset(np.zeros((3, 4, 5)), grid=GRID, days=DAYS)
    create_zarr(tmp_path / "a.zarr", GRID, DAYS)
    with pytest.raises(DataError, match="day 3 does not exist; the store has 3 days"):
        write_day(tmp_path / "a.zarr", 3, values()[0])
    with pytest.raises(DataError, match=r"day 0: no2 has the shape \(4, 5\), the store's days \(5, 4\)"):
        write_day(tmp_path / "a.zarr", 0, values()[0].T)


def test_what_is_no_field_is_refused(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        read(tmp_path / "absent.nc")
    (tmp_path / "a.nc").write_bytes(b"no NetCDF")
    with pytest.raises(DataError, match="cannot be read as a field"):
        read(tmp_path / "a.nc")
    xr.Dataset({"no2": ("time", [1.0])}).to_netcdf(tmp_path / "b.nc")
    with pytest.raises(DataError, match="it lacks crs, lat, lon, time_bnds, x, y"):
        read(tmp_path / "b.nc")
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match="cannot be read as a field"):
        read(tmp_path / "folder")
