"""How much memory networks take: what a step frees is kept for the next one, and large tiles come few at a time."""

import ctypes
import sys

TRIM_THRESHOLD, MMAP_MAX = -1, -4  # glibc's mallopt

CELLS_AT_ONCE, MOST_AT_ONCE = 2**20, 32  # cells of all levels, and samples, in a forward pass that nothing is learnt from


def samples_at_once(size: int, levels: int) -> int:
    """How many tiles of `size` × `size` cells are predicted together: 8 of 128 cells and eight levels, 2 of 256.

    More gain nothing, and the network `base` takes a gigabyte for one of 256.
    """
    return min(MOST_AT_ONCE, max(1, CELLS_AT_ONCE // (size**2 * levels)))


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
