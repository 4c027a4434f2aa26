"""Flights as a CSV like Eurocontrol's airport traffic: a row an airport and day."""

from pathlib import Path

import polars as pl

from airloom.errors import DataError
from airloom.files import whole

COLUMNS = {"day": pl.Date, "airport": pl.String, "name": pl.String, "country": pl.String, "flights": pl.Int64}


def write_flights(flights: pl.DataFrame, path: Path) -> None:
    """Write flights into a CSV with dates as 31-01-19.

    Arguments:
        flights: columns `day` (Date), `airport` (four letters), `name`, `country`, `flights` (departures and arrivals, whole).
        path: the file, ending in .csv.

    Raises:
        DataError: a column is missing or of another type.
    """
    for column, kind in COLUMNS.items():
        if flights.schema.get(column) != kind:
            raise DataError(f"{path.name}: column {column!r} is {flights.schema.get(column)}, expected {kind}.")
    day, half = pl.col("day"), pl.col("flights") // 2
    table = flights.sort("day", "airport").select(
        day.dt.year().alias("YEAR"),
        day.dt.strftime("%m").alias("MONTH_NUM"),
        day.dt.strftime("%b").str.to_uppercase().alias("MONTH_MON"),
        day.dt.strftime("%d-%m-%y").alias("FLT_DATE"),
        pl.col("airport").alias("APT_ICAO"),
        pl.col("name").alias("APT_NAME"),
        pl.col("country").alias("STATE_NAME"),
        half.alias("FLT_DEP_1"),
        (pl.col("flights") - half).alias("FLT_ARR_1"),
        pl.col("flights").alias("FLT_TOT_1"),
        pl.lit(None, pl.Int64).alias("FLT_DEP_IFR_2"),
        pl.lit(None, pl.Int64).alias("FLT_ARR_IFR_2"),
        pl.lit(None, pl.Int64).alias("FLT_TOT_IFR_2"),
    )
    with whole(path) as aside:
        table.write_csv(aside)
