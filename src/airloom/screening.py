"""Screening: from the records of a source to daily means at cells, with every decision in the ledger."""

from datetime import date

import numpy as np
import polars as pl
import xarray as xr

from airloom.errors import DataError
from airloom.grid import Grid
from airloom.hours import WHOLE_DAY, Hours, named
from airloom.ledger import Ledger
from airloom.sources.base import StationRecords
from airloom.stations import Rules, Stations

FAR = 1e6  # a station so far from the grid [m] that would stand in it with longitude and latitude swapped has them swapped
PRECEDENCE = ("background", "industrial", "traffic")  # whose type a shared cell gets (DACNO₂ paper, §2.2.2)


def screen(records: StationRecords, grid: Grid, rules: Rules, days: tuple[date, date], hours: Hours = WHOLE_DAY) -> Stations:
    """Means over the `hours` of each day [µg m⁻³] of the stations on `grid` that keep the `rules`.

    Stations of one cell are averaged day by day.

    A station is left out whose type is unknown or not used, that has no coordinates, stands outside the grid, or has no
    usable day. A value is left out that its provider calls invalid, that is no finite number, is out of range, contradicts
    another of the same hour, is stuck, or spans neither an hour nor a day. Then days with too few hours go, and years of a
    station with too few days. A value belongs to the UTC day that holds its middle; daily values are used as they are,
    but for days that hours give as well, and left out where only some hours of the day are asked for.

    Arguments:
        records: what a source found.
        grid: the grid of the fields; a station outside it is left out.
        rules: what a station and a day must have.
        days: first and last day, both included.
        hours: of the UTC day.

    Raises:
        DataError: longitude and latitude of a station are swapped, two rows of metadata contradict each other, all values
            are daily and only some hours are asked for, or no station is left.
    """
    ledger = Ledger(list(records.ledger.entries))
    places = _places(records, grid, rules, ledger)
    values = _values(records.observations, places["station"], days, rules, ledger)
    if hours != WHOLE_DAY:
        values = _within(values, hours, ledger)
    means = _daily(values, days, rules, ledger)
    for station in sorted(set(places["station"]) - set(means["station"].unique())):
        ledger.out("station", station, "no day is left")
    places = places.filter(pl.col("station").is_in(means["station"].unique().implode()))
    if places.is_empty():
        reasons = sorted({f"{e.why} ({e.what})" for e in ledger.of("station", "out")})
        raise DataError(
            f"no station is left on the grid between {days[0]} and {days[1]}: {'; '.join(reasons[:5]) or 'no metadata'}"
            f"{f' and {len(reasons) - 5} more' if len(reasons) > 5 else ''}. Look at grid, period and stations.use."
        )
    table = _cells(places, ledger)
    return Stations(table, _series(means, places, table, days), ledger)


def _places(records: StationRecords, grid: Grid, rules: Rules, ledger: Ledger) -> pl.DataFrame:
    """Metadata of the stations that may be used, with row and column, sorted by station."""
    table = _one_row_a_station(records.metadata, ledger)
    observed = records.observations["station"].unique()
    for station in sorted(set(observed) - set(table["station"])):
        ledger.out("station", station, "no metadata")
    table = table.with_columns(pl.col("lon", "lat").fill_nan(None)).sort("station")
    used = ", ".join(rules.types)
    reasons = [
        (~pl.col("station").is_in(observed.implode()), pl.lit("no observations")),
        (pl.col("type").is_null(), pl.lit("type unknown")),
        (~pl.col("type").is_in(rules.types), pl.format("type {} is not used, only " + used, pl.col("type").fill_null(""))),
        (pl.any_horizontal(pl.col("lon", "lat").is_null()), pl.lit("no coordinates")),
    ]
    for condition, why in reasons:
        for station, reason in table.filter(condition).select("station", why.alias("why")).rows():
            ledger.out("station", station, reason)
        table = table.filter(~condition)
    return _located(table, grid, ledger)


def _one_row_a_station(metadata: pl.DataFrame, ledger: Ledger) -> pl.DataFrame:
    """Metadata without repeated rows."""
    table = metadata.unique(maintain_order=True)
    repeats = metadata.group_by("station").len().filter(pl.col("len") > 1).sort("station")
    for station, count in repeats.rows():
        rows = table.filter(pl.col("station") == station)
        differing = [f"{c} ({rows[c][0]}, {rows[c][1]})" for c in rows.columns if rows[c].n_unique() > 1]
        if differing:
            raise DataError(
                f"station {station} stands {count} times in the metadata and differs in {', '.join(differing)}. "
                "Keep the row that is right."
            )
        ledger.changed("station", station, "repeated in the metadata, one row kept", count - 1)
    return table


def _located(table: pl.DataFrame, grid: Grid, ledger: Ledger) -> pl.DataFrame:
    """Stations inside the grid, with row and column."""
    lon, lat = table["lon"].to_numpy(), table["lat"].to_numpy()
    row, column = grid.locate(lon, lat)
    x, y = grid.project(lon, lat)
    left, bottom, right, top = grid.bounds
    near = (x > left - FAR) & (x < right + FAR) & (y > bottom - FAR) & (y < top + FAR)
    if not near.all():
        _check_swapped(table.filter(pl.Series(~near)), grid)
    for station, a, b in table.filter(pl.Series(row < 0)).select("station", "lon", "lat").rows():
        ledger.out("station", station, f"outside the grid ({a:.4f}°E, {b:.4f}°N)")
    return table.with_columns(row=pl.Series(row), column=pl.Series(column)).filter(pl.col("row") >= 0)


def _check_swapped(far: pl.DataFrame, grid: Grid) -> None:
    """Raise DataError where a station far from the grid would stand in it with longitude and latitude exchanged."""
    inside = grid.locate(far["lat"].to_numpy(), far["lon"].to_numpy())[0] >= 0
    if inside.any():
        one = far.row(int(np.argmax(inside)), named=True)
        raise DataError(
            f"station {one['station']}: longitude and latitude look swapped ({inside.sum()} such): longitude {one['lon']}, "
            f"latitude {one['lat']} is far outside the grid, the reverse is inside. Exchange lon and lat in stations.columns."
        )


def _values(
    observations: pl.DataFrame, stations: pl.Series, days: tuple[date, date], rules: Rules, ledger: Ledger
) -> pl.DataFrame:
    """Values that may enter a daily mean: station (Enum), start, hours, value, day; sorted by station, hours and start."""
    middle = pl.col("start") + pl.duration(minutes=pl.col("hours") * 30)
    values = observations.lazy().filter(pl.col("station").is_in(stations.implode())).with_columns(day=middle.dt.date())
    # An Enum sorts and groups by number, which is what makes millions of rows quick.
    table = values.filter(pl.col("day").is_between(*days)).collect().with_columns(pl.col("station").cast(pl.Enum(stations)))
    spans = pl.col("hours").is_in([1.0, 24.0])
    finite = pl.col("value").is_finite().fill_null(False)
    in_range = pl.col("value").is_between(rules.lowest, rules.highest)
    table = _keep(table, pl.col("valid").fill_null(False), "the provider calls it invalid", ledger)
    table = _keep(table, finite, "no finite number", ledger)
    table = _keep(table, spans, "spans neither an hour nor a day", ledger)
    table = _keep(table, in_range, f"outside {rules.lowest:g} … {rules.highest:g} µg m⁻³", ledger)
    table = _one_value_an_hour(table.sort("station", "hours", "start", "value"), ledger)
    stuck = pl.len().over(_runs()) >= rules.stuck_hours
    fixed = (pl.col("hours") == 1) & (pl.col("value") != 0) & stuck
    return _keep(table, ~fixed, f"stuck: {rules.stuck_hours} or more equal hours in a row", ledger)


def _keep(table: pl.DataFrame, condition: pl.Expr, why: str, ledger: Ledger) -> pl.DataFrame:
    """Rows that meet a condition; the others are counted by station."""
    keep = table.select(condition.alias("keep"))["keep"]
    if keep.all():
        return table
    for station, count in table.filter(~keep).group_by("station").len().sort("station").rows():
        ledger.out("value", station, why, count)
    return table.filter(keep)


def _one_value_an_hour(table: pl.DataFrame, ledger: Ledger) -> pl.DataFrame:
    """Without repeated values, and without those that contradict each other; `table` is sorted, so equals are neighbours."""
    same = pl.all_horizontal(pl.col(c) == pl.col(c).shift() for c in ("station", "start", "hours"))
    table = _keep(table, ~(same & (pl.col("value") == pl.col("value").shift())).fill_null(False), "repeated", ledger)
    again = table.select(same.fill_null(False).alias("again"))["again"]
    if not again.any():
        return table
    contradicted = again | again.shift(-1, fill_value=False)
    return _keep(table, ~pl.lit(contradicted), "contradicts another value of the same time", ledger)


def _runs() -> pl.Expr:
    """A number for each run of equal values of one station, hour after hour."""
    goes_on = (
        (pl.col("station") == pl.col("station").shift())
        & (pl.col("value") == pl.col("value").shift())
        & (pl.col("start").diff() == pl.duration(hours=1))
    )
    return (~goes_on.fill_null(False)).cum_sum()


def _within(values: pl.DataFrame, hours: Hours, ledger: Ledger) -> pl.DataFrame:
    """Values of the `hours` of each day; those of whole days say nothing of them."""
    hourly = pl.col("hours") == 1
    if not values.is_empty() and values.filter(hourly).is_empty():
        raise DataError(
            f"stations.observations: all {len(values):,} values are daily ones; the {named(hours)} needs hourly values. "
            "Fetch these, or write hours: [0, 24]."
        )
    values = _keep(values, hourly, f"daily value, and the {named(hours)} is asked for", ledger)
    middle = pl.col("start") + pl.duration(minutes=30)
    return values.filter(middle.dt.hour().is_between(hours[0], hours[1] - 1))


def _daily(values: pl.DataFrame, days: tuple[date, date], rules: Rules, ledger: Ledger) -> pl.DataFrame:
    """Daily means: station, day, value; sorted."""
    hourly = values.filter(pl.col("hours") == 1).group_by("station", "day", maintain_order=True)
    means = hourly.agg(pl.col("value").mean(), n=pl.len())
    means = _keep(means, pl.col("n") >= rules.min_hours, f"day of fewer than {rules.min_hours} valid hours", ledger)
    given = values.filter(pl.col("hours") == 24).select("station", "day", "value")
    given = _keep(given, pl.len().over("station", "day") == 1, "several daily values fall on one UTC day", ledger)
    both = given.select("station", "day").join(means, on=["station", "day"], how="semi")
    for station, count in both.group_by("station").len().sort("station").rows():
        ledger.out("value", station, "daily value of a day that hours give as well", count)
    given = given.join(both, on=["station", "day"], how="anti")
    means = pl.concat([means.drop("n"), given]).with_columns(pl.col("station").cast(pl.String)).sort("station", "day")
    return _years(means, days, rules, ledger)


def _years(means: pl.DataFrame, days: tuple[date, date], rules: Rules, ledger: Ledger) -> pl.DataFrame:
    """Without the years of a station that have too few days; a year has as many days as the study has of it."""
    length = pl.date_range(*days, eager=True).alias("year").dt.year().value_counts(name="days")
    means = means.with_columns(year=pl.col("day").dt.year(), n=pl.len().over("station", pl.col("day").dt.year()))
    means = means.join(length, on="year", maintain_order="left")
    few = pl.col("n") < rules.min_year_fraction * pl.col("days")
    short = means.filter(few).select("station", "year", "n", "days").unique().sort("station", "year")
    for station, year, n, of in short.rows():
        ledger.out("value", station, f"{year}: {n} of {of} days, less than {rules.min_year_fraction:.0%}", n)
    return means.filter(~few).select("station", "day", "value")


def _cells(places: pl.DataFrame, ledger: Ledger) -> pl.DataFrame:
    """One row a cell: the type that takes precedence and its first station's area, the mean place of its stations."""
    order = pl.col("type").replace_strict(PRECEDENCE, range(len(PRECEDENCE)), return_dtype=pl.Int32)
    table = (
        places.sort(order, "station")
        .group_by("row", "column", maintain_order=True)
        .agg(
            pl.col("station", "name").sort_by("station").str.join("+"),
            pl.col("lon", "lat", "altitude").mean(),
            pl.col("type", "area").first(),
        )
        .select("station", "name", "lon", "lat", "altitude", "type", "area", "row", "column")
        .sort("station")
    )
    for station, kind in table.filter(pl.col("station").str.contains("+", literal=True)).select("station", "type").rows():
        ledger.changed("station", station, f"share a cell: averaged day by day, typed {kind}", station.count("+") + 1)
    return table


def _series(means: pl.DataFrame, places: pl.DataFrame, table: pl.DataFrame, days: tuple[date, date]) -> xr.DataArray:
    """Daily means of the cells, float64 on (time, station); NaN where there is none."""
    time = np.arange(np.datetime64(days[0], "D"), np.datetime64(days[1], "D") + 1)
    cell = table.with_row_index("cell").select("cell", "row", "column")
    at = places.join(cell, on=["row", "column"]).select("station", "cell")
    cells = means.join(at, on="station").group_by("day", "cell").agg(pl.col("value").sort().mean())
    daily = np.full((len(time), len(table)), np.nan)
    since = (cells["day"].to_numpy().astype("datetime64[D]") - time[0]).astype(int)
    daily[since, cells["cell"].to_numpy()] = cells["value"].to_numpy()
    coords = {"time": time.astype("datetime64[ns]"), "station": table["station"].to_list()}
    return xr.DataArray(daily, coords, ("time", "station"), name="observed", attrs={"units": "ug m-3"})
