"""Sensors as they come: one row a value, with its own time and place, so that what moves or was set up yesterday is welcome."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from airloom.errors import DataError
from airloom.grid import Grid
from airloom.ledger import Ledger
from airloom.methods.pointconv.fuse import Observed
from airloom.methods.pointconv.study import Variable
from airloom.sources.members import members
from airloom.sources.tables import numbers, read_table, require_columns

NEEDED = ("time", "lon", "lat", "value")
NAMELESS = "?"
EXACT = 1e-3  # an error, in the variable's unit, below which a value does not err
NEIGHBOURS = 8  # that a value is compared with
OFF = 3.0  # times the largest of these from which on a value is taken for broken
AT_ONCE = 256  # that are compared with all others
UNITS = 100.0  # the same of a whole network, from which on its unit is taken for another


def read_sensors(
    paths: Sequence[Path], grid: Grid, ranges: Mapping[Variable, tuple[float, float]], ledger: Ledger
) -> pl.DataFrame:
    """Rows of tables (CSV or parquet) that lie on the grid: day, variable, row, column, value, error, sensor, network.

    Columns: time, lon, lat and value; if there are several variables, `variable`; optional `error` (standard deviation of the
    value, in its unit; none where it is blank), `sensor` and `network` (names; each file is a network by default).

    Arguments:
        paths: the tables.
        grid: the model's.
        ranges: lowest and highest value of each variable; without a column `variable` all rows are of the first.
        ledger: told what is left out.

    Raises:
        DataError: a column is absent or broken, no row lies on the grid, or the networks of a variable have other units.
    """
    variables, tables = list(ranges), []
    for member in members(paths):
        table = read_table(member)
        require_columns(table, [*NEEDED, *(["variable"] if len(variables) > 1 else [])], member.label, "A row is one value.")
        tables.append(_plain(table, member.label, variables[0]))
    rows = pl.concat(tables)
    row, column = grid.locate(rows["lon"].to_numpy(), rows["lat"].to_numpy())
    rows = rows.with_columns(row=pl.Series(row), column=pl.Series(column))
    rows = _keep(rows, pl.col("variable").is_in(variables), "of a variable that the model does not know", ledger)
    rows = _keep(rows, pl.col("value").is_finite(), "no finite number", ledger)
    rows = _keep(rows, pl.col("row") >= 0, "outside the grid", ledger)
    for variable, (low, high) in ranges.items():
        possible = (pl.col("variable") != variable) | pl.col("value").is_between(low, high)
        rows = _keep(rows, possible, f"not between {low:g} and {high:g}", ledger)
    if rows.is_empty():
        raise DataError(
            f"{paths[0].name}: none of its values lies on the model's grid ({grid.crs}, {grid.bounds}); "
            f"{'; '.join(sorted({e.why for e in ledger.entries}))}. Are lon and lat in degrees, and in this order?"
        )
    _check_units(rows)
    return _keep(_compared(rows), pl.col("sound"), f"over {OFF:g} times any of its {NEIGHBOURS} neighbours: broken?", ledger)


def _plain(table: pl.DataFrame, where: str, target: str) -> pl.DataFrame:
    """Typed columns, with those that may be absent filled."""
    time = table["time"]
    day = time.str.slice(0, 10).str.to_date(strict=False) if time.dtype == pl.String else time.cast(pl.Date)
    if day.null_count():
        raise DataError(f"{where}: {day.null_count()} rows have no time that can be read, such as 2023-01-20 13:00 (UTC).")
    optional = {
        "error": _errors(table["error"], where) if "error" in table.columns else pl.lit(0.0),
        "variable": table["variable"].cast(pl.String) if "variable" in table.columns else pl.lit(target),
        "sensor": table["sensor"].cast(pl.String).fill_null(NAMELESS) if "sensor" in table.columns else pl.lit(NAMELESS),
        "network": table["network"].cast(pl.String).fill_null(where) if "network" in table.columns else pl.lit(where),
    }
    places = {c: numbers(table[c], where) for c in ("lon", "lat", "value")}
    return pl.DataFrame({"day": day, **places}).with_columns(**optional)


def _errors(column: pl.Series, where: str) -> pl.Series:
    """Standard deviations; 0 where there is none."""
    found = numbers(column, where).fill_nan(None).fill_null(0.0)
    if len(negative := found.filter(found < 0)):
        raise DataError(
            f"{where}: an error of {negative[0]:g}; it is a standard deviation. Leave it blank where it is unknown."
        )
    return found


def _keep(rows: pl.DataFrame, condition: pl.Expr, why: str, ledger: Ledger) -> pl.DataFrame:
    """Rows that meet a condition; the others are counted by sensor."""
    kept = rows.with_columns(keep=condition.fill_null(False))
    for sensor, count in kept.filter(~pl.col("keep")).group_by("sensor").len().sort("sensor").rows():
        ledger.out("value", sensor, why, count)
    return kept.filter("keep").drop("keep")


def _check_units(rows: pl.DataFrame) -> None:
    """Refuse networks of one variable whose values differ by orders of magnitude on the same days."""
    medians = rows.filter(pl.col("value") > 0).group_by("variable", "day", "network").agg(pl.col("value").median())
    typical = medians.group_by("variable", "network").agg(pl.col("value").median()).sort("value")
    for (variable,), group in typical.group_by("variable"):
        low, high = group.row(0, named=True), group.row(-1, named=True)
        if high["value"] > UNITS * low["value"]:
            raise DataError(
                f"{variable}: network {high['network']!r} has {high['value']:.4g} where network {low['network']!r} has "
                f"{low['value']:.4g}, {high['value'] / low['value']:.0f} times less. Bring both to one unit, µg m⁻³."
            )


def _compared(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows with `sound`: whether what a sensor has of a day in a cell, in the mean, is of the order of its neighbours' there, where
    there are enough of them. Sensors without a name are told apart by their cells.
    """
    cell = pl.format("{} {}", "row", "column")
    rows = rows.with_columns(who=pl.when(pl.col("sensor") == NAMELESS).then(cell).otherwise("sensor"))
    keys = ["variable", "day", "who", "row", "column"]
    spots = rows.group_by(keys, maintain_order=True).agg(pl.col("value").mean())
    judged = [group.with_columns(sound=pl.Series(_sound(group))) for _, group in spots.group_by("variable", "day")]
    return rows.join(pl.concat(judged).drop("value"), on=keys, maintain_order="left").drop("who")


def _sound(spots: pl.DataFrame) -> np.ndarray:
    """Whether each value of a day is of the order of the nearest ones of other sensors."""
    value, who = spots["value"].to_numpy(), spots["who"].rank("dense").to_numpy()
    at = spots.select("row", "column").to_numpy().astype(np.float32)
    sound = np.ones(len(value), bool)
    if len(value) <= NEIGHBOURS:
        return sound
    for first in range(0, len(value), AT_ONCE):
        some = slice(first, first + AT_ONCE)
        apart = np.square(at[some, None] - at).sum(-1)
        apart[who[some, None] == who] = np.inf
        near = np.argpartition(apart, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
        enough = np.isfinite(np.take_along_axis(apart, near, 1)).all(1)
        largest = value[near].max(1)
        sound[some] = ~(enough & (largest > 0) & (value[some] > OFF * largest))
    return sound


def on_cells(rows: pl.DataFrame, variables: Sequence[Variable]) -> tuple[np.ndarray, list[Observed]]:
    """The days (datetime64[D]) of `read_sensors`' rows, and what each variable's cells have on them: sensors of one cell and day
    are averaged by their precision. A sensor errs alike in all its rows of a day, so that many of them make it no better; nameless
    ones of a cell count as one.

    A cell's weight is 1 where its sensors do not err, and 1 / (1 + (error / spread)²) where they do, with the day's deviation
    between cells as spread.
    """
    rows = rows.with_columns(precision=pl.max_horizontal("error", pl.lit(EXACT)) ** -2)
    weighted, alike = ((pl.col(c) * pl.col("precision")).sum() / pl.col("precision").sum() for c in ("value", "error"))
    cells = (
        rows.group_by("day", "variable", "row", "column", "sensor")
        .agg(weighted.alias("value"), alike.alias("error"))
        .with_columns(precision=pl.max_horizontal("error", pl.lit(EXACT)) ** -2)
        .group_by("day", "variable", "row", "column")
        .agg(weighted.alias("value"), error=(1 / pl.col("precision").sum()).sqrt())
        .with_columns(spread=pl.col("value").std().over("day", "variable").fill_null(0.0))
    )
    share = pl.col("error") / pl.max_horizontal("spread", pl.lit(EXACT))
    cells = cells.with_columns(weight=pl.when(pl.col("error") <= EXACT).then(1.0).otherwise(1 / (1 + share**2)))
    days = np.unique(cells["day"].to_numpy()).astype("datetime64[D]")
    return days, [_observed(cells.filter(pl.col("variable") == v), days) for v in variables]


def _observed(cells: pl.DataFrame, days: np.ndarray) -> Observed:
    """Values and weights of one variable, a column a cell that ever held a sensor."""
    places, which = np.unique(cells.select("row", "column").to_numpy(), axis=0, return_inverse=True)
    at = np.searchsorted(days, cells["day"].to_numpy().astype("datetime64[D]")), which.ravel()
    values, weights = np.full((len(days), len(places)), np.nan), np.zeros((len(days), len(places)))
    values[at], weights[at] = cells["value"].to_numpy(), cells["weight"].to_numpy()
    row, column = places.astype(int).T
    return Observed(values, days, row, column, weights)
