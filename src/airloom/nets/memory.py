"""Memory that a training step frees is kept for the next one."""

import ctypes
import sys

TRIM_THRESHOLD, MMAP_MAX = -1, -4  # glibc's mallopt


def keep_freed_memory() -> None:
    """Keep freed memory in the process; does nothing but on Linux with glibc.

    A step on a processor asks for large tensors and frees them again. By default each comes fresh from the system, page by
    page, which costs more than the arithmetic.
    """
    if sys.platform != "linux":
        return
    adjust = getattr(ctypes.CDLL(None), "mallopt", None)
    if adjust is not None:
        adjust(MMAP_MAX, 0)
        adjust(TRIM_THRESHOLD, -1)  # never
