"""Figures of a look at a twin, in the style of the report's."""

from collections.abc import Mapping, Sequence
from importlib.resources import files

import numpy as np
import polars as pl
import shapely
import xarray as xr
from matplotlib import patheffects, rc_context
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from airloom.grid import Grid
from airloom.twin.coast import polygons
from airloom.twin.layers import HEIGHTS
from airloom.twin.page_numbers import Fields, Seen, spectrum
from airloom.verify.figures import BASELINE, GREY, INK, MAP_COLOURS, STYLE, UNITS, scale_bar

AREAS = {"urban": "#b2182b", "suburban": "#ef8a62", "rural": "#2166ac"}
CAMS = "CAMS of the twin"
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
NAMED, APART = 14, 1 / 7  # towns on a map, at most, and how far apart at least, in parts of its edge
BINS = 12  # of wind and mixing height, of equal numbers of hours
LONGEST = 366  # days of a series that can still be told apart


@rc_context(STYLE)
def maps(fields: Mapping[str, np.ndarray], grid: Grid, unit: str, *, width: float, colours: str = MAP_COLOURS) -> Figure:
    """Fields on (y, x) by their titles, in common colours, with coasts, lakes, towns' names and a scale bar.

    `unit` labels the colours; `width` is one map's [inches].
    """
    figure = Figure(figsize=(width * len(fields) + 0.9, width * grid.shape[0] / grid.shape[1] + 0.3))
    panels = figure.subplots(1, len(fields), squeeze=False)[0]
    low, high = np.percentile(np.stack(list(fields.values())), [0.5, 99.7])
    norm = Normalize(low, max(high, low + 1e-6))
    left, bottom, right, top = (edge / 1000 for edge in grid.bounds)
    for axes, (title, field) in zip(panels, fields.items(), strict=True):
        axes.imshow(field, extent=(left, right, bottom, top), cmap=colours, norm=norm, interpolation="nearest")
        for kind, thick in (("land", 0.8), ("lake", 0.5)):
            axes.add_collection(LineCollection(_outlines(kind, grid), colors=INK, linewidths=thick, alpha=0.85))
        _towns(axes, grid)
        axes.set(title=title, xlim=(left, right), ylim=(bottom, top), aspect="equal", xticks=[], yticks=[])
        scale_bar(axes, right - left)
    bar = figure.colorbar(ScalarMappable(norm, colours), ax=list(panels), shrink=0.8, pad=0.02, extend="both", label=unit)
    bar.outline.set_visible(False)
    return figure


def _outlines(kind: str, grid: Grid) -> list[np.ndarray]:
    """Shores in the window [km], each on (point, 2)."""
    lines = shapely.clip_by_rect(shapely.boundary(polygons(kind, grid.crs)), *grid.bounds)
    parts = shapely.get_parts(lines[~shapely.is_empty(lines)])
    return [shapely.get_coordinates(part) / 1000 for part in parts]


def _towns(axes: Axes, grid: Grid) -> None:
    """Names of the largest towns that stand far enough apart."""
    table = pl.read_parquet(files("airloom.twin") / "cities.parquet")  # type: ignore[arg-type]
    row, _ = grid.locate(table["lon"].to_numpy(), table["lat"].to_numpy())
    table = table.filter(pl.Series(row >= 0))
    x, y = (v / 1000 for v in grid.project(table["lon"].to_numpy(), table["lat"].to_numpy()))
    edge = grid.shape[1] * grid.cell / 1000
    halo = [patheffects.withStroke(linewidth=2.2, foreground="white")]
    shown: list[int] = []
    for i, name in enumerate(table["name"]):
        if len(shown) == NAMED or any(np.hypot(x[i] - x[j], y[i] - y[j]) < APART * edge for j in shown):
            continue
        shown.append(i)
        after = x[i] - grid.left / 1000 < 0.75 * edge  # else the name would run over the edge
        offset, side = ((4, 2), "left") if after else ((-4, 2), "right")
        axes.plot(x[i], y[i], "o", color="white", markersize=3.2, markeredgecolor=INK, markeredgewidth=0.7)
        axes.annotate(name, (x[i], y[i]), xytext=offset, textcoords="offset points", ha=side, fontsize=7, path_effects=halo)


@rc_context(STYLE)
def cycle(means: Mapping[str, Mapping[str, np.ndarray]], ticks: Mapping[int, str], label: str) -> Figure:
    """Mean NO₂ [µg m⁻³] over a cycle: `means` by area holds `observed` and `cams`, each on (step,); `ticks` names steps."""
    figure = Figure(figsize=(7.2, 3.1))
    axes = figure.add_subplot()
    for area, lines in means.items():
        steps = np.arange(len(lines["observed"]))
        axes.plot(steps, lines["observed"], color=AREAS[area], marker="o", markersize=3, label=f"{area}, observed")
        axes.plot(steps, lines["cams"], color=AREAS[area], linestyle="--", linewidth=1, label=f"{area}, {CAMS}")
    axes.set(ylabel=f"Mean {UNITS}", xlabel=label, ylim=(0, None))
    axes.set_xticks(list(ticks), list(ticks.values()))
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.6)
    figure.legend(loc="outside right upper")
    return figure


@rc_context(STYLE)
def profiles(seen: Seen, reported: Mapping[str, Mapping[float, float]]) -> Figure:
    """NO₂ by height over towns and country on log axes: means, and what they are to the ground's.

    `reported` gives ratios to the ground by height, under the name of what reports them.
    """
    figure = Figure(figsize=(7.2, 4.0))
    absolute, relative = figure.subplots(1, 2, sharey=True)
    places = {"towns": (seen.towns, AREAS["urban"]), "country": (seen.country, AREAS["rural"])}
    for name, (where, colour) in places.items():
        if not where.any():
            continue
        for fields, style, title in ((seen.truth, "-", "truth"), (seen.cams, "--", CAMS)):
            mean = profile(fields, where)
            look = {"color": colour, "linestyle": style, "marker": "o", "markersize": 3, "linewidth": 1.2}
            absolute.plot(mean, HEIGHTS, label=f"{name}, {title}", **look)
            relative.plot(mean / mean[0], HEIGHTS, **look)
    for (name, ratios), mark in zip(reported.items(), ("x", "+", "d"), strict=False):
        relative.plot(
            list(ratios.values()), list(ratios), mark, color=INK, markersize=7, markerfacecolor="none", label=name, zorder=5
        )
    absolute.set(xscale="log", xlabel=f"Mean {UNITS}", ylabel="Height above ground [m]", ylim=(-100, 5200))
    relative.set(xscale="log", xlabel="Ratio to the ground [1]")
    figure.legend(*absolute.get_legend_handles_labels(), loc="outside upper left", ncols=4)
    relative.legend(loc="upper right")
    return figure


def profile(fields: Fields, where: np.ndarray) -> np.ndarray:
    """Mean over some cells, `where` on (y, x), and all days [µg m⁻³], on (height,)."""
    return fields.mean[:, where].mean(1)


@rc_context(STYLE)
def against_weather(hourly: xr.Dataset) -> Figure:
    """Observed NO₂ by wind at 10 m and by boundary layer height: medians and quartiles in bins of equal numbers of hours.

    `hourly` has observed [µg m⁻³], wind [m s⁻¹] and blh [m] on (time, station).
    """
    figure = Figure(figsize=(7.2, 3.2))
    labels = {"wind": "Wind at 10 m [m s⁻¹]", "blh": "Boundary layer height [m]"}
    value = hourly["observed"].to_numpy()
    for axes, (name, label) in zip(figure.subplots(1, 2, sharey=True), labels.items(), strict=True):
        given = np.isfinite(value) & np.isfinite(hourly[name].to_numpy())
        x, low, middle, high = binned(hourly[name].to_numpy()[given], value[given])
        axes.fill_between(x, low, high, color=AREAS["urban"], alpha=0.18, linewidth=0, label="quartiles")
        axes.plot(x, middle, color=AREAS["urban"], marker="o", markersize=3.5, label="median")
        axes.set_xlabel(label)
        axes.grid(axis="y", color="#e6e6e6", linewidth=0.6)
    figure.axes[0].set(ylabel=f"Observed {UNITS}", ylim=(0, None))
    figure.axes[1].set_xscale("log")
    _plain(figure.axes[1].xaxis)
    figure.axes[1].legend()
    return figure


def binned(x: np.ndarray, y: np.ndarray, bins: int = BINS) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Median of `x`, lower quartile, median and upper quartile of `y`, each on (bin,); bins hold equal numbers of values."""
    parts = np.array_split(np.argsort(x, kind="stable"), min(bins, len(x)))
    quartiles = np.array([np.percentile(y[part], [25, 50, 75]) for part in parts])
    return np.array([np.median(x[part]) for part in parts]), *quartiles.T


@rc_context(STYLE)
def spectra(seen: Seen) -> Figure:
    """Mean spectrum of the daily NO₂ at the ground by wavenumber, truth and CAMS, with slopes to compare."""
    figure = Figure(figsize=(7.2, 3.8))
    axes = figure.add_subplot()
    size = min(seen.truth.grid.shape)
    k = spectrum(np.zeros((size, size)), seen.truth.grid.cell)[0]
    power = seen.truth.spectrum
    axes.loglog(k, power, color=INK, linewidth=1.6, label="truth")
    axes.loglog(k, seen.cams.spectrum, color=BASELINE, linewidth=1.4, label=f"{CAMS}, bilinear")
    for slope, name, dashes in ((-5 / 3, "k$^{-5/3}$", "--"), (-3, "k$^{-3}$", ":")):
        axes.loglog(k, 1.6 * power[1] * (k / k[1]) ** slope, color=GREY, linewidth=1, linestyle=dashes, label=name)
    axes.axvline(1 / 20, color=GREY, linewidth=0.7)
    axes.annotate("two cells of CAMS", (1 / 20, 0.02), (3, 0), ("data", "axes fraction"), "offset points", fontsize=7.5)
    axes.set(xlabel="Wavenumber k [km⁻¹]", ylabel="Power [µg² m⁻⁶ km]", xlim=(k[0], k[-1]))
    axes.set_ylim(0.03 * power.min(), 5 * power.max())
    above = axes.secondary_xaxis("top", functions=(_inverse, _inverse))  # type: ignore[arg-type]
    above.set_xlabel("Wavelength [km]")
    for axis in (axes.xaxis, above.xaxis):
        _plain(axis)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 0.04))
    return figure


def _plain(axis: Axis) -> None:
    """Ticks of a log axis as plain numbers."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _inverse(values: np.ndarray) -> np.ndarray:
    return 1 / np.maximum(values, 1e-9)


@rc_context(STYLE)
def series(daily: xr.Dataset, titles: Sequence[str]) -> Figure:
    """Daily truth, CAMS and observations at stations, a panel each, of the first LONGEST days."""
    figure = Figure(figsize=(8.2, 1.9 * daily.sizes["station"] + 0.5))
    panels = figure.subplots(daily.sizes["station"], 1, sharex=True, squeeze=False)[:, 0]
    part = daily.isel(time=slice(LONGEST))
    for number, (axes, title) in enumerate(zip(panels, titles, strict=True)):
        one = part.isel(station=number)
        axes.plot(one["time"], one["truth"], color=INK, linewidth=1.2, label="truth in the cell")
        axes.plot(one["time"], one["cams"], color=BASELINE, linewidth=1.1, label=CAMS)
        axes.plot(one["time"], one["observed"], ".", color=GREY, markersize=3.5, label="observed")
        axes.set(title=title, ylim=(0, None))
        axes.grid(axis="y", color="#e6e6e6", linewidth=0.6)
    locator = AutoDateLocator(maxticks=12)
    panels[-1].xaxis.set_major_locator(locator)
    panels[-1].xaxis.set_major_formatter(ConciseDateFormatter(locator))
    figure.supylabel(f"Daily mean {UNITS}", fontsize=9)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper left", ncols=3)
    return figure
