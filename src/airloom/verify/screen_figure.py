"""The figure of a screening: each year's ratio to the others by level, and by month at each level."""

import numpy as np
import polars as pl
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from airloom.verify.figures import GREY, INK, STYLE
from airloom.verify.screen import RELEVANT, Screening

OUTLIERS = ("#c1121f", "#0077b6", "#7b2cbf", "#e07a00")  # colours of outlier years, in turn


@rc_context(STYLE)
def figure(found: Screening) -> Figure:
    """Ratio to the median of the other years on log axes: left by level, one line a year; right by month, a panel a level,
    the highest level at the top. Outlier years are coloured where they are outliers, with a dot.
    """
    judged = found.judged.filter(pl.col("ratio").is_not_null())
    levels = sorted(judged["level"].unique(), reverse=True)
    years = found.outliers["year"].unique().sort().to_list()
    colours = {year: OUTLIERS[i % len(OUTLIERS)] for i, year in enumerate(years)}
    columns = 1 + (len(levels) > 4)
    rows = -(-len(levels) // columns)
    page = Figure(figsize=(3.4 + 3.3 * columns, 1.2 + 1.35 * max(rows, 2)))
    grid = page.add_gridspec(rows, 1 + columns, width_ratios=[1.1, *[1] * columns])
    limit = _limit(judged)
    _profile(page.add_subplot(grid[:, 0]), judged, levels, colours, limit)
    for i, level in enumerate(levels):
        axes = page.add_subplot(grid[i % rows, 1 + i // rows])
        _months(axes, judged.filter(pl.col("level") == level), colours, limit)
        axes.set_title(f"level {level:g}", fontsize=8)
        axes.tick_params(labelbottom=i % rows == rows - 1 or i == len(levels) - 1)
    page.suptitle(f"{found.variable}: each year against the others", fontsize=10, x=0.01, ha="left")
    return page


def _profile(axes: Axes, judged: pl.DataFrame, levels: list[float], colours: dict[int, str], limit: float) -> None:
    """Ratio of the whole year by level; levels stand at equal distances."""
    place = {level: len(levels) - 1 - i for i, level in enumerate(levels)}
    for (year,), rows in judged.sort("level").group_by("year", maintain_order=True):
        y = [place[level] for level in rows["level"]]
        colour = colours.get(int(str(year)))
        axes.plot(
            rows["ratio"], y, color=colour or GREY, linewidth=1.4 if colour else 0.7, label=str(year) if colour else None
        )
        far = rows["outlier"].fill_null(False).to_numpy()
        axes.plot(rows["ratio"].to_numpy()[far], np.array(y)[far], "o", color=colour or GREY, markersize=5)
    axes.set_yticks(list(place.values()), [f"{level:g}" for level in place])
    axes.axvspan(1 / RELEVANT, RELEVANT, color=GREY, alpha=0.12, linewidth=0)
    axes.set(xscale="log", xlim=(1 / limit, limit), xlabel="year / median of the other years", ylabel="level")
    _plain(axes.xaxis)
    if colours:
        axes.legend(loc="best")


def _months(axes: Axes, judged: pl.DataFrame, colours: dict[int, str], limit: float) -> None:
    """Ratio by month at one level."""
    for row in judged.iter_rows(named=True):
        ratios = [np.nan if r is None else r for r in row["by_month"]]
        colour = colours[row["year"]] if row["outlier"] else GREY
        axes.plot(
            range(1, 13), ratios, color=colour, linewidth=1.4 if row["outlier"] else 0.7, zorder=2 + bool(row["outlier"])
        )
    axes.axhline(1, color=INK, linewidth=0.5)
    axes.set(yscale="log", ylim=(1 / limit, limit), xlim=(1, 12))
    axes.set_xticks([1, 4, 7, 10], ["Jan", "Apr", "Jul", "Oct"])
    _plain(axes.yaxis)


def _plain(axis: object) -> None:
    """Ticks of a log axis as plain numbers, three or so."""
    axis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))  # type: ignore[attr-defined]
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))  # type: ignore[attr-defined]
    axis.set_minor_formatter(NullFormatter())  # type: ignore[attr-defined]


def _limit(judged: pl.DataFrame) -> float:
    """One limit for all axes, wide enough for every month."""
    ratios = judged["by_month"].explode().drop_nulls().to_numpy()
    return float(np.exp(1.05 * max(np.abs(np.log(ratios)).max(initial=0), np.log(1.5))))
