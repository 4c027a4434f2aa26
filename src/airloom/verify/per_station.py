"""Scores station by station, and what all stations say together by day, year and type."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from airloom.grid import Tile
from airloom.verify.scores import AREAS, SCORES, Moments, plain, scored

EDGE = 1 / 8  # of a tile: a station that no tile holds farther from its edges than this lies at the edge
MODEL = ("model", "phase", "target")


def edge_distance(rows: np.ndarray, columns: np.ndarray, tiles: Sequence[Tile]) -> np.ndarray:
    """Cells between each station's cell and the nearest edge of the tile that holds it most centrally, on (station,).

    0 is the outermost cell of a tile; −1 where no tile holds the station.
    """
    best = np.full(len(rows), -1)
    for tile in tiles:
        y, x = rows - tile.row, columns - tile.column
        best = np.maximum(best, np.minimum.reduce([y, x, tile.size - 1 - y, tile.size - 1 - x]))
    return best


def place(distance: np.ndarray, size: int) -> np.ndarray:
    """`centre` or `edge` by the distance to a tile's edge [cells], for tiles of `size` cells, on (station,)."""
    return np.where(distance < EDGE * size, "edge", "centre")


def places(table: pl.DataFrame, tiles: Sequence[Tile]) -> pl.DataFrame:
    """Where in their tiles stations lie: columns station and place, of a table with station, row and column."""
    distance = edge_distance(table["row"].to_numpy(), table["column"].to_numpy(), tiles)
    return pl.DataFrame({"station": table["station"], "place": place(distance, tiles[0].size)})


def station_scores(pairs: pl.DataFrame, places: pl.DataFrame | None = None) -> pl.DataFrame:
    """r, R², RMSE, MAE and bias of each station, a row for each model, phase, target and station; Fig. S3 of paper 000.

    `places` has the columns station and place (`centre` or `edge`); without it all places are null.
    """
    rows = []
    for (model, phase, target, station), part in pairs.group_by(*MODEL, "station", maintain_order=True):
        sums = Moments.of(*_values(part), where=np.ones(part.height, bool))
        head = dict(zip((*MODEL, "station"), (model, phase, target, station), strict=True))
        scores = {name: plain(getattr(sums, name)) for name in SCORES}
        rows.append({**head, "type": part["type"][0], "area": part["area"][0], "n": part.height, **scores})
    kinds = {"phase": pl.Int64, "type": pl.String, "area": pl.String, **dict.fromkeys(SCORES, pl.Float64)}
    table = pl.DataFrame(rows, schema_overrides=kinds)
    if places is None:
        return table.with_columns(place=pl.lit(None, pl.String))
    return table.join(places.select("station", "place"), on="station", how="left", maintain_order="left")


def station_summary(table: pl.DataFrame, by: Sequence[str] = ()) -> pl.DataFrame:
    """Mean and median over stations of each score of `station_scores`, by model, phase, target and the columns `by`.

    A station whose score is undefined does not count for it.
    """
    statistics = [(pl.col(s).mean().alias(f"{s}_mean"), pl.col(s).median().alias(f"{s}_median")) for s in SCORES]
    columns = [pl.len().alias("stations"), *(e for both in statistics for e in both)]
    return table.group_by(*MODEL, *by, maintain_order=True).agg(columns)


def network_mean(pairs: pl.DataFrame) -> pl.DataFrame:
    """Mean over stations by model, phase, target and day: predicted and observed on the same stations; Fig. S4, S5."""
    means = [pl.col(c).mean() for c in ("predicted", "observed")]
    return pairs.group_by(*MODEL, "time", maintain_order=True).agg(pl.len().alias("n"), *means).sort(*MODEL, "time")


def network_scores(series: pl.DataFrame) -> dict[tuple[str, int | None], dict[str, float | None]]:
    """r, R², RMSE, MAE and bias of the daily means of a network, of one target, by model and phase; Fig. S4."""
    found = {}
    for (model, phase), part in series.group_by("model", "phase", maintain_order=True):
        sums = Moments.of(*_values(part), where=np.ones(part.height, bool))
        found[str(model), phase if phase is None else int(str(phase))] = {s: plain(getattr(sums, s)) for s in SCORES}
    return found


def yearly_levels(pairs: pl.DataFrame) -> pl.DataFrame:
    """Mean predicted and observed by model, phase, target and year; Fig. S7."""
    year = pl.col("time").dt.year().alias("year")
    means = [pl.col(c).mean() for c in ("predicted", "observed")]
    return pairs.group_by(*MODEL, year, maintain_order=True).agg(pl.len().alias("n"), *means).sort(*MODEL, "year")


def type_rows(pairs: pl.DataFrame, target: str = "withheld", *, draws: int, seed: int) -> list[dict[str, Any]]:
    """Scores by kind of station, a row for each model, phase and kind that has pairs; upper half of Tables 2 and 3.

    Every model is scored on the station-days that all of them have. Kinds: all, the areas, and industrial stations,
    which also count in their area.
    """
    chosen = pairs.filter(pl.col("target") == target)
    models = chosen.select("model", "phase").unique().height
    common = chosen.filter(pl.len().over("station", "time") == models)
    kinds = {"all": pl.lit(True), **{a: pl.col("area") == a for a in AREAS}, "industrial": pl.col("type") == "industrial"}
    rows = []
    for (model, phase), group in common.group_by("model", "phase", maintain_order=True):
        for kind, which in kinds.items():
            part = group.filter(which)
            if part.height:
                rows.append({"model": model, "phase": phase, "stratum": kind, **_scored(part, draws, seed)})
    return rows


def _scored(part: pl.DataFrame, draws: int, seed: int) -> dict[str, Any]:
    unique, day = np.unique(part["time"].to_numpy(), return_inverse=True)
    return scored(Moments.by_day(*_values(part), day, len(unique)), draws, seed)


def _values(part: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    return part["predicted"].to_numpy(), part["observed"].to_numpy()
