"""Scores: hand arithmetic, sums that add, intervals that are what they say."""

import json
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from airloom.errors import DataError
from airloom.verify.scores import (
    PAIRS,
    SCORES,
    Moments,
    anomalies,
    differences,
    interval,
    multiplicities,
    pair,
    score_rows,
)

values = arrays(float, st.integers(4, 40), elements=st.floats(0, 200, width=32))


def moments(predicted, observed):
    predicted, observed = np.asarray(predicted, float), np.asarray(observed, float)
    return Moments.of(predicted, observed, where=np.ones(len(predicted), bool))


def table(rows, model="net", phase=3, target="withheld"):
    """Pairs from (station, area, day of 2023, predicted, observed)."""
    return pl.DataFrame(
        [
            (model, phase, target, s, "background", area, date(2023, 1, 1) + timedelta(day), float(p), float(o))
            for s, area, day, p, o in rows
        ],
        schema=PAIRS,
        orient="row",
    )


def test_scores_by_hand():
    # observed 10, 20, 30: mean 20, variance sum 200; predicted 12, 18, 33: errors 2, −2, 3, squares 17
    m = moments([12, 18, 33], [10, 20, 30])
    assert m.rmse == pytest.approx((17 / 3) ** 0.5)
    assert m.mae == pytest.approx(7 / 3)
    assert m.bias == pytest.approx(1)
    assert m.r2 == pytest.approx(1 - 17 / 200)
    # predicted less its mean 21: −9, −3, 12, squares 234; products −9·−10 + 12·10 = 210
    assert m.r == pytest.approx(210 / (234 * 200) ** 0.5)


def test_r2_of_a_constant_prediction_is_not_zero():
    # observed 10, 20, 30: mean 20, variance sum 200; predicted 15 each: errors 5, −5, −15, squares 275
    m = moments([15, 15, 15], [10, 20, 30])
    assert m.r2 == pytest.approx(1 - 275 / 200)
    assert np.isnan(m.r)


def test_where_leaves_pairs_out():
    predicted, observed = np.array([12.0, np.nan, 18.0]), np.array([10.0, 20.0, 20.0])
    assert Moments.of(predicted, observed, where=np.isfinite(predicted)) == moments([12, 18], [10, 20])


@pytest.mark.parametrize(("predicted", "observed"), [([], []), ([3], [4])])
def test_fewer_than_two_pairs_define_no_score(predicted, observed):
    m = moments(predicted, observed)
    assert all(np.isnan(getattr(m, s)) for s in SCORES)


def test_constant_observations_have_no_variance_to_explain():
    m = moments([1, 2, 3], [0.1, 0.1, 0.1])
    assert np.isnan(m.r2)
    assert np.isnan(m.r)
    assert m.bias == pytest.approx(1.9)


@given(values, st.integers(1, 3), st.randoms(use_true_random=False))
def test_shards_added_are_all_at_once_in_any_order(observed, cut, random):
    predicted = observed[::-1] * 0.5 + 3
    order = list(range(len(observed)))
    random.shuffle(order)
    whole = moments(predicted, observed)
    parts = moments(predicted[order][:cut], observed[order][:cut]) + moments(predicted[order][cut:], observed[order][cut:])
    assert parts.n == whole.n
    assert parts.rmse == pytest.approx(whole.rmse, rel=1e-6, abs=1e-4)
    assert parts.bias == pytest.approx(whole.bias, rel=1e-9, abs=1e-9)
    assert parts.r2 == pytest.approx(whole.r2, rel=1e-6, abs=1e-6, nan_ok=True)


@given(values)
def test_scores_agree_with_the_textbook(observed):
    predicted = np.roll(observed, 1) + 1
    m = moments(predicted, observed)
    assert m.rmse == pytest.approx(np.sqrt(np.mean((predicted - observed) ** 2)), rel=1e-6)
    assert m.mae == pytest.approx(np.mean(abs(predicted - observed)))
    if observed.std() > 1e-3:
        expected = 1 - np.sum((predicted - observed) ** 2) / np.sum((observed - observed.mean()) ** 2)
        assert m.r2 == pytest.approx(expected, rel=1e-6, abs=1e-6)
        assert m.r == pytest.approx(np.corrcoef(predicted, observed)[0, 1], rel=1e-5, abs=1e-5)


def test_a_draw_is_the_score_of_the_days_it_holds():
    predicted, observed = np.array([1.0, 5.0, 2.0, 7.0]), np.array([2.0, 4.0, 4.0, 3.0])
    days = Moments.by_day(predicted, observed, np.array([0, 0, 1, 2]), 3)
    drawn = days.resampled(np.array([[1.0, 1.0, 1.0], [2.0, 0.0, 1.0]]))
    assert drawn.r2[0] == pytest.approx(days.total().r2)
    assert drawn.rmse[1] == pytest.approx(moments([1, 5, 1, 5, 7], [2, 4, 2, 4, 3]).rmse)


def test_draws_hold_as_many_days_and_repeat_with_the_seed():
    drawn = multiplicities(30, 200, 1)
    assert (drawn.sum(axis=1) == 30).all()
    assert (drawn == multiplicities.__wrapped__(30, 200, 1)).all()
    assert (drawn != multiplicities(30, 200, 2)).any()


def test_interval_of_a_mean_has_the_width_that_theory_gives():
    # bias of 400 independent days with error SD 2: standard error 0.1, so the interval is about ±0.196
    error = np.random.default_rng(0).normal(0, 2, 400)
    error = (error - error.mean()) / error.std() * 2
    pairs = table([("a", "urban", d, 50 + e, 50 + d % 2) for d, e in enumerate(error)])
    row = score_rows(pairs, draws=4000, seed=0)[0]
    low, high = row["bias_ci"]
    assert high - low == pytest.approx(2 * 1.96 * np.hypot(2, 0.5) / 20, rel=0.1)
    assert low < row["bias"] < high
    assert interval(np.array([np.nan])) is None


def test_strata_areas_seasons_and_stations():
    pairs = table([("a", "urban", 0, 1, 2), ("b", "rural", 0, 5, 5), ("a", "urban", 180, 3, 5), ("b", "rural", 365, 4, 6)])
    rows = {r["stratum"]: r for r in score_rows(pairs, draws=100, seed=0)}
    assert {s: r["n"] for s, r in rows.items()} == {
        "all": 4,
        "urban": 2,
        "rural": 2,
        "winter (DJF)": 3,
        "summer (JJA)": 1,
        "anomaly": 2,
        "station:a": 2,
        "station:b": 2,
    }
    assert rows["all"]["period"] == "2023, 2024"
    assert rows["all"]["level"] == 0
    assert rows["urban"]["mae"] == pytest.approx(1.5)
    assert rows["summer (JJA)"]["rmse"] is None
    json.dumps(list(rows.values()), allow_nan=False)


def test_anomalies_are_centred_day_by_day():
    # day 0: predicted 4, 8 (mean 6), observed 10, 30 (mean 20); day 1 has one station and is left out
    out = anomalies(table([("a", "urban", 0, 4, 10), ("b", "urban", 0, 8, 30), ("a", "urban", 1, 4, 10)]))
    assert out["predicted"].to_list() == [-2, 2]
    assert out["observed"].to_list() == [-10, 10]


def test_a_network_mean_has_no_spatial_skill():
    rng = np.random.default_rng(1)
    rows = [
        (s, "urban", d, 20.1 / 3 + d, 20 + d + o) for d in range(9) for s, o in zip("abc", rng.normal(0, 3, 3), strict=True)
    ]
    scores = {r["stratum"]: r for r in score_rows(table(rows), draws=100, seed=0)}
    assert scores["anomaly"]["r2"] == pytest.approx(0)
    assert scores["anomaly"]["r"] is None


def test_differences_use_common_rows_only():
    net = table([("a", "urban", 0, 11, 10), ("a", "urban", 1, 21, 20), ("a", "urban", 2, 31, 30)])
    other = table([("a", "urban", 0, 13, 10), ("a", "urban", 1, 23, 20), ("b", "urban", 2, 99, 30)], "mean", None)
    (row,) = differences(pl.concat([net, other]), ("net", 3), draws=100, seed=0)
    assert (row["model"], row["phase"], row["n"]) == ("mean", None, 2)
    assert row["reference_rmse"] == pytest.approx(1)
    assert row["other_rmse"] == pytest.approx(3)
    assert row["rmse_difference"] == pytest.approx(-2)
    assert row["r2_difference"] == pytest.approx((1 - 2 / 50) - (1 - 18 / 50))
    assert row["rmse_difference_ci"] == pytest.approx([-2, -2])
    assert row["rmse_excludes_zero"]


def test_models_that_err_alike_do_not_differ():
    rng = np.random.default_rng(0)
    days = rng.normal([20, 0, 0], 5, (200, 3))
    net = table([("a", "urban", d, o + e, o) for d, (o, e, _) in enumerate(days)])
    other = table([("a", "urban", d, o + e, o) for d, (o, _, e) in enumerate(days)], "mean", None)
    (row,) = differences(pl.concat([net, other]), ("net", 3), draws=1000, seed=0)
    assert not row["rmse_excludes_zero"]


def test_pairs_exist_where_both_values_do():
    stations = pl.DataFrame({"station": ["a", "b"], "type": ["background"] * 2, "area": ["urban", None]})
    predicted, observed = np.array([[1, np.nan], [3, 4]]), np.array([[5, 6], [np.nan, 8]])
    days = np.array(["2023-01-01", "2023-01-02"], "datetime64[D]")
    out = pair(predicted, observed, days, stations, np.array([False, True]), model="net", phase=2)
    assert out.schema == PAIRS
    assert out.select("target", "station", "time", "predicted", "observed").rows() == [
        ("training", "a", date(2023, 1, 1), 1.0, 5.0),
        ("withheld", "b", date(2023, 1, 2), 4.0, 8.0),
    ]


def test_bad_pairs_are_named():
    good = table([("a", "urban", 0, 1, 2)])
    with pytest.raises(DataError, match=r"observed.*net phase 3, station a, 2023-01-01"):
        score_rows(good.with_columns(observed=pl.lit(float("nan"))), draws=100, seed=0)
    with pytest.raises(DataError, match="2 rows repeat"):
        score_rows(pl.concat([good, good]), draws=100, seed=0)
    with pytest.raises(DataError, match="'area'"):
        score_rows(good.drop("area"), draws=100, seed=0)
    with pytest.raises(DataError, match="'cams'"):
        differences(good, ("cams", None), draws=100, seed=0)
