"""Scores of whole fields: hand arithmetic, days that add, and what is left out."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airloom.cube.regrid import block_mean
from airloom.errors import DataError
from airloom.verify.evaluation import Volumes, evaluate_volumes
from airloom.verify.scores import SCORES, Moments
from airloom.verify.volumes import FieldMeans, VolumeSums, column_weights

LEVELS = (0.0, 50.0, 250.0, 500.0, 1000.0, 2000.0, 3000.0, 5000.0)
NET, CAMS = ("net", 3), ("cams-2km", None)


def one(rows, **wanted):
    (row,) = [r for r in rows if all(r[k] == v for k, v in wanted.items())]
    return row


def test_block_means_by_hand():
    # blocks 1 2 5 6 and 3 4 7 8: means 3.5 and 5.5
    assert block_mean(np.array([[1.0, 2, 3, 4], [5, 6, 7, 8]]), 2).tolist() == [[3.5, 5.5]]
    with pytest.raises(DataError, match="3 × 4 cells do not divide into blocks of 2"):
        block_mean(np.zeros((3, 4)), 2)


def test_column_means_by_hand():
    # trapezoids 50·½(8+6), 200·½(6+4), 250·½(4+4), 500·½(4+0): 350 + 1000 + 1000 + 1000, over 1000 m
    profile = np.array([8.0, 6, 4, 4, 0, 9, 9, 9])
    assert column_weights(LEVELS, 0, 1000) @ profile == pytest.approx(3.35)
    # 1000·½(0+9) + 1000·9 + 2000·9 over 4000 m
    assert column_weights(LEVELS, 1000, 5000) @ profile == pytest.approx(31500 / 4000)


def test_scores_by_level_by_hand():
    # two levels, one row of two cells, two days
    sums = VolumeSums([NET], (0.0, 50.0), 3)
    seen = np.array([[[[1.0, 3.0]], [[0.0, 0.0]]], [[[5.0, 7.0]], [[2.0, 2.0]]]])
    said = seen + np.array([[[1.0, -1.0]], [[2.0, 2.0]]])  # ground: errors 1 and −1; above: 2 each
    for day in range(2):
        assert sums.add(day, {NET: said[day]}, seen[day])
    assert not sums.add(2, {NET: said[0]}, np.full((2, 1, 2), np.nan))
    rows = sums.rows("truth", "2023", draws=50, seed=0)
    ground = one(rows, level=0.0)
    assert (ground["n"], ground["days"], ground["rmse"], ground["bias"]) == (4, 2, 1.0, 0.0)
    assert ground["r2"] == pytest.approx(1 - 4 / 20)  # observed 1, 3, 5, 7: mean 4, variance sum 20
    assert ground["rmse_ci"] == [1.0, 1.0]
    assert ground["temporal_r"] == pytest.approx(1)
    assert ground["regional_r"] == pytest.approx(1)
    assert one(rows, level=50.0)["bias"] == 2
    pooled = one(rows, level=None)
    assert pooled["n"] == 8
    assert pooled["rmse"] == pytest.approx((20 / 8) ** 0.5)  # squares 4 · 1 and 4 · 4
    assert pooled["temporal_r"] is None
    json.dumps(rows)


def test_temporal_correlation_is_the_mean_of_the_cells():
    # the first cell rises with the truth, the second falls: r = 1 and −1
    sums = VolumeSums([NET], (0.0,), 3)
    for day in range(3):
        sums.add(day, {NET: np.array([[[day, 2.0 - day]]])}, np.array([[[day, float(day)]]]))
    row = one(sums.rows("truth", "2023", draws=20, seed=0), level=0.0)
    assert row["temporal_r"] == pytest.approx(0, abs=1e-12)
    assert row["regional_r"] is None  # the region's mean is 1 each day: no variance


def test_all_models_share_cells_and_days():
    sums = VolumeSums([NET, CAMS], (0.0,), 2)
    truth, lacking = np.ones((1, 2, 2)), np.ones((1, 2, 2))
    lacking[0, 0, 0] = np.nan
    sums.add(0, {NET: truth, CAMS: lacking}, truth)
    assert not sums.add(1, {NET: truth, CAMS: np.full((1, 2, 2), np.nan)}, truth)
    assert {(r["model"], r["n"], r["days"]) for r in sums.rows("truth", "2023", draws=20, seed=0)} == {
        ("net", 3, 1),
        ("cams-2km", 3, 1),
    }


@given(st.integers(0, 2**32 - 1), st.integers(2, 5))
def test_scores_of_days_added_are_scores_at_once(seed, days):
    rng = np.random.default_rng(seed)
    seen = rng.lognormal(1, 1, (days, 2, 3, 4))
    seen[rng.random(seen.shape) < 0.1] = np.nan
    said = seen * rng.lognormal(0, 0.3, seen.shape) + 0.1
    sums = VolumeSums([NET], (0.0, 50.0), days)
    for day in range(days):
        sums.add(day, {NET: said[day]}, seen[day])
    rows = sums.rows("truth", "2023", draws=5, seed=0)
    for level, chosen in ((None, slice(None)), (0.0, slice(0, 1)), (50.0, slice(1, 2))):
        p, o = said[:, chosen].ravel(), seen[:, chosen].ravel()
        whole = Moments.of(p, o, where=np.isfinite(o))
        row = one(rows, level=level)
        for score in SCORES:
            assert row[score] == pytest.approx(getattr(whole, score), rel=1e-8, abs=1e-9)


def test_differences_are_paired():
    # CAMS errs by 2 everywhere, the method by 1: every draw of days differs by −1
    sums = VolumeSums([NET, CAMS], (0.0,), 4)
    for day in range(4):
        truth = day + np.array([[[0.0, 1], [2, 3]]])
        sums.add(day, {NET: truth + 1, CAMS: truth - 2}, truth)
    row = one(sums.differences("truth", NET, draws=50, seed=0), level=0.0)
    assert (row["model"], row["reference"], row["reference_phase"]) == ("cams-2km", "net", 3)
    assert row["rmse_difference"] == pytest.approx(-1)
    assert row["rmse_difference_ci"] == pytest.approx([-1, -1])
    assert row["rmse_excludes_zero"]
    assert row["r2_difference"] > 0


def test_means_are_of_common_days_and_cells():
    means = FieldMeans()
    means.add({NET: np.array([[[1.0, 4.0]]]), CAMS: np.array([[[2.0, np.nan]]])})
    means.add({NET: np.array([[[3.0, 5.0]]]), CAMS: np.array([[[6.0, np.nan]]])})
    found = means.means()
    np.testing.assert_equal(found[NET], [[[2.0, np.nan]]])
    np.testing.assert_equal(found[CAMS], [[[4.0, np.nan]]])


def evaluated(**changes):
    """Ten days of 8 × 8 cells on 8 levels; CAMS on blocks of 4 lacks the second day."""
    rng = np.random.default_rng(0)
    truth = rng.lognormal(1, 0.5, (10, 8, 8, 8)) * np.exp(-np.arange(8) / 2)[:, None, None]
    coarse = np.stack([block_mean(t, 4) for t in truth])
    coarse[1] = np.nan
    fine = np.repeat(np.repeat(coarse, 4, -1), 4, -2)
    arguments = {
        "days": np.arange("2023-01-01", "2023-01-11", dtype="datetime64[D]"),
        "levels": LEVELS,
        "cams": coarse.__getitem__,
        "truth": truth.__getitem__,
        "factor": 4,
        "against": NET,
        "population": np.ones((8, 8)),
        "elevation": np.ones((8, 8)),
        "draws": 20,
        "seed": 0,
    }
    models = {NET: lambda day: truth[day] * 1.1, CAMS: fine.__getitem__}
    return evaluate_volumes(models, **(arguments | changes))


def test_evaluation_scores_both_targets_and_counts_the_days_left_out(tmp_path):
    found = evaluated()
    assert found.skipped == {"cams": 1, "truth": 1}
    assert {(r["target"], r["model"]) for r in found.rows} == {("cams", "net"), ("truth", "net"), ("truth", "cams-2km")}
    per_model = [(r["stratum"], r["level"]) for r in found.rows if r["target"] == "cams"]
    columns = [("column 0-1000 m", None), ("column 1000-5000 m", None)]
    assert per_model == [("all", None), *(("all", v) for v in LEVELS), *columns]
    against_cams = one(found.rows, target="cams", level=0.0)
    assert against_cams["r"] == pytest.approx(1)  # 1.1 times the truth's block means
    assert (against_cams["n"], against_cams["days"], against_cams["period"]) == (4 * 9, 9, "2023")
    assert set(found.means) == {NET, CAMS, ("truth", None)}
    found.write(tmp_path / "volumes.npz")
    again = Volumes.read(tmp_path / "volumes.npz")
    assert (again.rows, again.differences, again.skipped) == (found.rows, found.differences, found.skipped)
    assert again.factor == found.factor
    assert all((again.means[m] == found.means[m]).all() for m in found.means)


def test_a_target_without_a_common_day_is_left_out_and_counted(tmp_path):
    nothing = np.full((8, 8, 8), np.nan)
    found = evaluated(truth=lambda day: nothing)
    assert {r["target"] for r in found.rows} == {d["target"] for d in found.differences} | {"cams"} == {"cams"}
    assert found.skipped == {"cams": 1, "truth": 10}
    assert set(found.means) == {NET}  # no day has all, so the means are the method's own
    assert np.isfinite(found.means[NET]).all()
    found.write(tmp_path / "volumes.npz")
    assert Volumes.read(tmp_path / "volumes.npz").skipped == found.skipped
    # CAMS has no second day: with a truth of the second day alone, neither can be scored beside the other
    alone = evaluated(truth=lambda day: np.ones((8, 8, 8)) if day == 1 else nothing)
    assert {r["target"] for r in alone.rows} == {"cams"}


def test_a_study_without_people_or_heights_has_none(tmp_path):
    found = evaluated(population=None, elevation=None)
    found.write(tmp_path / "volumes.npz")
    again = Volumes.read(tmp_path / "volumes.npz")
    assert (again.population, again.elevation) == (None, None)


def test_other_shapes_are_refused():
    with pytest.raises(DataError, match=r"day 0, net, phase 3: shape \(8, 4, 4\); the reference has \(8, 2, 2\)"):
        evaluated(factor=2)
