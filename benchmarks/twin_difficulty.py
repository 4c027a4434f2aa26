"""How hard a twin is: its "CAMS" and simple baselines at background stations that the reanalysis does not know.

    python benchmarks/twin_difficulty.py FOLDER [FOLDER …] [--out benchmarks/results/twin_difficulty.json]

A folder is one that `airloom twin make` filled. Everything is read by the sources that read real downloads. Withheld are the
background stations that eea/assimilated.csv does not name; baselines learn from those that it names, on the same days. CAMS
at the ground is averaged over UTC days and brought to the grid's cells bilinearly, as the DACNO₂ paper does for its
CAMS-2km, whose scores are the targets. 95 % intervals resample days.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import xarray as xr
from _stamp import stamp

from airloom.cube.regrid import Bilinear
from airloom.errors import DataError
from airloom.files import write_json
from airloom.grid import Grid
from airloom.infer.fields import at_cells
from airloom.screening import screen
from airloom.sources.calendar import calendar
from airloom.sources.cams import CAMSEurope
from airloom.sources.census import Census
from airloom.sources.eea import EEA
from airloom.sources.era5 import ERA5Single
from airloom.sources.members import matching
from airloom.sources.raster import Raster
from airloom.sources.roads import Roads
from airloom.stations import Rules, Stations
from airloom.twin.world import Plan
from airloom.verify.baselines import BASELINES, Network
from airloom.verify.scores import AREAS, pair, score_rows
from airloom.verify.tables import number, with_interval

ROOT = Path(__file__).parents[1]
CAMS = "CAMS"
PLAIN = ("inverse-distance", "kriging", "gradient-boosting")
WEATHER = (
    "blh", "avg_ibld", "sp", "d2m", "t2m", "u10", "v10", "lai_lv", "lai_hv",
    "avg_ie", "avg_tsrwe", "avg_snswrf", "avg_snlwrf", "avg_tprate",
)  # fmt: skip
MARGIN = 0.2  # degrees round the grid that bilinear weights need of CAMS' 0.1°
TARGETS = (  # of CAMS, µg m⁻³: stratum, score, lowest, highest, the paper's
    ("all", "r2", 0.55, 0.67, 0.61),
    ("all", "rmse", 4.8, 5.8, 5.32),
    ("urban", "bias", -3.4, -2.4, -2.89),
    ("rural", "bias", 1.5, 2.5, 1.98),
)
DRAWS, SEED = 1000, 0


def stations(folder: Path, plan: Plan) -> tuple[Stations, np.ndarray]:
    """Background stations, screened as a study does, and which are withheld: bool on (station,).

    A cell is withheld when the reanalysis knows none of its stations.
    """
    observations = matching(folder, ["eea/observations/*.parquet"], "eea")
    records = EEA().open(observations, folder / "eea" / "sampling_points.parquet")
    found = screen(records, plan.grid, Rules(types=("background",), min_year_fraction=0.1), (plan.start, plan.end))
    known = set(pl.read_csv(folder / "eea" / "assimilated.csv")["station"])
    withheld = np.array([known.isdisjoint(cell.split("+")) for cell in found.table["station"]])
    if not withheld.any():
        raise DataError(
            f"{folder}/eea/assimilated.csv names all {len(withheld)} background stations; none is left to score at. "
            "Make a twin with a larger window."
        )
    made = found.daily.notnull().any("station")  # a twin may have the first days of each month alone
    return replace(found, daily=found.daily.isel(time=made)), withheld


def months(days: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Each month's name and those of its days that are asked for."""
    month = days.astype("datetime64[M]")
    return [(str(m), days[month == m]) for m in np.unique(month)]


def cams_at(folder: Path, grid: Grid, table: pl.DataFrame, days: np.ndarray) -> np.ndarray:
    """Daily NO₂ of CAMS at the ground in the stations' cells, on (time, station) [µg m⁻³]; NaN where hours lack."""
    lon, lat = grid.lonlat()
    box = lon.min() - MARGIN, lat.min() - MARGIN, lon.max() + MARGIN, lat.max() + MARGIN
    parts = []
    for month, of_month in months(days):
        paths = matching(folder, [f"cams/cams.eaq.*.no2.l0.{month}.nc"], "cams")
        hourly = CAMSEurope().open(paths, ["no2"], box=box).isel(height=0)
        by_day = hourly.resample(time="1D")
        daily = by_day.mean().where(by_day.count() == 24)
        cells = Bilinear.between(daily["latitude"].to_numpy(), daily["longitude"].to_numpy(), grid).apply(daily)
        parts.append(at_cells(cells, table["row"].to_numpy(), table["column"].to_numpy(), of_month, "no2"))
    return np.concatenate(parts)


def weather_at(folder: Path, table: pl.DataFrame, days: np.ndarray) -> xr.Dataset:
    """The day's mean and largest value of ERA5's variables at the stations' places, each on (time, station).

    A month's file ends before the rates over its last hour: of them that day has 23 hours.
    """
    place = {"latitude": xr.DataArray(table["lat"], dims="station"), "longitude": xr.DataArray(table["lon"], dims="station")}
    parts = []
    for month, of_month in months(days):
        hourly = ERA5Single().open(matching(folder, [f"era5/single-{month}.*"], "era5"), WEATHER)
        by_day = hourly.resample(time="1D")
        both = {"mean": by_day.mean(), "max": by_day.max()}
        found = xr.merge([d.interp(place).rename({n: f"{n} {how}" for n in d}) for how, d in both.items()])
        parts.append(found.sel(time=of_month.astype("datetime64[ns]")))
    return xr.concat(parts, "time")


def maps_at(folder: Path, grid: Grid, table: pl.DataFrame) -> xr.Dataset:
    """Population, roads in five classes, elevation and lights in the stations' cells, each on (station,)."""
    static = folder / "static"
    sources = (
        Census(static / "population.gpkg"),
        Roads(static / "roads.gpkg"),
        Raster([static / "elevation.tif"], name="elevation", units="m"),
        Raster([static / "lights.tif"], name="lights", units="nW cm-2 sr-1"),
    )
    row, column = (xr.DataArray(table[n].to_numpy(), dims="station") for n in ("row", "column"))
    return xr.merge([s.layers(grid).isel(y=row, x=column).drop_vars(["y", "x"]) for s in sources])


def network_of(folder: Path, grid: Grid, found: Stations, withheld: np.ndarray) -> Network:
    """What the baselines see; CAMS is not in it. Every day is both learnt from, at known stations, and asked for."""
    table, days = found.table, found.daily["time"].to_numpy().astype("datetime64[D]")
    week = calendar(days).to_dataset("channel")
    inputs = xr.merge([week, weather_at(folder, table, days), maps_at(folder, grid, table)])
    everywhere = xr.broadcast(inputs)[0].transpose("time", "station")
    x, y = grid.project(table["lon"].to_numpy(), table["lat"].to_numpy())
    return Network(
        days=days,
        observed=found.daily.to_numpy(),
        x=x,
        y=y,
        withheld=withheld,
        features=np.stack([everywhere[n].to_numpy() for n in everywhere], -1).astype(float),
        feature_names=tuple(map(str, everywhere)),
        train_years=tuple(np.unique(days.astype("datetime64[Y]").astype(int) + 1970).tolist()),
        adapt_years=(),
        test_days=np.ones(len(days), bool),
        seed=SEED,
    )


def predictions(network: Network, cams: np.ndarray) -> dict[str, np.ndarray]:
    """Values of CAMS and of every baseline on (time, station) [µg m⁻³], by the name that the table gives them."""
    informed = replace(
        network,
        features=np.concatenate([network.features, cams[..., None]], -1),
        feature_names=(*network.feature_names, CAMS),
    )
    boosting = BASELINES["gradient-boosting"]
    return {
        CAMS: cams,
        **{BASELINES[n].title: BASELINES[n].predict(network) for n in PLAIN},
        f"{boosting.title} on CAMS": boosting.predict(informed),
    }


def scores(values: dict[str, np.ndarray], network: Network, table: pl.DataFrame) -> list[dict[str, Any]]:
    """Scores at withheld stations, of all and by area."""
    pairs = pl.concat(
        pair(v, network.observed, network.days, table, network.withheld, model=name) for name, v in values.items()
    )
    rows = score_rows(pairs.filter(pl.col("target") == "withheld"), draws=DRAWS, seed=SEED)
    return [r for r in rows if r["stratum"] in ("all", *AREAS)]


def against_targets(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each target with what CAMS scores, and whether that lies in it; a stratum without stations does not."""
    found = {r["stratum"]: r for r in rows if r["model"] == CAMS}
    results = []
    for stratum, score, lowest, highest, paper in TARGETS:
        row = found.get(stratum, {})
        value = row.get(score)
        results.append(
            {
                "stratum": stratum,
                "score": score,
                "lowest": lowest,
                "highest": highest,
                "paper": paper,
                "value": value,
                "interval": row.get(f"{score}_ci"),
                "met": value is not None and lowest <= value <= highest,
            }
        )
    return results


def difficulty(folder: Path) -> dict[str, Any]:
    """One twin: its plan, stations, scores and targets."""
    plan = Plan.load(folder)
    found, withheld = stations(folder, plan)
    network = network_of(folder, plan.grid, found, withheld)
    cams = cams_at(folder, plan.grid, found.table, network.days)
    rows = scores(predictions(network, cams), network, found.table)
    areas = found.table.with_columns(withheld=withheld).group_by("withheld", "area").len("stations")
    return {
        "folder": folder.resolve().name,
        "plan": plan.to_json(),
        "stations": areas.sort("withheld", "area", descending=True).to_dicts(),
        "features": [*network.feature_names, "x", "y"],
        "scores": rows,
        "targets": against_targets(rows),
    }


def show(result: dict[str, Any]) -> None:
    """Scores, then targets."""
    plan, stands = result["plan"], {True: "withheld", False: "known"}
    window = (
        f"{plan['size'] / 1000:g} km at {plan['cell'] / 1000:g} km, {plan['start']} to {plan['end']}, seed {plan['seed']}"
    )
    print(f"\n{result['folder']}: {window}")
    print("stations:", ", ".join(f"{s['stations']} {s['area']} {stands[s['withheld']]}" for s in result["stations"]))
    print("µg/m³, 95 % intervals over days")
    print(f"{'model':26} {'area':8} {'n':>7}  {'RMSE':18} {'r':18} {'R²':22} bias")
    for row in result["scores"]:
        rmse, r, r2 = (with_interval(row[s], row[f"{s}_ci"]) for s in ("rmse", "r", "r2"))
        bias = with_interval(row["bias"], row["bias_ci"], signed=True)
        print(f"{row['model']:26} {row['stratum']:8} {row['n']:7,}  {rmse:18} {r:18} {r2:22} {bias}")
    show_targets(result["targets"])


def show_targets(targets: Sequence[dict[str, Any]]) -> None:
    """A line each."""
    for target in targets:
        span, paper = f"{number(target['lowest'])} … {number(target['highest'])}", number(target["paper"])
        said = f"CAMS {target['stratum']:5} {target['score']:4} {number(target['value']):>6}"
        print(f"{'met' if target['met'] else 'MISSED':6} {said}, target {span} (paper {paper})", flush=True)


def mean_targets(twins: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each target with the mean of all twins."""
    rows = []
    for same in zip(*(t["targets"] for t in twins), strict=True):
        values = [t["value"] for t in same if t["value"] is not None]
        mean = float(np.mean(values)) if values else None
        met = mean is not None and same[0]["lowest"] <= mean <= same[0]["highest"]
        rows.append(
            {**{k: same[0][k] for k in ("stratum", "score", "lowest", "highest", "paper")}, "value": mean, "met": met}
        )
    return rows


def main() -> None:
    """Score each twin, print, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "twin_difficulty.json")
    asked = parser.parse_args()
    found = []
    for folder in asked.folders:
        found.append(difficulty(folder))
        show(found[-1])
    together = mean_targets(found)
    print(f"\nmean of {len(found)} twins")
    show_targets(together)
    content = {
        **stamp("numpy", "xarray", "polars", "lightgbm"),
        "draws": DRAWS,
        "mean": together,
        "twins": found,
    }
    write_json(asked.out, content)


if __name__ == "__main__":
    main()
