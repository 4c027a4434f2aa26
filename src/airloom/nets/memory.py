"""How much memory networks take: large tiles come few at a time."""

CELLS_AT_ONCE, MOST_AT_ONCE = 2**20, 32  # cells of all levels, and samples, in a forward pass that nothing is learnt from


def samples_at_once(size: int, levels: int) -> int:
    """How many tiles of `size` × `size` cells are predicted together: 8 of 128 cells and eight levels, 2 of 256.

    More gain nothing, and the network `base` takes a gigabyte for one of 256.
    """
    return min(MOST_AT_ONCE, max(1, CELLS_AT_ONCE // (size**2 * levels)))
