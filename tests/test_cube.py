"""The cube: regridding by hand, sums that add, builds that are interrupted anywhere and end the same."""

import json
import os
import pkgutil
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import given
from hypothesis import strategies as st

from airloom.cube.build import build
from airloom.cube.decode import decode
from airloom.cube.normalise import Sums
from airloom.cube.regrid import Bilinear
from airloom.cube.store import Cube
from airloom.cube.workers import Crew, crew
from airloom.errors import DataError, StudyError
from airloom.files import read_json, write_json
from airloom.grid import Grid
from airloom.ledger import Ledger
from airloom.sources.era5 import ERA5Land
from airloom.sources.members import members
from airloom.study import changed
from tests.small import MISSING_DAY, write_weather

pytestmark = pytest.mark.filterwarnings("ignore:Consolidated metadata")


class Broken(Exception):
    """What a test raises to interrupt."""


def breaks(monkeypatch, target: str, at: int, error: BaseException | None = None) -> None:
    """Let the function `target` raise at its call number `at`, counted from 1."""
    real, calls = pkgutil.resolve_name(target), []

    def broken(*args, **kwargs):
        calls.append(None)
        if len(calls) == at:
            raise error or Broken
        return real(*args, **kwargs)

    monkeypatch.setattr(target, broken)


def interrupted(monkeypatch, target: str, at: int, *asked) -> None:
    """A build that breaks off at call number `at` of the function `target`."""
    with monkeypatch.context() as patch:
        breaks(patch, target, at)
        with pytest.raises(Broken):
            build(*asked, workers=1)


def contents(path: Path) -> dict[str, object]:
    """Every array of a cube as bytes, and every attribute."""
    group = zarr.open_group(path, mode="r")
    arrays = {name: (a.dtype.str, a.shape, a[:].tobytes(), dict(a.attrs)) for name, a in group.arrays()}
    return {"attrs": json.dumps(dict(group.attrs), sort_keys=True), **arrays}


@pytest.fixture(scope="module")
def built(small, tmp_path_factory) -> Cube:
    """The cube of the small study, built at once."""
    return build(small.study, small.data, tmp_path_factory.mktemp("cube") / "whole.zarr", workers=1)


@pytest.fixture
def copied(small, tmp_path) -> Path:
    """The files of the small study, to be changed."""
    return Path(shutil.copytree(small.data, tmp_path / "data"))


# Regridding -------------------------------------------------------------------------------------------------------------

GRID = Grid.around(-3.7, 40.4, cell=16000, shape=(3, 4))
ONE = Grid.around(-3.7, 40.4, cell=2000, shape=(1, 1))


def field(latitude, longitude, values, name="t2m") -> xr.Dataset:
    """One hour of a field."""
    hour = np.array(["2023-01-01T01"], "datetime64[ns]")
    coords = {"time": hour, "latitude": latitude, "longitude": longitude}
    return xr.Dataset({name: (("time", "latitude", "longitude"), np.asarray(values, np.float32)[None])}, coords)


def test_bilinear_by_hand():
    # the cell's centre lies a quarter of the way from the northern row to the southern, half-way between the columns:
    # 3/4 · (10 + 20) / 2 + 1/4 · (30 + 50) / 2 = 11.25 + 10
    lon, lat = (float(v[0, 0]) for v in ONE.lonlat())
    latitude, longitude = np.array([lat + 0.025, lat - 0.075]), np.array([lon - 0.05, lon + 0.05])
    bilinear = Bilinear.between(latitude, longitude, ONE)
    found = bilinear.apply(field(latitude, longitude, [[10, 20], [30, 50]]))
    assert float(found.t2m[0, 0, 0]) == pytest.approx(21.25, rel=1e-5)
    assert bilinear.outside == 0


def test_a_field_linear_in_degrees_is_reproduced():
    lon, lat = GRID.lonlat()
    latitude, longitude = np.arange(41.5, 39, -0.1), np.arange(-5, -2.4, 0.1)
    values = 280 - 3 * (latitude[:, None] - 40) + 2 * (longitude[None] + 4)
    found = Bilinear.between(latitude, longitude, GRID).apply(field(latitude, longitude, values))
    np.testing.assert_allclose(found.t2m[0], 280 - 3 * (lat - 40) + 2 * (lon + 4), rtol=1e-6)
    assert found.t2m.dims == ("time", "y", "x")
    assert found.y.values[0] > found.y.values[-1]


def test_beyond_the_data_the_edge_holds_and_is_counted():
    lon = GRID.lonlat()[0]
    middle = float(lon.mean())  # the data end in the middle of the window
    latitude, longitude = np.arange(41.5, 39, -0.1), middle + np.arange(-6, 1) * 0.1
    east = lon > longitude[-1]
    bilinear = Bilinear.between(latitude, longitude, GRID)
    assert bilinear.outside == east.sum() > 0
    values = np.broadcast_to(np.arange(7.0), (len(latitude), 7))  # 6 in the easternmost column
    found = bilinear.apply(field(latitude, longitude, values)).t2m[0].to_numpy()
    assert found[east] == pytest.approx(6, rel=1e-6)


def test_a_gap_spreads_to_the_cells_that_it_counts_for_and_no_further():
    lon, lat = (float(v[0, 0]) for v in ONE.lonlat())
    latitude, longitude = np.array([lat, lat - 0.1]), np.array([lon - 0.05, lon + 0.05])
    bilinear = Bilinear.between(latitude, longitude, ONE)  # the centre lies on the northern row
    assert np.isnan(bilinear.apply(field(latitude, longitude, [[10, np.nan], [30, 50]])).t2m).all()
    assert float(bilinear.apply(field(latitude, longitude, [[10, 20], [np.nan, np.nan]])).t2m.squeeze()) == pytest.approx(15)


def test_weather_of_another_region_is_refused():
    with pytest.raises(DataError, match=r"weather covers 51\.00…52\.00°N 3\.00…4\.00°E, the grid .* do not meet"):
        Bilinear.between(np.array([52.0, 51.0]), np.array([3.0, 4.0]), GRID)


def test_sums_since_midnight_may_be_regridded_before_they_are_undone(small):
    source = ERA5Land()
    part = source.open(sorted((small.data / "weather").glob("*.nc")), ["tp"])
    bilinear = Bilinear.between(part.latitude.to_numpy(), part.longitude.to_numpy(), GRID)
    after = bilinear.apply(part).tp
    raw = [source.read(m, ["tp"]) for m in members(sorted((small.data / "weather").glob("*.nc")))]
    before = source.combine([bilinear.apply(p) for p in raw], Ledger()).tp
    # an hour of rain is 1e-4 m: 0.1 kg m⁻² over 3600 s
    assert float(after.max()) == pytest.approx(0.1 / 3600, rel=1e-3)
    np.testing.assert_allclose(before, after, atol=1e-4 * 0.1 / 3600)


# Sums -------------------------------------------------------------------------------------------------------------------

NUMBERS = st.lists(st.floats(-1e3, 1e3, width=32) | st.just(float("nan")), min_size=2, max_size=30)


@given(NUMBERS, st.integers(0, 30))
def test_sums_of_two_parts_add_to_the_sums_of_all(numbers, cut):
    values = np.array([numbers, numbers[::-1]], np.float32)  # (channel, sample)
    whole, parts = Sums.of(values), Sums.of(values[:, :cut]) + Sums.of(values[:, cut:])
    for name in ("n", "x", "xx"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), rtol=1e-9, atol=1e-6)


def test_scale_by_hand():
    # 1, 2, 3, 6: mean 3, variance (4 + 1 + 0 + 9) / 4 = 3.5; the second channel is constant
    scale = Sums.of(np.array([[1, 2, np.nan, 3, 6], [7, 7, 7, 7, np.nan]])).scale()
    assert scale.mean.tolist() == [3, 7]
    assert scale.deviation.tolist() == pytest.approx([3.5**0.5, 1])
    assert scale.apply(np.array([[3.0, 9.0]]), axis=1).tolist() == [[0, 2]]


# A cube at once ---------------------------------------------------------------------------------------------------------


def test_a_missing_day_is_nan_whole_and_in_the_ledger(built):
    day = int(np.flatnonzero(built.days == MISSING_DAY)[0])
    weather = built.group["weather"][:]
    assert np.isnan(weather[day]).all()
    assert np.isfinite(np.delete(weather, day, 0)).all()
    assert np.flatnonzero(~built.usable).tolist() == [day]
    assert [(e.what, e.why) for e in built.ledger.of("day", "out")] == [("2023-01-15", "no weather: missing whole")]


def test_filled_hours_take_the_nearest_hour_and_are_counted(built):
    # one absent file hour: t2m and u10 lack 05, tp lacks the steps from 04 to 05 and from 05 to 06
    counted = {e.what: (e.why, e.count) for e in built.ledger.of("day", "changed")}
    assert counted["2022-12-20"] == ("hours filled from the nearest one: t2m (1 h), u10 (1 h), tp (2 h)", 4)
    assert counted["2023-01-14"] == ("hours filled from the nearest one: tp (1 h)", 1)  # its last sum closes at 00:00
    day = int(np.flatnonzero(built.days == np.datetime64("2022-12-20"))[0])
    t2m = built.group["weather"][day, :, 0, 0, 0]
    assert t2m[5] == t2m[4] != t2m[6]


def test_values_of_the_cube_are_those_of_the_files(built, small):
    first = xr.open_dataset(small.data / "weather" / "era5land-2022-12.nc", engine="netcdf4")
    lon, lat = built.grid.coarsen(8).lonlat()
    expected = first.t2m.isel(valid_time=30).interp(longitude=("cell", lon.ravel()), latitude=("cell", lat.ravel()))
    np.testing.assert_allclose(built.group["weather"][1, 6, 0].ravel(), expected, rtol=1e-6)  # 2 December 06:00


def test_reading_from_disk_is_reading_from_memory(built, monkeypatch):
    days, cells = np.array([40, 3, 17]), (np.array([0, 0, 1, 3]), np.array([2, 3, 3]))
    memory = built.read("weather", days, *cells)
    monkeypatch.setattr("airloom.cube.store.IN_MEMORY", 0)
    again = Cube(built.path, built.group, built.grid)
    assert not isinstance(again._array("weather"), np.ndarray)
    np.testing.assert_array_equal(again.read("weather", days, *cells), memory)
    assert memory.shape == (3, 24, 3, 4, 3)


def test_workers_change_nothing(small, built, tmp_path):
    assert contents(build(small.study, small.data, tmp_path / "a.zarr", workers=2).path) == contents(built.path)


def test_files_that_changed_since_the_cube_was_built_are_noticed(small, copied, tmp_path):
    path = tmp_path / "a.zarr"
    build(small.study, copied, path, workers=1)
    build(small.study, copied, path, workers=1)
    new = copied / "weather" / "era5land-2023-03.nc"
    write_weather(new, np.arange("2023-03-01", "2023-03-02", dtype="datetime64[D]"))
    with pytest.raises(DataError, match=r"weather/era5land-2023-03\.nc is new\. Remove the cube"):
        build(small.study, copied, path, workers=1)
    new.unlink()
    table = copied / "observed.csv"
    before = table.read_text()
    os.utime(table)  # another time and the same content: nothing has changed
    build(small.study, copied, path, workers=1)
    table.write_text(before.replace("1", "2"))  # as long as before
    with pytest.raises(DataError, match=r"observed\.csv holds something else"):
        build(small.study, copied, path, workers=1)
    (copied / "observed.csv").write_text("station,time,value\n")
    with pytest.raises(DataError, match=r"observed\.csv has another size"):
        build(small.study, copied, path, workers=1)
    shutil.rmtree(copied)  # a cube outlives its files
    assert build(small.study, copied, path, workers=1).usable.sum() == 69


# A cube in parts --------------------------------------------------------------------------------------------------------

POINTS = {
    "while stations are screened": ("airloom.cube.stations.screen", 1),
    "after the calendar": ("airloom.cube.build._put", 3),
    "before the first file is decoded": ("airloom.cube.decode.Decode.run", 1),
    "in the middle of decoding": ("airloom.cube.decode.Decode.run", 3),
    "while a part is written": ("xarray.Dataset.to_netcdf", 2),
    "before the first year": ("airloom.cube.build.whole_days", 1),
    "before the second year": ("airloom.cube.build.whole_days", 2),
    "between a year's values and its mark": ("airloom.cube.build.Sums.to_json", 2),
    "before it is sealed": ("zarr.consolidate_metadata", 1),
    "before it is renamed": ("pathlib.Path.rename", 1),
}


@pytest.mark.parametrize(("target", "at"), POINTS.values(), ids=POINTS.keys())
def test_a_build_that_broke_off_goes_on_to_the_same_cube(small, built, tmp_path, monkeypatch, target, at):
    path = tmp_path / "a.zarr"
    interrupted(monkeypatch, target, at, small.study, small.data, path)
    assert not path.exists()
    again = build(small.study, small.data, path, workers=1)
    assert contents(path) == contents(built.path)
    assert again.ledger == built.ledger
    assert [p.name for p in tmp_path.iterdir()] == ["a.zarr"]


def test_finished_work_is_not_done_again(small, tmp_path, monkeypatch):
    interrupted(monkeypatch, "airloom.cube.build.whole_days", 2, small.study, small.data, tmp_path / "a.zarr")
    with monkeypatch.context() as patch:
        breaks(patch, "airloom.cube.decode.Decode.run", 1)
        breaks(patch, "airloom.cube.build.whole_days", 2)  # the first year is there: only one is left
        build(small.study, small.data, tmp_path / "a.zarr", workers=1)


@pytest.mark.parametrize("file", ["observed.csv", "weather/era5land-2022-12.nc"])
def test_a_file_changed_while_the_build_lay_is_read_anew(small, copied, tmp_path, monkeypatch, file):
    path = tmp_path / "a.zarr"
    interrupted(monkeypatch, "airloom.cube.build.whole_days", 2, small.study, copied, path)
    if file == "observed.csv":
        text = (copied / file).read_text()
        (copied / file).write_text(text.replace("centre,2022-12-01 00:00,", "centre,2022-12-01 00:00,1"))
    else:
        content = xr.load_dataset(copied / file, engine="netcdf4")
        content["t2m"][:700] += 1  # but for its last hours, which the next file holds as well
        content.to_netcdf(copied / file, engine="netcdf4")
    build(small.study, copied, path, workers=1)
    fresh = build(small.study, copied, tmp_path / "fresh.zarr", workers=1)
    assert contents(path) == contents(fresh.path)


def test_a_cube_of_another_study_is_refused(small, built, tmp_path):
    other = changed(small.study, {"weather.fill_hours": 0, "stations.min_hours": 20})
    with pytest.raises(StudyError, match="was made for another study; stations, weather differ"):
        build(other, small.data, built.path, workers=1)


def test_no_cube_and_half_a_cube(small, built, tmp_path):
    with pytest.raises(StudyError, match=r"there is no cube\. Run `airloom prepare` first"):
        Cube.open(tmp_path / "none.zarr", small.study)
    half = Path(shutil.copytree(built.path, tmp_path / "half.zarr"))
    zarr.open_group(half, mode="r+", use_consolidated=False).attrs["complete"] = False
    with pytest.raises(StudyError, match="the cube is not complete"):
        Cube.open(half, small.study)


# Inputs that cannot be used ---------------------------------------------------------------------------------------------


def test_weather_over_land_only_is_refused(small, copied, tmp_path):
    path = copied / "weather" / "era5land-2022-12.nc"
    content = xr.load_dataset(path, engine="netcdf4")
    content["t2m"] = content.t2m.where(content.longitude < -3.6)  # sea in the east
    content.to_netcdf(path, engine="netcdf4")
    with pytest.raises(DataError, match=r"t2m of era5-land is missing in .* of the window's cells.*use era5-single"):
        build(small.study, copied, tmp_path / "a.zarr", workers=1)


def test_weather_of_another_region_stops_the_build(small, copied, tmp_path):
    days = np.arange("2022-12-01", "2023-01-01", dtype="datetime64[D]")
    write_weather(copied / "weather" / "era5land-2022-12.nc", days, latitude=np.arange(52.0, 51, -0.2))
    with pytest.raises(DataError, match=r"they do not meet\. Fetch the weather of the study's region"):
        build(small.study, copied, tmp_path / "a.zarr", workers=1)


@pytest.mark.parametrize("workers", [1, 2])
def test_one_broken_file_leaves_the_others_decoded(small, copied, tmp_path, workers):
    path = copied / "weather" / "era5land-2023-01.nc"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"era5land-2023-01\.nc cannot be read"):
        build(small.study, copied, tmp_path / "a.zarr", workers=workers)
    assert len(list((tmp_path / ".a.zarr.building" / "parts").glob("[!.]*.nc"))) >= 1
    path.write_bytes(whole)
    assert build(small.study, copied, tmp_path / "a.zarr", workers=workers).usable.sum() == 69


@pytest.mark.parametrize("target", ["airloom.cube.decode.Decode.run", "airloom.cube.build._put", "zarr.Array.__setitem__"])
def test_a_full_disk_says_so_and_leaves_nothing_that_looks_complete(small, built, tmp_path, monkeypatch, target):
    path = tmp_path / "a.zarr"
    with monkeypatch.context() as patch:
        breaks(patch, target, 2, OSError(28, os.strerror(28)))
        with pytest.raises(
            DataError, match=r"the disk is full\. Free some space and run the same command again: it goes on"
        ):
            build(small.study, small.data, path, workers=1)
    with pytest.raises(StudyError, match="there is no cube"):
        Cube.open(path, small.study)
    assert contents(build(small.study, small.data, path, workers=1).path) == contents(built.path)


# Workers ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Suicide:
    """Something to decode that kills its worker, as the system does when memory runs out."""

    path: Path

    def run(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class Sleeper:
    """Something to decode that tells its worker's process and takes for ever."""

    path: Path

    def run(self) -> None:
        write_json(self.path.with_suffix(".pid"), os.getpid())
        time.sleep(600)


def test_a_worker_that_is_killed_names_the_remedy(tmp_path):
    plan = [Suicide(tmp_path / "a"), Suicide(tmp_path / "b")]
    with crew(2) as hands, pytest.raises(DataError, match=r"ended abruptly; 0 of 2 files are done\. Was memory short"):
        list(decode(plan, hands))


def test_workers_may_have_another_working_folder(small, built, tmp_path, monkeypatch):
    @contextmanager
    def elsewhere(workers):
        with ProcessPoolExecutor(
            workers, mp_context=get_context("spawn"), initializer=os.chdir, initargs=("/",)
        ) as executor:
            yield Crew(executor)

    monkeypatch.setattr("airloom.cube.build.crew", elsewhere)
    monkeypatch.chdir(tmp_path)
    assert contents(build(small.study, small.data, Path("a.zarr"), workers=2).path) == contents(built.path)


def test_workers_end_when_their_parent_is_killed(tmp_path):
    code = (
        "if __name__ == '__main__':\n"
        "    from pathlib import Path; from tests.test_cube import Sleeper; from airloom.cube.decode import decode\n"
        "    from airloom.cube.workers import crew\n"
        "    with crew(2) as hands:\n"
        f"        list(decode([Sleeper(Path({str(tmp_path)!r}, n)) for n in 'ab'], hands))\n"
    )
    (tmp_path / "parent.py").write_text(code)
    paths = os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])])
    parent = subprocess.Popen([sys.executable, tmp_path / "parent.py"], env={**os.environ, "PYTHONPATH": paths})
    _until(lambda: len(list(tmp_path.glob("[ab].pid"))) == 2)
    workers = [read_json(p) for p in tmp_path.glob("[ab].pid")]
    parent.kill()
    parent.wait()
    _until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))


def _until(true, seconds: float = 60) -> None:
    """Wait until something is true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
