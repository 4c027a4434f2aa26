"""The benchmark at full size: that it asks for the paper's study, that its twin holds it, and how it counts samples."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from airloom.cube.layers import group_channels
from airloom.study import load

ROOT = Path(__file__).parents[1]
script = SimpleNamespace(**runpy.run_path(str(ROOT / "benchmarks" / "full_size.py")))


def test_it_is_the_papers_study_but_for_days_and_steps():
    ours, paper = script.study(3, "base", None, small=False), load(ROOT / "studies" / "western-europe.yaml")
    assert (ours.grid, ours.tiles, ours.levels, ours.weather) == (paper.grid, paper.tiles, paper.levels, paper.weather)
    assert group_channels(ours) == group_channels(paper)
    assert [p.loss for p in ours.phases] == [p.loss for p in paper.phases]
    assert len(script.windows(ours)) == 12
    assert [(p.epochs, p.batch, p.validation.fraction) for p in ours.phases] == [(1, 2, 1 / 3)] * 3


def test_its_twin_holds_the_studys_cells():
    asked = script.study(3, "base", None, small=False)
    twin = script.plan(asked).grid
    assert twin.shape == (720, 720)
    assert np.isin(asked.target_grid.y, twin.y).all()
    assert np.isin(asked.target_grid.x, twin.x).all()


def test_samples_a_second_leave_out_the_first_step():
    # two days to learn from, three tiles of each: six samples in four steps; three of these, 4.5 samples, took nine seconds
    asked = script.study(3, "base", 3, small=True)
    part = {"first_s": 10.0, "first_done": 1, "last_s": 19.0, "last_done": 4, "total": 4}
    assert script._rate("train phase 1, epoch 1", part, asked) == {"steps": 4, "samples": 6, "samples_s": pytest.approx(0.5)}
    assert script._rate("predict phase-1", part, asked) == {}
