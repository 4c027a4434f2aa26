"""What a process frees it keeps, for what it does next."""

import ctypes
import sys

TRIM_THRESHOLD, MMAP_MAX = -1, -4  # glibc's mallopt


def keep_freed_memory() -> None:
    """Keep freed memory in the process; does nothing but on Linux with glibc.

    A training step, or a block of fields, asks for large arrays and frees them again. By default each comes fresh from the system,
    page by page, which costs more than the arithmetic; dask's workers give back even small ones at once.
    """
    if sys.platform != "linux":
        return
    adjust = getattr(ctypes.CDLL(None), "mallopt", None)
    if adjust is not None:
        adjust(MMAP_MAX, 0)
        adjust(TRIM_THRESHOLD, -1)  # never
