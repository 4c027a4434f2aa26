"""Who decodes files and joins them: processes of this machine, or the workers of a dask cluster."""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from importlib.util import find_spec
from multiprocessing import get_context, parent_process
from typing import Any, TypeVar

from airloom.errors import DataError, StudyError
from airloom.memory import give_back_freed_memory, keep_freed_memory

Workers = int | str  # so many processes here, or the address of a dask scheduler

T = TypeVar("T")
ANSWER = "20s"  # in which a scheduler must answer

if find_spec("distributed"):
    from distributed.scheduler import KilledWorker

    LOST: tuple[type[Exception], ...] = (BrokenProcessPool, KilledWorker)
else:
    LOST = (BrokenProcessPool,)


class Crew:
    """Who works: processes here, the workers of a cluster, or, where there is no executor, this process. `do` does a piece there.

    `with crew(workers) as one: ...`
    """

    def __init__(self, executor: Executor | None, do: Callable[[Callable[[], Any]], Any] | None = None) -> None:
        self._executor, self._do = executor, do or _do

    def each(self, work: Sequence[Callable[[], T]], what: str) -> Iterator[tuple[int, T]]:
        """The number of each piece of work and what it gives, as they are done; `what` the pieces are.

        Raises:
            DataError: a worker was killed; or what a piece raises.
        """
        if self._executor is None or len(work) < 2:
            yield from ((number, _do(one)) for number, one in enumerate(work))
            return
        numbers = {self._executor.submit(self._do, one): number for number, one in enumerate(work)}
        done = 0
        try:
            for future in as_completed(numbers):
                yield numbers[future], future.result()
                done += 1
        except LOST as error:
            raise DataError(
                f"a process that works on {what} ended abruptly; {done} of {len(work)} {what} are done. Was memory short? "
                "Run again with fewer workers: it goes on. "
                'A script of your own needs `if __name__ == "__main__":` around its calls.'
            ) from error
        finally:
            for future in numbers:
                future.cancel()


def _do(one: Callable[[], T]) -> T:
    """A piece of work, in memory that the process has had before."""
    keep_freed_memory()
    return one()


def _do_as_a_guest(one: Callable[[], T]) -> T:
    """The same on a worker that others use, too: what was kept is given back in the end."""
    try:
        return _do(one)
    finally:
        give_back_freed_memory()


@contextmanager
def crew(workers: Workers) -> Iterator[Crew]:
    """A crew while the block lasts; what it was given and has not begun is then dropped.

    Raises:
        StudyError: a scheduler is asked for and dask.distributed is absent, none answers there, or one of its workers has more
            than one thread.
    """
    if workers == 1:
        yield Crew(None)
    elif isinstance(workers, int):
        executor = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_end_with_parent)
        try:
            yield Crew(executor)
        finally:
            executor.shutdown(cancel_futures=True)
    else:
        with _of_cluster(workers) as theirs:
            yield Crew(theirs, _do_as_a_guest)


@contextmanager
def _of_cluster(address: str) -> Iterator[Executor]:
    """The workers of the scheduler at an address."""
    if not find_spec("distributed"):
        raise StudyError('--scheduler: dask.distributed is not installed. Run `pip install "airloom[cluster]"`.')
    from distributed import Client

    try:
        client = Client(address, timeout=ANSWER)
    except (OSError, ValueError) as error:
        raise StudyError(f"--scheduler: no dask scheduler answers at {address} within {ANSWER}. Is it running?") from error
    with client:
        threads = [worker["nthreads"] for worker in client.scheduler_info(n_workers=-1)["workers"].values()]
        if any(n > 1 for n in threads):
            raise StudyError(
                f"--scheduler: a worker at {address} has {max(threads)} threads, and the libraries that read files bear one. "
                "Start workers with --nthreads 1, and more of them."
            )
        with client.get_executor() as executor:
            yield executor


def _end_with_parent() -> None:
    """Let a worker end when its parent is killed; else it would wait for more work for ever."""
    parent = parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
