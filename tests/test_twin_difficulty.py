"""The benchmark that says how hard a twin is: who is withheld, what is read, and what the targets say of it."""

import json
import runpy
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import xarray as xr

from airloom.errors import DataError
from airloom.sources.base import METADATA, OBSERVATIONS
from airloom.sources.era5 import ERA5Single
from airloom.twin.make import make
from airloom.twin.world import Plan
from airloom.twin.writers.cams import write_cams
from airloom.twin.writers.eea import write_observations, write_sampling_points
from airloom.twin.writers.era5 import write_present
from airloom.verify.baselines import Network

PATH = Path(__file__).parents[1] / "benchmarks" / "twin_difficulty.py"
script = SimpleNamespace(**runpy.run_path(str(PATH)))

PLAN = Plan(date(2019, 1, 31), date(2019, 2, 1), lon=4.4, lat=50.9, size=128_000, cell=8000)
DAYS = np.array(["2019-01-31", "2019-02-01"], "datetime64[D]")
ROW, COLUMN = np.array([3, 8, 8, 12]), np.array([2, 8, 9, 5])
IDS = [f"TW/SPO-{i}" for i in range(4)]


def table() -> pl.DataFrame:
    """Four stations at the centres of their cells, the last one industrial."""
    lon, lat = (a[ROW, COLUMN] for a in PLAN.grid.lonlat())
    return pl.DataFrame(
        {
            "station": IDS,
            "name": IDS,
            "lon": lon,
            "lat": lat,
            "altitude": [10.0] * 4,
            "type": ["background"] * 3 + ["industrial"],
            "area": ["urban", "urban", "rural", "suburban"],
            "row": ROW,
            "column": COLUMN,
        }
    )


def eea(folder: Path, known: list[str]) -> None:
    """Hourly values 0, 1, … 23, and ten more at each next station."""
    start = [datetime(2019, 1, 31, tzinfo=UTC) + timedelta(hours=h) for h in range(48)]
    rows = [(s, t, 1.0, 10.0 * i + t.hour, True) for i, s in enumerate(IDS) for t in start]
    write_observations(pl.DataFrame(rows, OBSERVATIONS, orient="row"), folder / "eea" / "observations", pollutant="no2")
    write_sampling_points(
        table().select(list(METADATA)), folder / "eea" / "sampling_points.parquet", pollutant="no2", year=2019
    )
    pl.DataFrame({"station": known}, {"station": pl.String}).write_csv(folder / "eea" / "assimilated.csv")


def hourly(first: str, count: int, step: float) -> tuple[xr.DataArray, xr.DataArray]:
    """Hours of the day plus twice the longitude, on a lattice round the window; and zeros."""
    time = np.datetime64(first, "ns") + np.arange(count) * np.timedelta64(1, "h")
    lat, lon = np.arange(round(53 / step), round(49 / step), -1) * step, np.arange(round(2 / step), round(7 / step)) * step
    coords = {"time": time, "latitude": lat, "longitude": lon}
    zeros = xr.DataArray(np.zeros((count, len(lat), len(lon)), np.float32), coords, ("time", "latitude", "longitude"))
    return (zeros + zeros["time"].dt.hour + 2 * zeros["longitude"]).astype("float32"), zeros


def test_withheld_are_background_stations_that_the_reanalysis_does_not_know(tmp_path):
    eea(tmp_path, known=[IDS[1]])
    found, withheld = script.stations(tmp_path, PLAN)
    assert found.table["station"].to_list() == IDS[:3]
    assert withheld.tolist() == [True, False, True]
    assert found.daily.to_numpy() == pytest.approx(np.array([[11.5, 21.5, 31.5]] * 2))  # mean of 0 … 23 is 11.5


def test_a_twin_without_withheld_stations_is_refused(tmp_path):
    eea(tmp_path, known=IDS)
    with pytest.raises(DataError, match=r"names all 3 background stations.*larger window"):
        script.stations(tmp_path, PLAN)


def test_cams_is_the_mean_of_whole_days_in_the_stations_cells(tmp_path):
    values, _ = hourly("2019-01-31", 24 + 23, 0.1)
    write_cams(
        values.expand_dims(height=[0.0], axis=1).assign_attrs(units="ug m-3").to_dataset(name="no2"), tmp_path / "cams"
    )
    found = script.cams_at(tmp_path, PLAN.grid, table(), DAYS)
    assert found[0] == pytest.approx(11.5 + 2 * table()["lon"].to_numpy(), abs=1e-4)  # bilinear keeps what is linear
    assert np.isnan(found[1]).all()  # the last hour is not there


def test_weather_is_the_mean_and_maximum_of_the_day_at_the_place(tmp_path):
    for month, first in (("2019-01", "2019-01-30T23"), ("2019-02", "2019-01-31T23")):
        ramp, zeros = hourly(first, 25, 0.25)
        values = {n: zeros for n in script.WEATHER} | {"t2m": ramp + 250, "d2m": zeros + 250, "sp": zeros + 1e5}
        units = {n: ERA5Single.variables[n].units for n in values}
        fields = xr.Dataset({n: v.assign_attrs(units=units[n]) for n, v in values.items()})
        write_present(fields, tmp_path / "era5", f"single-{month}")
    found = script.weather_at(tmp_path, table(), DAYS)
    assert found.sizes == {"time": 2, "station": 4}
    lon = table()["lon"].to_numpy()
    assert found["t2m mean"].transpose("time", "station").values == pytest.approx(np.array([261.5 + 2 * lon] * 2), abs=1e-3)
    assert found["t2m max"].transpose("time", "station").values == pytest.approx(np.array([273 + 2 * lon] * 2), abs=1e-3)
    assert (found["blh max"] == 0).all()


def test_baselines_and_cams_are_scored_at_withheld_stations_alone():
    observed = np.array([[10.0, 20.0, 30.0, 24.0], [12.0, 22.0, 32.0, 28.0]])
    network = Network(
        days=DAYS,
        observed=observed,
        x=np.array([0.0, 1000.0, 2000.0, 3000.0]),
        y=np.zeros(4),
        withheld=np.array([False, True, False, True]),
        features=np.zeros((2, 4, 1)),
        feature_names=("nothing",),
        train_years=(2019,),
        adapt_years=(),
        test_days=np.ones(2, bool),
    )
    values = script.predictions(network, observed + np.array([9.0, -1.0, 9.0, 3.0]))
    assert list(values) == [
        "CAMS", "Inverse distance", "Ordinary kriging", "Gradient boosting", "Gradient boosting on CAMS"
    ]  # fmt: skip
    rows = {(r["model"], r["stratum"]): r for r in script.scores(values, network, table())}
    cams = rows["CAMS", "all"]  # errors −1, −1, 3, 3
    assert (cams["n"], cams["bias"], cams["rmse"]) == (4, pytest.approx(1), pytest.approx(np.sqrt(5)))
    assert rows["CAMS", "urban"]["bias"] == pytest.approx(-1)
    # station 1 stands midway: (10 + 30) / 2 = 20 and 22, as observed
    assert rows["Inverse distance", "urban"]["rmse"] == pytest.approx(0)
    assert ("CAMS", "rural") not in rows  # the only one is known


def test_targets_say_what_is_met():
    rows = [
        {"model": "CAMS", "stratum": "all", "r2": 0.6, "r2_ci": [0.5, 0.7], "rmse": 5.9, "rmse_ci": None},
        {"model": "CAMS", "stratum": "urban", "bias": -2.4, "bias_ci": None},
        {"model": "Kriging", "stratum": "rural", "bias": 2.0, "bias_ci": None},
    ]
    found = {(t["stratum"], t["score"]): t for t in script.against_targets(rows)}
    assert {k: t["met"] for k, t in found.items()} == {
        ("all", "r2"): True,
        ("all", "rmse"): False,
        ("urban", "bias"): True,
        ("rural", "bias"): False,  # CAMS has no rural station
    }
    assert found["all", "r2"]["interval"] == [0.5, 0.7]


def test_a_plan_is_read_back(tmp_path):
    (tmp_path / "twin.json").write_text(json.dumps({**PLAN.to_json(), "airloom": "0"}))
    assert Plan.load(tmp_path) == PLAN
    with pytest.raises(DataError, match=r"holds no twin.json. Make a twin there"):
        Plan.load(tmp_path / "nowhere")


@pytest.mark.slow
def test_a_whole_twin_is_scored(tmp_path):
    make(Plan(date(2019, 1, 30), date(2019, 2, 2), lon=4.4, lat=50.9, size=128_000, cell=4000), tmp_path / "brussels")
    out = tmp_path / "found.json"
    subprocess.run([sys.executable, PATH, tmp_path / "brussels", "--out", out], check=True)
    (found,) = json.loads(out.read_text())["twins"]
    assert found["plan"]["start"] == "2019-01-30"
    assert len(found["targets"]) == 4
    assert {r["model"] for r in found["scores"]} >= {"CAMS", "Ordinary kriging", "Gradient boosting on CAMS"}
    assert len(found["features"]) == 2 + 2 * 14 + 8 + 2  # week; weather; population, roads, elevation, lights; place
