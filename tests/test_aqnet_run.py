"""A study of series from tables to a report, on hours that are invented."""

import json
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import xarray as xr
import yaml

from airloom.cli import app
from airloom.errors import CheckpointError, DataError, StudyError
from airloom.kinds import check, describe, keys, open_run, open_study, tables
from airloom.learn.ranks import Ranks
from airloom.methods.aqnet import figures, told
from airloom.methods.aqnet.live import fullest, tell_series
from airloom.methods.aqnet.run import SeriesRun
from airloom.methods.aqnet.study import SeriesStudy
from airloom.study import changed

DAYS, STATIONS = 100, 6
STUDY = {
    "name": "small-series",
    "title": "Invented PM2.5",
    "method": {"name": "aqnet"},
    "period": {"start": "2020-01-06", "end": "2020-04-14"},
    "stations": {
        "observations": ["observed.csv"],
        "metadata": "stations.csv",
        "timezone": "Asia/Shanghai",
        "variables": {"pm2p5": {"column": "PM"}, "t2m": {"column": "T", "units": "degC"}},
    },
    "tasks": [
        {"kind": "forecast", "name": "hours", "window": 24, "leads": [1, 6], "steps": 8, "batch": 4, "ahead": ["t2m"]},
        {
            "kind": "forecast",
            "name": "days",
            "window": 48,
            "coarse": 6,
            "means": "day",
            "leads": [1, 2],
            "steps": 4,
            "batch": 4,
        },
        {"kind": "reanalysis", "name": "gaps", "window": 24, "gaps": [0.3], "block": 6, "steps": 8, "batch": 2},
    ],
    "hidden": {"folds": 2},
    "verification": {
        "test": "2020-03-20T00:00:00",
        "validation": 3,
        "baselines": ["persistence", "climatology", "ridge", "gradient-boosting", "lstm", "patchtst"],
        "draws": 100,
    },
}


def write(folder: Path) -> SeriesStudy:
    """Tables of a network whose air comes and goes together, and a study of it."""
    draw = np.random.default_rng(0)
    hours = np.datetime64("2020-01-06T00", "m") + 60 * np.arange(DAYS * 24)
    common = 60 + 40 * np.sin(np.arange(DAYS * 24) / 40)
    rows = []
    for i in range(STATIONS):
        values = np.maximum(common + 5 * i + draw.normal(0, 4, len(hours)), 0)
        there = draw.random(len(hours)) > 0.05
        rows += [
            {
                "station": f"S{i}",
                "time": str(t).replace("T", " "),
                "PM": f"{v:.1f}" if ok else "NA",
                "T": f"{10 + v / 50:.2f}",
            }
            for t, v, ok in zip(hours, values, there, strict=True)
        ]
    pl.DataFrame(rows).write_csv(folder / "observed.csv")
    places = pl.DataFrame({"station": [f"S{i}" for i in range(STATIONS)]})
    places.with_columns(
        lon=116 + pl.Series(draw.random(STATIONS)) / 3, lat=40 + pl.Series(draw.random(STATIONS)) / 3
    ).write_csv(folder / "stations.csv")
    (folder / "study.yaml").write_text(yaml.safe_dump(STUDY, sort_keys=False))
    return open_study(folder / "study.yaml")


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The folder of the data, and a run that was carried through by its verbs."""
    folder = tmp_path_factory.mktemp("series")
    write(folder)
    at = [str(folder / "study.yaml"), "--data", str(folder), "--folder", str(folder / "run"), "--workers", "1"]
    for verb in ("prepare", "train", "predict", "evaluate", "report"):
        app([verb, *at], result_action="return_value")
    return folder


def run_of(folder, name="run", **changes):
    return open_run(changed(open_study(folder / "study.yaml"), changes), folder, folder / name)


def test_scores_of_every_task_beside_all_baselines(done):
    scores = json.loads((done / "run" / "scores.json").read_text())
    models = {}
    for row in scores["rows"]:
        models.setdefault((row["task"], row["what"]), set()).add(row["model"])
    six = {"aqnet", "networks", "persistence", "climatology", "ridge", "gradient-boosting", "lstm", "patchtst"}
    interpolated = {"aqnet", *(f"{n}, persisting" for n in ("nearest", "inverse-distance", "kriging"))}
    assert models == {
        ("hours", "seen"): six,
        ("days", "seen"): six,
        ("hours", "hidden"): interpolated,
        ("days", "hidden"): interpolated,
        ("gaps", "gaps"): {"aqnet", "linear-in-time", "inverse-distance"},
        ("gaps", "hidden"): {"aqnet", "nearest", "inverse-distance", "kriging"},
    }
    assert {r["nominal"] for r in scores["intervals"]} == {0.5, 0.8, 0.95}
    ridge = next(r for r in scores["rows"] if (r["task"], r["what"], r["model"], r["lead"]) == ("hours", "seen", "ridge", 1))
    assert ridge["r2"] > 0.8  # the air is a wave
    assert ridge["n"] > 2000


def test_the_tables_keep_forecasts_and_reanalyses_apart(done):
    scores = json.loads((done / "run" / "scores.json").read_text())
    titles = [t.title for t in tables(run_of(done).study, scores)]
    assert len(titles) == 6
    assert sum("forecasts at stations that are seen" in t for t in titles) == 2


def test_gaps_are_told_where_hours_were_taken_out_alone(done):
    with xr.open_dataset(done / "run" / "told-gaps.nc") as found:
        share = float(found["gaps-0.3"].notnull().mean())
        assert 0.2 < share < 0.4
        assert found["hidden"].notnull().all()


def test_the_report_shows_what_attention_looks_at(done):
    page = (done / "run" / "report.html").read_text()
    for heading in (
        "Scores of hours: seen",
        "Scores of gaps: hidden",
        "Attention of days",
        "Series of hours",
        "Intervals",
        "Ledger",
    ):
        assert f"<h2>{heading}</h2>" in page
    assert (done / "run" / "ledger.json").is_file()


def test_what_nothing_else_asks_for_is_carried_through(tmp_path):
    """Two stations, a window shorter than a day whose means are told, a test of one week, two members, distances, a plain clock."""
    study = changed(
        write(tmp_path),
        {
            "period.end": "2020-04-12",
            "tasks": [{**STUDY["tasks"][1], "window": 12, "steps": 2}, {**STUDY["tasks"][2], "steps": 2}],
            "hidden": None,
            "method.weights": "distance",
            "method.cyclic": False,
            "practice.members": 2,
            "verification.test": "2020-04-08T00:00:00",
            "verification.baselines": ["persistence"],
        },
    )
    for name in ("observed", "stations"):
        table = pl.read_csv(tmp_path / f"{name}.csv", infer_schema=False)
        table.filter(pl.col("station").is_in(["S0", "S1"])).write_csv(tmp_path / f"{name}.csv")
    run = open_run(study, tmp_path, tmp_path / "run")
    run.train()
    run.predict()
    scores = run.evaluate()
    assert run.report().is_file()
    assert all(r["weeks"] == 1 and r["rmse"] > 0 and r["rmse_ci"] is None for r in scores["rows"])
    assert all(r["coverage_ci"] is None for r in scores["intervals"])
    tell_series(run.folder, [tmp_path / "observed.csv"], tmp_path / "stations.csv", tmp_path / "told")
    assert pl.read_parquet(tmp_path / "told" / "filled-gaps.parquet")["value"].is_finite().all()


def test_what_is_done_is_not_done_again(done):
    run = run_of(done)
    before = {p: p.stat().st_mtime_ns for p in (done / "run").rglob("*.safetensors")}
    told = run.netcdf.stat().st_mtime_ns
    run.train()
    run.predict()
    assert before == {p: p.stat().st_mtime_ns for p in before}
    assert run.netcdf.stat().st_mtime_ns == told


def test_scores_of_a_task_are_kept(done, monkeypatch):
    before = json.loads((done / "run" / "scores.json").read_text())
    monkeypatch.setattr(SeriesRun, "_beside", lambda self, task: pytest.fail(f"{task.name} was told again"))
    assert run_of(done).evaluate() == before


def test_scores_need_what_was_told(done, monkeypatch):
    monkeypatch.setattr(told, "is_told", lambda networks, task: False)
    with pytest.raises(StudyError, match="Run `airloom predict` first"):
        list(run_of(done)._beside(open_study(done / "study.yaml").tasks[0]))


def test_a_hidden_fold_learns_nothing_of_its_stations(tmp_path):
    """A planted leak would change the weights: values of a fold's stations do not."""
    study = changed(write(tmp_path), {"tasks": STUDY["tasks"][:1]})
    digests = []
    for times in (1, 3):
        table = pl.read_csv(tmp_path / "observed.csv", infer_schema=False)
        run = SeriesRun(study, tmp_path, tmp_path / f"run-{times}")
        own = [s for s, f in zip(run.series.stations, run.networks.folds, strict=True) if f == 0]
        scaled = pl.when(pl.col("station").is_in(own) & (pl.col("PM") != "NA"))
        changed_table = table.with_columns(
            PM=scaled.then((pl.col("PM").cast(pl.Float64, strict=False) * times).cast(pl.String)).otherwise("PM")
        )
        changed_table.write_csv(tmp_path / "observed.csv")
        run = SeriesRun(study, tmp_path, tmp_path / f"other-{times}")
        learning = run.networks.forecasting(study.tasks[0], 0)
        lesson = learning.lesson(learning.parts.train[:4], np.random.default_rng(0), 0.0)
        digests.append((lesson.seen.inputs, lesson.wanted))
    for a, b in zip(*digests, strict=True):
        assert np.array_equal(a.nan_to_num(-9).numpy(), b.nan_to_num(-9).numpy())


def test_training_goes_on_where_it_was_stopped(tmp_path, done):
    """A run whose network of one task is removed makes the same one again, to the bit."""
    run = run_of(done)
    job = next(j for j in run.networks.jobs if (j.task, j.fold, j.which) == ("gaps", None, "aqnet"))
    best = done / "run" / job.folder / "best.safetensors"
    before = best.read_bytes()
    for path in (done / "run" / job.folder).iterdir():
        path.unlink()
    run_of(done).train()
    assert best.read_bytes() == before


def test_check_and_describe(tmp_path):
    study = write(tmp_path)
    lines = check(study, tmp_path, tmp_path / "run", workers=2)
    assert "6 stations" in lines[0]
    assert "networks, 2 at a time, and trees" in lines[-1]
    assert [r.name for r in describe(study) if r.depth == 0] == ["aqnet: hours", "aqnet: days", "aqnet: gaps"]
    assert "verification.test" in [key for key, _, _ in keys("aqnet")]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"target": "o3"}, "o3 is none of stations.variables"),
        ({"verification.test": "2021-01-01T00:00:00"}, "does not lie within the period"),
        ({"verification.test": "2020-03-20T19:00:00+05:30"}, "2020-03-20 13:30 UTC is no full hour"),
        ({"tasks.0.ahead": ["pm2p5"]}, "is no weather"),
        ({"tasks.0.ahead": ["sp"]}, "sp is none of stations.variables"),
        ({"tasks.1.name": "hours"}, "stands twice"),
        ({"tasks.1.coarse": 7}, "no whole number of 7"),
        ({"stations.variables.t2m.direction": "x"}, "wind has a direction"),
    ],
)
def test_a_study_that_cannot_be_is_refused(tmp_path, change, said):
    study = write(tmp_path)
    with pytest.raises(StudyError, match=said):
        changed(study, change)


def test_a_test_s_hour_with_an_offset_is_turned_to_utc(tmp_path):
    study = changed(write(tmp_path), {"verification.test": yaml.safe_load("2020-03-20 19:00:00+08:00")})
    assert study.verification.test == datetime(2020, 3, 20, 11)


def test_verbs_out_of_order_say_what_comes_first(tmp_path):
    run = open_run(write(tmp_path), tmp_path, tmp_path / "run")
    with pytest.raises(StudyError, match="Run `airloom train` first"):
        run.predict()
    with pytest.raises(StudyError, match="Run `airloom train` first"):
        run.evaluate()
    with pytest.raises(StudyError, match="Run `airloom evaluate` first"):
        run.report()
    with pytest.raises(StudyError, match="reads its tables on this machine"):
        run.prepare("tcp://node:8786")
    alone = open_run(run.study, tmp_path, tmp_path / "run", ranks=Ranks(0, 2))
    with pytest.raises(StudyError, match="without torchrun"):
        alone.train()


def test_more_folds_than_stations_are_refused(tmp_path):
    study = changed(write(tmp_path), {"hidden.folds": 7})
    for read in (
        lambda: check(study, tmp_path, tmp_path / "run", workers=1),
        open_run(study, tmp_path, tmp_path / "run").prepare,
    ):
        with pytest.raises(StudyError, match=r"hidden\.folds: 7 folds of 6 stations .* at most 6"):
            read()
    assert not (tmp_path / "run" / "series").exists()


def test_new_tables_are_filled_forecast_and_mapped(done, tmp_path):
    """The last ten days of four of the stations, two of them under other names and places."""
    table = pl.read_csv(done / "observed.csv", infer_schema=False)
    table = table.filter((pl.col("time") >= "2020-04-01") & pl.col("station").is_in(["S0", "S1", "S2", "S3"]))
    table.with_columns(pl.col("station").replace({"S2": "new", "S3": "newer"})).write_csv(tmp_path / "table.csv")
    places = pl.DataFrame(
        {"station": ["S0", "S1", "new", "newer"], "lon": [116.1, 116.2, 116.15, 116.3], "lat": [40.1, 40.2, 40.25, 40.05]}
    )
    places.write_csv(tmp_path / "places.csv")
    at = [
        str(done / "run"),
        str(tmp_path / "table.csv"),
        "--stations",
        str(tmp_path / "places.csv"),
        "--out",
        str(tmp_path / "told"),
    ]
    app(["series", *at, "--map", "2020-04-10T14:00+08:00"], result_action="return_value")  # 06:00 UTC
    filled = pl.read_parquet(tmp_path / "told" / "filled-gaps.parquet")
    assert filled["station"].n_unique() == 4
    assert filled["value"].is_finite().all()
    assert 0 < filled["told"].mean() < 0.2
    assert (filled.filter(~pl.col("told"))["low"] == filled.filter(~pl.col("told"))["value"]).all()
    assert (tmp_path / "told" / "filled-gaps.png").is_file()
    days = pl.read_csv(tmp_path / "told" / "forecast-days.csv")
    assert days["lead"].unique().sort().to_list() == [1, 2]
    assert (days["low"] <= days["high"]).all()
    assert not (tmp_path / "told" / "forecast-hours.csv").exists()  # needs weather that nobody knows yet
    with xr.open_dataset(tmp_path / "told" / "map-gaps-2020-04-10T06.nc") as found:
        assert np.isfinite(found["pm2p5"]).all()
        assert (found["low"] < found["high"]).all()
    assert (tmp_path / "told" / "map-gaps-2020-04-10T06.png").is_file()
    for hour in (datetime(2021, 1, 1), datetime(2020, 4, 10, 6, 30)):
        with pytest.raises(DataError, match="Name one of these hours"):
            tell_series(done / "run", [tmp_path / "table.csv"], tmp_path / "places.csv", tmp_path / "told", hour=hour)
    with pytest.raises(CheckpointError, match="holds no model"):
        tell_series(tmp_path, [tmp_path / "table.csv"], tmp_path / "places.csv", tmp_path / "told")


def test_places_without_a_station_are_told_and_change_nothing_at_stations(done, tmp_path):
    spots = pl.DataFrame({"station": ["school", "park"], "lon": [116.15, 116.25], "lat": [40.15, 40.1]})
    spots.write_csv(tmp_path / "spots.csv")
    tables = [done / "observed.csv"], done / "stations.csv"
    tell_series(done / "run", *tables, tmp_path / "plain")
    tell_series(done / "run", *tables, tmp_path / "told", places=tmp_path / "spots.csv")
    for name in ("filled-gaps", "forecast-days"):
        plain, told = (pl.read_parquet(tmp_path / of / f"{name}.parquet") for of in ("plain", "told"))
        assert plain["station"].to_list() == told["station"].to_list()
        np.testing.assert_allclose(told["value"], plain["value"], rtol=1e-4)
    for name in ("gaps", "days"):
        found = pl.read_parquet(tmp_path / "told" / f"places-{name}.parquet")
        assert set(found["station"]) == {"school", "park"}
        assert found["value"].is_finite().all()
        assert (found["low"] <= found["high"]).all()
        assert "told" not in found.columns
    spots.with_columns(station=pl.Series(["school", "S0"])).write_csv(tmp_path / "spots.csv")
    with pytest.raises(DataError, match="S0 is a station of the tables as well"):
        tell_series(done / "run", *tables, tmp_path / "told", places=tmp_path / "spots.csv")


def test_a_map_needs_a_reanalysis(done, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "model-days.safetensors").symlink_to(done / "run" / "model-days.safetensors")
    with pytest.raises(StudyError, match="holds days, and no reanalysis, which maps need"):
        tell_series(
            tmp_path / "run", [done / "observed.csv"], done / "stations.csv", tmp_path / "told", hour=datetime(2020, 4, 1)
        )
    assert not (tmp_path / "told").exists()


def test_filled_series_are_drawn_where_most_was_told():
    told = np.isin(np.arange(1000), [5, *range(700, 710)])
    # stretches of two weeks that begin at hours 374 … 664, the last one, hold ten of the eleven; 519 is in their middle
    assert fullest(told[:, None], 336) == slice(519, 855)
    assert fullest(told[:48, None], 336) == slice(0, 48)
    value = np.arange(1000.0)
    times = np.datetime64("2020-01-01T00", "us") + np.arange(1000) * np.timedelta64(1, "h")
    table = pl.DataFrame({"time": times, "value": value, "low": value - 2 * told, "high": value + 2 * told, "told": told})
    (axes,) = figures.filled([table], ["A"], 0.8).axes
    observed, filled = (line.get_ydata() for line in axes.lines)
    assert np.array_equal(np.isnan(observed), told)
    assert np.array_equal(np.isnan(filled), ~told)
    assert filled[705] == 705


def test_neighbours_may_be_others_than_those_of_training(done, tmp_path):
    """With fewer, what is told changes; with as many as the study's, or more than there are, it does not."""
    told = []
    for number in (None, 20, 100, 1):
        tell_series(done / "run", [done / "observed.csv"], done / "stations.csv", tmp_path / f"{number}", neighbours=number)
        told.append(
            [pl.read_parquet(tmp_path / f"{number}" / f"{n}.parquet")["value"] for n in ("filled-gaps", "forecast-days")]
        )
    for usual, same, more, one in zip(*told, strict=True):
        assert (usual == same).all()
        assert (usual == more).all()
        assert (usual != one).any()
    with pytest.raises(StudyError, match=r"method\.neighbours"):
        tell_series(done / "run", [done / "observed.csv"], done / "stations.csv", tmp_path, neighbours=0)


def test_attention_of_coarse_steps_is_drawn_by_the_hour():
    weights = np.full((4, 56), 1 / 56)  # two weeks of six hours each
    (axes,) = figures.attention_of_heads(weights, 6).axes
    assert axes.lines[0].get_xdata()[[0, 1, -1]].tolist() == [-330, -324, 0]


def test_a_table_without_a_value_of_one_variable_is_told_nonetheless(done, tmp_path):
    table = pl.read_csv(done / "observed.csv", infer_schema=False).filter(pl.col("time") >= "2020-04-01")
    table.with_columns(T=pl.lit(None)).write_csv(tmp_path / "table.csv")
    ledger = tell_series(done / "run", [tmp_path / "table.csv"], done / "stations.csv", tmp_path / "told")
    assert ("t2m", "no station has a value of it") in {(e.what, e.why) for e in ledger.entries}
    assert pl.read_parquet(tmp_path / "told" / "forecast-days.parquet")["value"].is_finite().all()
