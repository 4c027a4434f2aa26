"""Figures of a run: each function returns a matplotlib Figure, in one style, with units on every axis."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from airloom.grid import Grid
from airloom.stats.sample import evenly
from airloom.verify.scores import Moments, of_model
from airloom.verify.tables import model_title, number, overall
from airloom.verify.volumes import ASSIMILATED, Model

UNITS = "concentration [µg m⁻³]"
MAP_COLOURS = "magma_r"  # perceptually uniform, light is little
INK, GREY, WITHHELD = "#222222", "#8a8f98", "#00b3c8"
PHASES = {1: "#9ecae1", 2: "#4292c6", 3: "#084594"}
DRAWN = "#6a51a3"  # assimilated
BASELINE = "#d95f02"
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "text.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "figure.constrained_layout.use": True,
    "savefig.dpi": 160,
}


def colour_of(model: Model) -> str:
    """The colour of a phase: blue, darker from phase to phase, violet where it is assimilated; of what is no phase, orange."""
    name, phase = model
    return BASELINE if phase is None else DRAWN if name.endswith(ASSIMILATED) else PHASES[phase]


@rc_context(STYLE)
def annual_map(mean: np.ndarray, grid: Grid, stations: pl.DataFrame, *, title: str) -> Figure:
    """The field's mean on (y, x) [µg m⁻³] and the stations' observed means in the same colours.

    `stations` has the columns lon, lat [degrees], withheld (boolean) and observed, the mean over the same days.
    """
    figure = Figure(figsize=(7.2, 0.6 + 6.2 * min(grid.shape[0] / grid.shape[1], 1.25)))
    axes = figure.add_subplot()
    norm = _range([mean], stations)
    _map(axes, mean, grid, stations, norm)
    axes.set(title=title, xlabel=f"Easting [km], {grid.crs}", ylabel="Northing [km]")
    _colourbar(figure, norm, axes)
    marks = [_mark(INK, 0.7, "training station"), _mark(WITHHELD, 2.0, "withheld station")]
    figure.legend(handles=marks, loc="outside lower left", ncols=2)
    return figure


@rc_context(STYLE)
def season_maps(seasons: Mapping[str, np.ndarray], grid: Grid, stations: Mapping[str, pl.DataFrame]) -> Figure:
    """The field's mean in each season on (y, x) [µg m⁻³], in common colours; stations as in `annual_map`, by season."""
    figure = Figure(figsize=(7.2, 0.8 + 5.6 * min(grid.shape[0] / grid.shape[1], 1.25)))
    panels = figure.subplots(2, 2, sharex=True, sharey=True).ravel()
    norm = _range(list(seasons.values()), pl.concat(stations.values()) if stations else None)
    for axes, (season, mean) in zip(panels, seasons.items(), strict=False):
        _map(axes, mean, grid, stations.get(season), norm, size=24)
        axes.set_title(season)
    for axes in panels[len(seasons) :]:
        axes.set_visible(False)
    figure.supxlabel(f"Easting [km], {grid.crs}", fontsize=9)
    figure.supylabel("Northing [km]", fontsize=9)
    _colourbar(figure, norm, list(panels))
    return figure


def _range(fields: Sequence[np.ndarray], stations: pl.DataFrame | None) -> Normalize:
    """Colours from the 1st to the 99th percentile of the cells, and wide enough for the stations."""
    cells = np.concatenate([f[np.isfinite(f)] for f in fields])
    low, high = np.percentile(cells, [1, 99]) if cells.size else (0.0, 1.0)
    seen = stations["observed"].drop_nulls().drop_nans().to_list() if stations is not None else []
    return Normalize(min([low, *seen]), max([high, low + 1e-6, *seen]))


def _map(axes: Axes, mean: np.ndarray, grid: Grid, stations: pl.DataFrame | None, norm: Normalize, size: float = 60) -> None:
    left, bottom, right, top = (edge / 1000 for edge in grid.bounds)
    axes.set_facecolor("#eeeeee")  # where there is no value
    axes.imshow(mean, extent=(left, right, bottom, top), cmap=MAP_COLOURS, norm=norm, interpolation="nearest")
    if stations is not None and stations.height:
        x, y = (v / 1000 for v in grid.project(stations["lon"].to_numpy(), stations["lat"].to_numpy()))
        withheld = stations["withheld"].to_numpy()
        for which, edge, width in ((~withheld, INK, 0.7), (withheld, WITHHELD, 0.26 * size**0.5)):
            colours = stations["observed"].to_numpy()[which]
            axes.scatter(x[which], y[which], size, "white", edgecolors="white", linewidths=width + 1.6)
            axes.scatter(x[which], y[which], size, colours, cmap=MAP_COLOURS, norm=norm, edgecolors=edge, linewidths=width)
    axes.set(xlim=(left, right), ylim=(bottom, top), aspect="equal")
    axes.ticklabel_format(style="plain", useOffset=False)
    axes.locator_params(nbins=5)
    scale_bar(axes, right - left)


def scale_bar(axes: Axes, width: float) -> None:
    """A bar of about a fifth of the map's width, a round number of kilometres long."""
    step = 10 ** np.floor(np.log10(width / 5))
    length = step * max(m for m in (1, 2, 5) if m * step <= width / 5)
    (_, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    x, y = right - length - 0.05 * width, bottom + 0.05 * (top - bottom)
    for colour, thick in (("white", 5), (INK, 2)):
        axes.plot([x, x + length], [y, y], color=colour, linewidth=thick, solid_capstyle="butt")
    label = axes.text(x + length / 2, y + 0.015 * (top - bottom), f"{length:g} km", ha="center", va="bottom", fontsize=8)
    label.set_bbox({"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 1})


def _colourbar(figure: Figure, norm: Normalize, axes: Axes | list[Axes]) -> None:
    mappable = ScalarMappable(norm, MAP_COLOURS)
    bar = figure.colorbar(mappable, ax=axes, shrink=0.8, pad=0.02, extend="both", label=f"Mean {UNITS}")
    bar.outline.set_visible(False)


def _mark(edge: str, width: float, label: str) -> Line2D:
    return Line2D(
        [],
        [],
        marker="o",
        linestyle="",
        markersize=8,
        color="white",
        markeredgecolor=edge,
        markeredgewidth=width,
        label=label,
    )


@rc_context(STYLE)
def scatter(pairs: pl.DataFrame, models: Sequence[Model], target: str = "withheld") -> Figure:
    """Predicted against observed, a panel a model: station-days counted in hexagons, the 1:1 line, the scores."""
    figure = Figure(figsize=(3.6 * len(models) + 1.1, 4.5))
    panels = figure.subplots(1, len(models), sharex=True, sharey=True, squeeze=False)[0]
    parts = [_of(pairs, model, target) for model in models]
    both = pl.concat(parts).select(pl.concat_list("predicted", "observed").explode()).to_series().to_numpy()
    low, high = min(0.0, float(both.min())), float(np.percentile(both, 99.9)) * 1.05
    norm = LogNorm(1, max(10.0, max(p.height for p in parts) / 60))
    for axes, model, part in zip(panels, models, parts, strict=True):
        observed, predicted = part["observed"].to_numpy(), part["predicted"].to_numpy()
        hexagons = axes.hexbin(
            observed,
            predicted,
            gridsize=45,
            extent=(low, high, low, high),
            mincnt=1,
            norm=norm,
            cmap="viridis",
            linewidths=0.1,
        )
        axes.plot([low, high], [low, high], color=GREY, linewidth=1)
        m = Moments.of(predicted, observed, where=np.ones(part.height, bool))
        text = f"n {part.height:,}\nRMSE {m.rmse:.2f}\nR² {m.r2:.2f}\nr {m.r:.2f}\nbias {m.bias:+.2f}".replace("-", "−")
        axes.text(0.03, 0.97, text, transform=axes.transAxes, va="top", fontsize=8, linespacing=1.4)
        axes.set(title=model_title(*model), xlabel=f"Observed {UNITS}", xlim=(low, high), ylim=(low, high), box_aspect=1)
    panels[0].set_ylabel(f"Predicted {UNITS}")
    bar = figure.colorbar(hexagons, ax=list(panels), shrink=0.8, pad=0.02, label="Station-days", extend="max")
    bar.outline.set_visible(False)
    return figure


@rc_context(STYLE)
def series_at_stations(pairs: pl.DataFrame, models: Sequence[Model], names: Mapping[str, str], most: int = 8) -> Figure:
    """Observed and predicted days at withheld stations, a panel each; weekly means, so that a year can be read.

    Of more than `most` stations those are shown that spread evenly over the first model's order of RMSE.
    """
    first = _of(pairs, models[0], "withheld")
    error = ((pl.col("predicted") - pl.col("observed")) ** 2).mean()
    ranked = first.group_by("station").agg(error.alias("error")).sort("error", "station")["station"].to_list()
    shown = evenly(np.array(ranked), most).tolist()
    figure = Figure(figsize=(8.2, 1.45 * len(shown) + 0.6))
    panels = figure.subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0]
    dot: dict[str, Any] = {"marker": ".", "markersize": 3}  # a week between two gaps is no line
    for axes, station in zip(panels, shown, strict=True):
        seen = _weekly(first.filter(pl.col("station") == station), "observed")
        axes.plot(*seen, color=INK, linewidth=1.3, label="Observed", **dot)
        for model in models:
            part = _of(pairs, model, "withheld").filter(pl.col("station") == station)
            axes.plot(*_weekly(part, "predicted"), color=colour_of(model), linewidth=1.1, label=model_title(*model), **dot)
        axes.set_ylim(min(0.0, axes.get_ylim()[0]))
        axes.set_title(f"{names.get(station, station)} ({station})", fontsize=8.5)
        axes.grid(axis="y", color="#e6e6e6", linewidth=0.6)
    locator = AutoDateLocator(maxticks=12)
    panels[-1].xaxis.set_major_locator(locator)
    panels[-1].xaxis.set_major_formatter(ConciseDateFormatter(locator))
    figure.supylabel(f"Weekly mean {UNITS}", fontsize=9)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper left", ncols=3)
    return figure


def _weekly(part: pl.DataFrame, column: str) -> tuple[np.ndarray, np.ndarray]:
    """Weeks, evenly spaced, and means of a station's days; NaN, and so a gap in the line, in a week without any."""
    means = part.sort("time").group_by_dynamic("time", every="1w").agg(pl.col(column).mean())
    if means.height:
        means = means.upsample("time", every="1w")
    return means["time"].to_numpy(), means[column].cast(pl.Float64).to_numpy()


@rc_context(STYLE)
def score_bars(scores: Mapping[str, Any], target: str = "withheld") -> Figure:
    """RMSE of phases and baselines with 95 % intervals over days, over all pairs and of the same-day anomalies."""
    rows = overall(scores, target)
    anomaly = {(r["model"], r["phase"]): r for r in overall(scores, target, "anomaly")}
    figure = Figure(figsize=(8.2, 0.36 * len(rows) + 1.0))
    panels = figure.subplots(1, 2, sharey=True)
    columns = [(r, anomaly.get((r["model"], r["phase"]))) for r in rows]
    for axes, chosen, title in zip(
        panels, zip(*columns, strict=True), ("All station-days", "Same-day anomalies"), strict=True
    ):
        for place, row in enumerate(chosen):
            if row and row["rmse"] is not None:
                _bar(axes, place, row)
        axes.set(title=title, xlabel="RMSE [µg m⁻³]")
        axes.set_xlim(0, axes.get_xlim()[1] * 1.12)
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
    panels[0].set_yticks(range(len(rows)), [model_title(r["model"], r["phase"]) for r in rows])
    panels[0].invert_yaxis()
    return figure


def _bar(axes: Axes, place: int, row: Mapping[str, Any]) -> None:
    low, high = row["rmse_ci"] or (row["rmse"], row["rmse"])
    colour = "#c9cdd3" if row["phase"] is None else colour_of((row["model"], row["phase"]))
    axes.barh(place, row["rmse"], height=0.62, color=colour)
    axes.plot([low, high], [place, place], color=INK, linewidth=1.2, solid_capstyle="butt")
    axes.annotate(number(row["rmse"]), (high, place), (4, 0), textcoords="offset points", va="center", fontsize=8)


@rc_context(STYLE)
def monthly_bias(pairs: pl.DataFrame, models: Sequence[Model], target: str = "withheld") -> Figure:
    """Mean of predicted less observed in each calendar month, a line a model."""
    figure = Figure(figsize=(8.2, 3.0))
    axes = figure.add_subplot()
    axes.axhline(0, color=GREY, linewidth=1)
    month = pl.col("time").dt.month().alias("month")
    bias = (pl.col("predicted") - pl.col("observed")).mean().alias("bias")
    for model in models:
        by_month = _of(pairs, model, target).group_by(month).agg(bias).sort("month")
        axes.plot(
            by_month["month"],
            by_month["bias"],
            color=colour_of(model),
            linestyle="--" if model[1] is None else "-",
            marker="o",
            markersize=3.5,
            label=model_title(*model),
        )
    axes.set(ylabel="Bias [µg m⁻³]", xlim=(0.7, 12.3))
    axes.set_xticks(range(1, 13), ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"])
    figure.legend(loc="outside upper left", ncols=4)
    return figure


@rc_context(STYLE)
def training_curves(training: Sequence[Mapping[str, Any]]) -> Figure:
    """Loss and validation loss by epoch, a panel a phase; each entry has phase, epoch, train and validation."""
    log = pl.DataFrame(training, infer_schema_length=None)
    phases = log["phase"].unique().sort().to_list()
    figure = Figure(figsize=(8.2, 2.6))
    for axes, phase in zip(figure.subplots(1, len(phases), squeeze=False)[0], phases, strict=True):
        part = log.filter(pl.col("phase") == phase).sort("epoch")
        axes.plot(part["epoch"], part["train"], color=PHASES[1], label="training")
        axes.plot(part["epoch"], part["validation"], color=PHASES[3], label="validation")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set(title=f"Phase {phase}", xlabel="Epoch", ylabel="Loss [1]")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=2)
    return figure


def _of(pairs: pl.DataFrame, model: Model, target: str) -> pl.DataFrame:
    """One model's pairs of one target."""
    return of_model(pairs, model).filter(pl.col("target") == target)
