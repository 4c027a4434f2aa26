"""How long work tells how far it is."""

from collections.abc import Callable

Progress = Callable[[str, int, int], None]  # what is done, how much of it, out of how much


def quiet(what: str, done: int, total: int) -> None:
    """Tell nothing."""
