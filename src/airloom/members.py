"""Parts of one run's work side by side in processes of their own: networks that train, worlds that are made."""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from multiprocessing.queues import Queue
from pathlib import Path
from queue import Empty

from airloom.errors import AirloomError
from airloom.files import full_disk_named
from airloom.learn.stop import Stopped, stop_asked
from airloom.progress import Progress

STOPPED = 130  # exit status of a member that was stopped and saved
Work = Callable[[Progress], object]  # a member's; must be picklable, as a function of a module and its arguments


def side_by_side(members: Sequence[Work], folder: Path, *, at_once: int, progress: Progress) -> None:
    """Do the members' work in `folder`, `at_once` at a time, each with its share of the cores.

    Raises:
        Stopped: SIGTERM or SIGINT came; every member has saved what it has.
        AirloomError: a member failed; its message is passed on, and the others are stopped and saved.
    """
    context = get_context("spawn")
    told: Queue = context.Queue()
    threads = max(1, (os.cpu_count() or 1) // at_once)
    waiting, failed = list(members), ""
    working: list[BaseProcess] = []
    with stop_asked() as asked:
        while waiting or working:
            while waiting and len(working) < at_once and not asked() and not failed:
                working.append(context.Process(target=_member, args=(waiting.pop(0), folder, threads, told)))
                working[-1].start()
            failed = failed or _listen(told, progress)
            if asked() or failed:
                _stop(working)
                waiting = []
            ends = (None, 0, STOPPED, *([-signal.SIGTERM] if asked() else []))  # the last: asked before or after its work
            lost = [p for p in working if p.exitcode not in ends]
            working = [p for p in working if p.exitcode is None]
            if lost and not failed:
                failed = (
                    _listen(told, progress) or f"a member ended with status {lost[0].exitcode}; the same command goes on."
                )
        if failed:
            raise AirloomError(failed)
        if asked():
            raise Stopped("stopped; the same command goes on.")


def _listen(told: Queue, progress: Progress) -> str:
    """Pass on what members tell, for about a second; returns the message of one that failed."""
    try:
        while True:
            what, done, total = told.get(timeout=0.5)
            if total == 0:
                return what
            progress(what, done, total)
    except Empty:
        return ""


def _stop(working: Sequence[BaseProcess]) -> None:
    """Ask members to save and stop."""
    for process in working:
        if process.is_alive() and process.pid:
            os.kill(process.pid, signal.SIGTERM)


def _member(work: Work, folder: Path, threads: int, told: Queue) -> None:
    """Do one member's work in this process."""
    import torch

    torch.set_num_threads(threads)
    parent = os.getppid()

    def tell(what: str, done: int, total: int) -> None:
        if os.getppid() != parent:  # killed: a new run may be at this member's work already
            os._exit(1)
        told.put((what, done, total))

    try:
        with full_disk_named(folder):
            work(tell)
    except Stopped:
        sys.exit(STOPPED)
    except AirloomError as error:
        told.put((str(error), 0, 0))
        sys.exit(1)
