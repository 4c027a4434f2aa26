"""Spans of files, and the plain unpacking of GRIB 1 against eccodes."""

import zipfile

import numpy as np
import pytest

from airloom.errors import DataError
from airloom.sources.era5 import ERA5Land, ERA5Single
from airloom.sources.grib import _split, frames
from airloom.sources.grib_simple import data_section, unpacked
from airloom.sources.members import Member, members
from tests.era5_files import SSRD, T2M, TP, T, grib, message, new_netcdf, opened

eccodes = pytest.importorskip("eccodes")
MADRID = "madrid-no2/era5land-2024.zip"


def by_eccodes(content: bytes) -> tuple[np.ndarray, str]:
    """Values and time of validity of a message."""
    handle = eccodes.codes_new_from_message(content)
    day, clock = (eccodes.codes_get_long(handle, k) for k in ("validityDate", "validityTime"))
    values = eccodes.codes_get_values(handle).astype(np.float32)
    eccodes.codes_release(handle)
    return values, f"{day:08d}{clock:04d}"


def by_numpy(content: bytes, count: int) -> np.ndarray | None:
    at = data_section(content)
    return None if at is None else unpacked(content, at, count)


@pytest.mark.parametrize(
    ("file", "every"),
    [
        (MADRID, 37),  # 8 variables, each with its own packing: all of them come round, at all hours
        ("era5/era5-2mt-2019-03-uk.grib", 1),
        ("era5/cfgrib_era5-levels-members.grib", 1),
        ("era5/cfgrib_era5-single-level-scalar-time.grib", 1),
        ("era5/earthkit_pl_regular_ll.grib", 1),
        ("era5/earthkit_test4.grib", 1),
    ],
)
def test_values_and_times_are_those_of_eccodes_to_the_bit(data, file, every):
    for member in members([data / file]):
        for number, content in frames(member.content(), member.label):
            if number % every == 0:
                values, time = by_eccodes(content)
                np.testing.assert_array_equal(by_numpy(content, values.size), values)
                _, reference, step = _split(content, member.label)
                assert f"{reference + step:%Y%m%d%H%M}" == time


def test_a_message_by_hand():
    # IBM float 1: 16^1 · 1/16; scale 2^-1; so number n is 1 + n/2: 256 → 129, 3 → 2.5
    head = bytes([0, 0, 15, 0, 0x80, 1, 0x41, 0x10, 0, 0, 16])
    assert unpacked(head + bytes([1, 0, 0, 3]) + b"7777", 0, 2).tolist() == [129, 2.5]
    # three bytes: 65536 + 256 + 1 → 32897.5; one byte of filling at the end
    head = bytes([0, 0, 15, 8, 0x80, 1, 0x41, 0x10, 0, 0, 24])
    assert unpacked(head + bytes([1, 1, 1, 0]) + b"7777", 0, 1).tolist() == [32897.5]


@pytest.mark.parametrize("bits", [8, 12, 16, 24])
@pytest.mark.parametrize("values", [[[280, 281.3, 282], [283, 284, 285.5]], [[-1e-9, 3e-9, 0], [1e-7, 2e-7, 5e-9]]])
def test_packings_that_eccodes_writes(values, bits):
    content = message(T2M, "2020-01-01", values, bitsPerValue=bits)
    plain = by_numpy(content, 6)
    assert (plain is None) == (bits == 12)
    if plain is not None:
        np.testing.assert_array_equal(plain, by_eccodes(content)[0])


@pytest.mark.parametrize(
    "keys",
    [
        {"edition": 2},
        {"bitmapPresent": 1},
        {"decimalPrecision": 2},
        {"packingType": "grid_second_order"},
        {"bitsPerValue": 0},
    ],
    ids=str,
)
def test_anything_else_is_left_to_eccodes(tmp_path, keys):
    values = np.arange(6.0).reshape(2, 3) ** 2 + 270 if "bitsPerValue" not in keys else np.full((2, 3), 280.0)
    content = message(T2M, "2020-01-01", values, **keys)
    assert by_numpy(content, 6) is None
    fields, _ = opened(ERA5Single(), grib(tmp_path / "a.grib", content), variables=["t2m"])
    np.testing.assert_allclose(fields.t2m.values[0], values, atol=0.01)


def test_a_damaged_data_section_is_left_to_eccodes():
    content = message(T2M, "2020-01-01", 280 + np.arange(6).reshape(2, 3))
    at = data_section(content)
    for position in (0, 2, 3, 4, 10):  # its length twice, packing, scale, bits
        broken = bytearray(content)
        broken[at + position] ^= 0x44
        assert unpacked(bytes(broken), at, 6) is None
    assert unpacked(content, at, 7) is None


@pytest.mark.parametrize("kind", [0, 1, 2, 3, 4, 5, 10])
@pytest.mark.parametrize("periods", [(0, 0), (3, 9), (1, 4)])
def test_steps_are_those_of_eccodes(kind, periods):
    content = bytearray(message(T2M, "2020-01-31T18", 280))
    content[26:29] = bytes([*periods, kind])
    _, reference, step = _split(bytes(content), "here")
    assert f"{reference + step:%Y%m%d%H%M}" == by_eccodes(bytes(content))[1]


def test_steps_that_are_no_hours_are_asked_of_eccodes(tmp_path):
    content = bytearray(message(T2M, "2020-01-31T18", 280))
    content[25:27] = bytes([11, 2])  # two times six hours
    assert _split(bytes(content), "here")[2] is None
    path = grib(tmp_path / "a.grib", bytes(content))
    assert span(ERA5Single(), path) == ("2020-02-01T06", "2020-02-01T06")
    assert str(opened(ERA5Single(), path, variables=["t2m"])[0].time.values[0]).startswith("2020-02-01T06")


def span(source, path):
    found = source.span(members([path])[0])
    return found and (str(found[0]), str(found[1]))


@pytest.mark.parametrize("edition", [1, 2])
def test_span_of_messages_in_any_order(tmp_path, edition):
    days = ("2020-02-01T05", "2019-12-31T22", "2020-03-01T00", "2020-01-01T23")
    path = grib(tmp_path / "a.grib", *(message(T2M, d, 280, edition=edition) for d in days))
    assert span(ERA5Single(), path) == ("2019-12-31T22", "2020-03-01T00")


@pytest.mark.parametrize("edition", [1, 2])
def test_span_adds_the_step_to_the_date(tmp_path, edition):
    steps = [message(SSRD, "2020-02-28", 3600, step=h, product="l5", edition=edition) for h in (24, 1, 48)]
    path = grib(tmp_path / "a.grib", *steps)
    assert span(ERA5Land(), path) == ("2020-02-28T01", "2020-03-01T00")


def test_span_counts_only_variables_of_the_product(tmp_path):
    level = message(T, "2021-01-01", 280, level=850)
    path = grib(tmp_path / "a.grib", level, message(TP, "2020-01-01T06", 0.001, step=2), level)
    assert span(ERA5Single(), path) == ("2020-01-01T08", "2020-01-01T08")
    assert span(ERA5Single(), grib(tmp_path / "b.grib", level)) is None
    with pytest.raises(DataError, match=r"a\.grib holds .* expected class 'l5'"):
        span(ERA5Land(), path)


def test_spans_in_an_archive(data, tmp_path):
    found = [ERA5Land().span(m) for m in members([data / MADRID])]
    assert str(min(f[0] for f in found)) == "2024-01-01T00"
    assert str(max(f[1] for f in found)) == "2024-12-30T23"
    # eccodes: July's first validity is step 24 of 30 June, its last step 23 of 30 July
    july = Member(data / MADRID, "2024_b2059fbc1784801cf42da7f03fa7e53f.grib")
    assert tuple(map(str, ERA5Land().span(july))) == ("2024-07-01T00", "2024-07-30T23")
    new_netcdf(tmp_path / "instant.nc", "t2m", "K", [280, 281, 282], "2024-02-28T23")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(tmp_path / "instant.nc", "instant.nc")
    assert span(ERA5Single(), tmp_path / "a.zip") == ("2024-02-28T23", "2024-02-29T01")


def test_broken_files_have_no_span(tmp_path):
    warm = message(T2M, "2020-01-01T00", 280)
    cut = grib(tmp_path / "cut.grib", warm, warm[:-5])
    with pytest.raises(DataError, match=r"cut\.grib is truncated: GRIB message 2"):
        span(ERA5Single(), cut)
    (tmp_path / "page.grib").write_text("<html>please log in</html>")
    with pytest.raises(DataError, match="neither GRIB nor NetCDF"):
        span(ERA5Single(), tmp_path / "page.grib")
    whole = new_netcdf(tmp_path / "a.nc", "t2m", "K", [280, 281]).read_bytes()
    (tmp_path / "half.nc").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"half\.nc.*cannot be read"):
        span(ERA5Single(), tmp_path / "half.nc")
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.grib", warm * 50)
    packed = bytearray((tmp_path / "a.zip").read_bytes())
    packed[45:60] = bytes(15)  # inside the compressed data
    (tmp_path / "a.zip").write_bytes(packed)
    with pytest.raises(DataError, match=r"a\.zip/a\.grib cannot be read"):
        span(ERA5Single(), tmp_path / "a.zip")


def test_two_forms_of_one_flux_in_a_file_are_refused(tmp_path):
    metres, rate = message(182, "2020-01-01T06", -3.6e-5, step=2), message(235043, "2020-01-01T06", -1e-5, step=3)
    alone, _ = opened(ERA5Single(), grib(tmp_path / "e.grib", metres), variables=["avg_ie"])
    # 0.036 mm evaporate in the hour that ends at 08:00
    assert alone.avg_ie.values.ravel() == pytest.approx([-1e-5] * 6, rel=1e-4)
    assert str(alone.time.values[0]).startswith("2020-01-01T07")
    with pytest.raises(
        DataError, match=r"a\.grib holds avg_ie twice, as e in m of water equivalent and as (mer|avg_ie) in kg"
    ):
        opened(ERA5Single(), grib(tmp_path / "a.grib", metres, rate), variables=["avg_ie"])
