"""A fusion study from files to a report, on worlds that are not worth the name."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import xarray as xr
import yaml
from safetensors.torch import load_file

from airloom.cli import app
from airloom.errors import DataError, StudyError
from airloom.infer.fields import read, surface
from airloom.kinds import check, describe, open_run, open_study
from airloom.learn.ranks import Ranks
from airloom.learn.stop import Stopped
from airloom.methods.pointconv.fuse import Fuser
from airloom.methods.pointconv.live import fuse
from airloom.methods.pointconv.model import Model
from airloom.methods.pointconv.reproduce import by_day
from airloom.methods.pointconv.study import FusionStudy
from airloom.methods.pointconv.teach import worlds_folder
from airloom.methods.pointconv.validate import cross_validate
from airloom.study import changed

STUDY = {
    "name": "small-fusion",
    "title": "Invented PM10",
    "method": {"name": "pointconv"},
    "grid": {"centre": [10.3, 51.2], "shape": [32, 32], "cell": 10000},
    "period": {"start": "2005-01-01", "end": "2005-01-06"},
    "networks": [
        {
            "variable": "pm10",
            "stations": {
                "source": "station-table",
                "observations": ["observed.csv"],
                "metadata": "stations.csv",
                "crs": "EPSG:3035",
                "min_year_fraction": 0,
            },
        }
    ],
    "maps": [{"name": "elevation"}, {"name": "land"}],
    "worlds": {"number": 1, "start": "2019-01-01", "end": "2019-02-28", "days": 3},
    "practice": {"stations": [8, 20], "above": 100, "steps": 20, "batch": 2, "window": 32},
    "verification": {
        "leave": [{"what": "stations", "folds": 4}, {"what": "blocks", "folds": 2, "block": 1e5}],
        "baselines": ["inverse-distance", "kriging"],
        "draws": 100,
    },
}
NUMBER = 14  # stations


def write(folder: Path, content: dict = STUDY) -> FusionStudy:
    """Stations of all variables, worlds and the study."""
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(content))
    study = open_study(path)
    grid, draw = study.target_grid, np.random.default_rng(0)
    rows, columns = np.divmod(draw.choice(32 * 32, NUMBER, replace=False), 32)
    names = [f"S{n:02d}" for n in range(NUMBER)]
    pl.DataFrame(
        {
            "station": names,
            "lon": grid.x[columns],
            "lat": grid.y[rows],
            "altitude": 300.0,
            "type": "background",
            "area": "rural",
        }
    ).write_csv(folder / "stations.csv")
    days = np.arange("2005-01-01", "2005-01-07", dtype="datetime64[D]")
    values = 20 + 5 * np.sin(rows / 10) + draw.normal(0, 3, (len(days), 1)) + draw.normal(0, 1, (len(days), NUMBER))
    values[4, 1:] = np.nan  # one station alone
    values[5] = np.nan  # and none
    table = {"station": names * len(days), "time": np.repeat(days, NUMBER), "value": values.ravel()}
    pl.DataFrame(table).with_columns(pl.col("value").fill_nan(None)).write_csv(folder / "observed.csv")
    for world in range(2):
        home = worlds_folder(study, folder / "run") / f"world-{world}"
        home.mkdir(parents=True)
        smooth = np.cumsum(np.cumsum(draw.normal(size=(2, 3, len(study.variables), 32, 32)), -1), -2)
        for month, fields in zip(("2019-01", "2019-02"), smooth, strict=True):
            ground = (30 + fields / 10).clip(0).astype(np.float32)
            np.save(home / f"{month}.npy", ground)
            np.save(home / f"{month}-aloft.npy", ground[:, :1] * np.array([0.9, 0.8, 0.6, 0.3], np.float32)[:, None, None])
        np.savez(home / "maps.npz", maps=draw.random((2, 32, 32)).astype(np.float32), land=np.ones((32, 32)))
    return study


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """All of it, run from the command line."""
    found = tmp_path_factory.mktemp("fusion")
    write(found)
    app(
        ["run", str(found / "study.yaml"), "--data", str(found), "--folder", str(found / "run")],
        exit_on_error=False,
        result_action="return_value",
    )
    return found


def test_from_files_to_a_report(folder):
    scores = json.loads((folder / "run" / "scores.json").read_text())
    rows = {(r["model"], r["phase"], r["target"]): r for r in scores["rows"] if r["stratum"] == "all"}
    every = {"pointconv": 1, "inverse-distance": None, "kriging": None}
    assert set(rows) == {(m, p, t) for m, p in every.items() for t in ("withheld", "withheld blocks")}
    assert {rows["pointconv", 1, "withheld"]["n"], rows["kriging", None, "withheld"]["n"]} == {4 * NUMBER}
    worlds = scores["worlds"]
    assert worlds["cells"] == 32 * 32 - NUMBER
    assert set(worlds["models"]) == {"pointconv", "kriging", "inverse-distance"}
    assert [r["nominal"] for r in scores["intervals"]] == [0.5, 0.8, 0.95]
    assert Model.load(folder / "run").calibration
    told = (folder / "run" / "card.md").read_text()
    assert "never seen an observation" in told
    assert f"| pointconv, phase 1 | {4 * NUMBER} | {rows['pointconv', 1, 'withheld']['rmse']:.2f} [" in told
    assert "## Blocks left out" in told
    page = (folder / "run" / "report.html").read_text()
    assert "Invented PM10" in page
    assert "small-fusion" in page


def test_fields_cover_the_days_that_have_a_station(folder):
    with xr.open_dataset(folder / "run" / "fields.nc") as field:
        assert field["pm10"].shape == (5, 32, 32)  # of six days, the last has none
        assert bool((field["pm10"] >= 0).all())
        assert field["coverage"].shape == (5, 32, 32)
        assert 0.4 < float(field["coverage"].max()) < 1
        assert field["pm10_high"].shape == field["pm10_low"].shape == (5, 32, 32)  # evaluated, so they are known
        assert bool(((field["pm10_low"] <= field["pm10"]) & (field["pm10"] < field["pm10_high"])).all())
        assert field["pm10"].attrs["standard_name"] == "mass_concentration_of_pm10_ambient_aerosol_particles_in_air"


@pytest.fixture
def run(folder):
    return open_run(open_study(folder / "study.yaml"), folder, folder / "run")


def test_a_second_network_goes_from_its_files_into_the_field(tmp_path):
    humid = {**STUDY["networks"][0]["stations"], "observations": ["humid.csv"], "units": "%"}
    second = {"variable": "relative_humidity", "stations": humid}
    practice = {**STUDY["practice"], "above": 0, "steps": 2}
    leave = {"leave": [{"what": "stations", "folds": 2}], "baselines": ["kriging"], "draws": 100}
    content = {**STUDY, "networks": [*STUDY["networks"], second], "practice": practice, "verification": leave}
    study = write(tmp_path, content)
    dry = pl.read_csv(tmp_path / "observed.csv")
    dry.with_columns(value=60 + pl.col("value")).write_csv(tmp_path / "humid.csv")
    run = open_run(study, tmp_path, tmp_path / "run")
    run.train()
    run.predict()
    assert run._observed[1].values[0, 0] == pytest.approx(60 + run._observed[0].values[0, 0])
    rows = [r for r in run.evaluate()["rows"] if (r["model"], r["stratum"]) == ("pointconv", "all")]
    assert [r["n"] for r in rows] == [4 * NUMBER]
    lon, lat = (a[np.arange(8), np.arange(8)] for a in study.target_grid.lonlat())
    table = {"time": ["2005-01-03"] * 16, "lon": [*lon] * 2, "lat": [*lat] * 2, "value": [20.0] * 8 + [70.0, 90.0] * 4}
    names = ["pm10"] * 8 + ["relative_humidity"] * 8
    pl.DataFrame(table).with_columns(variable=pl.Series(names)).write_csv(tmp_path / "sensors.csv")
    assert not fuse(Model.load(tmp_path / "run"), [tmp_path / "sensors.csv"], tmp_path / "fused.nc").entries
    content["networks"][1]["stations"]["units"] = "ug m-3"
    wrong = open_run(FusionStudy.model_validate(content), tmp_path, tmp_path / "wrong")
    with pytest.raises(DataError, match="'ug m-3' is no unit of relative_humidity; write one of %, 1"):
        _ = wrong._stations


def test_a_station_that_is_left_out_cannot_change_its_prediction(run, tmp_path):
    stations, (observed,) = run._stations[0], run._observed
    leaked = replace(observed, values=observed.values.copy())
    leaked.values[0, 3] += 1000
    asked = dict(
        leave=run.study.verification.leave[0], baselines=["kriging"], target="withheld", seed=0, progress=lambda *_: None
    )
    before, after = (
        cross_validate([lambda _: run._fuser], replace(run._case, networks=[o]), keep=tmp_path / str(n), **asked).pairs
        for n, o in enumerate((observed, leaked))
    )
    name, day = stations.table["station"][3], pl.date(2005, 1, 1)
    own = (pl.col("station") == name) & (pl.col("time") == day)
    for model in ("pointconv", "kriging"):
        mine = pl.col("model") == model
        assert before.filter(own & mine)["predicted"].item() == pytest.approx(
            after.filter(own & mine)["predicted"].item(), rel=1e-6
        )
        others = ~own & (pl.col("time") == day) & mine
        assert abs(before.filter(others)["predicted"] - after.filter(others)["predicted"]).max() > 1


def test_an_adapted_prediction_knows_nothing_of_the_station_that_is_left_out(folder, tmp_path):
    (tmp_path / "worlds").symlink_to(folder / "worlds")
    shutil.copytree(folder / "run" / "training", tmp_path / "run" / "training")
    study = changed(open_study(folder / "study.yaml"), {"adaptation": {"steps": 3, "batch": 2}})
    run = open_run(study, folder, tmp_path / "run")
    (observed,) = run._observed
    left_out = np.arange(NUMBER) == 3
    leaked = replace(observed, values=np.where(left_out, observed.values + 1000, observed.values))
    found = [
        run._adapted(o.some(~left_out)).at([o.some(~left_out)], np.arange(4), o.some(left_out))[0]
        for o in (observed, leaked)
    ]
    np.testing.assert_array_equal(*found)


def test_adapted_to_its_stations_from_files_to_sensors(folder, tmp_path):
    (tmp_path / "worlds").symlink_to(folder / "worlds")
    shutil.copytree(folder / "run" / "training", tmp_path / "run" / "training")
    adaptation = {"steps": 3, "batch": 2, "parts": 2}
    study = changed(open_study(folder / "study.yaml"), {"adaptation": adaptation, "verification.leave": [{"folds": 3}]})
    run = open_run(study, folder, tmp_path / "run")
    run.train()
    run.predict()
    rows = {r["phase"]: r for r in run.evaluate()["rows"] if (r["model"], r["stratum"]) == ("pointconv", "all")}
    assert {phase: r["n"] for phase, r in rows.items()} == {1: 4 * NUMBER, 2: 4 * NUMBER}
    assert rows[1]["rmse"] != rows[2]["rmse"]
    run.report()
    model = Model.load(tmp_path / "run")
    assert model.adapted.places.shape == (2, 64, 64)
    written = surface(read(run.folder / "fields.zarr"), "pm10").to_numpy()
    (observed,) = run._observed
    (days, again, _), *_ = replace(model.fuser, places=run._final.places).fields([observed], np.arange(5))
    np.testing.assert_allclose(again, written[days], rtol=1e-5)
    lon, lat = (a[np.arange(8), np.arange(8)] for a in study.target_grid.lonlat())
    sensors = {"time": ["2005-01-03"] * 8, "lon": lon, "lat": lat, "value": 20.0 + np.arange(8)}
    pl.DataFrame(sensors).write_csv(tmp_path / "sensors.csv")
    fuse(model, [tmp_path / "sensors.csv"], tmp_path / "fused.nc")
    with xr.open_dataset(tmp_path / "fused.nc") as fused:
        assert np.isfinite(fused["pm10"].values).all()


def test_fields_of_other_places_are_made_anew(folder, tmp_path):
    (tmp_path / "worlds").symlink_to(folder / "worlds")
    shutil.copytree(folder / "run", tmp_path / "run")
    for name in ("observed.csv", "stations.csv"):
        shutil.copy(folder / name, tmp_path)
    stations = pl.read_csv(tmp_path / "stations.csv")
    stations.with_columns(altitude=pl.lit(900.0)).write_csv(tmp_path / "stations.csv")
    open_run(open_study(folder / "study.yaml"), tmp_path, tmp_path / "run").predict()
    with xr.open_dataset(folder / "run" / "fields.nc") as before, xr.open_dataset(tmp_path / "run" / "fields.nc") as after:
        assert abs(before["pm10"] - after["pm10"]).max() > 0


def test_folds_that_are_done_are_not_done_again(folder, tmp_path):
    (tmp_path / "worlds").symlink_to(folder / "worlds")
    shutil.copytree(folder / "run", tmp_path / "run")
    (kept,) = (tmp_path / "run" / "left-out").glob("stations-*")
    (kept / "2.npz").unlink()
    told = []

    class Counting(Fuser):
        def at(self, *asked):
            told.append(1)
            return super().at(*asked)

    run = open_run(open_study(folder / "study.yaml"), folder, tmp_path / "run")
    run.__dict__["_fuser"] = Counting(run._fuser.network, run._fuser.maps, run._fuser.places)
    again = run.evaluate()
    assert len(told) == 1
    assert again["rows"] == json.loads((folder / "run" / "scores.json").read_text())["rows"]


def test_scores_of_whole_fields_by_day():
    truth = np.array([[1.0, 3.0, 5.0], [2.0, 2.0, 8.0]])
    found = by_day(truth + np.array([[1.0], [0.0]]), truth)
    np.testing.assert_allclose(found["r2"], [1 - 3 / 8, 1])
    np.testing.assert_allclose(found["rmse"], [1, 0])
    np.testing.assert_allclose(found["nme"], [3 / 9, 0])
    np.testing.assert_allclose(found["nme_high"], [1 / 5, 0])


def test_training_goes_on_to_the_bit(folder, tmp_path):
    study = open_study(folder / "study.yaml")
    (tmp_path / "worlds").symlink_to(folder / "worlds")
    told = []

    def interrupt(what: str, done: int, total: int) -> None:
        told.append(done)
        if what.startswith("train") and done == 13:
            signal_self()

    stopped = open_run(study, folder, tmp_path / "run", progress=interrupt)
    with pytest.raises(Stopped, match="stopped after 13 of 20 steps"):
        stopped.train()
    open_run(study, folder, tmp_path / "run").train()
    ours, theirs = (load_file(at / "training" / "best.safetensors") for at in (tmp_path / "run", folder / "run"))
    assert all((ours[k] == theirs[k]).all() for k in theirs)


def signal_self() -> None:
    import os
    import signal

    os.kill(os.getpid(), signal.SIGTERM)


def test_each_verb_names_the_one_before_it(folder, tmp_path):
    (tmp_path / "worlds").symlink_to(folder / "worlds")
    run = open_run(open_study(folder / "study.yaml"), folder, tmp_path / "run")
    with pytest.raises(StudyError, match="Run `airloom train` first"):
        run.predict()
    with pytest.raises(StudyError, match="Run `airloom evaluate` first"):
        run.report()


def test_fields_of_other_observations_are_made_anew(folder, tmp_path):
    (tmp_path / "worlds").symlink_to(folder / "worlds")
    shutil.copytree(folder / "run", tmp_path / "run")
    for name in ("observed.csv", "stations.csv"):
        shutil.copy(folder / name, tmp_path)
    study, changed_file = open_study(folder / "study.yaml"), tmp_path / "observed.csv"
    rows = pl.read_csv(changed_file)
    rows.with_columns(pl.col("value") * 2).write_csv(changed_file)
    open_run(study, tmp_path, tmp_path / "run").predict()
    with xr.open_dataset(folder / "run" / "fields.nc") as before, xr.open_dataset(tmp_path / "run" / "fields.nc") as after:
        np.testing.assert_allclose(after["pm10"].values, 2 * before["pm10"].values, rtol=1e-3)


def test_check_and_describe_say_what_there_is(folder):
    study = open_study(folder / "study.yaml")
    lines = check(study, folder, folder / "run", workers=1)
    assert f"pm10: {NUMBER} cells with stations, 57 daily values" in lines[0]
    assert "0 days to make" in lines[1]
    rows = describe(study)
    assert rows[0].kind == "PointConvFusion"
    assert {"PointConv", "Node"} <= {r.kind for r in rows}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"practice.stations": [30, 10]}, r"stations: \[30, 10\]; write the fewest, at least 1, and then the most"),
        ({"maps.0.name": "population"}, "stations stand above an elevation"),
        ({"networks.0.variable": "wind"}, "wind is no concentration"),
        ({"maps.1.name": "elevation"}, "'elevation' stands twice"),
        ({"worlds.end": "2018-01-01"}, "before they start"),
        ({"verification.leave.0.what": "towns"}, "'stations', 'blocks' or 'cities'.*found 'towns'"),
        ({"networks.0.variable": "pm11"}, "found 'pm11'"),
        ({"verification.leave": [{"what": "blocks"}, {"what": "blocks", "block": 9}]}, "blocks are left out twice"),
    ],
)
def test_a_study_that_makes_no_sense_is_refused(folder, change, message):
    with pytest.raises(StudyError, match=message):
        changed(open_study(folder / "study.yaml"), change)


def test_a_misspelt_key_is_named_with_the_nearest(folder, tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump({**STUDY, "practise": {}}))
    with pytest.raises(StudyError, match=r"'practise' is not a key here\. nearest: 'practice'"):
        open_study(path)


def test_a_misspelt_method_is_named_with_the_nearest(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump({**STUDY, "method": {"name": "pointconf"}}))
    with pytest.raises(StudyError, match=r"there is no method 'pointconf'\. nearest: 'pointconv'"):
        open_study(path)


def test_its_keys_are_printed(capsys):
    app(["keys", "pointconv"], exit_on_error=False, result_action="return_value")
    told = capsys.readouterr().out
    assert "practice.stations" in told
    assert "adaptation.hidden" in told
    with pytest.raises(StudyError, match="no method 'aqnett'"):
        app(["keys", "aqnett"], exit_on_error=False, result_action="return_value")


def test_what_it_cannot_share_it_refuses_to(folder, tmp_path):
    run = open_run(open_study(folder / "study.yaml"), folder, tmp_path / "run", ranks=Ranks(0, 2))
    for verb in (run.train, run.predict):
        with pytest.raises(StudyError, match="2 processes were started"):
            verb()
    with pytest.raises(StudyError, match="--scheduler tcp://far:8786"):
        run.prepare("tcp://far:8786")
    assert not (tmp_path / "run").exists()
