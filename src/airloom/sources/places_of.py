"""Where stations of a network stand: a table with a station's id, longitude and latitude."""

from pathlib import Path

import polars as pl

from airloom.errors import DataError
from airloom.sources.base import METADATA
from airloom.sources.members import members
from airloom.sources.tables import identifiers, numbers, read_table, require_columns


def places_of(path: Path) -> pl.DataFrame:
    """METADATA's columns of a table with `station`, `lon`, `lat` and perhaps `name`, `altitude`, `type`, `area`.

    Raises:
        DataError: it is broken, or lacks a column; or a station stands in it at two places.
    """
    (member,) = members([path])
    table = read_table(member)
    require_columns(table, ["station", "lon", "lat"], member.label, "It says where stations stand.")
    found = {c: numbers(table[c], member.label) for c in ("lon", "lat", "altitude") if c in table.columns}
    table = table.with_columns(**found, station=identifiers(table["station"], member.label))
    given = [c for c in METADATA if c in table.columns]
    table = table.select(given).unique(maintain_order=True)
    moved = table.group_by("station", maintain_order=True).agg(pl.col("lon", "lat")).filter(pl.col("lon").list.len() > 1)
    if len(moved):
        one = moved.row(0, named=True)
        places = " and ".join(f"{lon:.4f}°E {lat:.4f}°N" for lon, lat in zip(one["lon"], one["lat"], strict=True))
        raise DataError(
            f"{member.label}: station {one['station']} stands at {places} ({len(moved)} such stations). A station that moved is "
            "two: give its values an id of their own from then on, or keep the row that is right."
        )
    absent = [pl.lit(None).alias(c) for c in METADATA if c not in given and c != "name"]
    table = table.with_columns(*absent, *([] if "name" in given else [pl.col("station").alias("name")]))
    return table.select(pl.col(c).cast(t) for c, t in METADATA.items())
