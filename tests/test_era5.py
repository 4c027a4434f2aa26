"""ERA5 as it comes: real files against values read with plain eccodes and netCDF4, small files against arithmetic."""

import zipfile

import netCDF4
import numpy as np
import pytest

from airloom.ledger import Ledger
from airloom.sources.era5 import ERA5Land, ERA5Pressure, ERA5Single
from airloom.sources.members import Member
from tests.era5_files import SSRD, T2M, TP, T, grib, message, new_netcdf, old_netcdf, opened, read

eccodes = pytest.importorskip("eccodes")
JULY, AUGUST = "2024_b2059fbc1784801cf42da7f03fa7e53f.grib", "2024_2fa0be3cc9df209cd2163144d772fe6e.grib"
DECEMBER = "2024_12fe350085815bf9c0e14c1705cc590d.grib"


def madrid(data, *names, variables):
    """ERA5-Land of some months of 2024 in Madrid, and the ledger."""
    source, ledger = ERA5Land(), Ledger()
    parts = [source.read(Member(data / "madrid-no2" / "era5land-2024.zip", n), variables) for n in names]
    return source.combine(parts, ledger), ledger


def at(field, time, row=0, column=0):
    return float(field.sel(time=np.datetime64(time)).values[..., row, column])


def test_madrid_july_is_what_eccodes_reads(data):
    fields, ledger = madrid(data, JULY, variables=["t2m", "ssrd", "tp"])
    # eccodes, first cell: paramId 167, 20240715, step 12; 169: 11809600 and 14432730 J m⁻² at steps 12 and 13
    assert at(fields.t2m, "2024-07-15T12") == pytest.approx(300.0181884765625, abs=1e-4)
    assert at(fields.ssrd, "2024-07-15T12") == pytest.approx((14432730.0 - 11809600.0) / 3600, abs=1e-3)
    # 228, second cell: 7.899105548858643e-05 and 1.1777877807617188e-4 m; a metre is 1000 kg m⁻²
    expected = (1.1777877807617188e-4 - 7.899105548858643e-05) * 1000 / 3600
    assert at(fields.tp, "2024-07-15T12", 0, 1) == pytest.approx(expected, rel=1e-4)
    assert fields.ssrd.dims == ("time", "latitude", "longitude")
    assert fields.ssrd.dtype == np.float32
    assert fields.latitude.values.tolist() == [40.7, 40.6, 40.5, 40.4, 40.3]
    assert fields.longitude.values.tolist() == [
        -3.7,
        -3.6,
    ]
    assert float(fields.tp.min()) == 0
    assert float(fields.ssrd.min()) == 0
    assert {e.what for e in ledger.of("value", "changed")} == {"ssrd", "tp"}


def test_madrid_31st_is_absent_and_its_sum_is_in_no_hour(data):
    fields, _ = madrid(data, JULY, AUGUST, variables=["t2m", "ssrd"])
    days = fields.time.values.astype("datetime64[D]")
    assert not np.isin(days, np.array(["2024-07-31", "2024-08-31"], "datetime64[D]")).any()
    assert np.isfinite(at(fields.t2m, "2024-07-30T23"))
    assert np.isnan(at(fields.ssrd, "2024-07-30T23"))  # step 24 of the 30th would stand under the 31st
    assert np.isfinite(at(fields.t2m, "2024-08-01T00"))  # step 24 of the 31st
    assert at(fields.ssrd, "2024-08-01T00") == 0  # night, not the 31st's whole sum
    assert float(fields.ssrd.max()) < 1100


def test_madrid_december_counts_719_preliminary_hours(data):
    _, ledger = madrid(data, DECEMBER, variables=["t2m"])
    (entry,) = ledger.of("value", "kept")
    assert entry.count == 719  # of 720; 5752 messages of 8 variables


def test_hourly_sum_of_old_netcdf_is_labelled_by_its_start(data):
    path = data / "era5" / "ERA5_2020-01-01_tp.nc"
    fields, _ = opened(ERA5Single(), path, variables=["tp"])
    with netCDF4.Dataset(path) as raw:
        assert raw["latitude"][28] == 48
        assert raw["longitude"][8] == 2
        wettest = float(raw["tp"][23, 28, 8])
    assert wettest == pytest.approx(0.0011835, rel=1e-4)  # m in the hour that ends at 23:00
    found = float(fields.tp.sel(time="2020-01-01T22", latitude=48, longitude=2))
    assert found == pytest.approx(wettest * 1000 / 3600, rel=1e-6)
    assert str(fields.time.values[0]) == "2019-12-31T23:00:00.000000000"


def test_pressure_levels_of_old_netcdf_go_from_the_ground_up(data):
    fields, _ = opened(
        ERA5Pressure(), *(data / "era5" / f"ERA5_2020-01-01_pl_{v}.nc" for v in "uvq"), variables=["u", "v", "q"]
    )
    assert fields.u.dims == ("time", "level", "latitude", "longitude")
    assert fields.level.values[[0, -1]].tolist() == [1000, 100]


def test_one_field_out_of_grib_and_out_of_netcdf(data):
    both = [opened(ERA5Pressure(), data / "era5" / f"earthkit_test4.{s}", variables=["t", "z"])[0] for s in ("grib", "nc")]
    assert both[0].longitude.values[[0, -1]].tolist() == [-180, 179]
    for name, step in (("t", 0.00123), ("z", 0.761)):  # the NetCDF's scale_factor; packed twice
        assert float(abs(both[0][name] - both[1][name]).max()) < step


def land_day(values, day="2020-01-01", first=1, **keys):
    """ssrd [J m⁻²] since 00 UTC at the hours first, first + 1, … of a day."""
    return [message(SSRD, day, v, step=h, product="l5", **keys) for h, v in enumerate(values, first)]


def test_sums_since_midnight_become_means_of_hours(tmp_path):
    # 3600 J in the first hour: 1 W; 7200 more in the second: 2 W; hour 3 is missing, so hours 3 and 4 stay unknown
    path = grib(tmp_path / "a.grib", *land_day([3600, 10800]), *land_day([36000, 39600], first=4))
    fields, _ = opened(ERA5Land(), path, variables=["ssrd"])
    found = {str(t)[11:13]: float(v) for t, v in zip(fields.time.values, fields.ssrd.values[:, 0, 0], strict=True)}
    assert found == {"00": 1.0, "01": 2.0, "04": 1.0}


def test_midnight_closes_the_day_before(tmp_path):
    # 23 h: 36000 J, 24 h: 39600 J, then 01 h of the next day: 7200 J, which starts from nothing
    path = grib(tmp_path / "a.grib", *land_day([36000, 39600], first=23), *land_day([7200], day="2020-01-02"))
    fields, _ = opened(ERA5Land(), path, variables=["ssrd"])
    assert fields.time.values.astype("datetime64[h]").astype(str).tolist() == ["2020-01-01T23", "2020-01-02T00"]
    assert fields.ssrd.values[:, 0, 0].tolist() == [1.0, 2.0]


def test_noise_of_packing_is_no_negative_rain(tmp_path):
    # 1600 W m⁻² are 5.76 MJ in an hour, and a step of 16 bits over that is 88 J: a fall of 4 J is noise
    path = grib(tmp_path / "a.grib", *land_day([655340, 655336]))
    fields, ledger = opened(ERA5Land(), path, variables=["ssrd"])
    assert fields.ssrd.values[1].tolist() == [[0.0] * 3] * 2
    assert ledger.of("value", "changed")[0].count == 6


def test_hours_of_two_experiment_versions_are_not_subtracted(tmp_path):
    path = grib(tmp_path / "a.grib", *land_day([3600]), *land_day([7000], first=2, expver="0005"))
    fields, _ = opened(ERA5Land(), path, variables=["ssrd"])
    assert fields.time.size == 1


def test_regridding_before_or_after_the_sums_are_undone_is_the_same(tmp_path):
    source, grow = ERA5Land(), np.array([[1, 2, 3], [4, 5, 6.0]])
    paths = [
        grib(tmp_path / f"{h}.grib", message(SSRD, "2020-01-01", grow * 3600 * h, step=h, product="l5")) for h in (1, 2)
    ]
    after = source.open(paths, ["ssrd"]).ssrd.mean("longitude").values
    regridded = [p.mean("longitude", keep_attrs=True).rename(latitude="y").expand_dims(x=[0.0], axis=-1) for p in
                 read(source, *reversed(paths), variables=["ssrd"])]  # fmt: skip
    before = source.combine(regridded, Ledger())
    assert before.ssrd.dims == ("time", "y", "x")
    np.testing.assert_allclose(before.ssrd.values[..., 0], after)
    assert after.tolist() == [[2.0, 5.0]] * 2


def test_mean_rates_bear_one_name_in_both_generations(tmp_path):
    old = old_netcdf(tmp_path / "old.nc", "mtpr", "kg m**-2 s**-1", [1e-4, 2e-4], "2024-01-01T01")
    new = new_netcdf(tmp_path / "new.nc", "avg_tprate", "kg m**-2 s**-1", [3e-4], "2024-01-01T03")
    fields, _ = opened(ERA5Single(), old, new, variables=["avg_tprate"])
    assert fields.time.values.astype("datetime64[h]").astype(str).tolist() == [f"2024-01-01T0{h}" for h in range(3)]
    assert fields.avg_tprate.values[:, 0, 0] == pytest.approx([1e-4, 2e-4, 3e-4], rel=1e-3)


def test_documented_layout_of_the_new_store_written_here_because_no_real_file_is_at_hand(tmp_path):
    values = [[280.0, 290], [281, 291], [282, 292]]
    path = new_netcdf(tmp_path / "a.nc", "t", "K", values, expver=["0001", "0001", "0005"], levels=[850, 1000])
    fields, ledger = opened(ERA5Pressure(), path, variables=["t"])
    assert fields.level.values.tolist() == [1000, 850]
    assert fields.t.values[:, :, 0, 0].tolist() == [[290, 280], [291, 281], [292, 282]]
    assert ledger.of("value", "kept")[0].count == 1


def test_new_store_sends_instants_and_sums_in_one_archive(tmp_path):
    new_netcdf(tmp_path / "instant.nc", "t2m", "K", [280, 281])
    new_netcdf(tmp_path / "accum.nc", "tp", "m", [0.0036, 0.0072])
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("accum.nc", "instant.nc"):
            archive.write(tmp_path / name, name)
    both, _ = opened(ERA5Single(), tmp_path / "a.zip", variables=["t2m", "tp"])
    # 3.6 mm in the hour that ends at 00:00: 0.001 kg m⁻² s⁻¹ from 23:00; at 23:00 no temperature, at 01:00 no rain
    assert both.tp.values[:, 0, 0] == pytest.approx([0.001, 0.002, np.nan], nan_ok=True)
    assert both.t2m.values[:, 0, 0] == pytest.approx([np.nan, 280, 281], nan_ok=True)
    one, _ = opened(ERA5Single(), tmp_path / "a.zip", variables=["t2m"])
    assert list(one) == ["t2m"]
    assert one.sizes["time"] == 2


def test_mixed_expver_dimension_of_old_netcdf(tmp_path):
    path = old_netcdf(tmp_path / "a.nc", "t2m", "K", [[280, np.nan], [281, np.nan], [np.nan, 282]])
    fields, ledger = opened(ERA5Single(), path, variables=["t2m"])
    assert fields.t2m.values[:, 0, 0] == pytest.approx([280, 281, 282], abs=1e-3)
    assert ledger.of("value", "kept")[0].count == 1


def test_overlap_reanalysis_beats_preliminary_and_a_number_beats_nan(tmp_path):
    early = new_netcdf(tmp_path / "early.nc", "t2m", "K", [280, 281, 282], expver=["0001", "0005", "0005"])
    late = new_netcdf(tmp_path / "late.nc", "t2m", "K", [np.nan, 285, 286], expver=["0001"] * 3)
    for order in ((early, late), (late, early)):
        fields, ledger = opened(ERA5Single(), *order, variables=["t2m"])
        assert fields.t2m.values[:, 0, 0].tolist() == [280, 285, 286]
        assert not ledger.entries


def test_levels_in_files_of_their_own_are_put_together(tmp_path):
    paths = [grib(tmp_path / f"{p}.grib", message(T, "2020-01-01", 200 + p / 10, level=p)) for p in (850, 1000)]
    fields, _ = opened(ERA5Pressure(), *paths, variables=["t"])
    assert fields.t.values[0, :, 0, 0] == pytest.approx([300, 285])


@pytest.mark.parametrize("edition", [1, 2])
def test_grib_of_both_editions_with_missing_values_and_filling(tmp_path, edition):
    values = np.array([[280, 281, 9999], [283, 284, 285.0]])
    gap = message(T2M, "2020-02-29T13", values, edition=edition, bitmapPresent=1, missingValue=9999)
    path = grib(tmp_path / "a.grib", gap, bytes(7), message(TP, "2020-02-29T06", 0.0036, step=8, edition=edition))
    fields, _ = opened(ERA5Single(), path, variables=["t2m", "tp"])
    np.testing.assert_allclose(fields.t2m.values[0], np.where(values == 9999, np.nan, values), rtol=1e-6)
    assert fields.longitude.values.tolist() == [-4, -3, -2]
    assert fields.time.values.astype("datetime64[h]").astype(str).tolist() == ["2020-02-29T13"]  # both: rain from 13 to 14
    assert fields.tp.values.ravel() == pytest.approx([0.001] * 6)


def test_ascending_latitudes_are_turned(tmp_path):
    turned = {"latitude": np.float32([40, 41]), "longitude": np.float32([358, 359, 0])}
    path = old_netcdf(tmp_path / "a.nc", "t2m", "K", [280, 290], **turned)
    fields, _ = opened(ERA5Single(), path, variables=["t2m"])
    assert fields.latitude.values.tolist() == [41, 40]
    assert fields.longitude.values.tolist() == [-2, -1, 0]
