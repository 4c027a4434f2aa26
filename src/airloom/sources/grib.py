"""GRIB messages, read with as little as eccodes needs: one set of keys for each distinct header, not for each message.

What a message says of itself (variable, level, grid, product) repeats from hour to hour; only its times and its values are
new. The header bytes without those times are therefore looked up first, and eccodes is asked only where they were not seen
before. Messages that nobody wants are never decoded, and the plainest packing needs no eccodes at all.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import ModuleType
from typing import Any

import numpy as np

from airloom.errors import AirloomError, DataError
from airloom.sources.grib_simple import data_section, unpacked

BLOCK = 120  # MARS fills messages up with zeros to whole blocks of so many bytes
HOURS = 1  # GRIB 1's code of that unit of time
MISSING = 1e36  # stands for "no value" while eccodes unpacks; far outside any field


@dataclass(frozen=True, eq=False)
class Header:
    """What a message says of itself, but for its times."""

    name: str  # CF short name, such as t2m
    units: str
    product: str  # MARS class, such as ea (ERA5) or l5 (ERA5-Land)
    stream: str  # oper, enda (ensemble), moda (monthly means), …
    expver: str
    number: int  # ensemble member
    level_type: str  # such as isobaricInhPa
    level: float
    grid_type: str


@dataclass(frozen=True, eq=False)
class _Kind:
    """What wanted messages of one header share."""

    header: Header
    step: timedelta  # from the reference time to the time that the values are valid at
    latitude: np.ndarray
    longitude: np.ndarray
    data: int | None  # where the data section begins, if it may be in simple packing


@dataclass(frozen=True, eq=False)
class Message:
    """A wanted message: `values` on (latitude, longitude) as scanned, float32, NaN where missing; `time` is its validity."""

    header: Header
    time: datetime
    latitude: np.ndarray
    longitude: np.ndarray
    values: np.ndarray


def messages(content: bytes, label: str, wanted: Callable[[Header], bool]) -> Iterator[Message]:
    """The messages of a file for whose header `wanted` is true, in the file's order.

    `wanted` is asked once for each distinct header, and may raise.

    Raises:
        DataError: the file is truncated, holds something else than GRIB, or a wanted message is not on a regular
            latitude–longitude grid; the text begins with `label` and names the message's number.
        AirloomError: eccodes is not installed.
    """
    eccodes = _eccodes()
    kinds: dict[bytes, _Kind | None] = {}
    grids: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for number, message in frames(content, label):
        where = f"{label}, message {number}"
        key, reference, step = _split(message, where)
        if key not in kinds:
            with _decoded(eccodes, message, where) as handle:
                header = _header(eccodes, handle)
                kinds[key] = None
                if wanted(header):
                    latitude, longitude = _grid(eccodes, handle, header, grids, where)
                    kinds[key] = _Kind(header, _step(eccodes, handle), latitude, longitude, data_section(message))
        kind = kinds[key]
        if kind is None:
            continue
        shape = kind.latitude.size, kind.longitude.size
        values = unpacked(message, kind.data, shape[0] * shape[1]) if kind.data is not None else None
        if values is None:
            with _decoded(eccodes, message, where) as handle:
                values = _values(eccodes, handle)
        time = reference + (kind.step if step is None else step)
        yield Message(kind.header, time, kind.latitude, kind.longitude, values.reshape(shape))


def first_and_last(content: bytes, label: str, wanted: Callable[[Header], bool]) -> tuple[datetime, datetime] | None:
    """First and last time of validity among the messages for whose header `wanted` is true, in whatever order they stand;
    None where there are none. No values are decoded; arguments and errors are those of `messages`.
    """
    eccodes = _eccodes()
    steps: dict[bytes, timedelta | None] = {}  # of each wanted header; None where nobody wants it
    times: set[datetime] = set()
    for number, message in frames(content, label):
        where = f"{label}, message {number}"
        key, reference, step = _split(message, where)
        if key not in steps:
            with _decoded(eccodes, message, where) as handle:
                steps[key] = _step(eccodes, handle) if wanted(_header(eccodes, handle)) else None
        known = steps[key]
        if known is not None:
            times.add(reference + (known if step is None else step))
    return (min(times), max(times)) if times else None


def frames(content: bytes, label: str) -> Iterator[tuple[int, bytes]]:
    """The messages of a file as bytes, each with its number, counted from 1.

    Raises:
        DataError: bytes that belong to no message, or a last message that is not whole.
    """
    at, number = 0, 0
    while at < len(content):
        number += 1
        if content[at : at + 4] != b"GRIB":
            raise DataError(
                f"{label}: byte {at}, where GRIB message {number} should begin, holds {content[at : at + 4]!r}. Fetch it again."
            )
        end = at + _length(content, at)
        if end > len(content) or content[end - 4 : end] != b"7777":
            raise DataError(
                f"{label} is truncated: GRIB message {number} begins at byte {at} and is not whole "
                f"(the file has {len(content)} bytes). Fetch it again."
            )
        yield number, content[at:end]
        filling = content[end : end + BLOCK - 1]
        at = end + len(filling) - len(filling.lstrip(b"\0"))


def _length(content: bytes, at: int) -> int:
    """Bytes of the message that begins at `at`; beyond the end of `content` where its indicator is cut off."""
    if at + 16 > len(content):
        return 16
    if content[at + 7] == 2:
        return int.from_bytes(content[at + 8 : at + 16], "big")
    length = int.from_bytes(content[at + 4 : at + 7], "big")
    if (
        length & 0x800000
    ):  # over 8 MB: perhaps counted in blocks; then the data section's length says what lacks to a whole one
        data = at + 8
        flags = content[data + 7]
        for present in (True, flags & 0x80, flags & 0x40):  # product, grid, bitmap
            data += int.from_bytes(content[data : data + 3], "big") if present else 0
        lacking = int.from_bytes(content[data : data + 3], "big")
        length = (length & 0x7FFFFF) * BLOCK - lacking + 4 if lacking < BLOCK else length
    return max(length, 16)


def _split(message: bytes, where: str) -> tuple[bytes, datetime, timedelta | None]:
    """The header's bytes without its times, the reference time, and the step from it to the time of validity.

    The step is None, and stays among the bytes, where only eccodes can tell it.
    """
    try:
        if message[7] == 1:
            end = 8 + int.from_bytes(message[8:11], "big")
            if message[15] & 0x80:  # a grid section follows
                end += int.from_bytes(message[end : end + 3], "big")
            year, month, day, hour, minute, century = *message[20:25], message[32]
            step = _hours(*message[25:29])
            start = 25 if step is None else 28
            key = message[8:20] + message[25:26] + message[start:32] + message[33:end]
            return key, datetime((century - 1) * 100 + year, month, day, hour, minute), step
        if message[7] == 2:
            year = int.from_bytes(message[28:30], "big")
            month, day, hour, minute, second = message[30:35]
            key = message[16:28] + message[35 : _product_end(message, where)]
            return key, datetime(year, month, day, hour, minute, second), None
    except (ValueError, IndexError) as error:
        raise DataError(f"{where}: its header is broken: {error}. Fetch the file again.") from error
    raise DataError(f"{where}: GRIB edition {message[7]}, expected 1 or 2.")


def _hours(unit: int, first: int, second: int, kind: int) -> timedelta | None:
    """The step to the time of validity, of GRIB 1 (code table 5), where it counts hours."""
    if unit != HOURS or kind not in (0, 1, 2, 3, 4, 5, 10):
        return None
    if kind == 10:  # both bytes make one number
        return timedelta(hours=first << 8 | second)
    return timedelta(hours=first if kind in (0, 1) else second)  # the end of a range, a mean, a sum or a difference


def _product_end(message: bytes, where: str) -> int:
    """Where the product section (4) of a GRIB 2 message ends."""
    at, end = 16, 0
    while message[at : at + 4] != b"7777":
        length, section = int.from_bytes(message[at : at + 4], "big"), message[at + 4]
        if length < 5:
            raise ValueError(f"section {section} has {length} bytes")
        if section == 4 and end:
            raise DataError(f"{where} holds several fields. Split it with `grib_copy {where.split(',')[0]} out.grib`.")
        at += length
        end = at if section == 4 else end
    return end


def _header(eccodes: ModuleType, handle: Any) -> Header:
    """Ask eccodes for everything but the times and the values."""

    def text(key: str) -> str:
        return eccodes.codes_get_string(handle, key) if eccodes.codes_is_defined(handle, key) else ""

    return Header(
        name=text("cfVarName"),
        units=text("units"),
        product=text("class"),
        stream=text("stream"),
        expver=text("expver"),
        number=int(text("number") or 0),
        level_type=text("typeOfLevel"),
        level=float(text("level") or 0),
        grid_type=text("gridType"),
    )


def _step(eccodes: ModuleType, handle: Any) -> timedelta:
    """From the reference time to the time that the values are valid at."""

    def moment(kind: str) -> datetime:
        day, clock = (eccodes.codes_get_long(handle, f"{kind}{part}") for part in ("Date", "Time"))
        return datetime.strptime(f"{day:08d}{clock:04d}", "%Y%m%d%H%M")

    return moment("validity") - moment("data")


def _grid(
    eccodes: ModuleType, handle: Any, header: Header, grids: dict[str, tuple[np.ndarray, np.ndarray]], where: str
) -> tuple[np.ndarray, np.ndarray]:
    """Latitudes and longitudes [degrees] in the order in which the values are scanned."""
    if header.grid_type != "regular_ll":
        raise DataError(
            f"{where}: {header.name} is on a {header.grid_type!r} grid, expected 'regular_ll' (regular latitude–longitude). "
            "Ask the store for such a grid."
        )
    key = eccodes.codes_get_string(handle, "md5GridSection")
    if key not in grids:
        shape = eccodes.codes_get_long(handle, "Nj"), eccodes.codes_get_long(handle, "Ni")
        latitude, longitude = (eccodes.codes_get_array(handle, k).reshape(shape) for k in ("latitudes", "longitudes"))
        if (latitude != latitude[:, :1]).any() or (longitude != longitude[:1]).any():
            raise DataError(
                f"{where}: {header.name} is scanned along columns or to and fro, expected rows from west to east."
            )
        grids[key] = latitude[:, 0], longitude[0]
    return grids[key]


def _values(eccodes: ModuleType, handle: Any) -> np.ndarray:
    """Unpacked values, float32, NaN where the bitmap says missing."""
    if not eccodes.codes_get_long(handle, "bitmapPresent"):
        return eccodes.codes_get_values(handle).astype(np.float32)
    eccodes.codes_set(handle, "missingValue", MISSING)
    values = eccodes.codes_get_values(handle)
    return np.where(values == MISSING, np.nan, values).astype(np.float32)


@contextmanager
def _decoded(eccodes: ModuleType, message: bytes, where: str) -> Iterator[Any]:
    """A message as eccodes holds it, for as long as the block lasts; what eccodes cannot read is a DataError."""
    try:
        handle = eccodes.codes_new_from_message(message)
        try:
            yield handle
        finally:
            eccodes.codes_release(handle)
    except eccodes.CodesInternalError as error:
        raise DataError(f"{where}: eccodes cannot decode it: {error}. Fetch the file again.") from error


def _eccodes() -> ModuleType:
    try:
        import eccodes
    except (ImportError, RuntimeError) as error:
        raise AirloomError(f"Reading GRIB needs eccodes: pip install 'airloom[grib]' ({error}).") from error
    return eccodes
