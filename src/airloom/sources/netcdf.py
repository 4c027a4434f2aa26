"""A file, or one in an archive, opened as NetCDF."""

from collections.abc import Iterator
from contextlib import contextmanager

import xarray as xr

from airloom.errors import DataError
from airloom.sources.members import Member


@contextmanager
def opened(member: Member) -> Iterator[xr.Dataset]:
    """The file, closed afterwards; nothing is read but what is asked of it.

    Raises:
        DataError: it is no NetCDF, or it breaks off.
    """
    with member.local() as path:
        try:
            file = xr.open_dataset(path, engine="netcdf4", decode_timedelta=False)
        except (OSError, ValueError) as error:
            raise DataError(f"{member.label} cannot be read as NetCDF: {error}. Fetch it again.") from error
        with file:
            yield file
