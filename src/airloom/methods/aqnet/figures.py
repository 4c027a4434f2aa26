"""Figures of series: skill by lead, weeks of a station, where hidden stations are missed, and what attention looks at."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from matplotlib import rc_context
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

from airloom.methods.aqnet.score import ALONE, OURS
from airloom.methods.aqnet.tables import title
from airloom.verify.figures import BASELINE, GREY, INK, MAP_COLOURS, PHASES, STYLE, UNITS

OTHERS = ("#d95f02", "#7570b3", "#66a61e", "#e6ab02", "#a6761d", "#666666")


@rc_context(STYLE)
def skill_by_lead(rows: Sequence[Mapping[str, Any]], across: str) -> Figure:
    """R² and RMSE of every model over `across`, the lead or the share taken out; bars are 95 % intervals of ours."""
    figure = Figure(figsize=(8.2, 3.0))
    models = sorted({r["model"] for r in rows}, key=lambda m: (m != OURS, m))
    rivals = [m for m in models if m not in (OURS, ALONE)]
    colours = {OURS: PHASES[3], ALONE: PHASES[3], **dict(zip(rivals, (*OTHERS, INK, GREY), strict=False))}
    for axes, score, label in zip(figure.subplots(1, 2), ("r2", "rmse"), ("R²", "RMSE [µg m⁻³]"), strict=True):
        for model in models:
            own = sorted((r for r in rows if r["model"] == model), key=lambda r: r["lead"])
            leads, values = [r["lead"] for r in own], [r[score] for r in own]
            width = 2.2 if model == OURS else 1.2
            line = "o--" if model == ALONE else "o-"
            axes.plot(leads, values, line, color=colours[model], linewidth=width, markersize=3.5, label=title(model))
            between = [(r["lead"], *r[f"{score}_ci"]) for r in own if r[f"{score}_ci"]]  # none of a single week
            if model == OURS and between:
                axes.vlines(*zip(*between, strict=True), color=colours[model], linewidth=1)
        axes.set(xlabel=across, ylabel=label, xticks=sorted({r["lead"] for r in rows}))
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=4)
    return figure


@rc_context(STYLE)
def weeks(
    hours: np.ndarray,
    observed: np.ndarray,
    told: np.ndarray,
    between: tuple[np.ndarray, np.ndarray],
    names: Sequence[str],
    what: str,
) -> Figure:
    """What was told of some stations beside what was observed, with the interval of 95 %; each on (hour, station) [µg m⁻³]."""
    figure = Figure(figsize=(8.2, 1.8 * len(names) + 0.4))
    panels = figure.subplots(len(names), 1, sharex=True, squeeze=False)[:, 0]
    times = hours.astype("datetime64[s]").astype(object)
    for number, (axes, name) in enumerate(zip(panels, names, strict=True)):
        axes.fill_between(
            times, between[0][:, number], between[1][:, number], color=PHASES[1], alpha=0.5, linewidth=0, label="95 %"
        )
        axes.plot(times, observed[:, number], color=INK, linewidth=1, label="observed")
        axes.plot(times, told[:, number], color=PHASES[3], linewidth=1.2, label=what)
        axes.set(title=name, ylabel=UNITS if number == len(names) // 2 else None, ylim=(0, None))
    return _dated(figure)


@rc_context(STYLE)
def error_map(lon: np.ndarray, lat: np.ndarray, errors: Mapping[str, np.ndarray], names: Sequence[str]) -> Figure:
    """RMSE and MAE of hidden stations (paper 004, Fig. 8); circles by size and colour."""
    figure = Figure(figsize=(4.1 * len(errors), 4.0))
    for axes, (name, values) in zip(figure.subplots(1, len(errors), squeeze=False)[0], errors.items(), strict=True):
        largest = np.nanmax(values)
        shown = axes.scatter(
            lon, lat, s=20 + 180 * values / largest, c=values, cmap=MAP_COLOURS, vmin=0, edgecolor=GREY, linewidth=0.6
        )
        for worst in np.argsort(np.nan_to_num(values))[-3:]:
            axes.annotate(names[worst], (lon[worst], lat[worst]), xytext=(5, 5), textcoords="offset points", fontsize=7)
        axes.set(title=name, xlabel="longitude [°E]", ylabel="latitude [°N]", aspect=1 / np.cos(np.radians(lat.mean())))
        figure.colorbar(shown, ax=axes, shrink=0.75, label=UNITS)
    return figure


@rc_context(STYLE)
def attention_of_heads(weights: np.ndarray, coarse: int) -> Figure:
    """How much each step of the window is attended to, by head (paper 004, Fig. 4); on (head, step), a step of `coarse` hours, the last one
    last.
    """
    figure = Figure(figsize=(8.2, 2.4))
    axes = figure.add_subplot()
    ago = coarse * np.arange(1 - weights.shape[1], 1)
    for number, (own, colour) in enumerate(zip(weights, (PHASES[3], BASELINE, *OTHERS[1:]), strict=False)):
        axes.plot(ago, own * weights.shape[1], color=colour, linewidth=1.3, label=f"head {number + 1}")
    axes.axhline(1, color=GREY, linewidth=0.8, linestyle=":")
    axes.set(xlabel="hours before the last that is seen", ylabel="weight / that of all alike")
    figure.legend(loc="outside upper left", ncols=4)
    return figure


@rc_context(STYLE)
def days_of_days(shares: np.ndarray) -> Figure:
    """How much what is told of a day depends on each day that is seen (paper 004, Fig. 5); on (day told, day seen), rows add to 1."""
    figure = Figure(figsize=(0.42 * shares.shape[1] + 2.2, 0.36 * shares.shape[0] + 1.4))
    axes = figure.add_subplot()
    told, seen = shares.shape
    shown = axes.imshow(shares, cmap=MAP_COLOURS, vmin=0, aspect="auto")
    axes.set_yticks(range(told), [f"+{i + 1}" for i in range(told)])
    axes.set_xticks(range(seen), [f"{i + 1 - seen}" for i in range(seen)])
    axes.set(xlabel="day that is seen", ylabel="day that is told")
    figure.colorbar(shown, ax=axes, label="share")
    return figure


@rc_context(STYLE)
def what_comes(
    hours: np.ndarray, observed: np.ndarray, told: Sequence[pl.DataFrame], names: Sequence[str], level: float
) -> Figure:
    """The last hours of some stations, on (hour, station) [µg m⁻³], and what is told to come, with its intervals of a `level`."""
    figure = Figure(figsize=(8.2, 1.8 * len(names) + 0.4))
    panels = figure.subplots(len(names), 1, sharex=True, squeeze=False)[:, 0]
    for number, (axes, name, own) in enumerate(zip(panels, names, told, strict=True)):
        axes.plot(
            hours.astype("datetime64[s]").astype(object), observed[:, number], color=INK, linewidth=1, label="observed"
        )
        times = own["time"].to_list()
        axes.fill_between(times, own["low"], own["high"], color=PHASES[1], alpha=0.5, linewidth=0, label=f"{level:.0%}")
        axes.plot(times, own["value"], "o-", color=PHASES[3], linewidth=1.2, markersize=2.5, label="told")
        axes.set(title=name, ylabel=UNITS if number == len(names) // 2 else None, ylim=(0, None))
    return _dated(figure)


@rc_context(STYLE)
def filled(tables: Sequence[pl.DataFrame], names: Sequence[str], level: float) -> Figure:
    """Hours of some stations [µg m⁻³], each a table of time, value, low, high and told: what was observed, and what gaps were filled with, with
    its intervals of a `level`.
    """
    figure = Figure(figsize=(8.2, 1.8 * len(names) + 0.4))
    panels = figure.subplots(len(names), 1, sharex=True, squeeze=False)[:, 0]
    for number, (axes, name, own) in enumerate(zip(panels, names, tables, strict=True)):
        times, told, value = own["time"].to_list(), own["told"].to_numpy(), own["value"].to_numpy()
        between = times, own["low"], own["high"]  # an hour each, no wider than the line where it was observed
        axes.fill_between(*between, step="mid", color=PHASES[1], alpha=0.5, linewidth=0, label=f"{level:.0%}")
        axes.plot(times, np.where(told, np.nan, value), color=INK, linewidth=1, label="observed")
        axes.plot(times, np.where(told, value, np.nan), "o-", color=PHASES[3], linewidth=1, markersize=2, label="filled")
        axes.set(title=name, ylabel=UNITS if number == len(names) // 2 else None, ylim=(0, None))
    return _dated(figure)


@rc_context(STYLE)
def map_of_hour(
    lon: np.ndarray, lat: np.ndarray, field: np.ndarray, stations: pl.DataFrame, observed: np.ndarray, heading: str
) -> Figure:
    """A field on (lat, lon) [µg m⁻³], and what stations observed, in the same colours."""
    figure = Figure(figsize=(6.4, 5.4))
    axes = figure.add_subplot()
    every = np.concatenate([field.ravel(), observed[np.isfinite(observed)]])
    options: dict[str, Any] = {"cmap": MAP_COLOURS, "vmin": 0, "vmax": float(np.percentile(every, 99))}
    shown = axes.pcolormesh(lon, lat, field, shading="nearest", **options)
    axes.scatter(stations["lon"], stations["lat"], c=observed, s=46, edgecolor="white", linewidth=0.9, **options)
    axes.set(title=heading, xlabel="longitude [°E]", ylabel="latitude [°N]", aspect=1 / np.cos(np.radians(lat.mean())))
    figure.colorbar(shown, ax=axes, shrink=0.85, label=UNITS, extend="max")
    return figure


def _dated(figure: Figure) -> Figure:
    """With dates below the lowest panel of series, and one legend for all."""
    locator = AutoDateLocator()
    figure.axes[-1].xaxis.set_major_locator(locator)
    figure.axes[-1].xaxis.set_major_formatter(ConciseDateFormatter(locator))
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside upper left", ncols=3)
    return figure
