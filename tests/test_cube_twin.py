"""The cube of everything a twin's files hold: levels, the chemistry model, maps of all sources; and files that are not whole."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import rasterio
import xarray as xr
import zarr

from airloom.check import check
from airloom.cube.build import _blocks, _empty, build
from airloom.cube.chemistry import daily_means
from airloom.cube.decode import Asked, _means, products
from airloom.cube.normalise import Scale, Sums
from airloom.cube.store import Cube
from airloom.errors import DataError, StudyError
from airloom.grid import Grid
from airloom.ledger import Ledger
from airloom.stations import split
from airloom.study import changed
from tests.test_cube import contents, interrupted
from tests.twin_study import WEATHER, twin_study

pytestmark = pytest.mark.filterwarnings("ignore:Consolidated metadata")

DAYS, DAY = np.array(["2019-01-31", "2019-02-01"], "datetime64[D]"), (0, 24)
UPPER, CAMS = "era5/pressure-2019-02.nc", "cams/cams.eaq.vra.ENSa.no2.l{}.2019-{}.nc"


@pytest.fixture(scope="module")
def built(twin_files, tmp_path_factory) -> Cube:
    return build(twin_study(twin_files), twin_files, tmp_path_factory.mktemp("cube") / "whole.zarr", workers=1)


@pytest.fixture
def copied(twin_files, tmp_path) -> Path:
    """The twin's files, to be changed."""
    return Path(shutil.copytree(twin_files, tmp_path / "twin"))


def without_maps(folder: Path, **changes):
    """The study without its maps and single-level weather but for one variable, which is quick to build."""
    weather = {"source": "era5-single", "files": ["era5/single-*"], "variables": ["t2m"]}
    return twin_study(folder, **{"emissions": [], "geography": [], "weather": weather, **changes})


def rewritten(path: Path, change) -> None:
    """A NetCDF file, changed."""
    file = xr.load_dataset(path, engine="netcdf4", decode_times=False)
    change(file).to_netcdf(path, engine="netcdf4")


# All of it --------------------------------------------------------------------------------------------------------------


def test_everything_is_in_the_cube(built):
    assert {g: len(built.channels(g)) for g in ("calendar", "weather", "upper", "emissions", "geography")} == {
        "calendar": 3, "weather": 14, "upper": 7, "emissions": 13, "geography": 6,
    }  # fmt: skip
    assert built.group["upper"].shape == (2, 24, 7, 8, 8, 8)
    assert built.group["chemistry"].shape == (2, 8, 16, 16)
    assert built.usable.tolist() == built.chemistry_days.tolist() == [True, True]
    assert built.channels("upper") == ["z", "vo", "r", "t", "u", "v", "w"]
    assert built.group["upper"].attrs["levels"] == [1000, 975, 950, 925, 900, 800, 700, 550]
    # the rates over the last hour of the period would be in the next file
    (filled,) = built.ledger.of("day", "changed")
    assert (filled.what, filled.count) == ("2019-02-01", sum(n.startswith("avg_") for n in WEATHER))


def test_upper_weather_is_that_of_the_files(built, twin_files):
    file = xr.open_dataset(twin_files / UPPER, engine="netcdf4")
    lon, lat = built.grid.coarsen(2).lonlat()
    place = {"longitude": ("cell", lon.ravel()), "latitude": ("cell", lat.ravel())}
    hour = file["t"].isel(time=6).sel(level=800).interp(place)  # 1 February 06:00
    np.testing.assert_allclose(built.group["upper"][1, 6, 3, 5].ravel(), hour, rtol=1e-6)


def test_chemistry_is_the_daily_mean_of_the_files(built, twin_files):
    file = xr.open_dataset(twin_files / CAMS.format(250, "01"), engine="netcdf4")
    lon, lat = built.grid.lonlat()
    place = {"lon": ("cell", lon.ravel()), "lat": ("cell", lat.ravel())}
    np.testing.assert_allclose(built.group["chemistry"][0, 2].ravel(), file["no2"].mean("time").interp(place), rtol=1e-5)


def test_targets_of_some_hours_are_their_means_and_inputs_stay_whole_days(built, twin_files, tmp_path):
    stations = {**twin_study(twin_files).stations.model_dump(mode="json"), "min_hours": 2}
    cube = build(without_maps(twin_files, hours=[11, 13], stations=stations), twin_files, tmp_path / "noon.zarr", workers=1)
    assert cube.hours == (11, 13)
    lon, lat = cube.grid.lonlat()
    place = {"lon": ("cell", lon.ravel()), "lat": ("cell", lat.ravel())}
    for height, found in ((250, cube.group["chemistry"][0, 2]), (0, cube.group["ground"][0, 0])):  # 8 km, both
        file = xr.open_dataset(twin_files / CAMS.format(height, "01"), engine="netcdf4")
        noon = file["no2"].isel(time=[11, 12]).mean("time").interp(place)
        np.testing.assert_allclose(found.ravel(), noon, rtol=1e-5)
    reports = pl.read_parquet(twin_files / "state" / "observed-2019-01.parquet").filter(
        "valid", pl.col("start").dt.hour().is_in([11, 12]), pl.col("value").is_between(-1, 1000)
    )
    alone = [s for s in cube.stations.table["station"] if "+" not in s]
    for name in alone:
        values = reports.filter(pl.col("station") == name)["value"]
        mean = float(cube.stations.daily.sel(station=name)[0])
        assert np.isnan(mean) if len(values) < 2 else mean == pytest.approx(values.mean())
    t2m = built.channels("weather").index("t2m")
    np.testing.assert_array_equal(cube.group["weather"][:, :, 0], built.group["weather"][:, :, t2m])


def test_days_of_the_week_and_classes_stay_plain_and_the_rest_is_scaled(built):
    calendar = built.scale("calendar", [2019])
    flights = built.group["calendar"][:, 2].astype(float)
    np.testing.assert_allclose(calendar.mean, [0, 0, flights.mean()])
    np.testing.assert_allclose(calendar.deviation, [1, 1, flights.std()])
    geography = built.scale("geography", [2019])
    assert geography.mean[0] != 0
    assert (geography.mean[1:], geography.deviation[1:]) == (pytest.approx(np.zeros(5)), pytest.approx(np.ones(5)))
    assert built.group["geography"][1:].sum(0).tolist() == np.ones((16, 16)).tolist()  # each cell is of one class


def test_upper_weather_is_scaled_level_by_level(built):
    scale, values = built.scale("upper", [2019]), built.group["upper"][:].astype(float)
    np.testing.assert_allclose(scale.mean, values.mean((0, 1, 4, 5)), rtol=1e-9)
    np.testing.assert_allclose(scale.deviation, values.std((0, 1, 4, 5)), rtol=1e-6)
    np.testing.assert_allclose(scale.apply(values, axis=-4).std((0, 1, 4, 5)), 1, rtol=1e-4)


def test_chemistry_means_fall_with_height(built):
    means = built.chemistry_means([2019])
    np.testing.assert_allclose(means, built.group["chemistry"][:].astype(float).mean((0, 2, 3)), rtol=1e-9)
    assert (np.diff(means) < 0).all()
    with pytest.raises(DataError, match=r"chemistry: no2 have no value in \[2018\]"):
        built.chemistry_means([2018])


def test_reading_from_disk_is_reading_from_memory(built, monkeypatch):
    days, cells = np.array([1, 0]), (np.array([0, 0, 1, 3]), np.array([2, 3, 3]))
    memory = {g: built.read(g, days, *cells) for g in ("upper", "chemistry")}
    assert [m.shape for m in memory.values()] == [(2, 24, 7, 8, 4, 3), (2, 8, 4, 3)]
    monkeypatch.setattr("airloom.cube.store.IN_MEMORY", 0)
    again = Cube(built.path, built.group, built.grid)
    for group, values in memory.items():
        np.testing.assert_array_equal(again.read(group, days, *cells), values)


def test_the_stations_that_the_reanalysis_does_not_know_are_withheld(built, twin_files):
    known = set(pl.read_csv(twin_files / "eea" / "assimilated.csv")["station"])
    assert set(built.assimilated) == known
    withheld = split(built.stations, assimilated=built.assimilated, fraction=0.25, seed=0).to_numpy()
    for cell, kind, out in zip(*(built.stations.table[c] for c in ("station", "type")), withheld, strict=True):
        if kind == "background":
            assert out == known.isdisjoint(cell.split("+"))


def test_studies_that_split_by_other_lists_have_other_cubes(twin_files):
    study = twin_study(twin_files)
    assert changed(study, {"stations.split.seed": 1}).prepared() == study.prepared()
    assert changed(study, {"stations.split.assimilated": "eea/other.csv"}).prepared() != study.prepared()
    with pytest.raises(StudyError, match="withheld and assimilated both say who is withheld"):
        changed(study, {"stations.split.withheld": ["a"]})


# In pieces --------------------------------------------------------------------------------------------------------------


def test_a_cube_joined_in_blocks_is_the_cube_joined_at_once(twin_files, tmp_path, monkeypatch):
    study = without_maps(twin_files)
    whole = contents(build(study, twin_files, tmp_path / "whole.zarr", workers=1).path)
    monkeypatch.setattr("airloom.cube.build.BLOCK_BYTES", 1)
    cube = build(study, twin_files, tmp_path / "blocks.zarr", workers=1)
    assert list(cube.group.attrs["sums"]["upper"]) == ["2019-01-31", "2019-02-01"]
    blocks = contents(cube.path)
    assert {k: v for k, v in blocks.items() if k != "attrs"} == {k: v for k, v in whole.items() if k != "attrs"}
    np.testing.assert_allclose(
        cube.scale("upper", [2019]).mean, cube.group["upper"][:].astype(float).mean((0, 1, 4, 5)), rtol=1e-9
    )
    assert contents(build(study, twin_files, tmp_path / "two.zarr", workers=2).path) == blocks  # joined by two processes
    for target in ("whole_days", "daily_means"):
        with monkeypatch.context() as patch:
            interrupted(patch, f"airloom.cube.build.{target}", 2, study, twin_files, tmp_path / f"{target}.zarr")
        assert contents(build(study, twin_files, tmp_path / f"{target}.zarr", workers=1).path) == blocks


ASKED = Asked(
    "chemistry", "cams-europe", (), ("no2",), (0.0, 50.0), Grid.around(4, 51, cell=8000, shape=(1, 2)), DAYS[0], DAYS[1]
)


def hourly(hours: int, height: float, value: float) -> xr.Dataset:
    """The first hours of 31 January at one height, in two cells: the hour's number times a value."""
    time = DAYS[0].astype("datetime64[ns]") + np.arange(hours) * np.timedelta64(1, "h")
    values = np.broadcast_to(np.arange(hours, dtype=np.float32)[:, None, None, None] * value, (hours, 1, 1, 2))
    coords = {"time": time, "height": [height], "stream": ("time", np.ones(hours, int))}
    return xr.Dataset({"no2": (("time", "height", "y", "x"), values, {"units": "ug m-3"})}, coords, {"asked": "no2"})


def test_a_daily_mean_is_of_the_hours_of_its_day_in_whatever_order():
    part = hourly(24, 0, 1)
    shuffled = part.isel(time=np.random.default_rng(0).permutation(24))
    assert _means(shuffled, (0, 24)).no2.values.ravel().tolist() == [11.5, 11.5]
    assert _means(part, (0, 24)).time.values == DAYS[0].astype("datetime64[ns]")


def test_a_daily_mean_needs_eighteen_hours():
    # hours 0 … 17: mean 8.5
    assert _means(hourly(18, 0, 1), DAY)["no2"].values.ravel().tolist() == [8.5, 8.5]
    assert np.isnan(_means(hourly(17, 0, 1), DAY)["no2"]).all()
    assert _means(hourly(18, 0, 1), DAY)["stream"].values.tolist() == [1]


def test_a_mean_of_some_hours_needs_three_quarters_of_them():
    # hours 11 and 12: mean 11.5, labelled by the day's start; of 8, 9, 10, 11, three are enough: 8, 9 and 10
    found = _means(hourly(24, 0, 1), (11, 13))
    assert found["no2"].values.ravel().tolist() == [11.5, 11.5]
    assert found["time"].values.tolist() == DAYS[:1].astype("datetime64[ns]").tolist()
    assert np.isnan(_means(hourly(12, 0, 1), (11, 13))["no2"]).all()
    assert _means(hourly(11, 0, 1), (8, 12))["no2"].values.ravel().tolist() == [9, 9]
    assert _means(hourly(11, 0, 1), (11, 13)).sizes["time"] == 0  # a file that holds none of them
    ledger = Ledger()
    assert np.isnan(daily_means([found], replace(ASKED, hours=(11, 13)), DAYS[:1], ledger)).all()
    assert ledger.of("day", "out")[0].why == "no mean of 2 hours or more to learn from: no2 at 50 m"


def test_a_day_without_a_level_is_left_out_whole_and_named():
    # hours 0 … 17 at the ground: mean 8.5; 0 … 23 at 50 m, doubled: 23; of 1 February there is nothing
    ledger = Ledger()
    found = daily_means([_means(hourly(18, 0, 1), DAY), _means(hourly(24, 50, 2), DAY)], ASKED, DAYS, ledger)
    assert found[0].tolist() == [[[8.5, 8.5]], [[23, 23]]]
    assert np.isnan(found[1]).all()
    why = "no mean of 18 hours or more to learn from: "
    assert [(e.what, e.why) for e in ledger.of("day", "out")] == [("2019-02-01", why + "none at all")]
    found = daily_means([_means(hourly(17, 0, 1), DAY), _means(hourly(24, 50, 2), DAY)], ASKED, DAYS[:1], ledger)
    assert np.isnan(found).all()  # whole, also where there are hours enough
    assert ledger.of("day", "out")[-1].why == why + "no2 at 0 m"


def test_sums_and_scale_by_level():
    # channel 0: levels (1, 3) and (10, 30); channel 1: constant
    values = np.array([[[1, 3], [10, 30]], [[5, 5], [7, 7]]], float)  # (channel, level, time)
    scale = Sums.of(values, leading=2).scale()
    assert scale.mean.tolist() == [[2, 20], [5, 7]]
    assert scale.deviation.tolist() == [[1, 10], [1, 1]]
    found = scale.apply(np.moveaxis(values, 2, 0)[..., None, None], axis=-4)  # (time, channel, level, y, x)
    assert found[..., 0, 0].tolist() == [[[-1, -1], [0, 0]], [[1, 1], [0, 0]]]
    again = Scale.from_json(scale.to_json())
    assert again.mean.tolist() == scale.mean.tolist()


def test_large_cubes_are_chunked_by_the_day(twin_files, tmp_path):
    weather, upper, chemistry, _ = products(twin_study(twin_files))
    region = Grid.around(2, 48, cell=16000, shape=(64, 84))
    group = zarr.open_group(zarr.storage.MemoryStore(), mode="w")
    for asked in (weather, upper, chemistry):
        _empty(group, replace(asked, grid=region), 365)
    assert group["upper"].chunks == (1, 24, 7, 8, 64, 42)
    assert group["weather"].chunks == (1, 24, 14, 64, 42)
    assert group["chemistry"].chunks == (12, 8, 64, 42)  # 86 kB a day
    days = np.arange("2019-12-01", "2021-01-01", dtype="datetime64[D]")
    blocks = _blocks(days, replace(upper, grid=region), 1)
    assert max(b.stop - b.start for b in blocks) * 24 * 56 * 64 * 84 * 4 <= 2**28
    assert np.concatenate([days[b] for b in blocks]).tolist() == days.tolist()


def test_blocks_of_daily_fields_begin_where_chunks_do_or_years(twin_files):
    *_, ground = products(twin_study(twin_files))
    assert ground.daily
    days = np.arange("2019-12-01", "2021-01-01", dtype="datetime64[D]")  # 397, of which 31 are of 2019
    region = replace(ground, grid=Grid.around(2, 48, cell=2000, shape=(1000, 1000)))  # 4 MB a day: 33 days make 128 MB
    assert [b.start for b in _blocks(days, region, 32)] == sorted([31, *range(0, 397, 32)])
    assert [b.start for b in _blocks(days, region, 12)] == sorted([31, *range(0, 397, 24)])
    assert {b.stop - b.start for b in _blocks(days, region, 400)} <= {31, 2, 33, 1}  # a chunk that is too much for a block


# Files that are not whole -----------------------------------------------------------------------------------------------


def test_a_month_without_chemistry_teaches_less_and_leaves_its_days_in(copied, tmp_path):
    for path in copied.glob(CAMS.format("*", "01")):
        path.unlink()
    cube = build(without_maps(copied), copied, tmp_path / "a.zarr", workers=1)
    assert cube.usable.tolist() == [True, True]
    assert cube.chemistry_days.tolist() == [False, True]
    assert np.isnan(cube.group["chemistry"][0]).all()
    assert [e.what for e in cube.ledger.of("day", "out")] == ["2019-01-31"]
    assert np.isfinite(cube.chemistry_means([2019])).all()


def test_a_height_that_no_file_has_is_named(copied, tmp_path):
    for path in copied.glob(CAMS.format(250, "*")):
        path.unlink()
    with pytest.raises(
        DataError, match=r"no2 at 250 m is in none of 14 files; they hold 0, 50, 500, .*leave it out of levels"
    ):
        build(without_maps(copied), copied, tmp_path / "a.zarr", workers=1)


def test_a_pressure_level_that_no_file_has_is_named(copied, tmp_path):
    for path in copied.glob("era5/pressure-*"):
        rewritten(path, lambda file: file.sel(level=file.level != 550))
    with pytest.raises(DataError, match=r"z at 550 hPa is in none of 2 files; they hold 700, 800.*leave it out of upper"):
        build(without_maps(copied), copied, tmp_path / "a.zarr", workers=1)


def test_hours_of_upper_weather_are_filled_or_leave_the_day_out(copied, tmp_path):
    def gaps(file):
        file["r"][6] = np.nan  # one hour on all levels would be filled
        level, hour = file["level"], xr.DataArray(np.arange(file.sizes["time"]), dims="time")
        return file.assign(w=file["w"].where((level != 550) | (hour < 3) | (hour > 4)))  # two on one level are too much

    rewritten(copied / "era5/pressure-2019-01.nc", lambda file: file.isel(time=file.time != file.time[6]))
    rewritten(copied / UPPER, gaps)
    cube = build(without_maps(copied), copied, tmp_path / "a.zarr", workers=1)
    assert cube.usable.tolist() == [True, False]
    upper = cube.group["upper"]
    np.testing.assert_array_equal(upper[0, 6], upper[0, 5])
    assert np.isnan(upper[1]).all()
    (out,), (filled,) = cube.ledger.of("day", "out"), cube.ledger.of("day", "changed")
    assert (out.what, out.why) == ("2019-02-01", "no upper: missing r (1 h), w at 550 hPa (2 h)")
    assert (filled.what, filled.count) == ("2019-01-31", 56)
    assert filled.why.startswith("hours filled from the nearest one: z (1 h), vo (1 h)")


def test_flights_that_lack_days_are_named(copied, tmp_path):
    path = copied / "static" / "flights.csv"
    table = pl.read_csv(path, infer_schema=False)
    table.filter(pl.col("FLT_DATE") != "01-02-19").write_csv(path)
    with pytest.raises(DataError, match=r"flights\.csv: no flights on 2019-02-01"):
        build(without_maps(copied), copied, tmp_path / "a.zarr", workers=1)


def test_classes_that_corine_does_not_have_are_refused(copied, tmp_path):
    with rasterio.open(copied / "static" / "corine.tif", "r+") as file:
        values = file.read(1)
        values[:] = 112
        file.write(values, 1)
    land = [{"source": "raster", "name": "land", "files": ["static/corine.tif"], "how": "classes"}]
    with pytest.raises(DataError, match=r"corine\.tif holds the class 112, expected CORINE's 1 to 44"):
        build(without_maps(copied, geography=land), copied, tmp_path / "a.zarr", workers=1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id\nTW/1\n", r"assimilated\.csv has no column 'station'; .*It holds one id a row"),
        ("station\n", r"assimilated\.csv has 1 columns but no rows"),
    ],
)
def test_a_list_of_known_stations_that_is_none(copied, tmp_path, content, message):
    (copied / "eea" / "assimilated.csv").write_text(content)
    with pytest.raises(DataError, match=message):
        build(without_maps(copied), copied, tmp_path / "a.zarr", workers=1)


# A look before -----------------------------------------------------------------------------------------------------------


def test_a_check_tells_dates_levels_and_stations(copied, tmp_path, monkeypatch):
    monkeypatch.setattr("airloom.check._training", lambda *_: None)  # what a network costs is no matter here
    for path in [*copied.glob(CAMS.format("*", "01")), *copied.glob(CAMS.format(250, "*"))]:
        path.unlink(missing_ok=True)
    rewritten(copied / "era5/pressure-2019-01.nc", lambda file: file.sel(level=file.level != 550))
    found = check(without_maps(copied), copied, tmp_path / "run", workers=1)
    text = "\n".join(found.lines)
    assert "upper: 2019-01-31T00 … 2019-02-01T23, 2 files\n  upper: pressure-2019-01.nc is not at 550 hPa" in text
    assert "chemistry: 2019-02-01T00 … 2019-02-01T23, 7 files\n  1 of 2 days are in no file, 2019-01-31 the first" in text
    assert "  chemistry: no file is at 250 m" in text
    assert "daily flights: 1 files" in text
    assert found.there.tolist() == [True, True]  # a day without chemistry is still one to learn from
