"""The report's sections on stations: by their kind, one by one, and all together day by day."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from airloom.grid import Grid
from airloom.verify import field_figures
from airloom.verify.evaluation import CAMS
from airloom.verify.html import embed, table
from airloom.verify.per_station import (
    EDGE,
    network_mean,
    network_scores,
    station_scores,
    station_summary,
    type_rows,
    yearly_levels,
)
from airloom.verify.scores import of_model
from airloom.verify.tables import model_title, number, turn, unbroken, with_interval
from airloom.verify.volumes import Model


def station_sections(
    pairs: pl.DataFrame, grid: Grid, stations: pl.DataFrame, places: pl.DataFrame | None, *, draws: int, seed: int
) -> dict[str, str]:
    """Titles and HTML of the sections: of the method's phases, and of CAMS where it was scored.

    `stations` with station, lon, lat; `places` as in `per_station.station_scores`.
    """
    scored = pairs.filter(pl.col("target") == "withheld").select("model", "phase").unique().rows()
    models = [*sorted((m for m in scored if m[1] is not None), key=turn), *(m for m in scored if m == CAMS)]
    chosen = pl.concat([of_model(pairs, m) for m in models])
    return {
        "By type of station": _types(chosen, models, draws, seed),
        "Stations one by one": _stations(chosen, models, places, grid, stations),
        "Network mean": _network(chosen, models),
    }


def _types(pairs: pl.DataFrame, models: Sequence[Model], draws: int, seed: int) -> str:
    """Rows models, columns kinds of stations."""
    rows = type_rows(pairs, draws=draws, seed=seed)
    kinds = list(dict.fromkeys(r["stratum"] for r in rows))
    by = {(r["model"], r["phase"], r["stratum"]): r for r in rows}
    parts = []
    for score, title in (("rmse", "RMSE [µg m⁻³]"), ("r", "r"), ("r2", "R²"), ("bias", "Bias [µg m⁻³]")):
        cells = []
        for name, phase in models:
            found = [by.get((name, phase, k)) for k in kinds]
            signed = score == "bias"
            values = [with_interval(r[score], r[f"{score}_ci"], signed=signed) if r else "–" for r in found]
            cells.append((model_title(name, phase), *values))
        parts.append(f"<h3>{title}</h3>" + table(("Model", *kinds), cells))
    note = "Withheld stations, on the station-days that all these models have. Industrial stations also count in their area."
    return "".join(parts) + f'<p class="note">{note}</p>'


def _stations(
    pairs: pl.DataFrame, models: Sequence[Model], places: pl.DataFrame | None, grid: Grid, stations: pl.DataFrame
) -> str:
    scores = station_scores(pairs, places)
    withheld = scores.filter(pl.col("target") == "withheld")
    summaries = [station_summary(withheld).with_columns(place=pl.lit("all"))]
    if places is not None:
        summaries.append(station_summary(withheld, ["place"]))
    cells = [
        (
            unbroken(r["model"], r["phase"]),
            *([r["place"] or "unknown"] if places is not None else []),
            f"{r['stations']:,}",
            *(_mean_and_median(r, s) for s in ("r", "r2", "rmse", "bias")),
        )
        for r in pl.concat([s.select(sorted(s.columns)) for s in summaries]).iter_rows(named=True)
    ]
    of_place = ["Place in tiles"] if places is not None else []
    heads = ("Model", *of_place, "Stations", "r", "R²", "RMSE [µg m⁻³]", "Bias [µg m⁻³]")
    note = "Withheld stations: the mean of their own scores, in round brackets the median."
    if places is not None:
        note += (
            f" Place in tiles: centre, or edge where every tile that holds the station has it within {EDGE:.3g} of its width "
            "from a side."
        )
    figure = field_figures.station_maps(scores, models, stations, grid)
    shown = embed(figure, "Correlation and R² of each withheld station over its own days. R² below −1 is not shown.")
    return f'{shown}{table(heads, cells)}<p class="note">{note}</p>'


def _mean_and_median(row: Mapping[str, Any], score: str) -> str:
    mean, median = (number(row[f"{score}_{how}"], signed=score == "bias") for how in ("mean", "median"))
    return f"{mean} ({median})"


def _network(pairs: pl.DataFrame, models: Sequence[Model]) -> str:
    series = network_mean(pairs).filter(pl.col("target") == "withheld")
    figure = field_figures.network_series(series, models)
    found = network_scores(series)
    daily = [
        (model_title(*m), *(number(found[m][s], signed=s == "bias") for s in ("r", "r2", "rmse", "bias"))) for m in models
    ]
    yearly = yearly_levels(pairs).filter(pl.col("target") == "withheld")
    levels = [
        (str(r["year"]), model_title(r["model"], r["phase"]), number(r["predicted"]), number(r["observed"]))
        for r in yearly.iter_rows(named=True)
    ]
    note = "Mean of withheld stations, running means of seven days, and the error of each model."
    return (
        embed(figure, note)
        + "<h3>The mean of each day</h3>"
        + table(("Model", "r", "R²", "RMSE [µg m⁻³]", "Bias [µg m⁻³]"), daily)
        + "<h3>Of the years</h3>"
        + table(("Year", "Model", "Predicted [µg m⁻³]", "Observed [µg m⁻³]"), levels)
    )
