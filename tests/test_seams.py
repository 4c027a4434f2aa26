"""The benchmark that looks for seams: steps across lines by hand, and what it says of fields with and without a seam."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr

from airloom.errors import StudyError

script = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "seams.py")))
EDGES = [[32], []]  # one along y


def field(ramp: np.ndarray, days: int = 3) -> xr.DataArray:
    """Days of 64 × 16 cells that rise from north to south alone, and twice as much each day."""
    values = ramp[:, None] * np.ones((days, 1, 64, 16)) * 2.0 ** np.arange(days)[:, None, None, None]
    return xr.DataArray(values, dims=("time", "level", "y", "x"))


def test_edges_are_where_tiles_begin_and_end_inside_the_grid():
    # tiles of 8 cells from 0, 6 and 12 on 20 cells: they begin at 6 and 12 and end at 8 and 14
    assert script.edges(20, [(0, 8), (6, 8), (12, 8)]) == [6, 8, 12, 14]
    assert script.edges(8, [(-2, 12)]) == []


def test_steps_and_what_lies_beside_by_hand():
    rows, columns = script.steps(np.array([[[1.0, 2.0], [4.0, 2.0], [4.0, 8.0]]]))
    assert rows.tolist() == [[1.5, 3]]  # |3|, |0| and |0|, |6|
    assert columns.tolist() == [[pytest.approx(7 / 3)]]  # |1|, |−2| and |4|
    # lines 1 … 7 with steps 1 … 7: at line 4 a step of 4; 8 cells away there is none, 2 cells away 2 and 6
    pairs = script.beside(np.arange(1.0, 8)[None, None], [4], (-2, 2, 8))
    assert pairs.tolist() == [[[[4]], [[4]]]]
    assert script.beside(np.arange(1.0, 8)[None, None], [4], (-2, 2), without=[2]).tolist() == [[[[4]], [[6]]]]


def test_a_seam_shows_and_a_lattice_is_told_apart():
    ramp = np.arange(64.0)
    (even,) = script.compare(field(ramp), EDGES, 8)
    assert (even["seam"], even["lattice"], even["edges"], even["days"]) == (1, 1, 1, 3)
    assert even["step"] == pytest.approx(7 / 3)  # 1, 2 and 4 by day
    (torn,) = script.compare(field(ramp + 2.0 * (np.arange(64) >= 32)), EDGES, 8)
    assert torn["seam"] == pytest.approx(3)  # a step of 1 + 2 against 1
    assert torn["seam_ci"] == pytest.approx([3, 3])
    assert torn["chance"] == pytest.approx([1, 1])
    (blocks,) = script.compare(field(ramp + 4.0 * (np.arange(64) // 8)), EDGES, 8)
    assert blocks["seam"] == pytest.approx(1)
    # seven lines along y with steps of 5 beside steps of 1; across x there are no steps at all
    assert blocks["lattice"] == pytest.approx(5)


def test_tiles_without_lines_to_compare_are_refused():
    with pytest.raises(StudyError, match=r"inner edges along y and x are \[\[\], \[\]\]: none"):
        list(script.compare(field(np.arange(64.0)), [[], []], 8))
