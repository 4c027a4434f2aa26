"""Tables of stations and observations as files hold them: reading, columns, numbers and units."""

import gzip
import io
import re
import zlib
from collections.abc import Iterable
from pathlib import Path

import polars as pl

from airloom.errors import DataError, nearest
from airloom.sources.members import Member

MICROGRAMS = {"ug m-3": 1.0, "ug.m-3": 1.0, "ug/m3": 1.0, "mg m-3": 1000.0, "mg.m-3": 1000.0, "mg/m3": 1000.0}
CONVERTED = {  # unit as files say it → canonical unit, factor, what is added
    "K": ("K", 1.0, 0.0),
    "degC": ("K", 1.0, 273.15),
    "°C": ("K", 1.0, 273.15),
    "Pa": ("Pa", 1.0, 0.0),
    "hPa": ("Pa", 100.0, 0.0),
    "mm": ("mm", 1.0, 0.0),
    "m": ("mm", 1000.0, 0.0),
    "m s-1": ("m s-1", 1.0, 0.0),
    "m/s": ("m s-1", 1.0, 0.0),
    "km h-1": ("m s-1", 1 / 3.6, 0.0),
    "km/h": ("m s-1", 1 / 3.6, 0.0),
    "%": ("%", 1.0, 0.0),
    "1": ("%", 100.0, 0.0),
}


def read_table(member: Member) -> pl.DataFrame:
    """A parquet file with its own types, or a CSV (commas or semicolons), gzipped or not, with every column as text.

    Raises:
        DataError: the file is broken, of another kind, or has no rows.
    """
    content, suffix = io.BytesIO(member.content()), member.suffix
    try:
        if suffix == ".gz":
            content, suffix = io.BytesIO(gzip.decompress(content.read())), Path(member.label).with_suffix("").suffix.lower()
        if suffix == ".parquet":
            table = pl.read_parquet(content)
        elif suffix in (".csv", ".txt"):
            first = content.readline().decode("utf-8-sig")
            content.seek(0)
            separator = ";" if first.count(";") > first.count(",") else ","
            table = pl.read_csv(content, separator=separator, infer_schema=False)
            table = table.with_columns(pl.all().str.strip_chars().replace("", None))
        else:
            raise DataError(f"{member.label}: {suffix or 'no suffix'}; tables are read from .parquet or .csv.")
    except (pl.exceptions.PolarsError, UnicodeDecodeError, OSError, EOFError, zlib.error) as error:
        reason = str(error).splitlines()[0]
        raise DataError(
            f"{member.label} is no whole {member.suffix[1:]} file ({reason}). Fetch it again; text must be UTF-8."
        ) from error
    if table.is_empty():
        raise DataError(f"{member.label} has {table.width} columns but no rows. Leave the file out, or fetch it again.")
    return table


def require_columns(table: pl.DataFrame, names: Iterable[str], where: str, remedy: str) -> None:
    """Raise DataError where a column is missing, naming the nearest; `remedy` ends the message."""
    for name in names:
        if name not in table.columns:
            raise DataError(f"{where} has no column {name!r}; {nearest(name, table.columns)}. {remedy}")


def identifiers(column: pl.Series, where: str) -> pl.Series:
    """Station ids as text.

    Raises:
        DataError: an id is missing, or decimal numbers were stored where text or whole numbers belong.
    """
    if column.null_count():
        raise DataError(f"{where}: {column.null_count()} rows have no station id. Leave these rows out of the file.")
    text = column.cast(pl.String)
    decimal = text.filter(text.str.contains(r"^\d+\.0*$")) if not column.dtype.is_float() else text
    if len(decimal):
        raise DataError(
            f"{where}: the station id {decimal[0]} is a decimal number; ids are text or whole numbers. "
            "Write the column as text, so that it matches the other file."
        )
    return text


def numbers(column: pl.Series, where: str) -> pl.Series:
    """A column of numbers as float64; text may use a decimal comma.

    Raises:
        DataError: a word is no number.
    """
    if column.dtype != pl.String:
        return column.cast(pl.Float64)
    plain = column.str.replace(",", ".", literal=True)
    found = plain.cast(pl.Float64, strict=False)
    strange = column.filter(found.is_null() & column.is_not_null())
    if len(strange):
        raise DataError(f"{where}: {strange[0]!r} in column {column.name!r} is no number ({len(strange)} such rows).")
    return found


def micrograms(units: str, where: str) -> float:
    """The factor that turns a concentration in `units` into µg m⁻³.

    Raises:
        DataError: a mixing ratio, which would need temperature and pressure, or an unknown unit.
    """
    plain = re.sub(r"\s+", " ", units.strip().replace("µ", "u").replace("μ", "u").replace("³", "3").replace("⁻", "-"))
    if plain.lower() in MICROGRAMS:
        return MICROGRAMS[plain.lower()]
    if plain.lower() in ("ppb", "ppbv", "ppm", "ppmv", "nmol mol-1"):
        raise DataError(
            f"{where}: values in {units} need the temperature and pressure of each hour to become µg m⁻³. "
            "Convert them first, and say which conditions you used (the EU reports gases at 293 K and 1013 hPa)."
        )
    raise DataError(f"{where}: the unit {units!r} is not known; {nearest(plain, ('ug m-3', 'mg m-3'))}.")


def conversion(units: str, wanted: str, variable: str, where: str) -> tuple[float, float]:
    """What values of a variable in `units` are multiplied by, and what is then added, to be in the canonical unit that is `wanted`.

    Raises:
        DataError: as `micrograms`, or the unit is none of the variable.
    """
    if wanted == "ug m-3":
        return micrograms(units, where), 0.0
    unit, factor, added = CONVERTED.get(units.strip(), (None, 1.0, 0.0))
    if unit != wanted:
        known = [u for u, (canonical, *_) in CONVERTED.items() if canonical == wanted]
        raise DataError(f"{where}: {units!r} is no unit of {variable}; write one of {', '.join(known)}.")
    return factor, added
