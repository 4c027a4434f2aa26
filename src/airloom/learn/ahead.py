"""The next batch is read while one is worked on."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

AHEAD = 2  # batches that are read before they are asked for

T = TypeVar("T")
S = TypeVar("S")


def ahead(make: Callable[[T], S], items: Iterable[T]) -> Generator[S, None, None]:
    """What `make` gives for each item, in their order, some made by a thread before they are asked for.

    One thread makes all of them, one after the other; what it raises is raised here, when its item is asked for. Close the
    iterator where not all are wanted.

    >>> list(ahead(str.upper, "abc"))
    ['A', 'B', 'C']
    """
    pool, waiting = ThreadPoolExecutor(1, "ahead"), deque[Future[S]]()
    try:
        for item in items:
            waiting.append(pool.submit(make, item))
            if len(waiting) > AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
