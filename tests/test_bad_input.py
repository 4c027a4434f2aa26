"""Bad inputs on the whole way, through `Run`: each a clear error or an entry of the ledger, and nothing is lost.

BAD_INPUT.md says where each case is tested.
"""

import errno
import os
import re
import shutil
import zipfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import xarray as xr

from airloom.check import check
from airloom.cube.build import build
from airloom.errors import AirloomError, DataError, StudyError
from airloom.files import whole
from airloom.run import Run
from airloom.study import Study, changed
from tests.conftest import Small

WEATHER = "weather/era5land-2022-12.nc"


@pytest.fixture
def copied(small, tmp_path) -> Small:
    """The small study and its files, to be spoilt."""
    return Small(small.study, Path(shutil.copytree(small.data, tmp_path / "data")))


def run_of(study: Study, data: Path) -> Run:
    return Run(study, data, data.parent / "runs" / "small", workers=1)


def refused(asked: Small, match: str, *, kind: type[AirloomError] = DataError) -> None:
    """The build ends in an error, and no cube stands there."""
    run = run_of(asked.study, asked.data)
    with pytest.raises(kind, match=match):
        run.prepare()
    assert not run.cube_path.exists()


def rewritten(path: Path, change) -> None:
    """A NetCDF file, changed."""
    content = xr.load_dataset(path, engine="netcdf4")
    change(content).to_netcdf(path, engine="netcdf4")


# Files ------------------------------------------------------------------------------------------------------------------


def test_an_empty_data_folder(small, tmp_path):
    (tmp_path / "data").mkdir()
    refused(Small(small.study, tmp_path / "data"), r"weather\.files: no file matches 'weather/\*\.nc'.*AIRLOOM_DATA")


def test_all_files_that_are_missing_are_named_at_once(copied):
    shutil.rmtree(copied.data / "weather")
    (copied.data / "observed.csv").unlink()
    refused(copied, r"weather\.files: no file matches 'weather/\*\.nc'(?s:.*)\nstations: no file matches 'observed\.csv'")


def test_a_zero_byte_file(copied):
    (copied.data / WEATHER).write_bytes(b"")
    refused(copied, r"era5land-2022-12\.nc is empty \(0 bytes\); the download broke off")


def test_a_folder_instead_of_a_file(copied):
    for name in ("observed.csv", WEATHER):
        (copied.data / name).unlink()
        (copied.data / name).mkdir()
    refused(copied, r"no file matches 'observed\.csv'")


def test_a_file_that_may_not_be_read(copied, monkeypatch):
    closed = copied.data / WEATHER
    real = os.access  # root reads all, so the answer is invented here
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != closed and real(path, mode))
    refused(copied, r"weather\.files: .*era5land-2022-12\.nc may not be read.*chmod")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda content: content[:-30], r"a\.zip is no whole zip archive"),
        (lambda content: content[:2000] + bytes(4000) + content[6000:], r"a\.zip/era5land-2022-12\.nc cannot be read"),
        (lambda content: b"PK\x05\x06" + bytes(18), r"a\.zip is an archive that holds nothing"),
    ],
)
def test_a_broken_zip(copied, spoil, message):
    path = copied.data / "weather" / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(copied.data / WEATHER, Path(WEATHER).name)
    path.write_bytes(spoil(path.read_bytes()))
    refused(Small(changed(copied.study, {"weather.files": ["weather/*"]}), copied.data), message)


def test_an_archive_without_the_study_s_variables(copied, tmp_path):
    with zipfile.ZipFile(copied.data / "weather" / "a.zip", "w") as archive:
        rewritten(copied.data / WEATHER, lambda f: f[["t2m"]].rename(t2m="skt"))
        archive.write(copied.data / WEATHER, "a.nc")
    study = changed(copied.study, {"weather.files": ["weather/*.zip"]})
    with pytest.raises(DataError, match=r"none of 1 files, a\.zip/a\.nc the first, holds one of the variables"):
        check(study, copied.data, tmp_path / "run")
    refused(Small(study, copied.data), r"weather\.files: none of 1 files, a\.zip/a\.nc the first, holds any of t2m, u10, tp")


@pytest.mark.parametrize("name", ["observed", "stations"])
def test_an_empty_parquet(copied, name):
    pl.read_csv(copied.data / f"{name}.csv").clear().write_parquet(copied.data / f"{name}.parquet")
    key = {"observed": "stations.observations", "stations": "stations.metadata"}[name]
    value = f"{name}.parquet" if name == "stations" else [f"{name}.parquet"]
    refused(Small(changed(copied.study, {key: value}), copied.data), rf"{name}\.parquet has \d columns but no rows")


# Weather ----------------------------------------------------------------------------------------------------------------


def test_two_files_that_overlap_with_different_values(copied):
    rewritten(copied.data / WEATHER, lambda f: f.assign(t2m=f.t2m + 1))  # both files hold 1 January 00:00
    refused(copied, "t2m at 2023-01-01 00:00: era5land-2022-12.nc and era5land-2023-01.nc differ by up to 1,")


def test_a_variable_that_no_file_holds(copied):
    for path in (copied.data / "weather").iterdir():
        rewritten(path, lambda f: f.drop_vars("tp"))
    refused(copied, r"tp \(total precipitation rate\) is in none of \d files.*Fetch it too")


def test_a_variable_that_one_file_lacks_takes_its_days(copied):
    rewritten(copied.data / "weather" / "era5land-2023-02.nc", lambda f: f.drop_vars("u10"))
    run = run_of(copied.study, copied.data)
    run.prepare()
    cube = run.cube
    out = {e.what: e.why for e in cube.ledger.of("day", "out")}
    assert out == {
        "2023-01-15": "no weather: missing whole",
        "2023-02-01": "no weather: missing u10 (23 h)",  # its first moment stands in January's file
        **{f"2023-02-0{d}": "no weather: missing u10 (24 h)" for d in range(2, 9)},
    }
    assert cube.usable.sum() == 70 - 1 - 8


def test_a_wrong_unit(copied):
    def celsius(file):
        file["t2m"] = (file.t2m - 273.15).assign_attrs(units="degC")
        return file

    rewritten(copied.data / WEATHER, celsius)
    refused(copied, r"era5land-2022-12\.nc: t2m is in 'degC', expected K")


def test_a_block_of_nan_takes_its_day_and_is_named(copied):
    def gap(file):
        file["t2m"][240:245] = np.nan  # 11 December, 00 to 04
        return file

    rewritten(copied.data / WEATHER, gap)
    run = run_of(copied.study, copied.data)
    run.prepare()
    cube = run.cube
    out = {e.what: e.why for e in cube.ledger.of("day", "out")}
    assert out == {"2022-12-11": "no weather: missing t2m (5 h)", "2023-01-15": "no weather: missing whole"}
    day = np.flatnonzero(cube.days == np.datetime64("2022-12-11"))[0]
    assert not cube.usable[day]
    assert np.isnan(cube.group["weather"][day]).all()


def test_weather_of_another_region(copied):
    for path in (copied.data / "weather").iterdir():
        rewritten(path, lambda f: f.assign_coords(latitude=f.latitude + 12))
    refused(copied, r"the grid 40.* they do not meet\. Fetch the weather of the study's region")


# Years ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"period.start": "2021-12-01", "phases.0.years": [2021]},
            r"phase 2: no day of \[2021\] has all inputs\. Fetch the weather of these years",
        ),
        (
            {"period.end": "2024-02-08", "verification.years": [2024], "stations.min_year_fraction": 0},
            r"verification: no day of \[2024\] has all inputs\. Fetch the weather of these years",
        ),
        (
            {"period.start": "2021-12-01", "phases.1.years": [2021], "stations.min_year_fraction": 0},
            r"phase 3: no day of \[2021\] has all inputs",
        ),
        (
            {"stations.min_year_fraction": 1.0, "stations.min_hours": 24, "period.start": "2022-11-30"},
            r"no training station has a value in \[2022\]",
        ),
    ],
    ids=["training", "verification", "adaptation", "too few stations"],
)
def test_years_that_the_data_do_not_have(small, tmp_path, changes, message):
    run = Run(changed(small.study, changes), small.data, tmp_path / "runs" / "small", workers=1)
    run.prepare()
    with pytest.raises(AirloomError, match=message):
        run.train()
    assert all("NaN" not in path.read_text() for path in run.folder.glob("normalisation.json"))


def test_all_stations_withheld(small, tmp_path):
    names = ["centre", "east", "north", "south", "west", "works"]
    study = changed(small.study, {"stations.split.withheld": names})
    with pytest.raises(StudyError, match="all 6 stations are withheld; at least one must be left"):
        check(study, small.data, tmp_path / "run")


# Training and writing ---------------------------------------------------------------------------------------------------


def test_a_loss_that_is_not_finite_leaves_the_phases_before(copied, finished):
    shutil.copytree(finished.folder.parent / "cubes", copied.data.parent / "runs" / "cubes")
    run = run_of(changed(copied.study, {"phases.1.learning_rate": 1e30}), copied.data)
    run.prepare()
    with pytest.raises(DataError, match=r"phase 3, epoch 1: the loss is not finite\. Days 2023-.*Lower the learning rate"):
        run.train()
    assert (run.folder / "phase-2" / "member-1" / "best.safetensors").is_file()
    assert not (run.folder / "phase-3" / "member-1" / "best.safetensors").exists()


@pytest.mark.parametrize("words", ["I/O error: No space left on device (os error 28)", "NetCDF: HDF error"])
def test_a_full_disk_that_a_library_hides(tmp_path, monkeypatch, words):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 0))
    with pytest.raises(OSError, match=re.escape(str(tmp_path / "a.nc"))) as caught, whole(tmp_path / "a.nc"):
        raise RuntimeError(words)
    assert caught.value.errno == errno.ENOSPC
    assert list(tmp_path.iterdir()) == []


def test_an_error_that_is_no_full_disk_stays_itself(tmp_path):
    with pytest.raises(RuntimeError, match="HDF error"), whole(tmp_path / "a.nc"):
        raise RuntimeError("NetCDF: HDF error")


def test_a_disk_that_fills_while_a_part_is_written(small, tmp_path, monkeypatch):
    def full(self, path, **kwargs):
        Path(path).write_bytes(b"half")
        raise RuntimeError("NetCDF: HDF error")

    with monkeypatch.context() as patch:
        patch.setattr(xr.Dataset, "to_netcdf", full)
        patch.setattr("airloom.files.FULL", 2**62)
        with pytest.raises(DataError, match=r"the disk is full\. Free some space and run the same command again"):
            build(small.study, small.data, tmp_path / "a.zarr", workers=1)
    assert build(small.study, small.data, tmp_path / "a.zarr", workers=1).usable.sum() == 69


@pytest.mark.parametrize("stage", ["train", "predict", "evaluate", "report"])
def test_a_disk_that_fills_later(finished, small, tmp_path, monkeypatch, stage):
    shutil.copytree(finished.folder.parent, tmp_path / "runs")
    run = Run(small.study, small.data, tmp_path / "runs" / "small", workers=1)
    for path in (run.folder / "phase-3", run.folder / "fields" / "phase-3.zarr"):
        if stage in ("train", "predict"):
            shutil.rmtree(path)
    if stage == "predict":
        run.train()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", _full)  # the last step of every file that is written whole
        with pytest.raises(DataError, match="the disk is full"):
            getattr(run, stage)()
    for again in ("train", "predict", "evaluate", "report"):
        getattr(run, again)()
    assert (run.folder / "scores.json").read_bytes() == (finished.folder / "scores.json").read_bytes()


def _full(handle: int) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
