"""ERA5 as it should not come: each error names the file, what was found and what was expected."""

import sys

import numpy as np
import pytest
import xarray as xr

from airloom.errors import AirloomError, DataError
from airloom.ledger import Ledger
from airloom.sources.era5 import ERA5Land, ERA5Pressure, ERA5Single
from tests.era5_files import SSRD, T2M, T, grib, message, new_netcdf, old_netcdf, opened, read

pytest.importorskip("eccodes")
WARM = message(T2M, "2020-01-01T00", 280)


def refused(source, *paths, variables, match):
    with pytest.raises(DataError, match=match) as caught:
        opened(source, *paths, variables=variables)
    return str(caught.value)


@pytest.mark.parametrize("cut", [1, 4, 100, len(WARM) - 9, len(WARM) - 1])
def test_truncated_grib_names_the_message(tmp_path, cut):
    path = grib(tmp_path / "a.grib", WARM, message(T2M, "2020-01-01T01", 281), WARM[:-cut])
    refused(ERA5Single(), path, variables=["t2m"], match=r"a\.grib.*GRIB message 3")


def test_a_hole_in_a_file_is_no_filling(tmp_path):
    path = grib(tmp_path / "a.grib", WARM, bytes(500), WARM)
    refused(ERA5Single(), path, variables=["t2m"], match="GRIB message 2 should begin")


def test_other_files(tmp_path):
    (tmp_path / "a.grib").write_text("<html>please log in</html>")
    refused(ERA5Single(), tmp_path / "a.grib", variables=["t2m"], match="neither GRIB nor NetCDF: it begins with b'<htm'")
    (tmp_path / "b.nc").write_bytes(b"PK\x03\x04 and so on")
    refused(ERA5Single(), tmp_path / "b.nc", variables=["t2m"], match="Rename it to end in .zip")
    whole = new_netcdf(tmp_path / "c.nc", "t2m", "K", np.full(500, 280)).read_bytes()
    (tmp_path / "d.nc").write_bytes(whole[: len(whole) // 2])
    refused(ERA5Single(), tmp_path / "d.nc", variables=["t2m"], match=r"d\.nc.*cannot be read")


def test_grid_that_is_not_regular(tmp_path):
    import eccodes

    handle = eccodes.codes_grib_new_from_samples("reduced_gg_pl_32_grib1")
    for key, value in {"setLocalDefinition": 1, "class": "ea", "paramId": 130, "level": 850}.items():
        eccodes.codes_set(handle, key, value)
    path = grib(tmp_path / "a.grib", eccodes.codes_get_message(handle))
    refused(
        ERA5Pressure(),
        path,
        variables=["t"],
        match=r"a\.grib, message 1: t is on a 'reduced_gg' grid, expected 'regular_ll'",
    )


def test_variables(tmp_path):
    path = grib(tmp_path / "a.grib", WARM)
    refused(ERA5Single(), path, variables=["blhh"], match="not a variable of ERA5 on single levels. nearest: 'blh'")
    refused(ERA5Single(), path, variables=["mtpr"], match="airloom calls it 'avg_tprate'")
    refused(ERA5Single(), path, variables=["d2m"], match=r"a\.grib holds none of d2m; it holds t2m")
    text = refused(ERA5Single(), path, variables=["t2m", "d2m"], match="d2m .* is in none of 1 files")
    assert "nearest: 't2m'" in text


def test_units_and_range(tmp_path):
    celsius = old_netcdf(tmp_path / "a.nc", "t2m", "degC", [20, 21])
    refused(ERA5Single(), celsius, variables=["t2m"], match=r"a\.nc: t2m is in 'degC', expected K")
    mislabelled = old_netcdf(tmp_path / "b.nc", "t2m", "K", [20, 21])
    refused(ERA5Single(), mislabelled, variables=["t2m"], match=r"b\.nc: t2m ranges from 20 to 21 K, expected 180 to 340")


def test_half_hours_and_scrambled_dimensions(tmp_path):
    times = np.array(["2020-01-01T00:00", "2020-01-01T00:30"], "datetime64[ns]")
    path = old_netcdf(tmp_path / "a.nc", "t2m", "K", [280, 281], time=times)
    refused(ERA5Single(), path, variables=["t2m"], match="2020-01-01T00:30:00, expected full hours")
    xr.Dataset({"t2m": ("point", [280.0], {"units": "K"})}).to_netcdf(tmp_path / "b.nc", engine="netcdf4")
    refused(ERA5Single(), tmp_path / "b.nc", variables=["t2m"], match=r"b\.nc has dimensions point")


def test_another_product(tmp_path):
    path = grib(tmp_path / "a.grib", WARM)
    refused(ERA5Land(), path, variables=["t2m"], match=r"class 'ea' \(ERA5\), expected class 'l5' \(ERA5-Land\)")
    monthly = grib(tmp_path / "b.grib", message(T2M, "2020-01-01T00", 280, stream="moda"))
    refused(ERA5Single(), monthly, variables=["t2m"], match="stream 'moda', expected 'oper'")
    test = grib(tmp_path / "c.grib", message(T2M, "2020-01-01T00", 280, expver="0077"))
    refused(ERA5Single(), test, variables=["t2m"], match="experiment version '0077', expected 0001")


def test_ensemble_members(data, tmp_path):
    content = (data / "era5" / "cfgrib_era5-levels-members.grib").read_bytes()
    (tmp_path / "one.grib").write_bytes(content[: content.index(b"GRIB", 4)])  # member 0 alone
    assert opened(ERA5Pressure(), tmp_path / "one.grib", variables=["z"])[0].z.shape[0] == 1
    numbers = xr.Dataset(
        {"t2m": (("number", "time", "latitude", "longitude"), np.full((2, 1, 1, 1), 280.0), {"units": "K"})},
        {"number": [0, 1], "time": np.array(["2020-01-01"], "datetime64[ns]"), "latitude": [40.0], "longitude": [3.0]},
    )
    numbers.to_netcdf(tmp_path / "two.nc", engine="netcdf4")
    refused(ERA5Single(), tmp_path / "two.nc", variables=["t2m"], match=r"two\.nc holds ensemble members 0, 1")


def test_levels_where_none_belong(tmp_path):
    path = old_netcdf(tmp_path / "a.nc", "t", "K", [280, 281])  # the old store left a single level's name out
    refused(ERA5Pressure(), path, variables=["t"], match="t has no pressure level")


def test_two_grids(tmp_path):
    one = old_netcdf(tmp_path / "a.nc", "t2m", "K", [280, 281])
    two = old_netcdf(tmp_path / "b.nc", "t2m", "K", [280, 281], "2020-02-01T00", latitude=np.float32([51, 50]))
    refused(ERA5Single(), one, two, variables=["t2m"], match=r"b\.nc lies on another grid than a\.nc: latitude 51 … 50")


def test_two_files_that_differ(tmp_path):
    one = new_netcdf(tmp_path / "a.nc", "t2m", "K", [280, 281])
    two = new_netcdf(tmp_path / "b.nc", "t2m", "K", [282], "2024-01-01T01")
    text = refused(ERA5Single(), one, two, variables=["t2m"], match="t2m at 2024-01-01 01:00")
    assert "a.nc" in text
    assert "b.nc" in text


def test_a_file_that_repeats_an_hour_with_another_value(tmp_path):
    path = grib(tmp_path / "a.grib", WARM, message(T2M, "2020-01-01T00", 290))
    refused(ERA5Single(), path, variables=["t2m"], match="t2m at 2020-01-01 00:00: a.grib and a.grib differ by up to 10")


def test_hourly_sums_read_as_sums_since_midnight(tmp_path):
    falling = [message(SSRD, "2020-01-01", v, step=h, product="l5") for h, v in ((1, 360000), (2, 36000))]
    path = grib(tmp_path / "a.grib", *falling)
    refused(
        ERA5Land(), path, variables=["ssrd"], match=r"a\.grib: ssrd falls by 3\.24e\+05 in the hour from 2020-01-01 01:00"
    )


def test_sums_since_midnight_read_as_hourly_sums(tmp_path):
    path = old_netcdf(tmp_path / "a.nc", "ssrd", "J m**-2", [0, 2e7])  # 20 MJ in an hour would be 5556 W m⁻²
    refused(ERA5Single(), path, variables=["ssrd"], match="ssrd ranges from 0 to 5555.6 W m-2")


def test_attributes_lost_on_the_way(tmp_path):
    path = grib(tmp_path / "a.grib", message(SSRD, "2020-01-01", 3600, step=1, product="l5"))
    (part,) = read(ERA5Land(), path, variables=["ssrd"])
    with pytest.raises(DataError, match=r"a\.grib: ssrd has attributes .* expected units 'J m-2' and accumulated 1"):
        ERA5Land().combine([part.assign(ssrd=part.ssrd.drop_attrs())], Ledger())


def test_eccodes_is_not_installed(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "eccodes", None)
    path = grib(tmp_path / "a.grib", WARM)
    with pytest.raises(AirloomError, match=r"pip install 'airloom\[grib\]'"):
        opened(ERA5Single(), path, variables=["t2m"])


def test_unwanted_messages_may_be_anything(tmp_path):
    broken = bytearray(message(T, "2020-01-01T00", 280, level=850))
    broken[60:70] = bytes(10)
    path = grib(tmp_path / "a.grib", WARM, bytes(broken))
    assert opened(ERA5Single(), path, variables=["t2m"])[0].t2m.shape == (1, 2, 3)
