"""Italy's NO₂: fusion beside gradient boosting that has every covariate that the table has of a station, in the same ten folds.

    python benchmarks/italy.py --data DIR [--run runs/italy]

After `airloom run studies/italy.yaml`. Boosting learns from the training folds' observations, with the other stations of the day
weighted by distance⁻², all numbers and kinds of the table, place, season and weekday. Writes benchmarks/results/italy_boosting.json:
its scores, and paired differences of both phases from it, means and 95 % intervals over days.
"""

import argparse
import os
from pathlib import Path

import numpy as np
import polars as pl
from _stamp import stamp

from airloom.files import write_json
from airloom.kinds import open_run, open_study
from airloom.methods.pointconv.folds import folds
from airloom.methods.pointconv.validate import baseline_network
from airloom.verify.baselines import gradient_boosting_of_neighbours
from airloom.verify.scores import differences, pair, score_rows
from airloom.verify.tables import overall

ROOT = Path(__file__).parents[1]
NO_COVARIATE = {"station_eu_code", "date", "yy", "mm", "dd", "no2_ugm3", "__index_level_0__", "tipo_zona", "tipo_stazione"}
EVERY = "gradient-boosting-every-covariate"


def covariates(table: Path, stations: pl.DataFrame) -> np.ndarray:
    """All that the table says of stations, on (station, covariate), words as 0 and 1; of a cell with two, of the first."""
    every = pl.read_parquet(table).group_by("station_eu_code").agg(pl.all().first())
    known = every.select("station_eu_code", *(c for c in every.columns if c not in NO_COVARIATE))
    words = [c for c, kind in known.schema.items() if kind == pl.String and c != "station_eu_code"]
    first = stations.select(station_eu_code=pl.col("station").str.split("+").list.first())
    return (
        first.join(known.to_dummies(words), on="station_eu_code", how="left", maintain_order="left")
        .drop("station_eu_code")
        .to_numpy()
    )


def told(known: np.ndarray, dates: np.ndarray) -> np.ndarray:
    """Covariates, season and weekday, on (time, station, feature)."""
    angle = 2 * np.pi * (dates - dates.astype("datetime64[Y]")).astype(int) / 365.25
    calendar = np.stack([np.sin(angle), np.cos(angle), (dates.astype(int) + 3) % 7], 1)
    parts = known[None], calendar[:, None]
    return np.concatenate([np.broadcast_to(a, (len(dates), len(known), a.shape[-1])) for a in parts], -1, dtype=np.float32)


def main() -> None:
    """Boost, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given = os.environ.get("AIRLOOM_DATA")
    parser.add_argument("--data", type=Path, default=given, required=given is None)
    parser.add_argument("--run", type=Path, default=ROOT / "runs" / "italy")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "italy_boosting.json")
    asked = parser.parse_args()
    study = open_study(ROOT / "studies" / "italy.yaml")
    run = open_run(study, asked.data, asked.run)
    stations, draws, leave = run._stations[0], study.verification.draws, study.verification.leave[0]
    table, values = stations.table, stations.daily.to_numpy()
    dates = stations.daily.time.to_numpy().astype("datetime64[D]")
    x, y = study.target_grid.project(table["lon"].to_numpy(), table["lat"].to_numpy())
    features = told(covariates(asked.data / study.networks[0].stations.metadata, table), dates)
    predicted = np.full(values.shape, np.nan)
    for left_out in folds(leave, x, y, table["name"].to_list(), study.seed):
        network = baseline_network(dates, values, (x, y), features, left_out, study.seed)
        predicted[:, left_out] = gradient_boosting_of_neighbours(network)[:, left_out]
    everyone = np.ones(len(table), bool)
    theirs = pair(predicted, values, dates, table, everyone, model=EVERY)
    ours = pl.read_parquet(asked.run / "pairs.parquet").filter(
        (pl.col("target") == "withheld") & (pl.col("model") == "pointconv")
    )
    pairs = pl.concat([ours.select(theirs.columns), theirs])
    rows = overall({"rows": score_rows(theirs, draws=draws, seed=study.seed)})
    keep = ("model", "phase", "n", "rmse", "mae", "r2", "bias", "rmse_ci", "r2_ci")
    apart = [
        d
        for phase in (1, 2)
        for d in differences(pairs, ("pointconv", phase), draws=draws, seed=study.seed)
        if d["model"] == EVERY
    ]
    write_json(
        asked.out,
        {
            **stamp(),
            "withheld": [{k: r[k] for k in keep} for r in rows],
            "differences": apart,
        },
    )
    for r in rows:
        print(f"{r['model']:36} {r['phase'] or '':2} n {r['n']} RMSE {r['rmse']:.2f} R² {r['r2']:.3f} bias {r['bias']:+.2f}")
    for d in apart:
        low, high = d["rmse_difference_ci"]
        print(f"phase {d['reference_phase']} less {EVERY}: {d['rmse_difference']:+.2f} [{low:+.2f}, {high:+.2f}]")


if __name__ == "__main__":
    main()
