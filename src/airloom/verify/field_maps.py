"""Maps of whole fields: models side by side, windows of them, and levels; Figs. 3, 4 and S1 of paper 000."""

from collections.abc import Mapping, Sequence
from string import ascii_lowercase

import numpy as np
import polars as pl
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from airloom.grid import Grid
from airloom.verify.figures import GREY, INK, MAP_COLOURS, STYLE, UNITS, WITHHELD, scale_bar
from airloom.verify.tables import model_title
from airloom.verify.volumes import Model

WINDOW = 1 / 4  # of the grid's shorter side: the edge of a window
PLATE = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 1.5}  # behind text on a map
Window = tuple[slice, slice]  # rows and columns


def windows(population: np.ndarray | None, elevation: np.ndarray | None, surface: np.ndarray) -> dict[str, Window]:
    """Three square windows that do not share their centre: the most people, the highest ground, the strongest gradient.

    All on (y, x): inhabitants km⁻², m, and the mean surface field [µg m⁻³]; without one of the first two there is a window
    less. Each window is the one with the largest mean; a later one must have its centre outside those before it.
    """
    rows, columns = surface.shape
    size = max(round(WINDOW * min(rows, columns)), 4)
    gradient = np.hypot(*np.gradient(np.nan_to_num(surface)))
    wanted = {"Most populated": population, "Highest": elevation, "Strongest gradient": gradient}
    chosen: dict[str, Window] = {}
    for title, values in wanted.items():
        if values is None:
            continue
        means = _moving_mean(np.nan_to_num(values), size)
        for y, x in chosen.values():  # a start whose centre lies in an earlier window
            half = size // 2
            means[max(y.start - half, 0) : y.start + half + 1, max(x.start - half, 0) : x.start + half + 1] = -np.inf
        top, left = (int(v) for v in np.unravel_index(np.argmax(means), means.shape))
        chosen[title] = slice(top, top + size), slice(left, left + size)
    return chosen


def _moving_mean(values: np.ndarray, size: int) -> np.ndarray:
    """Means of all whole squares of `size` cells, by the row and column where they start."""
    sums = np.pad(values.astype(float).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    return (sums[size:, size:] - sums[:-size, size:] - sums[size:, :-size] + sums[:-size, :-size]) / size**2


@rc_context(STYLE)
def surface_maps(
    means: Mapping[Model, np.ndarray], grid: Grid, stations: pl.DataFrame, chosen: Mapping[str, Window]
) -> Figure:
    """Mean surface fields on (y, x) [µg m⁻³] in common colours, with the windows that `window_maps` enlarges.

    `stations` as in `figures.annual_map`.
    """
    columns = 3 if len(means) > 4 else min(len(means), 2)
    rows = -(-len(means) // columns)
    height = 6.5 / columns * grid.shape[0] / grid.shape[1]
    figure = Figure(figsize=(8.2, rows * (height + 0.45) + 0.4))
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    norm = pattern_colours(list(means.values()))
    everywhere = slice(0, grid.shape[0]), slice(0, grid.shape[1])
    for letter, axes, (model, mean) in zip(ascii_lowercase, panels, means.items(), strict=False):
        _panel(axes, mean, grid, everywhere, norm, stations, size=12)
        axes.set_title(f"({letter}) {model_title(*model)}", fontsize=9)
        for number, window in enumerate(chosen.values(), 1):
            _outline(axes, grid, window, str(number))
    for axes in panels[len(means) :]:
        axes.set_visible(False)
    for axes in panels[max(len(means) - columns, 0) : len(means)]:  # the lowest of each column, above a free place too
        axes.tick_params(labelbottom=True)
    _bar(figure, norm, list(panels[: len(means)]))
    figure.supxlabel(f"Easting [km], {grid.crs}", fontsize=9)
    figure.supylabel("Northing [km]", fontsize=9)
    return figure


@rc_context(STYLE)
def window_maps(
    means: Mapping[Model, np.ndarray], chosen: Mapping[str, Window], grid: Grid, stations: pl.DataFrame
) -> Figure:
    """Windows of the mean surface fields, a row a window with its own colours, a column a model."""
    figure = Figure(figsize=(1.75 * len(means) + 1.2, 2.0 * len(chosen) + 0.3))
    panels = figure.subplots(len(chosen), len(means), squeeze=False)
    for index, (line, (title, window)) in enumerate(zip(panels, chosen.items(), strict=True)):
        norm = pattern_colours([m[window] for m in means.values()])
        for axes, (model, mean) in zip(line, means.items(), strict=True):
            _panel(axes, mean, grid, window, norm, stations, size=26)
            axes.set(xticks=[], yticks=[])
            if index == 0:
                axes.set_title(_short(model), fontsize=8.5)
        line[0].set_ylabel(f"({index + 1}) {title}", fontsize=8.5)
        _bar(figure, norm, list(line))
    return figure


@rc_context(STYLE)
def level_maps(
    means: Mapping[Model, np.ndarray], levels: Sequence[float], grid: Grid, window: Window | None = None
) -> Figure:
    """Mean fields on (level, y, x) [µg m⁻³] of the grid or a window, a row a level from the ground up, a column a model.

    Each is divided by its own mean over what is shown, which the panel states: models that differ by a factor would otherwise
    take up the colours, and hide their patterns. Each row has its own colours.
    """
    shown = window or (slice(0, grid.shape[0]), slice(0, grid.shape[1]))
    height = 1.75 * (shown[0].stop - shown[0].start) / (shown[1].stop - shown[1].start)
    figure = Figure(figsize=(1.75 * len(means) + 1.4, (height + 0.12) * len(levels) + 0.35))
    panels = figure.subplots(len(levels), len(means), squeeze=False)
    for index, (line, level) in enumerate(zip(panels, levels, strict=True)):
        averages = {model: float(np.nanmean(m[index][shown])) for model, m in means.items()}
        patterns = {model: m[index] / (averages[model] or np.nan) for model, m in means.items()}
        norm = pattern_colours([p[shown] for p in patterns.values()])
        for axes, (model, pattern) in zip(line, patterns.items(), strict=True):
            _panel(axes, pattern, grid, shown, norm, None, bar=index == len(levels) - 1)
            axes.set(xticks=[], yticks=[])
            axes.text(
                0.03, 0.97, f"{averages[model]:#.2g}".rstrip("."), transform=axes.transAxes, va="top", fontsize=8, bbox=PLATE
            )
            if index == 0:
                axes.set_title(_short(model), fontsize=8.5)
        line[0].set_ylabel(f"({ascii_lowercase[index]}) {level:g} m", fontsize=8.5)
        _bar(figure, norm, list(line), label="")
    figure.supylabel("Height; colours: mean over that of all cells shown [1]", fontsize=9)
    return figure


def common_colours(fields: Sequence[np.ndarray]) -> Normalize:
    """Colours from zero to the 99.5th percentile of all cells."""
    cells = np.concatenate([f[np.isfinite(f)] for f in fields])
    return Normalize(0, max(float(np.percentile(cells, 99.5)), 1e-6) if cells.size else 1)


def pattern_colours(fields: Sequence[np.ndarray]) -> Normalize:
    """Colours from the 0.5th to the 99.5th percentile, so that a pattern on a background shows.

    They span at least a quarter of the upper end: what hardly varies is not made to look as if it did.
    """
    cells = np.concatenate([f[np.isfinite(f)] for f in fields])
    high = float(common_colours(fields).vmax or 1)
    return Normalize(min(float(np.percentile(cells, 0.5)), 0.75 * high) if cells.size else 0, high)


def _short(model: Model) -> str:
    """A model's title over two lines, for a narrow panel."""
    return model_title(*model).replace(", ", ",\n", 1)


def _panel(
    axes: Axes,
    mean: np.ndarray,
    grid: Grid,
    window: Window,
    norm: Normalize,
    stations: pl.DataFrame | None,
    *,
    size: float = 0,
    bar: bool = True,
) -> None:
    """A window of a map with the stations in it."""
    left, right, bottom, top = _extent(grid, window)
    axes.set_facecolor("#eeeeee")  # where there is no value
    axes.imshow(mean[window], extent=(left, right, bottom, top), cmap=MAP_COLOURS, norm=norm, interpolation="nearest")
    if stations is not None and stations.height:
        x, y = (v / 1000 for v in grid.project(stations["lon"].to_numpy(), stations["lat"].to_numpy()))
        inside = (x > left) & (x < right) & (y > bottom) & (y < top)
        colours, withheld = stations["observed"].to_numpy(), stations["withheld"].to_numpy()
        for which, edge in ((inside & ~withheld, INK), (inside & withheld, WITHHELD)):
            axes.scatter(x[which], y[which], size, "white", edgecolors="white", linewidths=2.0)
            axes.scatter(
                x[which], y[which], size, colours[which], cmap=MAP_COLOURS, norm=norm, edgecolors=edge, linewidths=0.9
            )
    axes.set(xlim=(left, right), ylim=(bottom, top), aspect="equal")
    for side in axes.spines.values():
        side.set_edgecolor(GREY)
    axes.locator_params(nbins=4)
    axes.ticklabel_format(style="plain", useOffset=False)
    if bar:
        scale_bar(axes, right - left)


def _extent(grid: Grid, window: Window) -> tuple[float, float, float, float]:
    """Left, right, bottom and top edges of a window [km]."""
    (rows, columns), cell = window, grid.cell
    left, right = (grid.left + cell * columns.start) / 1000, (grid.left + cell * columns.stop) / 1000
    return left, right, (grid.top - cell * rows.stop) / 1000, (grid.top - cell * rows.start) / 1000


def _outline(axes: Axes, grid: Grid, window: Window, label: str) -> None:
    left, right, bottom, top = _extent(grid, window)
    axes.add_patch(Rectangle((left, bottom), right - left, top - bottom, fill=False, edgecolor=INK, linewidth=0.9))
    axes.annotate(label, (left, top), (2, -2), textcoords="offset points", va="top", fontsize=7, bbox=PLATE)


def _bar(figure: Figure, norm: Normalize, axes: list[Axes], label: str = f"Mean {UNITS}") -> None:
    mappable = ScalarMappable(norm, MAP_COLOURS)
    bar = figure.colorbar(
        mappable, ax=axes, shrink=0.9, pad=0.02, extend="both" if norm.vmin else "max", label=label, aspect=18
    )
    bar.outline.set_visible(False)
    bar.locator = MaxNLocator(4)
    bar.update_ticks()
