"""The report's sections on whole fields and on stations one by one, for a study with levels and chemistry."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from airloom.grid import Grid
from airloom.verify import field_figures, field_maps
from airloom.verify.evaluation import CAMS, TRUTH, Volumes
from airloom.verify.html import embed, table
from airloom.verify.per_station import EDGE, network_mean, station_scores, station_summary, type_rows, yearly_levels
from airloom.verify.profiles import DEGREES, PEOPLE, profile_rows
from airloom.verify.tables import model_title, number, turn, with_interval
from airloom.verify.volumes import Model

TARGETS = {
    "cams": "Against the chemistry model, on its own coarser cells",
    "truth": "Against the truth, in every cell",
}
NAMES = {"cams": "the chemistry model", "truth": "the truth"}


def volume_sections(
    volumes: Volumes, pairs: pl.DataFrame, grid: Grid, stations: pl.DataFrame, *, draws: int, seed: int
) -> dict[str, str]:
    """Titles and HTML of the sections; `stations` with lon, lat, withheld and observed, their mean."""
    phases = sorted(((n, p) for n, p in volumes.means if p is not None), key=turn)
    ordered = [m for m in (CAMS, *phases, TRUTH) if m in volumes.means]
    means = {m: volumes.means[m] for m in ordered}
    scored = pairs.select("model", "phase").unique().rows()
    at_stations = [m for m in (*phases, CAMS) if m in scored]
    return {
        "By type of station": _types(pairs, at_stations, draws, seed),
        "Levels": "".join(_levels(volumes, target) for target in TARGETS),
        "Maps by model": _maps(means, volumes, grid, stations),
        "Profiles": _profiles(means, volumes, grid),
        "Stations one by one": _stations(pairs, at_stations, volumes, grid, stations),
        "Network mean": _network(pairs, at_stations),
    }


def _types(pairs: pl.DataFrame, models: Sequence[Model], draws: int, seed: int) -> str:
    """Rows models, columns kinds of stations."""
    chosen = pl.concat([_of(pairs, m) for m in models])
    rows = type_rows(chosen, draws=draws, seed=seed)
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


def _levels(volumes: Volumes, target: str) -> str:
    rows = [r for r in volumes.rows if r["target"] == target]
    if not rows:
        return _unscored(volumes, target)
    gaps = {(d["model"], d["phase"], d["stratum"], d["level"]): d for d in volumes.differences if d["target"] == target}
    cells = []
    for r in sorted(rows, key=_order):
        digits = 2 if r["rmse"] >= 1 else 3 if r["rmse"] >= 0.1 else 4  # there is little NO₂ aloft
        gap = gaps.get((r["model"], r["phase"], r["stratum"], r["level"]))
        change = with_interval(gap["rmse_difference"], gap["rmse_difference_ci"], signed=True, digits=digits) if gap else "–"
        cells.append(
            (
                _band(r),
                _unbroken(r["model"], r["phase"]),
                with_interval(r["rmse"], r["rmse_ci"], digits=digits),
                number(r["r"]),
                with_interval(r["r2"], r["r2_ci"]),
                number(r["bias"], signed=True, digits=digits),
                number(r["temporal_r"]),
                number(r["regional_r"]),
                change,
            )
        )
    last = volumes.differences[0] if volumes.differences else None
    name = model_title(last["reference"], last["reference_phase"]) if last else "method"
    heads = ("Level", "Model", "RMSE", "r", "R²", "Bias", "Cell r", "Region r", "ΔRMSE")
    skipped = volumes.skipped[target]
    left = f"; {skipped:,} more are left out, for a model or the reference has no values" if skipped else ""
    note = (
        f"{rows[0]['days']:,} days{left}. RMSE, bias and ΔRMSE in µg\u00a0m⁻³. Cell r: each cell's correlation over days, the mean of all "
        f"cells; region r: that of the region's mean of each day. ΔRMSE: {name} less this model; negative speaks for the method. R² of "
        "all levels pooled flatters: most of that variance is the decrease with height."
    )
    figure = embed(
        field_figures.level_scores(rows, target),
        f"{TARGETS[target]}: scores by level; bars are 95 % intervals over days. R² below −1 is not shown.",
    )
    return f'<h3>{TARGETS[target]}</h3>{figure}{table(heads, cells)}<p class="note">{note}</p>'


def _unscored(volumes: Volumes, target: str) -> str:
    """Why there are no scores against a target; nothing where the study has none."""
    if target not in volumes.skipped:
        return ""
    why = (
        f"None of {volumes.skipped[target]:,} days has values of all of these models and of {NAMES[target]}, so nothing is "
        "scored here. The ledger names days of the chemistry model that were left out."
    )
    return f'<h3>{TARGETS[target]}</h3><p class="note">{why}</p>'


def _order(row: Mapping[str, Any]) -> tuple[bool, bool, float, str]:
    """All levels pooled first, then each from the ground up, then the columns; models keep their order within."""
    pooled = row["level"] is None and row["stratum"] == "all"
    return not pooled, row["level"] is None, row["level"] or 0.0, row["stratum"]


def _band(row: Mapping[str, Any]) -> str:
    if row["level"] is not None:
        return f"{row['level']:g}\u00a0m"
    return (
        "all"
        if row["stratum"] == "all"
        else str(row["stratum"]).removeprefix("column ").replace("-", "\u2060–\u2060").replace(" ", "\u00a0")
    )


def _maps(means: Mapping[Model, np.ndarray], volumes: Volumes, grid: Grid, stations: pl.DataFrame) -> str:
    ground = {m: f[0] for m, f in means.items()}
    last = [m for m in means if m[1] is not None][-1]
    chosen = field_maps.windows(volumes.population, volumes.elevation, ground[last])
    upper = {m: means[m] for m in means if m in (CAMS, TRUTH, last)}
    return (
        embed(
            field_maps.surface_maps(ground, grid, stations, chosen),
            "Means at the surface in common colours; points: observed means, withheld stations ringed in turquoise. "
            "The numbered windows are enlarged below.",
        )
        + embed(
            field_maps.window_maps(ground, chosen, grid, stations),
            f"Windows, each where its mean is largest: {', '.join(chosen).lower()}. Each row has its own colours.",
        )
        + embed(
            field_maps.level_maps(upper, volumes.levels, grid),
            "The pattern on all levels: each mean field over its own mean in the region, which the panel states in µg m⁻³. "
            "Colours are common to a row.",
        )
    )


def _profiles(means: Mapping[Model, np.ndarray], volumes: Volumes, grid: Grid) -> str:
    if volumes.population is None:
        why = f"The study has no layer of source {' or '.join(PEOPLE)}, so degrees of urbanisation are not known."
        return f'<p class="note">{why}</p>'
    rows = profile_rows(means, volumes.population, volumes.levels)
    row, column = np.unravel_index(np.nanargmax(volumes.population), volumes.population.shape)
    limits = ", ".join(f"{n} from {v:g}" for n, v in DEGREES.items())
    parts = [embed(field_figures.profiles(rows), f"Mean profiles by degree of urbanisation [inhabitants km⁻²]: {limits}.")]
    if CAMS in means:
        heads = ("Degree", "Model", *(f"{v:g} m" for v in volumes.levels))
        cells = []
        for degree in DEGREES:
            for name, phase in (m for m in means if m != CAMS):
                own = [r for r in rows if (r["model"], r["phase"], r["degree"]) == (name, phase, degree)]
                if own:
                    cells.append((degree, model_title(name, phase), *(number(r["of_cams"]) for r in own)))
        parts.append("<h3>Ratio of the mean profile to that of CAMS</h3>" + table(heads, cells))
    cut = field_figures.transect(means, volumes.levels, grid, int(row), int(column))
    return "".join(parts) + embed(cut, "Means from west to east through the most populated cell, drawn level by level.")


def _stations(pairs: pl.DataFrame, models: Sequence[Model], volumes: Volumes, grid: Grid, stations: pl.DataFrame) -> str:
    scores = station_scores(pl.concat([_of(pairs, m) for m in models]), volumes.places)
    withheld = scores.filter(pl.col("target") == "withheld")
    summaries = [station_summary(withheld).with_columns(place=pl.lit("all")), station_summary(withheld, ["place"])]
    cells = [
        (
            _unbroken(r["model"], r["phase"]),
            r["place"] or "unknown",
            f"{r['stations']:,}",
            *(_mean_and_median(r, s) for s in ("r", "r2", "rmse", "bias")),
        )
        for r in pl.concat([s.select(sorted(s.columns)) for s in summaries]).iter_rows(named=True)
    ]
    heads = ("Model", "Place in tiles", "Stations", "r", "R²", "RMSE [µg m⁻³]", "Bias [µg m⁻³]")
    note = (
        "Withheld stations: the mean of their own scores, in round brackets the median. Place in tiles: centre, or edge where "
        f"every tile that holds the station has it within {EDGE:.3g} of its width from a side."
    )
    figure = field_figures.station_maps(scores, models, stations, grid)
    shown = embed(figure, "Correlation and R² of each withheld station over its own days. R² below −1 is not shown.")
    return f'{shown}{table(heads, cells)}<p class="note">{note}</p>'


def _unbroken(name: str, phase: int | None) -> str:
    """A model's title for a narrow column: a phase stays on one line, others break after their comma."""
    title = model_title(name, phase).replace(" ", "\u00a0")
    return title if phase is not None else title.replace(",\u00a0", ", ")


def _mean_and_median(row: Mapping[str, Any], score: str) -> str:
    mean, median = (number(row[f"{score}_{how}"], signed=score == "bias") for how in ("mean", "median"))
    return f"{mean} ({median})"


def _network(pairs: pl.DataFrame, models: Sequence[Model]) -> str:
    chosen = pl.concat([_of(pairs, m) for m in models])
    figure = field_figures.network_series(network_mean(chosen), models)
    yearly = yearly_levels(chosen).filter(pl.col("target") == "withheld")
    cells = [
        (str(r["year"]), model_title(r["model"], r["phase"]), number(r["predicted"]), number(r["observed"]))
        for r in yearly.iter_rows(named=True)
    ]
    heads = ("Year", "Model", "Predicted [µg m⁻³]", "Observed [µg m⁻³]")
    note = "Mean of withheld stations, running means of seven days, and the error of each model."
    return embed(figure, note) + table(heads, cells)


def _of(pairs: pl.DataFrame, model: Model) -> pl.DataFrame:
    name, phase = model
    return pairs.filter((pl.col("model") == name) & pl.col("phase").eq_missing(pl.lit(phase, pl.Int64)))
