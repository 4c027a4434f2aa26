"""The report: whole, self-contained, escaped, and saying what the scores say."""

import re
from datetime import date
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from rich.console import Console

from airloom.errors import DataError
from airloom.grid import Grid
from airloom.ledger import Ledger
from airloom.verify.figures import series_at_stations
from airloom.verify.report import write_report
from airloom.verify.report_ledger import ledger_section
from airloom.verify.scores import SEASONS, pair
from airloom.verify.tables import best_baseline, evaluate, last_phase, overall, summary_table

GRID = Grid.around(-3.7, 40.4, cell=2000, shape=(24, 32))


@pytest.fixture(scope="module")
def run() -> dict[str, Any]:
    """A synthetic year at eight stations, three withheld; the method errs less than the baseline."""
    rng = np.random.default_rng(0)
    days = np.arange(np.datetime64("2023-01-01"), np.datetime64("2024-01-01"))
    east, south = np.meshgrid(np.linspace(-1, 1, 32), np.linspace(-1, 1, 24))
    mean = 12 + 28 * np.exp(-3 * ((east - 0.1) ** 2 + (south + 0.1) ** 2))
    row, column = rng.integers(3, 21, 8), rng.integers(3, 29, 8)
    lon, lat = GRID.lonlat()
    stations = pl.DataFrame(
        {
            "station": [f"S{i}" for i in range(8)],
            "name": ["Plaza <Mayor> & Sol", *(f"Station {i}" for i in range(1, 8))],
            "lon": lon[row, column],
            "lat": lat[row, column],
            "type": ["background"] * 8,
            "area": ["urban", "suburban"] * 4,
            "row": row,
            "column": column,
            "withheld": [True, False, False, True, False, True, False, False],
        }
    )
    season = 1 + 0.4 * np.cos(2 * np.pi * np.arange(365) / 365)
    truth = mean[row, column] * season[:, None] * rng.lognormal(0, 0.3, (365, 1))
    observed = np.where(rng.random(truth.shape) < 0.05, np.nan, truth + rng.normal(0, 2, truth.shape))
    made = {("dacno2", 1): (8, 3), ("dacno2", 3): (4, -0.5), ("network-mean", None): (7, -1)}
    withheld = stations["withheld"].to_numpy()
    pairs = pl.concat(
        pair(truth + rng.normal(bias, spread, truth.shape), observed, days, stations, withheld, model=model, phase=phase)
        for (model, phase), (spread, bias) in made.items()
    )
    ledger = Ledger()
    for i in range(3):
        ledger.out("station", f"T{i}", "type traffic is not used")
    ledger.changed("day", "2023-05-01", "one hour filled from its neighbour", 4)
    return {
        "study": {
            "name": "test",
            "title": "NO₂ <test> & more",
            "pollutant": "no2",
            "grid": {"centre": [-3.7, 40.4], "shape": [24, 32], "cell": 2000},
        },
        "scores": evaluate(pairs, draws=200, seed=0),
        "pairs": pairs,
        "grid": GRID,
        "field_mean": mean,
        "seasons": {s: mean * f for s, f in zip(SEASONS, (1.3, 1.0, 0.7, 1.0), strict=True)},
        "stations": stations,
        "ledger": ledger,
        "facts": {"airloom": "0.1", "training [s]": 12.5},
        "training": [
            {"phase": p, "epoch": e, "train": 1 / (e + 1), "validation": 1.2 / (e + 1)} for p in (1, 3) for e in range(9)
        ],
    }


class Tags(HTMLParser):
    """Opens, closes and sources of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "img"):
            self.open.append(tag)
        self.sources += [v for k, v in attrs if k in ("src", "href") and v]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_report_is_one_whole_escaped_page(run, tmp_path: Path):
    write_report(tmp_path / "report.html", **run)
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    tags = Tags()
    tags.feed(page)
    assert not tags.open
    assert all(s.startswith(("data:image/png;base64,", "#")) for s in tags.sources)
    assert "<script" not in page
    assert "NO₂ &lt;test&gt; &amp; more" in page
    assert "Plaza &lt;Mayor&gt; &amp; Sol" in page
    assert "<Mayor>" not in page
    anchors = set(re.findall(r'<section id="([^"]+)"', page))
    assert {s[1:] for s in tags.sources if s.startswith("#")} == anchors
    assert len(anchors) == 15


def test_headline_says_what_the_scores_say(run, tmp_path: Path):
    write_report(tmp_path / "report.html", **run)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    row = next(r for r in run["scores"]["rows"] if (r["phase"], r["target"], r["stratum"]) == (3, "withheld", "all"))
    assert f"RMSE of {row['rmse']:.2f} [{row['rmse_ci'][0]:.2f}, {row['rmse_ci'][1]:.2f}]" in page
    assert "<b>lower than</b>" in page
    assert "around −3.7°E" in page
    assert "3 stations</small>" in page
    assert "1 day, 4 values, 2023-05-01</small>" in page


def test_the_ledger_gives_a_reason_one_line_with_its_days_as_ranges():
    ledger = Ledger()
    for day in ("2023-01-30", "2023-01-31", "2023-02-01", "2023-02-05"):
        ledger.out("day", day, "no weather")
    ledger.out("value", "S1", "stuck", 30)
    ledger.out("value", "S2", "stuck", 12)
    page = ledger_section(ledger)
    assert page.count("<details>") == 2
    assert "no weather <small>4 days, 2023-01-30 to 2023-02-05</small>" in page
    assert "<tr><td>2023-01-30 to 2023-02-01</td><td>3</td></tr><tr><td>2023-02-05</td><td>1</td></tr>" in page
    assert "stuck <small>42 values in 2 places</small>" in page


def test_a_station_beside_the_baseline_names_it_once(run, tmp_path: Path):
    write_report(tmp_path / "report.html", **run)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.count("and beside it network mean, the best baseline.") == 2  # by area and season, by station
    assert page.count(">Baseline RMSE</th>") == 2


def test_a_week_alone_between_gaps_is_drawn(run):
    days = [date(2023, 1, 2), date(2023, 3, 6)]  # Mondays, nine weeks apart
    alone = run["pairs"].filter(pl.col("time").dt.date().is_in(days))
    figure = series_at_stations(alone, [("dacno2", 3)], {}, most=1)
    observed = figure.axes[0].lines[0]
    assert np.isfinite(observed.get_ydata()).sum() == 2
    assert observed.get_marker() == "."


def test_report_without_baselines_seasons_or_training(run, tmp_path: Path):
    alone = run["pairs"].filter(pl.col("phase") == 3)
    changes = {
        "pairs": alone,
        "scores": evaluate(alone, draws=100, seed=0),
        "seasons": {},
        "training": None,
        "ledger": Ledger(),
    }
    write_report(tmp_path / "report.html", **(run | changes))
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Nothing was left out" in page
    assert "best baseline" not in page


def test_a_report_without_a_method_or_of_another_grid_is_refused(run, tmp_path: Path):
    baselines = run["pairs"].filter(pl.col("phase").is_null())
    with pytest.raises(DataError, match="no phase of a method"):
        write_report(tmp_path / "r.html", **(run | {"pairs": baselines, "scores": evaluate(baselines, draws=100, seed=0)}))
    with pytest.raises(DataError, match=r"field_mean has shape \(2, 2\)"):
        write_report(tmp_path / "r.html", **(run | {"field_mean": np.zeros((2, 2))}))
    assert not list(tmp_path.iterdir())


def test_summary_names_phases_and_baselines(run):
    console = Console(record=True, width=140)
    console.print(summary_table(run["scores"]))
    text = console.export_text()
    assert text.index("dacno2, phase 1") < text.index("dacno2, phase 3") < text.index("Network mean")


def test_the_last_phase_and_the_best_baseline(run):
    assert last_phase(run["pairs"]) == ("dacno2", 3)
    assert best_baseline(run["scores"])["model"] == "network-mean"
    assert {(d["model"], d["phase"]) for d in run["scores"]["differences"]} == {("dacno2", 1), ("network-mean", None)}


def test_what_is_assimilated_comes_last_whatever_its_phase(run, tmp_path):
    first = run["pairs"].filter(pl.col("phase") == 1).with_columns(model=pl.lit("dacno2-assimilated"))
    pairs = pl.concat([run["pairs"], first])
    assert last_phase(pairs) == ("dacno2-assimilated", 1)
    scores = evaluate(pairs, draws=100, seed=0)
    ours = [(r["model"], r["phase"]) for r in overall(scores) if r["phase"] is not None]
    assert ours == [("dacno2", 1), ("dacno2", 3), ("dacno2-assimilated", 1)]
    write_report(tmp_path / "r.html", **(run | {"pairs": pairs, "scores": scores}))
    page = (tmp_path / "r.html").read_text()
    assert "<b>dacno2, phase 1, assimilated</b> has an RMSE of" in page
    assert "drawn to the same day" in page
