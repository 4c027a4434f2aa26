"""Files decoded on a dask cluster, and what goes wrong there."""

import shutil
from pathlib import Path

import pytest

from airloom.cube import workers
from airloom.errors import DataError, StudyError
from airloom.run import Run
from tests.folders import lasting

distributed = pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def cluster():
    """A function that starts a scheduler with one worker of so many threads, all in this process."""
    started = {}

    def start(threads: int) -> str:
        if threads not in started:
            layout = {"n_workers": 1, "threads_per_worker": threads, "processes": False, "protocol": "tcp"}
            started[threads] = distributed.LocalCluster(**layout, dashboard_address=":0")
        return started[threads].scheduler_address

    yield start
    for one in started.values():
        one.close()


def test_a_cluster_makes_the_same_cube(cluster, finished, small, tmp_path):
    run = Run(small.study, small.data, tmp_path / "small")
    run.prepare(scheduler=cluster(1))
    cube = run.cube
    assert lasting(cube.path) == lasting(finished.cube.path)


def test_work_without_an_executor_keeps_freed_memory_too(monkeypatch):
    asked = []
    monkeypatch.setattr(workers, "keep_freed_memory", lambda: asked.append(True))
    with workers.crew(1) as alone:
        assert list(alone.each([lambda: "a", lambda: "b"], "letters")) == [(0, "a"), (1, "b")]
    assert asked == [True, True]


def test_what_a_worker_raises_comes_back(cluster, small, tmp_path):
    data = Path(shutil.copytree(small.data, tmp_path / "data"))
    broken = next(data.glob(small.study.weather.files[0]))
    broken.write_bytes(broken.read_bytes()[:1000])
    with pytest.raises(DataError, match=broken.name):
        Run(small.study, data, tmp_path / "runs" / "small").prepare(scheduler=cluster(1))


def test_workers_with_several_threads_are_refused(cluster, small, tmp_path):
    with pytest.raises(StudyError, match=r"a worker at .* has 2 threads"):
        Run(small.study, small.data, tmp_path / "small").prepare(scheduler=cluster(2))


def test_a_scheduler_that_does_not_answer_is_named(small, tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "ANSWER", "1s")
    with pytest.raises(StudyError, match=r"no dask scheduler answers at tcp://127.0.0.1:9 within 1s"):
        Run(small.study, small.data, tmp_path / "small").prepare(scheduler="tcp://127.0.0.1:9")


def test_without_dask_it_says_what_to_install(small, tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "find_spec", lambda name: None)
    with pytest.raises(StudyError, match=r"pip install \"airloom\[cluster\]\""):
        Run(small.study, small.data, tmp_path / "small").prepare(scheduler="tcp://127.0.0.1:9")
