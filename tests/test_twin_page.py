"""The look at a twin: numbers that a reader can work out, a page that holds all it shows, and twins that are none."""

import shutil
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import xarray as xr

from airloom.errors import DataError
from airloom.files import write_json
from airloom.sources.era5_variables import SINGLE
from airloom.twin.layers import HEIGHTS
from airloom.twin.page import look
from airloom.twin.page_figures import binned
from airloom.twin.page_numbers import Fields, gather, spectrum
from airloom.twin.page_tables import implied_spread
from airloom.twin.world import Plan
from airloom.twin.writers.cams import write_cams
from airloom.twin.writers.census import write_census
from airloom.twin.writers.eea import write_observations, write_sampling_points
from airloom.twin.writers.era5 import write_former

PLAN = Plan(date(2019, 1, 30), date(2019, 2, 2), lon=4.4, lat=50.9, size=128_000, cell=8000)  # 16 × 16 cells
GRID = PLAN.grid
DAYS = np.arange("2019-01-30", "2019-02-03", dtype="datetime64[D]")
TOWN = (slice(6, 8), slice(6, 8))  # four cells
STATIONS = {"TW/A": (6, 6, "urban", 24.0), "TW/B": (7, 7, "urban", 24.0), "TW/C": (2, 3, "rural", 6.0)}
LATITUDE, LONGITUDE = np.arange(52.0, 49.9, -0.25), np.arange(3.0, 6.1, 0.25)


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Truth 10, 11, 12, 13 µg m⁻³ day by day at the ground, twice that in the town, half from each height to the next; CAMS 11
    and 13 in turn; stations 24 in the town and 6 in the country; wind (3, 4) m s⁻¹, boundary layer 500 m.
    """
    folder = tmp_path_factory.mktemp("twin") / "plain"
    write_json(folder / "twin.json", {**PLAN.to_json(), "airloom": "0"})
    for month in ("2019-01", "2019-02"):
        month_of(folder, month, DAYS[DAYS.astype("datetime64[M]") == np.datetime64(month)])
    people = np.full(GRID.shape, 20.0)
    people[TOWN] = 2000
    write_census(people, GRID, folder / "static" / "population.gpkg")
    stations(folder)
    return folder


def month_of(folder: Path, month: str, days: np.ndarray) -> None:
    """Truth, CAMS, ERA5 and the marker of one month."""
    day = (days - DAYS[0]).astype(int)
    no2 = (10.0 + day)[:, None, None, None] * 0.5 ** np.arange(8)[:, None, None] * np.ones(GRID.shape)
    no2[(..., *TOWN)] *= 2
    fields = {"no2": no2.astype("f4"), "o3": np.full(no2.shape, 60, "f4")}
    coords = {"time": days.astype("datetime64[ns]"), "height": HEIGHTS, "y": GRID.y, "x": GRID.x}
    (folder / "truth").mkdir(exist_ok=True)
    dims = ("time", "height", "y", "x")
    truth = xr.Dataset({n: (dims, v) for n, v in fields.items()}, coords)
    truth.to_netcdf(folder / "truth" / f"{month}.nc", engine="netcdf4")
    hours = np.arange(days[0], days[-1] + 1, dtype="datetime64[h]").astype("datetime64[ns]")
    coords = {"time": hours, "height": HEIGHTS, "latitude": LATITUDE, "longitude": LONGITUDE}
    values = np.full([len(c) for c in coords.values()], 11, "f4")
    values[(hours.astype("datetime64[D]") - DAYS[0]).astype(int) % 2 == 1] = 13
    write_cams(xr.DataArray(values, coords, [*coords], "no2", {"units": "ug m-3"}).to_dataset(), folder / "cams")
    del coords["height"]
    moments = {
        name: xr.DataArray(
            np.full_like(values[:, 0], value), coords, [*coords], name, {"units": SINGLE[name].variable.units}
        )
        for name, value in (("u10", 3), ("v10", 4), ("blh", 500))
    }
    write_former(xr.Dataset(moments), folder / "era5" / f"single-{month}.nc")
    write_json(folder / "state" / f"{month}.json", {"days": len(days)})


def stations(folder: Path) -> None:
    """Three background stations, B assimilated; C has 17 valid hours on the first day."""
    lon, lat = GRID.lonlat()
    hours = np.arange(DAYS[0], DAYS[-1] + 1, dtype="datetime64[h]").astype("datetime64[us]")
    rows, points = [], []
    for station, (row, column, area, value) in STATIONS.items():
        table = pl.DataFrame({"start": hours}).with_columns(pl.col("start").dt.replace_time_zone("UTC"))
        rows.append(table.select(pl.lit(station).alias("station"), "start", hours=1.0, value=value, valid=True))
        points.append((station, f"{area} {station}", lon[row, column], lat[row, column], 0.0, "background", area))
    observations = pl.concat(rows)
    early = (pl.col("station") == "TW/C") & (pl.col("start").rank("ordinal").over("station") <= 7)
    write_observations(observations.with_columns(valid=~early), folder / "eea" / "observations", pollutant="no2")
    columns = ("station", "name", "lon", "lat", "altitude", "type", "area")
    table = pl.DataFrame(points, columns, orient="row")
    write_sampling_points(table, folder / "eea" / "sampling_points.parquet", pollutant="no2", year=2019)
    (folder / "eea" / "assimilated.csv").write_text("station\nTW/B\n")


def test_means_and_series_are_those_of_the_files(twin: Path):
    seen = gather(twin)
    np.testing.assert_array_equal(seen.days, DAYS)
    np.testing.assert_allclose(seen.truth.mean[0, 0, 0], 11.5)  # of 10, 11, 12, 13
    np.testing.assert_allclose(seen.truth.mean[:, 6, 6], 23 * 0.5 ** np.arange(8))
    np.testing.assert_allclose(seen.others["o3"], 60)
    np.testing.assert_allclose(seen.cams.mean, 12)
    np.testing.assert_allclose(seen.cams.spread, 1, rtol=1e-5)
    assert seen.towns.sum() == 4
    assert not (seen.towns & seen.country).any()
    assert seen.stations["assimilated"].to_list() == [False, True, False]
    np.testing.assert_allclose(seen.daily["truth"].sel(station="TW/A"), [20, 22, 24, 26])
    np.testing.assert_allclose(seen.daily["observed"].sel(station="TW/C"), [np.nan, 6, 6, 6])
    np.testing.assert_allclose(seen.hourly["wind"], 5, rtol=1e-3)  # √(3² + 4²)
    np.testing.assert_allclose(seen.hourly["blh"], 500, rtol=1e-3)


def test_the_page_needs_nothing_else_and_says_what_is_left_out(twin: Path, tmp_path: Path):
    page = look(twin, tmp_path / "twin.html").read_text(encoding="utf-8")
    assert "http" not in page
    assert page.count("data:image/png;base64,") == 8  # three of maps; day, profile, weather, spectrum, series
    assert "Nothing on this page was measured" in page
    assert "4 days are there, 14 are needed" in page
    assert "2 months of the year are there, 6 are needed" in page
    # CAMS 11, 13, 11, 13 at A (24), and 13, 11, 13 at C (6): (−48 + 19) / 7, −48 / 4 and 19 / 3
    assert "−4.14 <small>[−1.15]" in page
    assert "−12.00 <small>[−2.89]" in page
    assert "+6.33 <small>[+1.98]" in page
    assert "<b>4.00</b><span>urban / rural" in page
    assert "<b>0.06</b><span>NO₂ at 1000 m / ground" in page  # 1/16


def test_a_twin_in_the_making_is_shown_as_far_as_it_is(twin: Path, tmp_path: Path):
    copy = tmp_path / "part"
    shutil.copytree(twin, copy)
    shutil.rmtree(copy / "eea")
    (copy / "state" / "2019-02.json").unlink()
    page = look(copy, tmp_path / "twin.html").read_text(encoding="utf-8")
    assert "2 of 4 days made so far" in page
    assert "written when the last month is made" in page
    assert "<h2>Profile</h2>" in page
    assert "<h2>Series</h2>" not in page


def test_a_folder_that_is_no_twin_or_has_no_month_is_refused(twin: Path, tmp_path: Path):
    with pytest.raises(DataError, match=r"holds no twin\.json"):
        look(tmp_path, tmp_path / "twin.html")
    shutil.copy(twin / "twin.json", tmp_path)
    with pytest.raises(DataError, match="no month of this twin is made yet"):
        look(tmp_path, tmp_path / "twin.html")
    shutil.copytree(twin / "state", tmp_path / "state")
    with pytest.raises(DataError, match=r"there is no truth/2019-01\.nc, though 2019-01 is marked as made"):
        look(tmp_path, tmp_path / "twin.html")
    assert not (tmp_path / "twin.html").exists()


def test_a_wave_has_its_variance_at_its_wavenumber():
    wave = np.sin(2 * np.pi * 4 * np.arange(32) / 32) * np.ones((32, 1))  # four turns on an edge of 64 km; variance 1/2
    wavenumber, power = spectrum(3 + wave, 2000.0)
    assert wavenumber[np.argmax(power)] == 4 / 64
    assert (power / 64).sum() == pytest.approx(0.5, rel=1e-6)


def test_spread_is_over_cells_and_days():
    fields = Fields(GRID)
    low, high = np.zeros((8, *GRID.shape)), np.full((8, *GRID.shape), 2.0)
    fields.add(np.stack([low, high]))
    fields.add(np.stack([low, high]))
    np.testing.assert_allclose(fields.spread, 1)  # half of the values 0, half 2


def test_bins_hold_equal_numbers():
    x = np.array([4.0, 1.0, 3.0, 2.0])
    middle, low, median, high = binned(x, 10 * x, bins=2)
    np.testing.assert_array_equal(middle, [1.5, 3.5])
    np.testing.assert_array_equal(median, [15, 35])
    np.testing.assert_array_equal((low, high), [[12.5, 32.5], [17.5, 37.5]])


def test_the_spread_that_two_scores_imply():
    # errors of 2, R² .75: a quarter of the variance is 4, so the variance is 16
    assert implied_spread(2.0, 0.75) == pytest.approx(4)
