"""Where the real data lie, the study in little, and what every test shares."""

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

if TYPE_CHECKING:
    from airloom.run import Run
    from airloom.study import Study


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """One thread for torch, before any fixture of any test.

    The commands that tests start have one, too, and results are to be equal to the bit; and on busy cores, threads that wait
    for each other make small steps thirty times slower. Before every test anew: numba's pool, once launched by a test of the
    twin, sets the number of OpenMP threads of the whole process, and torch's with it.
    """
    torch.set_num_threads(1)


DATA = Path(os.environ.get("AIRLOOM_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real data; a test that needs one skips where it is absent."""
    if not DATA.is_dir():
        pytest.skip(f"no real data at {DATA}; set AIRLOOM_DATA to their folder")
    return DATA


@dataclass(frozen=True)
class Small:
    """The study in little: its files lie in `data`, with study.yaml among them."""

    study: "Study"
    data: Path

    @property
    def path(self) -> Path:
        return self.data / "study.yaml"


@pytest.fixture(scope="session")
def small(tmp_path_factory) -> Small:
    """The study in little, written once; a test that changes a file copies the folder first."""
    from tests.small import write

    folder = tmp_path_factory.mktemp("small")
    return Small(write(folder), folder)


@pytest.fixture(scope="session")
def finished(small, tmp_path_factory) -> "Run":
    """A run of it, carried to the report once; a test that changes it copies the folder above it, cube and all."""
    from airloom.run import Run

    run = Run(small.study, small.data, tmp_path_factory.mktemp("finished") / "small", workers=1)
    run.prepare()
    run.train()
    run.predict()
    run.evaluate()
    run.report()
    return run


@pytest.fixture(scope="session")
def twin_files(tmp_path_factory) -> Path:
    """The files of a twin around Brussels, 16 × 16 cells of 8 km and two days, made once; a test that changes one copies them."""
    from datetime import date

    from airloom.twin.make import make
    from airloom.twin.world import Plan

    plan = Plan(date(2019, 1, 31), date(2019, 2, 1), lon=4.4, lat=50.9, size=128_000, cell=8000)
    return make(plan, tmp_path_factory.mktemp("twin") / "brussels")


@pytest.fixture
def copy(finished, small, tmp_path) -> "Run":
    """The finished run and its cube, to be changed."""
    from airloom.run import Run

    shutil.copytree(finished.folder.parent, tmp_path / "runs")
    return Run(small.study, small.data, tmp_path / "runs" / "small", workers=1)


@pytest.fixture
def airloom(monkeypatch, capsys):
    """The command line: words in; exit code, output and messages out, their line breaks made spaces."""
    from airloom import cli

    def command(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["airloom", *map(str, words)])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code or 0
        out, err = capsys.readouterr()
        return code, " ".join(out.split()), " ".join(err.split())

    return command
