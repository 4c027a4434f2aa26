"""Every real file goes through its source, or is refused for what it is. Values were read off with eccodes, netCDF4, rasterio,
pyarrow or csv."""

import csv
import io
import zipfile
from dataclasses import dataclass
from datetime import UTC, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
import rasterio
from pyproj import Transformer

from airloom.errors import DataError
from airloom.grid import Grid
from airloom.ledger import Ledger
from airloom.sources.base import GriddedSource
from airloom.sources.eea import EEA, POLLUTANTS
from airloom.sources.era5 import ERA5Pressure, ERA5Single
from airloom.sources.members import Member
from airloom.sources.raster import Raster
from tests.conftest import DATA

pytest.importorskip("eccodes")


@dataclass(frozen=True)
class Spot:
    """A value of a file: `sizes` of the field; hour, latitude, longitude [degrees], value in canonical units, level [hPa]."""

    source: type[GriddedSource]
    variable: str
    sizes: tuple[int, ...]
    time: str
    latitude: float
    longitude: float
    value: float
    level: int | None = None


DAY, DAY_3D = (24, 41, 41), (24, 20, 41, 41)
OPENED = {
    "ERA5_2020-01-01_d2m.nc": Spot(ERA5Single, "d2m", DAY, "2020-01-01T05", 52.5, 5, 274.1148243),
    "ERA5_2020-01-01_u10.nc": Spot(ERA5Single, "u10", DAY, "2020-01-01T05", 52.5, 5, -2.0205171),
    "ERA5_2020-01-01_v10.nc": Spot(ERA5Single, "v10", DAY, "2020-01-01T05", 52.5, 5, 2.2001369),
    "ERA5_2020-01-01_sp.nc": Spot(ERA5Single, "sp", DAY, "2020-01-01T05", 52.5, 5, 103302.93824),
    # metres in the hour that ends at 23:00 and at 12:00; a metre is 1000 kg m⁻²; water that leaves the sea is negative
    "ERA5_2020-01-01_tp.nc": Spot(ERA5Single, "tp", DAY, "2020-01-01T22", 48, 2, 0.00118351143 * 1000 / 3600),
    "ERA5_2020-01-01_e.nc": Spot(ERA5Single, "avg_ie", DAY, "2020-01-01T11", 52.5, 5, -5.47627332e-05 * 1000 / 3600),
    "ERA5_2020-01-01_pl_q.nc": Spot(ERA5Pressure, "q", DAY_3D, "2020-01-01T05", 52.5, 5, 1.0141541786e-4, 400),
    "ERA5_2020-01-01_pl_u.nc": Spot(ERA5Pressure, "u", DAY_3D, "2020-01-01T05", 52.5, 5, -2.4265762, 400),
    "ERA5_2020-01-01_pl_v.nc": Spot(ERA5Pressure, "v", DAY_3D, "2020-01-01T05", 52.5, 5, 2.4217729, 400),
    "cfgrib_era5-single-level-scalar-time.grib": Spot(
        ERA5Single, "t2m", (1, 121, 201), "2017-01-01T12", 54, 34, 273.502197265625
    ),
    "earthkit_era5_2t_1.nc": Spot(ERA5Single, "t2m", (1, 9, 18), "2021-03-01T12", 0, -180, 299.3641100),
    "earthkit_test.nc": Spot(ERA5Single, "t2m", (1, 8, 13), "2020-05-13T12", 55, 5, 280.490966796875),
    "earthkit_test4.grib": Spot(ERA5Pressure, "t", (1, 2, 181, 360), "2007-01-01T12", 50, 100, 268.1161804, 850),
    "earthkit_test4.nc": Spot(ERA5Pressure, "t", (1, 2, 181, 360), "2007-01-01T12", 50, 100, 268.1161289, 850),
    "era5-2mt-2019-03-uk.grib": Spot(ERA5Single, "t2m", (744, 33, 49), "2019-03-17T16", 54.5, -6.5, 282.298095703125),
    # J m⁻² in the hour that ends at 16:00
    "feedinlib_ERA5_example_data.nc": Spot(
        ERA5Single, "ssrd", (8760, 2, 3), "2017-06-16T15", 52.35, 13.6, 1074622.346024 / 3600
    ),
}
REFUSED = {
    "cfgrib_era5-levels-members.grib": "holds ensemble members 0, 1, 2, .* 9; airloom reads one",
    "earthkit_chem-cams.grib": "holds .* of class 'cr' .CAMS reanalysis., expected class 'ea'",
    "earthkit_pl_regular_ll.grib": "holds t of class 'od' .ECMWF operational forecasts., expected class 'ea'",
}


def test_no_era5_file_is_left_out(data):
    assert {p.name for p in (data / "era5").iterdir()} == {*OPENED, *REFUSED}


@pytest.mark.parametrize("file", OPENED)
def test_era5_opens(data, file):
    spot, path = OPENED[file], data / "era5" / file
    source = spot.source()
    fields = source.open([path], [spot.variable], Ledger())
    field = fields[spot.variable]
    assert field.shape == spot.sizes
    assert field.dtype == np.float32
    assert field.attrs["units"] == source.variables[spot.variable].units
    assert bool(field.notnull().all())
    assert (np.diff(fields.latitude) < 0).all()
    assert (np.diff(fields.longitude) > 0).all()
    place = {"time": spot.time, "latitude": spot.latitude, "longitude": spot.longitude}
    place |= {"level": spot.level} if spot.level else {}
    assert float(field.sel(place)) == pytest.approx(spot.value, rel=1e-6)


@pytest.mark.parametrize("file", REFUSED)
def test_era5_of_another_kind_is_refused(data, file):
    with pytest.raises(DataError, match=rf"{file} {REFUSED[file]}"):
        ERA5Pressure().open([data / "era5" / file], ["t"], Ledger())


SPANS = {
    "ERA5_2020-01-01_tp.nc": ("2020-01-01T00", "2020-01-01T23"),
    "ERA5_2020-01-01_e.nc": ("2020-01-01T00", "2020-01-01T23"),
    "earthkit_test.nc": ("2020-05-13T12", "2020-05-13T12"),
    "era5-2mt-2019-03-uk.grib": ("2019-03-01T00", "2019-03-31T23"),
    "feedinlib_ERA5_example_data.nc": ("2017-01-01T00", "2017-12-31T23"),
}


@pytest.mark.parametrize("file", SPANS)
def test_era5_spans(data, file):
    found = ERA5Single().span(Member(data / "era5" / file))
    assert tuple(map(str, found)) == SPANS[file]
    assert ERA5Pressure().span(Member(data / "era5" / file)) is None


def test_span_of_pressure_levels(data):
    member = Member(data / "era5" / "earthkit_test4.grib")
    assert tuple(map(str, ERA5Pressure().span(member))) == ("2007-01-01T12", "2007-01-01T12")
    assert ERA5Single().span(member) is None
    with pytest.raises(DataError, match="CAMS reanalysis"):
        ERA5Pressure().span(Member(data / "era5" / "earthkit_chem-cams.grib"))


def real(pattern: str) -> list:
    """A parameter for each real file, named by its path; one that skips where there are none."""
    return [pytest.param(p, id=str(p.relative_to(DATA))) for p in sorted(DATA.glob(pattern))] or [
        pytest.param(None, marks=pytest.mark.skip("no real data"))
    ]


@pytest.mark.parametrize("path", real("eea/vienna-no2-2024/*.parquet") + real("eea/lu-no-mixed/*/*/*.parquet"))
def test_eea_opens(data, path):
    table = pq.read_table(path)
    pollutant = next(word for word, code in POLLUTANTS.items() if code == table["Pollutant"][0].as_py())
    records = EEA().open([path], data / "eea" / "MT_metadata.csv.zip", pollutant=pollutant)  # a small table
    found = records.observations
    assert found["value"].to_list() == [float(v) for v in table["Value"].to_pylist()]
    assert found["valid"].to_list() == [v >= 1 for v in table["Validity"].to_pylist()]
    first = table["Start"][0].as_py().to_pydatetime()
    assert found["start"][0] == first.replace(tzinfo=UTC) - timedelta(hours=1)
    assert found["station"].unique().to_list() == [table["Samplingpoint"][0].as_py()]


def test_eea_metadata_as_the_portal_exports_them(data, tmp_path):
    """Malta's export, with a Viennese file made Maltese."""
    path = data / "eea" / "MT_metadata.csv.zip"
    with zipfile.ZipFile(path) as archive:
        lines = list(csv.DictReader(io.StringIO(archive.read("DataExtract.csv").decode("utf-8-sig"))))
    one = next(line for line in lines if line["Air Quality Station Type"] == "traffic")
    table = pl.read_parquet(next((data / "eea" / "vienna-no2-2024").glob("*.parquet")))
    table.with_columns(Samplingpoint=pl.lit("MT/" + one["Sampling Point Id"])).write_parquet(tmp_path / "a.parquet")
    station = EEA().open([tmp_path / "a.parquet"], path).metadata.row(0, named=True)
    assert (station["lon"], station["lat"]) == (float(one["Longitude"]), float(one["Latitude"]))
    assert (station["altitude"], station["type"]) == (float(one["Altitude"]), "traffic")
    assert station["name"] == one["Air Quality Station Name"]


@pytest.mark.parametrize("path", real("static-tile/*.tif"))
def test_static_tile_in_its_middle(data, path):
    """A grid cell against the mean of the 30 m pixels whose centres lie in it; along its edge it differs by parts of pixels."""
    grid = Grid.around(9.45, 54.75, cell=1000, shape=(4, 4))
    found = Raster([path], name="map", units="1").layers(grid)["map"]
    with rasterio.open(path) as file:
        pixels, t = file.read(1).astype(float), file.transform
    lon, lat = np.meshgrid(t.c + (np.arange(pixels.shape[1]) + 0.5) * t.a, t.f + (np.arange(pixels.shape[0]) + 0.5) * t.e)
    x, y = Transformer.from_crs(4326, 3035, always_xy=True).transform(lon, lat)
    for row in range(4):
        for column in range(4):
            inside = pixels[(abs(x - grid.x[column]) < 500) & (abs(y - grid.y[row]) < 500)]
            assert found.values[row, column] == pytest.approx(inside.mean(), abs=0.005 * np.ptp(pixels))


@pytest.mark.parametrize("path", real("italy-no2/*.tif"))
def test_italy_on_its_own_lattice(data, path):
    """Cells that are the raster's pixels hold the pixels, be they at the coast or in the Po valley."""
    grid = Grid("EPSG:32632", left=313_281.3 + 150_000, top=5_220_683.0 - 100_000, cell=1000, shape=(64, 128))
    found = Raster([path], name="map", units="1").layers(grid)["map"].values
    with rasterio.open(path) as file:
        pixels = file.read(1, masked=True).astype(float).filled(np.nan)[100:164, 150:278]
    np.testing.assert_allclose(found, pixels, rtol=1e-5, atol=1e-3)


def test_every_real_file_of_the_places_is_met(data: Path):
    """Nothing but these lies beside them."""
    assert {p.suffix for p in (data / "static-tile").iterdir()} == {".tif"}
    assert {p.name for p in (data / "italy-no2").iterdir() if p.suffix != ".tif"} == {"daily.parquet"}  # test_station_table
    others = {p.name for p in (data / "eea").iterdir() if p.is_file()}
    assert others == {"MT_metadata.csv.zip", "sampling_points.parquet"}
