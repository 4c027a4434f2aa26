"""Stopping cleanly: a signal is noted, and obeyed where work can be taken up again."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class Stopped(Exception):
    """Work was asked to stop; all is saved and the same command goes on."""


@contextmanager
def stop_asked() -> Iterator[Callable[[], bool]]:
    """Note SIGTERM and SIGINT while the block lasts; the function says whether one came."""
    asked: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        asked.append(number)

    try:
        former = {s: signal.signal(s, note) for s in (signal.SIGTERM, signal.SIGINT)}
    except ValueError:  # not the main thread: the caller's affair
        yield lambda: False
        return
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
