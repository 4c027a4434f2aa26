"""Work side by side: what is told comes through, what fails stops all, and a signal is no failure."""

import os
import signal
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from airloom.errors import AirloomError, DataError
from airloom.learn.stop import Stopped
from airloom.members import side_by_side
from airloom.progress import Progress, quiet


def tell(number: int, progress: Progress) -> None:
    progress(f"member {number}", 1, 1)


def fail(progress: Progress) -> None:
    raise DataError("the file is torn")


def sleep(progress: Progress) -> None:
    progress("asleep", 0, 1)
    time.sleep(600)  # minds no signal of its own


def test_members_are_heard(tmp_path):
    heard: list[str] = []
    work = [partial(tell, n) for n in range(3)]
    side_by_side(work, tmp_path, at_once=2, progress=lambda what, done, total: heard.append(what))
    assert sorted(heard) == ["member 0", "member 1", "member 2"]


def test_one_that_fails_stops_the_others_and_says_why(tmp_path):
    with pytest.raises(AirloomError, match="the file is torn"):
        side_by_side([fail, sleep], tmp_path, at_once=2, progress=quiet)


def test_a_member_that_a_signal_ends_has_not_failed(tmp_path: Path):
    def asleep(what: str, done: int, total: int) -> None:
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start()

    with pytest.raises(Stopped, match="the same command goes on"):
        side_by_side([sleep], tmp_path, at_once=1, progress=asleep)
