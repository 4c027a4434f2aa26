"""Stations: daily values, where they stand, who is withheld, and why some are not there."""

from dataclasses import dataclass

import numpy as np
import polars as pl
import xarray as xr

from airloom.errors import DataError
from airloom.grid import Grid
from airloom.ledger import Ledger


@dataclass(frozen=True)
class Rules:
    """What a station and a day must have to be used.

    Arguments:
        types: station types that are used.
        min_hours: valid hours that a daily mean needs.
        min_year_fraction: share of a year's days that a station needs to be used in that year.
        lowest, highest: values outside this range are left out [µg m⁻³].
        stuck_hours: so many equal non-zero values in a row are left out as stuck.
    """

    types: tuple[str, ...] = ("background", "industrial")
    min_hours: int = 18
    min_year_fraction: float = 0.2
    lowest: float = -1.0
    highest: float = 1000.0
    stuck_hours: int = 24


@dataclass(frozen=True)
class Stations:
    """Daily means of one pollutant at cells that hold stations; stations of one cell are one.

    `table`: one row a cell: station (ids joined by "+"), name, lon, lat, altitude, type, area, row, column.
    `daily`: (time, station) [µg m⁻³], NaN where there is no value; time is the start of a UTC day.
    `ledger`: what was left out or changed on the way.
    """

    table: pl.DataFrame
    daily: xr.DataArray
    ledger: Ledger
