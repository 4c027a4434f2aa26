"""From files to a report on the small study, through `Run`."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import netCDF4
import numpy as np
import polars as pl
import pytest
import torch
from safetensors.numpy import load_file

from airloom.errors import CheckpointError, StudyError
from airloom.infer.fields import read, written
from airloom.learn.checkpoint import save_weights
from airloom.run import Run
from airloom.study import changed
from tests.folders import CLOCKED, lasting
from tests.small import LATITUDE, STAGES, write_weather

pytestmark = pytest.mark.filterwarnings("ignore:Cyclopts application invoked without tokens")
DATED = ("small.nc", "zarr.json")  # they hold the time of day when a field was made


def trained(run: Run, phase: int) -> Path:
    """Where the only member of a run keeps a phase."""
    return run.folder / f"phase-{phase}" / "member-1"


# What a run leaves ------------------------------------------------------------------------------------------------------


def test_a_run_is_a_folder_that_holds_all_of_it(finished):
    names = {p.name for p in finished.folder.iterdir()}
    expected = {"study.yaml", "normalisation.json", "phase-2", "phase-3", "fields", "pairs.parquet", "stations.parquet"}
    assert expected | {"scores.json", "ledger.json", "report.html", "timings.json"} == names
    for phase in (2, 3):
        assert {"best.safetensors", "state.safetensors", "log.json"} <= {p.name for p in trained(finished, phase).iterdir()}
    report = (finished.folder / "report.html").read_text(encoding="utf-8")
    assert report.rstrip().endswith("</html>")
    assert "Invented NO₂ over Madrid, winter 2022/23" in report


def test_scores_have_exactly_these_keys(finished):
    scores = json.loads((finished.folder / "scores.json").read_text())
    assert set(scores) == {"study", "draws", "seed", "rows", "differences", "fields"}
    names = ("rmse", "mae", "r", "r2", "bias")
    row = {"model", "phase", "target", "stratum", "level", "period", "n", "days", *names, *(f"{n}_ci" for n in names)}
    assert {frozenset(r) for r in scores["rows"]} == {frozenset(row)}
    compared = {f"{part}_{score}" for part in ("reference", "other") for score in ("rmse", "r2")}
    compared |= {f"{score}_{part}" for score in ("rmse", "r2") for part in ("difference", "difference_ci", "excludes_zero")}
    head = {"model", "phase", "target", "reference", "reference_phase", "n", "days"}
    assert {frozenset(d) for d in scores["differences"]} == {frozenset(head | compared)}
    # 39 days of 2023 less the missing one, at two withheld and four training stations
    counted = {(r["phase"], r["target"]): r["n"] for r in scores["rows"] if r["model"] == "dacno2" and r["stratum"] == "all"}
    assert counted == {(p, t): n for p in (2, 3) for t, n in (("withheld", 76), ("training", 152))}
    models = {r["model"] for r in scores["rows"]}
    assert models == {"dacno2", *finished.study.verification.baselines}


def test_scores_follow_from_the_field_and_the_observations(finished, small):
    """RMSE at the two withheld stations, made here from the NetCDF and the CSV alone."""
    with netCDF4.Dataset(finished.folder / "fields" / "small.nc") as file:
        no2, x, y = np.asarray(file["no2"][:]), file["x"][:], file["y"][:]
        days = np.datetime64("1970-01-01") + file["time"][:].astype("timedelta64[D]")
    observed = pl.read_csv(small.data / "observed.csv", try_parse_dates=True)
    daily = observed.group_by("station", pl.col("time").dt.date().alias("day")).agg(pl.col("value").mean())
    errors = []
    for name, lon, lat in (("centre", -3.70, 40.42), ("east", -3.55, 40.43)):
        east, north = finished.study.target_grid.project(np.array(lon), np.array(lat))
        values = no2[:, np.abs(y - north).argmin(), np.abs(x - east).argmin()]
        truth = dict(daily.filter(pl.col("station") == name).select("day", "value").iter_rows())
        errors += [v - truth[d.item()] for v, d in zip(values, days, strict=True)]
    scores = json.loads((finished.folder / "scores.json").read_text())
    keys = ("dacno2", 3, "withheld", "all")
    row = next(r for r in scores["rows"] if (r["model"], r["phase"], r["target"], r["stratum"]) == keys)
    assert row["rmse"] == pytest.approx(np.sqrt(np.mean(np.square(errors))), rel=1e-5)
    assert row["bias"] == pytest.approx(np.mean(errors), rel=1e-4)


def test_the_netcdf_is_the_last_phase(finished):
    field = read(finished.folder / "fields" / "small.nc")
    assert field.no2.shape == (38, 32, 32)
    assert np.datetime64("2023-01-15") not in field.time.values
    np.testing.assert_array_equal(field.no2, read(finished.folder / "fields" / "phase-3.zarr").no2)
    assert not np.array_equal(field.no2, read(finished.folder / "fields" / "phase-2.zarr").no2)


def test_the_ledger_names_who_is_out_and_who_is_withheld(finished):
    ledger = json.loads((finished.folder / "ledger.json").read_text())
    found = {(e["kind"], e["what"], e["verdict"]) for e in ledger}
    assert found == {
        ("station", "street", "out"),
        ("station", "outside", "out"),
        ("day", "2022-12-20", "changed"),
        ("day", "2023-01-14", "changed"),
        ("day", "2023-01-15", "out"),
        ("station", "centre", "kept"),
        ("station", "east", "kept"),
    }


def test_the_mean_of_some_hours_goes_through_the_whole_house(airloom, small, tmp_path):
    """RMSE at the two withheld stations of the 11:00 to 13:00 mean, made here from the NetCDF and the CSV alone."""
    words = ["--set", "hours=[11,13]", "--set", "stations.min_hours=2", "--folder", tmp_path / "runs" / "noon"]
    code, _, err = airloom("run", small.path, "--data", small.data, "--workers", 1, *words)
    assert code == 0, err
    run = Run(changed(small.study, {"hours": [11, 13], "stations.min_hours": 2}), small.data, tmp_path / "runs" / "noon")
    for path in (run.netcdf, run.folder / "fields" / "phase-2.zarr"):
        bounds = read(path)["time_bnds"].values
        hours = (bounds - bounds.astype("datetime64[D]")) / np.timedelta64(1, "h")
        assert hours.tolist() == [[11, 13]] * 38
    field, observed = read(run.netcdf), pl.read_csv(small.data / "observed.csv", try_parse_dates=True)
    noon = observed.filter(pl.col("time").dt.hour().is_in([11, 12]))
    means = noon.group_by("station", pl.col("time").dt.date().alias("day")).agg(pl.col("value").mean())
    errors = []
    for name, lon, lat in (("centre", -3.70, 40.42), ("east", -3.55, 40.43)):
        row, column = (int(i) for i in run.study.target_grid.locate(np.array(lon), np.array(lat)))
        truth = dict(means.filter(pl.col("station") == name).select("day", "value").iter_rows())
        days = field["time"].values.astype("datetime64[D]")
        errors += [v - truth[d.item()] for v, d in zip(field["no2"].values[:, row, column], days, strict=True)]
    scores = json.loads((run.folder / "scores.json").read_text())
    keys = ("dacno2", 3, "withheld", "all")
    row = next(r for r in scores["rows"] if (r["model"], r["phase"], r["target"], r["stratum"]) == keys)
    assert row["n"] == len(errors)
    assert row["rmse"] == pytest.approx(np.sqrt(np.mean(np.square(errors))), rel=1e-5)
    assert "11:00 to 13:00 UTC mean NO₂ on 32 × 32 cells" in (run.folder / "report.html").read_text(encoding="utf-8")


# Going on, and going again ----------------------------------------------------------------------------------------------


def test_running_again_changes_nothing(copy):
    before = lasting(copy.folder.parent)
    for stage in STAGES:
        getattr(copy, stage)()
    assert lasting(copy.folder.parent) == before


def test_a_stopped_training_goes_on_to_the_same_scores_to_the_bit(finished, small, tmp_path):
    folder = tmp_path / "runs" / "small"
    words = ["run", small.path, "--data", small.data, "--folder", folder, "--workers", "1"]
    command = [sys.executable, "-c", "from airloom.cli import main; main()", *map(str, words)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    while not (folder / "phase-2" / "member-1" / "state.safetensors").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    message = process.communicate()[1]
    assert process.returncode == 130
    assert "stopped in epoch" in message
    assert not (folder / "fields").exists()
    again = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    assert "scores.json" in again.stdout
    assert lasting(folder, without=CLOCKED + DATED) == lasting(finished.folder, without=CLOCKED + DATED)
    fields = [read(f / "fields" / "small.nc") for f in (folder, finished.folder)]
    assert fields[0].drop_attrs().identical(fields[1].drop_attrs())


def test_a_phase_begins_with_its_coarse_epochs_and_goes_on_after_them(copy, small, finished):
    asked = changed(
        small.study, {"method.pyramid": True, "phases.0.coarse": [{"scales": 1, "epochs": 1}, {"scales": 2, "epochs": 3}]}
    )
    run = Run(asked, small.data, copy.folder.with_name("coarse"))
    run.train()
    home = trained(run, 2)
    at = home / "coarse-1", home / "coarse-2", home
    assert [len(json.loads((part / "log.json").read_text())) for part in at] == [1, 3, 2]
    weights = load_file(home / "best.safetensors")
    before = load_file(trained(finished, 2) / "best.safetensors")
    assert {name for name in weights if "coarse_heads" not in name} == before.keys()
    assert any((weights[name] != before[name]).any() for name in before)
    for name in ("state.safetensors", "best.safetensors", "log.json"):
        (home / name).unlink()
    shutil.rmtree(run.folder / "phase-3")
    Run(asked, small.data, run.folder).train()  # as if it had been stopped when the coarse epochs were over
    again = load_file(home / "best.safetensors")
    assert all((weights[name] == again[name]).all() for name in weights)


@pytest.mark.slow
def test_two_ranks_train_and_predict_and_one_predicts_the_same(copy, small):
    folder = copy.folder.with_name("two")
    words = ["--data", str(small.data), "--folder", str(folder)]
    words += [w for phase in range(2) for w in ("--set", f"phases.{phase}.accumulate=2")]

    def airloom(*launcher: str, verb: str) -> Path:
        words_of = [sys.executable, "-m", *launcher, "airloom", verb, str(small.path), *words]
        done = subprocess.run(words_of, stdout=subprocess.PIPE, text=True, check=True)
        return Path(done.stdout.splitlines()[-1])

    two = ("torch.distributed.run", "--nproc-per-node", "2", "-m")
    assert airloom(*two, verb="train") == folder
    fields = []
    for launcher in (two, ()):
        netcdf = airloom(*launcher, verb="predict")
        fields.append([read(path).load().drop_attrs() for path in (netcdf, folder / "fields" / "phase-2.zarr")])
        shutil.rmtree(folder / "fields")
    assert all(one.identical(other) for one, other in zip(*fields, strict=True))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_cuda_device_is_used_and_gives_nearly_the_same(finished, small, tmp_path):
    run = Run(small.study, small.data, tmp_path / "small", workers=1)
    run.prepare()
    run.train()
    run.predict()
    assert "device" in run._networks.facts
    fields = [read(r.folder / "fields" / "phase-2.zarr").no2.to_numpy() for r in (run, finished)]
    np.testing.assert_allclose(*fields, rtol=0.05, atol=0.5)


def test_withheld_stations_touch_neither_weights_nor_normalisation_nor_fields(finished, small, tmp_path):
    data = Path(shutil.copytree(small.data, tmp_path / "data"))
    observed = pl.read_csv(data / "observed.csv")
    away = pl.col("station").is_in(["centre", "east"])
    other = observed.with_columns(value=pl.when(away).then(300 - pl.col("value")).otherwise("value"))
    other.write_csv(data / "observed.csv")
    run = Run(small.study, data, tmp_path / "runs" / "small", workers=1)
    for stage in STAGES[:4]:
        getattr(run, stage)()
    for phase in (2, 3):
        ours, theirs = (load_file(trained(r, phase) / "best.safetensors") for r in (run, finished))
        assert ours.keys() == theirs.keys()
        assert all(np.array_equal(ours[k], theirs[k]) for k in ours)
        fields = [read(r.folder / "fields" / f"phase-{phase}.zarr").no2.to_numpy() for r in (run, finished)]
        np.testing.assert_array_equal(*fields)
    ours, theirs = (json.loads((r.folder / "normalisation.json").read_text()) for r in (run, finished))
    assert ours == theirs  # what phases have learnt from is the same, though the files are others
    rows = [json.loads((r.folder / "scores.json").read_text())["rows"] for r in (run, finished)]
    for ours, theirs in zip(*rows, strict=True):
        if ours["stratum"] == "all":
            assert (ours == theirs) == (ours["target"] == "training")


def test_fields_of_weights_that_have_changed_are_made_anew(copy):
    before = read(copy.folder / "fields" / "small.nc").no2.to_numpy()
    network = copy._networks.of(copy.study.phases[0], 0)
    save_weights(trained(copy, 3) / "best.safetensors", network, {"study": copy._learnt.marks[3]})
    path = copy.predict()
    np.testing.assert_array_equal(read(path).no2, read(copy.folder / "fields" / "phase-2.zarr").no2)
    assert not np.array_equal(read(path).no2, before)


def test_weights_that_cannot_be_read_leave_the_field_where_it_is(copy):
    field = copy._products.path(("dacno2", 3))
    (trained(copy, 3) / "best.safetensors").write_bytes(b"broken")
    with pytest.raises(CheckpointError, match="is no whole checkpoint"):
        copy.predict()
    assert read(field).sizes["time"]


def test_fields_that_were_drawn_otherwise_are_drawn_again_to_the_last_file(copy, small, tmp_path, monkeypatch):
    run = Run(changed(small.study, {"assimilation": {}}), small.data, tmp_path / "drawn")
    run.cube_path.parent.mkdir(parents=True)
    shutil.copytree(copy.cube_path, run.cube_path)
    run.train()
    run.predict()
    monkeypatch.setattr("airloom.infer.assimilate.OFFSET", 30.0)
    monkeypatch.setattr("airloom.tiled.products.DRAWN", "another")
    before = read(run.netcdf).no2.to_numpy()
    run.predict()
    assert read(run.netcdf).attrs["drawn"].startswith("another, ")
    assert not np.array_equal(read(run.netcdf).no2, before)


def test_two_runs_share_a_cube(copy):
    other = Run(changed(copy.study, {"seed": 1}), copy.data, copy.folder.parent / "other", workers=1)
    other.prepare()
    assert other.cube_path == copy.cube_path
    assert len(list(other.cube_path.parent.iterdir())) == 1


# Verbs out of order -----------------------------------------------------------------------------------------------------


def test_each_verb_names_the_one_before_it(copy, small, tmp_path):
    run = Run(small.study, small.data, tmp_path / "new" / "small", workers=1)
    with pytest.raises(StudyError, match="Run `airloom prepare` first"):
        run.train()
    run.prepare()
    with pytest.raises(CheckpointError, match="airloom train"):
        run.predict()
    with pytest.raises(StudyError, match=r"phase-2\.zarr: 0 of 38 days are predicted\. Run `airloom predict` first"):
        run.evaluate()
    with pytest.raises(StudyError, match=r"no scores to report\. Run `airloom evaluate` first"):
        run.report()


def test_half_a_field_is_not_scored(copy):
    path = copy.folder / "fields" / "phase-3.zarr"
    (path / "written" / "c" / "7").unlink()
    assert written(path).sum() == 37
    for verb in (copy.evaluate, copy.report):
        with pytest.raises(StudyError, match=r"phase-3\.zarr: 37 of 38 days are predicted"):
            verb()
    scores = (copy.folder / "scores.json").read_bytes()
    copy.predict()
    copy.evaluate()
    assert (copy.folder / "scores.json").read_bytes() == scores


def test_a_folder_of_another_study_is_refused(copy):
    with pytest.raises(StudyError, match=r"holds a run of another study.*Name another folder with --folder"):
        Run(changed(copy.study, {"seed": 1}), copy.data, copy.folder)


def test_what_comes_after_training_may_change_and_trains_nothing_anew(copy, finished):
    weights = {p: p.read_bytes() for p in copy.folder.rglob("*.safetensors")}
    other = Run(changed(copy.study, {"assimilation": {}, "verification.draws": 150}), copy.data, copy.folder)
    other.train()
    other.predict()
    models = {r["model"] for r in other.evaluate()["rows"]}
    assert models == {"dacno2", "dacno2-assimilated", *finished.study.verification.baselines}
    assert {p: p.read_bytes() for p in copy.folder.rglob("*.safetensors")} == weights
    path = copy.folder / "fields" / "phase-3-assimilated.zarr"
    before = read(path).no2.to_numpy()
    higher = Run(changed(other.study, {"assimilation.depth": 500}), copy.data, copy.folder)
    with pytest.raises(StudyError, match=r"phase-3-assimilated\.zarr: is of other ways to draw it to stations than now"):
        higher.evaluate()
    deeper = Run(changed(other.study, {"assimilation.phase": 2}), copy.data, copy.folder)
    deeper.predict()
    assert not np.array_equal(read(copy.folder / "fields" / "phase-2-assimilated.zarr").no2.to_numpy(), before)


def test_a_checkpoint_of_another_study_is_refused(copy, small):
    other = Run(changed(small.study, {"seed": 1}), small.data, copy.folder.parent / "other", workers=1)
    other.prepare()
    shutil.copytree(copy.folder / "phase-2", other.folder / "phase-2")
    for verb in (other.train, other.predict):
        with pytest.raises(CheckpointError, match="belongs to another study"):
            verb()


@pytest.mark.parametrize("name", ["state", "best"])
def test_a_broken_checkpoint_is_named_and_may_be_removed(copy, finished, name):
    path = trained(copy, 3) / f"{name}.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=rf"{name}\.safetensors: is no whole checkpoint.*Remove it"):
        copy.train()
    for file in ("state", "best"):  # training goes on from phase 2
        (trained(copy, 3) / f"{file}.safetensors").unlink()
    copy.train()
    ours, theirs = (load_file(trained(r, 3) / "best.safetensors") for r in (copy, finished))
    assert all(np.array_equal(ours[k], theirs[k]) for k in theirs)


# What has changed since -------------------------------------------------------------------------------------------------


def test_other_years_to_score_are_predicted_and_written(copy):
    study = changed(copy.study, {"verification.years": [2022]})
    run = Run(study, copy.data, copy.folder, workers=1)
    run.predict()
    for path in (run.netcdf, copy.folder / "fields" / "phase-3.zarr"):
        with read(path) as field:
            assert set(field["time"].dt.year.values) == {2022}
    with pytest.raises(StudyError, match="Run `airloom evaluate` first"):
        run.report()
    assert {r["period"] for r in run.evaluate()["rows"]} == {"2022"}
    assert run.report().is_file()


def test_a_corrected_file_of_a_later_year_costs_no_phase_that_came_before(copy, small, tmp_path):
    data = shutil.copytree(small.data, tmp_path / "data")
    days = np.arange("2023-02-01", "2023-02-09", dtype="datetime64[D]")
    write_weather(data / "weather" / "era5land-2023-02.nc", days, latitude=LATITUDE + 0.02)
    run = Run(small.study, data, copy.folder, workers=1)
    shutil.rmtree(run.cube_path)
    run.prepare()
    before = trained(run, 2).joinpath("best.safetensors").read_bytes()
    with pytest.raises(CheckpointError, match=r"phase-3/member-1/state.safetensors: .* or has learnt from other files"):
        run.train()
    shutil.rmtree(copy.folder / "phase-3")
    again = Run(small.study, data, copy.folder, workers=1)
    again.train()
    assert trained(run, 2).joinpath("best.safetensors").read_bytes() == before
    old = read(copy.folder / "fields" / "phase-2.zarr")["no2"].values
    again.predict()
    assert not np.array_equal(old, read(copy.folder / "fields" / "phase-2.zarr")["no2"].values)


def test_scores_of_whole_fields_that_are_asked_for_no_more_are_removed(copy):
    left = copy.folder / "volumes.npz"
    left.write_bytes(b"of an earlier study")
    copy.evaluate()
    assert not left.exists()
