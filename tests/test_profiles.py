"""Profiles by degree of urbanisation, and scores station by station, by hand."""

from datetime import date

import numpy as np
import polars as pl
import pytest

from airloom.grid import Tile
from airloom.study import parse
from airloom.verify.collect import series_of
from airloom.verify.per_station import (
    edge_distance,
    network_mean,
    network_scores,
    place,
    station_scores,
    station_summary,
    type_rows,
    yearly_levels,
)
from airloom.verify.profiles import degrees, people_layer, profile_rows
from airloom.verify.scores import PAIRS
from tests.small import STUDY


def test_degrees_hold_their_least_density_and_unknown_cells_belong_to_none():
    masks = degrees(np.array([0.0, 299, 300, 1499, 1500, np.nan]))
    assert {n: np.flatnonzero(m).tolist() for n, m in masks.items()} == {
        "city": [4], "town": [2, 3], "rural": [1], "uninhabited": [0],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("emissions", "geography", "name"),
    [
        ([{"source": "census", "name": "people", "files": ["p.gpkg"], "log": True}], [], "people"),
        ([], [{"source": "places", "name": "towns"}], "towns"),
        ([{"source": "raster", "name": "population", "files": ["ships.tif"]}], [], None),
    ],
)
def test_people_are_found_by_their_source_and_not_by_a_name(emissions, geography, name):
    study = parse(STUDY | {"emissions": emissions, "geography": geography}, where="small")
    assert people_layer(study) == name


def test_profiles_by_hand():
    # town cells hold 4 and 8 at the ground, 1 and 2 above: means 6 and 1.5, a quarter; CAMS has 3 and 3
    density = np.array([[400.0, 500.0, 10.0]])
    net = np.array([[[4.0, 8.0, 1.0]], [[1.0, 2.0, np.nan]]])
    rows = profile_rows({("net", 3): net, ("cams-2km", None): np.full((2, 1, 3), 3.0)}, degrees(density), (0, 50))
    town = [r for r in rows if (r["model"], r["where"]) == ("net", "town")]
    assert [r["mean"] for r in town] == [6, 1.5]
    assert [r["of_ground"] for r in town] == [1, 0.25]
    assert [r["of_cams"] for r in town] == [2, 0.5]
    assert town[0]["cells"] == 2
    above = next(r for r in rows if (r["model"], r["where"], r["level"]) == ("net", "rural", 50))
    assert (above["mean"], above["of_ground"]) == (None, None)
    assert "city" not in {r["where"] for r in rows}


def pairs(rows):
    """From (model, phase, station, type, area, day of 2023, predicted, observed), all withheld."""
    return pl.DataFrame(
        [(m, p, "withheld", s, kind, area, date(2023, 1, day), x, y) for m, p, s, kind, area, day, x, y in rows],
        schema=PAIRS,
        orient="row",
    )


FEW = [
    ("net", 3, "A", "background", "urban", 1, 2.0, 1.0),
    ("net", 3, "A", "background", "urban", 2, 4.0, 3.0),
    ("net", 3, "B", "industrial", "rural", 1, 5.0, 9.0),
    ("net", 3, "B", "industrial", "rural", 2, 9.0, 5.0),
    ("cams-2km", None, "A", "background", "urban", 1, 0.0, 1.0),
    ("cams-2km", None, "A", "background", "urban", 2, 2.0, 3.0),
]


def test_station_scores_and_their_mean_by_hand():
    places = pl.DataFrame({"station": ["A", "B"], "place": ["centre", "edge"]})
    table = station_scores(pairs(FEW), places)
    a, b, _ = table.iter_rows(named=True)
    assert (a["r"], a["rmse"], a["bias"], a["place"]) == (pytest.approx(1), 1, 1, "centre")
    assert a["r2"] == pytest.approx(1 - 2 / 2)  # observed 1, 3: variance sum 2; squared errors 1 + 1
    assert (b["r"], b["rmse"], b["place"]) == (pytest.approx(-1), 4, "edge")
    summary = station_summary(table).row(0, named=True)
    assert (summary["stations"], summary["rmse_mean"], summary["r_mean"]) == (2, 2.5, pytest.approx(0))
    by_place = {r["place"]: r["rmse_median"] for r in station_summary(table, ["place"]).iter_rows(named=True) if r["phase"]}
    assert by_place == {"centre": 1, "edge": 4}


def test_means_of_network_and_year():
    first = network_mean(pairs(FEW)).filter(pl.col("phase") == 3).row(0, named=True)
    assert (first["n"], first["predicted"], first["observed"]) == (2, 3.5, 5)
    scores = network_scores(network_mean(pairs(FEW)))["net", 3]  # 3.5 and 6.5, where 5 and 4 were observed
    assert scores["bias"] == pytest.approx(0.5)
    assert scores["rmse"] == pytest.approx(4.25**0.5)
    assert scores["r"] == pytest.approx(-1)
    year = yearly_levels(pairs(FEW)).filter(pl.col("phase") == 3).row(0, named=True)
    assert (year["year"], year["predicted"], year["observed"]) == (2023, 5, 4.5)


def test_types_are_scored_on_the_station_days_that_all_models_have():
    rows = type_rows(pairs(FEW), draws=10, seed=0)
    assert {(r["model"], r["stratum"], r["n"]) for r in rows} == {
        (m, s, 2) for m in ("net", "cams-2km") for s in ("all", "urban")
    }
    alone = type_rows(pairs(FEW[:4]), draws=10, seed=0)
    assert {r["stratum"]: r["n"] for r in alone} == {"all": 4, "urban": 2, "rural": 2, "industrial": 2}


def test_series_at_stations_reads_the_ground_a_day_at_a_time():
    table = pl.DataFrame({"row": [0, 1], "column": [1, 0]})
    fields = np.arange(16.0).reshape(2, 2, 2, 2)
    assert series_of(fields.__getitem__, table, 2).tolist() == [[1, 2], [9, 10]]


def test_distance_to_the_edge_is_that_of_the_best_tile():
    # tiles of 16 from columns 0 and 8: column 8 is 7 cells inside the first and on the edge of the second
    tiles = [Tile(0, 0, 16), Tile(0, 8, 16)]
    distance = edge_distance(np.array([8, 8, 0, 8]), np.array([8, 23, 12, 30]), tiles)
    assert distance.tolist() == [7, 0, 0, -1]
    assert place(distance, 16).tolist() == ["centre", "edge", "edge", "edge"]
