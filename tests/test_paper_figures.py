"""Figures and report sections of whole fields, on a synthetic town, mountain and sea."""

import re
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from airloom.cube.regrid import block_mean
from airloom.errors import DataError
from airloom.grid import Grid
from airloom.ledger import Ledger
from airloom.verify import field_figures, field_maps
from airloom.verify.evaluation import evaluate_volumes
from airloom.verify.per_station import network_mean, station_scores
from airloom.verify.profiles import degrees, profile_rows
from airloom.verify.report import write_report
from airloom.verify.scores import pair
from airloom.verify.tables import evaluate

LEVELS = (0.0, 50.0, 250.0, 500.0, 1000.0, 2000.0, 3000.0, 5000.0)
GRID = Grid.around(-3.7, 40.4, cell=2000, shape=(32, 32))
MODELS = [("dacno2", 1), ("dacno2", 2), ("dacno2", 3), ("cams-2km", None)]


@pytest.fixture(scope="module")
def world():
    """Ten days of a field with two towns, falling off with height; the phases come closer to it."""
    rng = np.random.default_rng(1)
    east, south = np.meshgrid(np.linspace(-1, 1, 32), np.linspace(-1, 1, 32))
    town = np.exp(-25 * ((east + 0.4) ** 2 + (south - 0.3) ** 2)) + 0.5 * np.exp(-60 * ((east - 0.5) ** 2 + south**2))
    decay = np.exp(-np.array(LEVELS) / 900)[:, None, None]
    day = rng.lognormal(0, 0.3, (10, 1, 1, 1))
    truth = day * (3 + 30 * town * np.exp(-np.array(LEVELS) / 250)[:, None, None]) * decay
    coarse = np.stack([block_mean(t, 4) for t in truth]) * 0.9
    fields = {("dacno2", p): truth * rng.lognormal(0, s, truth.shape) for p, s in ((1, 0.3), (2, 0.2), (3, 0.1))}
    fields["cams-2km", None] = np.repeat(np.repeat(coarse, 4, -1), 4, -2)
    row, column = rng.integers(1, 31, 24), rng.integers(1, 31, 24)
    lon, lat = GRID.lonlat()
    stations = pl.DataFrame(
        {
            "station": [f"S{i}" for i in range(24)],
            "name": [f"Station {i}" for i in range(24)],
            "lon": lon[row, column],
            "lat": lat[row, column],
            "type": ["background", "background", "background", "industrial"] * 6,
            "area": ["urban", "suburban", "rural"] * 8,
            "row": row,
            "column": column,
            "withheld": [True, True, True, False] * 6,
        }
    )
    days = np.arange("2023-01-01", "2023-01-11", dtype="datetime64[D]")
    observed = truth[:, 0, row, column] + rng.normal(0, 0.5, (10, 24))
    pairs = pl.concat(
        pair(f[:, 0, row, column], observed, days, stations, stations["withheld"].to_numpy(), model=m, phase=p)
        for (m, p), f in fields.items()
    )
    volumes = evaluate_volumes(
        {m: fields[m].__getitem__ for m in MODELS},
        days=days,
        levels=LEVELS,
        cams=coarse.__getitem__,
        truth=truth.__getitem__,
        factor=4,
        against=("dacno2", 3),
        population=6000 * town,
        elevation=1500 * np.clip(east - south, 0, None),
        draws=50,
        seed=0,
    )
    return volumes, pairs, stations


@pytest.fixture(scope="module")
def seen(world):
    """Stations with what they observed."""
    _, pairs, stations = world
    means = pairs.filter(pl.col("phase") == 3).group_by("station").agg(pl.col("observed").mean())
    return stations.join(means, on="station")


def test_windows_hold_the_town_the_mountain_and_the_gradient(world):
    volumes, *_ = world
    chosen = field_maps.windows(volumes.population, volumes.elevation, volumes.means["dacno2", 3][0])
    for title, values in (("Most populated", volumes.population), ("Highest", volumes.elevation)):
        place = np.unravel_index(np.argmax(values), values.shape)
        assert all(w.start <= p < w.stop for w, p in zip(chosen[title], place, strict=True))
    assert {(w.stop - w.start) for window in chosen.values() for w in window} == {8}
    centres = {((y.start + y.stop) // 2, (x.start + x.stop) // 2) for y, x in chosen.values()}
    assert len(centres) == 3


def test_figures(world, seen, tmp_path):
    volumes, pairs, stations = world
    last = {m: volumes.means[m] for m in (MODELS[3], MODELS[2], ("truth", None))}
    ground = {m: f[0] for m, f in volumes.means.items()}
    chosen = field_maps.windows(volumes.population, volumes.elevation, ground[MODELS[2]])
    rows = profile_rows(volumes.means, degrees(volumes.population), volumes.levels)
    figures = {
        "surface": field_maps.surface_maps(ground, GRID, seen, chosen),
        "windows": field_maps.window_maps(ground, chosen, GRID, seen),
        "levels": field_maps.level_maps(last, LEVELS, GRID),
        "levels of a window": field_maps.level_maps(last, LEVELS, GRID, chosen["Highest"]),
        "profiles": field_figures.profiles(rows),
        "transect": field_figures.transect(last, LEVELS, GRID, 20, 9, "town"),
        "scores-truth": field_figures.level_scores(volumes.rows, "truth"),
        "scores-cams": field_figures.level_scores(volumes.rows, "cams"),
        "series": field_figures.network_series(network_mean(pairs), MODELS),
        "stations": field_figures.station_maps(station_scores(pairs), MODELS, stations, GRID),
    }
    for name, figure in figures.items():
        figure.savefig(tmp_path / f"{name}.png")
        assert (tmp_path / f"{name}.png").stat().st_size > 10_000


def test_level_maps_show_patterns_of_models_that_differ_by_a_factor():
    low = np.array([[[1.0, 3.0], [1.0, 3.0]]])
    grid = Grid.around(0, 50, cell=2000, shape=(2, 2))
    figure = field_maps.level_maps({("dacno2", 3): low, ("truth", None): 10 * low}, [0.0], grid)
    left, right = (axes.images[0].get_array() for axes in figure.axes[:2])
    assert left.tolist() == right.tolist() == [[0.5, 1.5], [0.5, 1.5]]
    assert [axes.texts[-1].get_text() for axes in figure.axes[:2]] == ["2.0", "20"]


def test_a_transect_names_levels_that_do_not_overlap(world):
    figure = field_figures.transect({MODELS[2]: world[0].means[MODELS[2]]}, LEVELS, GRID, 20, 9, "town")
    assert sorted(figure.axes[0].get_yticks()) == [50, 250, 500, 1000, 2000, 5000]


def report(world, path, **changes):
    volumes, pairs, stations = world
    arguments = {
        "study": {"title": "Two towns", "grid": {"centre": [-3.7, 40.4], "shape": [32, 32]}},
        "scores": evaluate(pairs, draws=50, seed=0),
        "pairs": pairs,
        "grid": GRID,
        "field_mean": volumes.means["dacno2", 3][0],
        "seasons": {},
        "stations": stations,
        "ledger": Ledger(),
        "facts": {},
        "volumes": volumes,
        "places": stations.select("station", place=pl.Series(["centre", "edge"] * 12)),
    }
    write_report(path, **(arguments | changes))
    return path.read_text(encoding="utf-8")


def test_the_report_shows_whole_fields_where_there_are_any(world, tmp_path):
    of_fields, of_stations = (
        ["Levels", "Maps by model", "Profiles"],
        ["By type of station", "Stations one by one", "Network mean"],
    )
    new = [*of_fields, *of_stations]
    page = report(world, tmp_path / "with.html")
    assert [t for t in new if f"<h2>{t}</h2>" in page] == new
    assert "Against the chemistry model, on cells of 8 km, about its own" in page
    assert page.count("The same of the window “") == 6  # three captions, and as many alternative texts
    assert "through the highest cell" in page
    assert "CAMS, bilinear to 2 km" in page
    assert "<td>0\u2060–\u20601000\u00a0m</td>" in page
    row = next(r for r in world[0].rows if (r["target"], r["phase"], r["level"]) == ("truth", 3, 500))
    digits = 2 if row["rmse"] >= 1 else 3
    assert f"{row['rmse']:.{digits}f} <small>" in page
    anchors = set(re.findall(r'<section id="([^"]+)"', page))
    assert {"levels", "network-mean"} <= anchors
    without = report(world, tmp_path / "without.html", volumes=None)
    assert [t for t in new if f"<h2>{t}</h2>" in without] == of_stations


def test_the_report_says_what_it_cannot_show(world, tmp_path):
    volumes, *_ = world
    unknown = replace(volumes, population=None, elevation=None)
    page = report((unknown, *world[1:]), tmp_path / "unknown.html")
    assert "no layer of source census or places" in page
    assert "by degree of urbanisation [" not in page
    assert list(field_maps.windows(None, None, volumes.means["dacno2", 3][0])) == ["Strongest gradient"]
    apart = replace(
        volumes,
        rows=[r for r in volumes.rows if r["target"] != "truth"],
        differences=[d for d in volumes.differences if d["target"] != "truth"],
        skipped=volumes.skipped | {"truth": 10},
        means={m: f for m, f in volumes.means.items() if m[1] is not None},
    )
    page = report((apart, *world[1:]), tmp_path / "apart.html")
    assert "None of 10 days has values of all of these models and of the truth" in page


def test_fields_of_another_grid_are_refused(world, tmp_path):
    other = Grid.around(-3.7, 40.4, cell=2000, shape=(16, 16))
    with pytest.raises(DataError, match=r"has shape \(32, 32\); the grid has \(16, 16\)"):
        report(world, tmp_path / "r.html", grid=other, field_mean=np.zeros((16, 16)))
