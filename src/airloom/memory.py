"""What a process frees it keeps, for what it does next."""

import ctypes
import sys
from typing import Any

TRIM_THRESHOLD, MMAP_THRESHOLD, MMAP_MAX = -1, -3, -4  # glibc's mallopt
SMALL, MANY = 2**17, 2**16  # its defaults: bytes, and number, of blocks that come fresh from the system


def keep_freed_memory() -> None:
    """Keep freed memory in the process; does nothing but on Linux with glibc.

    A training step, or a block of fields, asks for large arrays and frees them again. By default each comes fresh from the system,
    page by page, which costs more than the arithmetic; dask's workers give back even small ones at once.
    """
    _adjust({MMAP_MAX: 0, TRIM_THRESHOLD: -1})  # none fresh, none back


def give_back_freed_memory() -> None:
    """Give back what `keep_freed_memory` kept, and keep no more."""
    _adjust({MMAP_MAX: MANY, MMAP_THRESHOLD: SMALL, TRIM_THRESHOLD: SMALL})
    if (trim := _of_glibc("malloc_trim")) is not None:
        trim(0)


def _adjust(settings: dict[int, int]) -> None:
    if (adjust := _of_glibc("mallopt")) is not None:
        for what, value in settings.items():
            adjust(what, value)


def _of_glibc(name: str) -> Any:
    """A function of glibc; None where the system has another library."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
