"""The report's sections on whole fields, beside a chemistry model or a truth."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from airloom.grid import Grid
from airloom.verify import field_figures, field_maps
from airloom.verify.evaluation import CAMS, TRUTH, Volumes
from airloom.verify.field_maps import Window
from airloom.verify.html import embed, table
from airloom.verify.profiles import DEGREES, PEOPLE, degrees, profile_rows
from airloom.verify.tables import model_title, number, turn, unbroken, with_interval
from airloom.verify.volumes import Model

TITLES = {
    "cams": "Against the chemistry model, on cells of {:g} km, about its own",
    "truth": "Against the truth, in every cell",
}
NAMES = {"cams": "the chemistry model", "truth": "the truth"}


def volume_sections(volumes: Volumes, grid: Grid, stations: pl.DataFrame) -> dict[str, str]:
    """Titles and HTML of the sections; `stations` with lon, lat, withheld and observed, their mean."""
    phases = sorted(((n, p) for n, p in volumes.means if p is not None), key=turn)
    means = {m: volumes.means[m] for m in (CAMS, *phases, TRUTH) if m in volumes.means}
    titles = {target: title.format(volumes.factor * grid.cell / 1000) for target, title in TITLES.items()}
    chosen = field_maps.windows(volumes.population, volumes.elevation, volumes.means[phases[-1]][0])
    return {
        "Levels": "".join(_levels(volumes, target, title) for target, title in titles.items()),
        "Maps by model": _maps(means, volumes, grid, stations, chosen),
        "Profiles": _profiles(means, volumes, grid, chosen),
    }


def _levels(volumes: Volumes, target: str, title: str) -> str:
    rows = [r for r in volumes.rows if r["target"] == target]
    if not rows:
        return _unscored(volumes, target, title)
    gaps = {(d["model"], d["phase"], d["stratum"], d["level"]): d for d in volumes.differences if d["target"] == target}
    cells = []
    for r in sorted(rows, key=_order):
        digits = 2 if r["rmse"] >= 1 else 3 if r["rmse"] >= 0.1 else 4  # there is little NO₂ aloft
        gap = gaps.get((r["model"], r["phase"], r["stratum"], r["level"]))
        change = with_interval(gap["rmse_difference"], gap["rmse_difference_ci"], signed=True, digits=digits) if gap else "–"
        cells.append(
            (
                _band(r),
                unbroken(r["model"], r["phase"]),
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
        f"{title}: scores by level; bars are 95 % intervals over days. R² below −1 is not shown.",
    )
    return f'<h3>{title}</h3>{figure}{table(heads, cells)}<p class="note">{note}</p>'


def _unscored(volumes: Volumes, target: str, title: str) -> str:
    """Why there are no scores against a target; nothing where the study has none."""
    if target not in volumes.skipped:
        return ""
    why = (
        f"None of {volumes.skipped[target]:,} days has values of all of these models and of {NAMES[target]}, so nothing is "
        "scored here. The ledger names days of the chemistry model that were left out."
    )
    return f'<h3>{title}</h3><p class="note">{why}</p>'


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


def _maps(
    means: Mapping[Model, np.ndarray], volumes: Volumes, grid: Grid, stations: pl.DataFrame, chosen: Mapping[str, Window]
) -> str:
    ground = {m: f[0] for m, f in means.items()}
    last = [m for m in means if m[1] is not None][-1]
    upper = {m: means[m] for m in means if m in (CAMS, TRUTH, last)}
    parts = [
        embed(
            field_maps.surface_maps(ground, grid, stations, chosen),
            "Means at the surface in common colours; points: observed means, withheld stations ringed in turquoise. "
            "The numbered windows are enlarged below.",
        ),
        embed(
            field_maps.window_maps(ground, chosen, grid, stations),
            f"Windows, each where its mean is largest: {', '.join(chosen).lower()}. Each row has its own colours.",
        ),
        embed(
            field_maps.level_maps(upper, volumes.levels, grid),
            "The pattern on all levels: each mean field over its own mean in the region, which the panel states in µg m⁻³. "
            "Colours are common to a row.",
        ),
    ]
    for title, window in chosen.items():
        figure = field_maps.level_maps(upper, volumes.levels, grid, window)
        parts.append(embed(figure, f"The same of the window “{title.lower()}”, over its own mean."))
    return "".join(parts)


def _profiles(means: Mapping[Model, np.ndarray], volumes: Volumes, grid: Grid, chosen: Mapping[str, Window]) -> str:
    of_windows = {}
    for title, window in chosen.items():
        of_windows[title] = np.zeros(grid.shape, bool)
        of_windows[title][window] = True
    figure = field_figures.profiles(profile_rows(means, of_windows, volumes.levels))
    parts = [_by_degree(means, volumes), embed(figure, "Mean profiles of the windows.")]
    peaks = {"most populated cell": volumes.population, "highest cell": volumes.elevation}
    for what, values in peaks.items():
        if values is not None:
            row, column = np.unravel_index(np.nanargmax(values), values.shape)
            cut = field_figures.transect(means, volumes.levels, grid, int(row), int(column), what)
            parts.append(embed(cut, f"Means from west to east through the {what}, drawn level by level."))
    return "".join(parts)


def _by_degree(means: Mapping[Model, np.ndarray], volumes: Volumes) -> str:
    """Profiles by degree of urbanisation, and what they are to CAMS'."""
    if volumes.population is None:
        why = f"The study has no layer of source {' or '.join(PEOPLE)}, so degrees of urbanisation are not known."
        return f'<p class="note">{why}</p>'
    rows = profile_rows(means, degrees(volumes.population), volumes.levels)
    limits = ", ".join(f"{n} from {v:g}" for n, v in DEGREES.items())
    shown = embed(field_figures.profiles(rows), f"Mean profiles by degree of urbanisation [inhabitants km⁻²]: {limits}.")
    if CAMS not in means:
        return shown
    heads = ("Degree", "Model", *(f"{v:g} m" for v in volumes.levels))
    cells = []
    for degree in DEGREES:
        for name, phase in (m for m in means if m != CAMS):
            own = [r for r in rows if (r["model"], r["phase"], r["where"]) == (name, phase, degree)]
            if own:
                cells.append((degree, model_title(name, phase), *(number(r["of_cams"]) for r in own)))
    return f"{shown}<h3>Ratio of the mean profile to that of CAMS</h3>{table(heads, cells)}"
