"""Who decodes files: processes of this machine, or the workers of a dask cluster."""

import os
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from importlib.util import find_spec
from multiprocessing import get_context, parent_process

from airloom.errors import StudyError

Workers = int | str  # so many processes here, or the address of a dask scheduler

ANSWER = "20s"  # in which a scheduler must answer

if find_spec("distributed"):
    from distributed.scheduler import KilledWorker

    LOST: tuple[type[Exception], ...] = (BrokenProcessPool, KilledWorker)
else:
    LOST = (BrokenProcessPool,)


@contextmanager
def pool(workers: Workers) -> Iterator[Executor]:
    """An executor while the block lasts; what it was given and has not begun is then dropped.

    Raises:
        StudyError: a scheduler is asked for and dask.distributed is absent, none answers there, or one of its workers has more
            than one thread.
    """
    if isinstance(workers, int):
        executor = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_end_with_parent)
        try:
            yield executor
        finally:
            executor.shutdown(cancel_futures=True)
        return
    if not find_spec("distributed"):
        raise StudyError('--scheduler: dask.distributed is not installed. Run `pip install "airloom[cluster]"`.')
    from distributed import Client

    try:
        client = Client(workers, timeout=ANSWER)
    except (OSError, ValueError) as error:
        raise StudyError(f"--scheduler: no dask scheduler answers at {workers} within {ANSWER}. Is it running?") from error
    with client:
        threads = [worker["nthreads"] for worker in client.scheduler_info(n_workers=-1)["workers"].values()]
        if any(n > 1 for n in threads):
            raise StudyError(
                f"--scheduler: a worker at {workers} has {max(threads)} threads, and the libraries that read files bear one. "
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
