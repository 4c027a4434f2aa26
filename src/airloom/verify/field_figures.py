"""Figures of whole fields besides maps: profiles, transects, scores by level, and stations one by one."""

from collections.abc import Mapping, Sequence
from string import ascii_lowercase
from typing import Any

import numpy as np
import polars as pl
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

from airloom.grid import Grid
from airloom.verify.field_maps import common_colours
from airloom.verify.figures import BASELINE, GREY, INK, MAP_COLOURS, STYLE, UNITS, colour_of
from airloom.verify.scores import AREAS, of_model
from airloom.verify.tables import model_title
from airloom.verify.volumes import Model

SCORE_COLOURS = "cividis"  # perceptually uniform, the same to colour-blind readers
LINTHRESH = 100.0  # heights are drawn linearly below, by their logarithm above [m]


def line_style(model: Model) -> dict[str, Any]:
    """How a model's line is drawn: phases blue, the truth black, others orange and dashed."""
    name, phase = model
    if phase is not None:
        return {"color": colour_of(model), "marker": "o", "label": model_title(name, phase)}
    colour, dashes = (INK, "-") if name == "truth" else (BASELINE, "--")
    return {"color": colour, "linestyle": dashes, "marker": "s", "label": model_title(name, None)}


@rc_context(STYLE)
def profiles(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Mean profiles of several sets of cells, and beneath them their ratio to the ground; `profiles.profile_rows`."""
    table = pl.DataFrame(rows, infer_schema_length=None)
    found = table["where"].unique(maintain_order=True).to_list()
    figure = Figure(figsize=(8.2, 5.8))
    panels = figure.subplots(2, len(found), sharey=True, sharex="row", squeeze=False)
    letters = iter(ascii_lowercase)
    for line, column, label in zip(panels, ("mean", "of_ground"), (f"Mean {UNITS}", "Ratio to the ground [1]"), strict=True):
        for axes, where in zip(line, found, strict=True):
            part = table.filter(pl.col("where") == where)
            for (name, phase), one in part.group_by("model", "phase", maintain_order=True):
                axes.plot(one[column], one["level"], markersize=3.5, linewidth=1.3, **line_style((name, phase)))
            _heights(axes, part["level"].unique().sort().to_list())
            axes.set(xlabel=label, xscale="log")
            axes.set_title(f"({next(letters)}) {where}, {part['cells'][0]:,} cells", fontsize=9)
            axes.grid(color="#e6e6e6", linewidth=0.6)
        line[0].set_ylabel("Height [m]")
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside upper left", ncols=5)
    return figure


def _heights(axes: Axes, levels: Sequence[float]) -> None:
    """Heights on an axis that leaves room to the ground."""
    axes.set_yscale("symlog", linthresh=LINTHRESH, linscale=0.6)
    axes.set_yticks(levels, [f"{v:g}" for v in levels])
    axes.minorticks_off()
    axes.set_ylim(-8, max(levels) * 1.15)


@rc_context(STYLE)
def transect(
    means: Mapping[Model, np.ndarray], levels: Sequence[float], grid: Grid, row: int, column: int, what: str
) -> Figure:
    """Mean fields on (level, y, x) [µg m⁻³] from west to east through a cell, which is `what`, height against distance from it; Fig. 6."""
    figure = Figure(figsize=(8.2, 1.5 * len(means) + 0.7))
    panels = figure.subplots(len(means), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    cuts = [m[:, row] for m in means.values()]
    norm = common_colours(cuts)
    named = _apart(levels)
    distance = (np.arange(grid.shape[1] + 1) - column - 0.5) * grid.cell / 1000
    middles = (np.asarray(levels)[1:] + np.asarray(levels)[:-1]) / 2
    edges = np.array([0.0, *middles, levels[-1] + (levels[-1] - middles[-1])])
    for letter, axes, (model, cut) in zip(ascii_lowercase, panels, zip(means, cuts, strict=True), strict=False):
        axes.pcolormesh(distance, edges, cut, cmap=MAP_COLOURS, norm=norm)
        axes.set_yscale("symlog", linthresh=LINTHRESH, linscale=0.6)
        axes.set_yticks(named, [f"{v:g}" for v in named])
        axes.minorticks_off()
        axes.axvline(0, color=GREY, linewidth=0.8, linestyle=":")
        axes.set_title(f"({letter}) {model_title(*model)}", fontsize=9)
    panels[-1].set_xlabel(f"Distance east of the {what} [km]")
    figure.supylabel("Height [m]", fontsize=9)
    bar = figure.colorbar(ScalarMappable(norm, MAP_COLOURS), ax=list(panels), pad=0.02, extend="max", label=f"Mean {UNITS}")
    bar.outline.set_visible(False)
    return figure


def _apart(levels: Sequence[float]) -> list[float]:
    """From the highest level down, those at most half as high as the one before: closer ones would overlap in print."""
    named: list[float] = []
    for level in sorted(levels, reverse=True):
        if level and (not named or level <= named[-1] / 2):
            named.append(level)
    return named


@rc_context(STYLE)
def level_scores(rows: Sequence[Mapping[str, Any]], target: str) -> Figure:
    """RMSE, R² and the correlation over days by level, with 95 % intervals over days; `VolumeSums.rows`."""
    figure = Figure(figsize=(8.2, 3.7))
    panels = figure.subplots(1, 3, sharey=True)
    chosen = [r for r in rows if r["target"] == target and r["level"] is not None]
    shown = (("rmse", "RMSE [µg m⁻³]"), ("r2", "R² [1]"), ("temporal_r", "Cell r, the mean of all [1]"))
    for letter, axes, (score, label) in zip(ascii_lowercase, panels, shown, strict=False):
        for model in dict.fromkeys((r["model"], r["phase"]) for r in chosen):
            own = [r for r in chosen if (r["model"], r["phase"]) == model and r[score] is not None]
            heights, style = [r["level"] for r in own], line_style(model)
            axes.plot([r[score] for r in own], heights, markersize=3.5, linewidth=1.3, **style)
            for height, between in zip(heights, (r.get(f"{score}_ci") for r in own), strict=True):
                if between:
                    axes.plot(between, [height, height], color=style["color"], linewidth=3, alpha=0.4, solid_capstyle="butt")
        _heights(axes, sorted({r["level"] for r in chosen}))
        axes.set_title(f"({letter})", fontsize=9)
        axes.set_xlabel(label)
        axes.grid(color="#e6e6e6", linewidth=0.6)
    panels[0].set_xscale("log")
    worst = min((r["r2"] for r in chosen if r["r2"] is not None), default=0)
    panels[1].set_xlim(max(-1.0, min(0.0, worst) - 0.05), 1.02)
    panels[0].set_ylabel("Height [m]")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper left", ncols=4)
    return figure


@rc_context(STYLE)
def network_series(series: pl.DataFrame, models: Sequence[Model], target: str = "withheld") -> Figure:
    """Mean over stations by day as running means of seven days, and each model's error; `per_station.network_mean`."""
    figure = Figure(figsize=(8.2, 4.2))
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    for index, (name, phase) in enumerate(models):
        part = _smooth(of_model(series, (name, phase)).filter(pl.col("target") == target))
        style = line_style((name, phase)) | {"marker": None, "linewidth": 1.2}
        if index == 0:
            upper.plot(part["time"], part["observed"], color=INK, linewidth=1.6, label="Observed")
        upper.plot(part["time"], part["predicted"], **style)
        lower.plot(part["time"], part["predicted"] - part["observed"], **style)
    lower.axhline(0, color=GREY, linewidth=1)
    upper.set_ylabel(f"Mean {UNITS}")
    lower.set_ylabel("Error [µg m⁻³]")
    for letter, axes in zip("ab", (upper, lower), strict=True):
        axes.set_title(f"({letter})", fontsize=9)
        axes.grid(axis="y", color="#e6e6e6", linewidth=0.6)
    locator = AutoDateLocator(maxticks=12)
    lower.xaxis.set_major_locator(locator)
    lower.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    figure.legend(*upper.get_legend_handles_labels(), loc="outside upper left", ncols=5)
    return figure


def _smooth(part: pl.DataFrame) -> pl.DataFrame:
    """Running means of seven days; a gap of days stays a gap."""
    if part.is_empty():
        return part
    daily = part.select("time", "predicted", "observed").sort("time").upsample("time", every="1d")
    means = [pl.col(c).rolling_mean(7, min_samples=3, center=True).alias(c) for c in ("predicted", "observed")]
    return daily.with_columns(means)


@rc_context(STYLE)
def station_maps(table: pl.DataFrame, models: Sequence[Model], stations: pl.DataFrame, grid: Grid) -> Figure:
    """Correlation and R² of each withheld station on the map, and as boxes by area; `per_station.station_scores`, Fig. S3.

    `stations` has the columns station, lon, lat [degrees].
    """
    placed = table.filter(pl.col("target") == "withheld").join(stations.select("station", "lon", "lat"), on="station")
    width = 6.4 / (len(models) + 1.6)
    height = width * min(grid.shape[0] / grid.shape[1], 1.25)
    figure = Figure(figsize=(8.2, 2 * height + 1.4))
    panels = figure.subplots(2, len(models) + 1, squeeze=False, width_ratios=[1] * len(models) + [1.6])
    letters = iter(ascii_lowercase)
    left, bottom, right, top = (edge / 1000 for edge in grid.bounds)
    for line, (score, label) in zip(panels, (("r", "r [1]"), ("r2", "R² [1]")), strict=True):
        low = 0.5 if score == "r" else 0.0
        for axes, model in zip(line, models, strict=False):
            part = of_model(placed, model)
            x, y = (v / 1000 for v in grid.project(part["lon"].to_numpy(), part["lat"].to_numpy()))
            marks = axes.scatter(x, y, 20, part[score], cmap=SCORE_COLOURS, vmin=low, vmax=1, edgecolors=INK, linewidths=0.4)
            axes.set(xlim=(left, right), ylim=(bottom, top), aspect="equal", xticks=[], yticks=[], facecolor="#f6f6f6")
            title = model_title(*model).replace(", ", ",\n", 1)
            axes.set_title(f"({next(letters)}) {title}", fontsize=8.5)
        bar = figure.colorbar(marks, ax=list(line[:-1]), shrink=0.85, pad=0.02, extend="min", label=label, location="left")
        bar.outline.set_visible(False)
        _boxes(line[-1], placed, models, score)
        line[-1].set_title(f"({next(letters)}) {label.removesuffix(' [1]')} by area", fontsize=8.5)
    marks = panels[0, -1].get_legend_handles_labels()
    figure.legend(*marks, loc="outside lower right", ncols=4)
    return figure


def _boxes(axes: Axes, table: pl.DataFrame, models: Sequence[Model], score: str) -> None:
    """A box for each area and model: quartiles, median, whiskers to 1.5 times their span."""
    width = 0.8 / len(models)
    for index, model in enumerate(models):
        style = line_style(model)
        part = of_model(table, model)
        values = [part.filter(pl.col("area") == a)[score].drop_nulls().to_numpy() for a in AREAS]
        places = np.arange(len(AREAS)) + (index + 0.5) * width - 0.4
        boxes = axes.boxplot(values, positions=places, widths=0.85 * width, patch_artist=True, showfliers=False)
        for box in boxes["boxes"]:
            box.set(facecolor=style["color"], edgecolor=INK, linewidth=0.6)
        for line in (*boxes["medians"], *boxes["whiskers"], *boxes["caps"]):
            line.set(color=INK, linewidth=0.8)
        axes.plot([], [], color=style["color"], linewidth=6, label=style["label"])
    axes.set_xticks(range(len(AREAS)), AREAS, fontsize=8)
    low, _ = axes.get_ylim()
    axes.set_ylim(max(low, -1.0), 1.02)
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.6)
