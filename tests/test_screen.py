"""Screening: synthetic years whose anomalies are known, small files, and bad input."""

import json

import numpy as np
import polars as pl
import pytest
import xarray as xr

from airloom import cli
from airloom.errors import DataError
from airloom.twin.writers.cams import write_cams
from airloom.verify.screen import QUANTILES, TABLE, judge, missing_months, screen, summaries

LEVELS = (0.0, 50, 250, 500, 1000, 2000, 3000, 5000)
NORMAL = np.array([-1.645, -0.674, 0, 0.674, 1.645])  # quantiles of a standard normal


def autocorrelated(random, n: int, rho: float) -> np.ndarray:
    """n months of a first-order autoregression of variance 1."""
    found = [random.standard_normal()]
    for shock in random.standard_normal(n - 1):
        found.append(rho * found[-1] + np.sqrt(1 - rho**2) * shock)
    return np.array(found)


def years_of(seed: int, n: int = 4, *, spread: float = 0.15, rho: float = 0.5, yearly: float = 0.0) -> pl.DataFrame:
    """Summaries of n years on 8 levels: log-normal values with a seasonal cycle; monthly anomalies of standard deviation
    `spread`, autocorrelated, and `yearly` ones; 60 % of their variance is common to all levels."""
    random = np.random.default_rng(seed)
    common, common_year = autocorrelated(random, 12 * n, rho), random.standard_normal(n)
    rows = []
    for level in LEVELS:
        own = np.sqrt(0.6) * common + np.sqrt(0.4) * autocorrelated(random, 12 * n, rho)
        own_year = np.sqrt(0.6) * common_year + np.sqrt(0.4) * random.standard_normal(n)
        for i in range(12 * n):
            centre = np.log(20) - level / 1000 + 0.3 * np.cos(2 * np.pi * i / 12)
            centre += spread * own[i] + yearly * own_year[i // 12]
            values = np.exp(centre + 0.8 * NORMAL + 0.02 * random.standard_normal(5))
            year, month = 2019 + i // 12, i % 12 + 1
            rows.append((level, year, month, *values, values[2] * 1.4, 10_000, f"no2.{level:g}.{year}-{month:02d}.nc"))
    return pl.DataFrame(rows, schema=TABLE, orient="row")


def inflated(table: pl.DataFrame, year: int, factor: float, above: float) -> pl.DataFrame:
    where = (pl.col("year") == year) & (pl.col("level") > above)
    return table.with_columns(pl.when(where).then(pl.col(q) * factor).otherwise(q).alias(q) for q in (*QUANTILES, "mean"))


def flags(table: pl.DataFrame) -> set[tuple[int, float]]:
    return set(judge(table).filter("outlier").select("year", "level").rows())


def test_a_constant_ratio_is_found_exactly():
    # four equal years, the third doubled: of another year's three others one is doubled, their median is not
    equal = years_of(0, spread=0).with_columns(pl.col(q).first().over("level", "month") for q in QUANTILES)
    assert judge(equal)["ratio"].to_list() == pytest.approx([1] * 32)
    judged = judge(inflated(equal, 2021, 2.0, above=-1)).filter(level=0.0)
    assert judged["ratio"].to_list() == pytest.approx([1, 1, 2, 1])
    assert judged["outlier"].to_list() == [False, False, True, False]
    # no spread but the natural one, learnt from 8 years: 0.1² · 8 / 10
    spread = judged.filter(year=2021)["spread"].item()
    assert spread == pytest.approx(np.sqrt(0.1**2 * 8 / 10))
    # t = ln 2 / (0.0894 √(1 + π/6)) = 6.28 with 10 degrees of freedom: two-sided 9.2e-5, times four years
    assert judged.filter(year=2021)["p"].item() == pytest.approx(4 * 9.2e-5, rel=0.03)
    assert judged.filter(year=2021)["by_month"].item().to_list() == pytest.approx([2.0] * 12)


@pytest.mark.parametrize(("spread", "most"), [(0.15, 0), (0.2, 6)])
def test_normal_years_are_not_flagged(spread, most):
    """Of 200 records of four normal years on eight levels, how many have any flag at all."""
    assert sum(bool(flags(years_of(seed, spread=spread))) for seed in range(200)) <= most


@pytest.mark.parametrize(("spread", "least"), [(0.1, 0.95), (0.15, 0.88), (0.2, 0.8)])
def test_an_inflated_year_is_flagged_and_no_other(spread, least):
    """CAMS has such a year: 1.6 times the others above 1000 m."""
    hits = wrong = 0
    for seed in range(60):
        found = flags(inflated(years_of(seed, spread=spread), 2020, 1.6, above=1000))
        hits += any(level > 1000 for year, level in found if year == 2020)
        wrong += any(year != 2020 or level <= 1000 for year, level in found)
    assert hits >= least * 60
    assert wrong <= 2


def test_more_years_see_better():
    tables = [inflated(years_of(seed, n=8), 2020, 1.6, above=1000) for seed in range(30)]
    assert sum((2020, 5000.0) in flags(t) for t in tables) >= 27


def test_a_deflated_year_is_flagged_too():
    table = inflated(years_of(1, n=6, spread=0.1), 2022, 1 / 1.6, above=1000)
    assert {(2022, 2000.0), (2022, 3000.0), (2022, 5000.0)} <= flags(table)


def files(folder, years=(2019, 2020, 2021, 2022), months=range(1, 13), inflate=(2020, 1.6)):
    """A file a month on two heights, six days of it on 3 × 4 cells; `inflate` multiplies the upper one of a year."""
    random = np.random.default_rng(3)
    folder.mkdir(exist_ok=True)
    paths = []
    for year in years:
        for month in months:
            start = np.datetime64(f"{year}-{month:02d}", "ns")
            time = start + np.arange(144) * np.timedelta64(1, "h")
            values = np.exp(random.normal(2.5, 0.5, (144, 2, 3, 4))) * np.exp(0.1 * random.normal())
            values[:, 1] *= inflate[1] if year == inflate[0] else 1
            coords = {"time": time, "height": [0.0, 2000], "latitude": [47, 46.5, 46], "longitude": [2, 2.5, 3, 3.5]}
            array = (list(coords), values.astype(np.float32), {"units": "ug m-3"})
            paths.append(folder / f"no2.{year}-{month:02d}.nc")
            xr.Dataset({"no2": array}, coords).to_netcdf(paths[-1], engine="netcdf4")
    return paths


def opened(member, variables):
    with xr.open_dataset(member.path, engine="netcdf4") as file:
        return file.load()[[v for v in variables if v in file]]


def test_files_to_figures(tmp_path):
    found = screen(files(tmp_path), opened, "no2", tmp_path / "out")
    assert found.outliers.select("year", "level").rows() == [(2020, 2000.0)]
    row = found.outliers.row(0, named=True)
    assert row["ratio"] == pytest.approx(1.6, rel=0.15)
    assert len(row["files"]) == 12
    assert all(name.startswith("no2.2020-") for name in row["files"])
    month = int(row["files"][0][9:11])
    assert max(row["by_month"]) == row["by_month"][month - 1]
    assert any("2020 at level 2000: 1." in line and "no2.2020-" in line for line in found.lines)
    content = json.loads((tmp_path / "out" / "screen.json").read_text())
    assert [(o["year"], o["level"]) for o in content["outliers"]] == [(2020, 2000.0)]
    assert len(content["judged"]) == 8
    assert (tmp_path / "out" / "screen.png").read_bytes()[1:4] == b"PNG"
    assert pl.read_parquet(tmp_path / "out" / "screen.parquet").equals(found.table)


def test_summaries_are_quantiles_over_cells_and_hours():
    time = np.array(["2020-01-31T22", "2020-01-31T23", "2020-02-01T00"], "datetime64[ns]")
    values = np.array([[1.0, 2, 3], [4, 5, np.nan], [7, 8, 9]])
    fields = xr.Dataset({"no2": (("time", "x"), values)}, {"time": time})
    table = summaries(fields, "no2", "a.nc")
    assert dict(table.schema) == TABLE
    # January: 1, 2, 3, 4, 5; February: 7, 8, 9
    assert table.select("level", "year", "month", "q50", "mean", "n").rows() == [
        (0, 2020, 1, 3, 3, 5),
        (0, 2020, 2, 8, 8, 3),
    ]
    assert table["q25"].to_list() == [2, 7.5]
    assert summaries(fields.assign_coords(height=250.0), "no2", "a.nc")["level"].to_list() == [250, 250]


def test_missing_months_are_told_and_left_out(tmp_path):
    table = inflated(years_of(2, n=5, spread=0.1), 2020, 1.8, above=1000)
    part = table.filter((pl.col("year") != 2020) | (pl.col("month") > 4))
    assert missing_months(part) == {2020: [1, 2, 3, 4]}
    assert (2020, 5000.0) in flags(part)
    assert judge(part).filter(year=2020, level=0.0)["months"].item() == 8
    short = judge(table.filter((pl.col("year") != 2020) | (pl.col("month") > 10))).filter(year=2020)
    assert short["outlier"].to_list() == [None] * 8
    # an hour that spills into the next year is no month of it
    spill = table.head(1).with_columns(year=pl.lit(2030, pl.Int32), month=pl.lit(1, pl.Int32), n=pl.lit(12, pl.Int64))
    assert 2030 not in judge(pl.concat([table, spill]))["year"]


def test_bad_input(tmp_path):
    paths = files(tmp_path, years=(2019, 2020), months=(1, 2, 3))
    with pytest.raises(DataError, match=r"2 years \(2019, 2020\) cannot be told apart; screening needs 3"):
        screen(paths, opened, "no2")
    with pytest.raises(DataError, match=r"o3 is in none of 6 files, no2.2019-01.nc the first"):
        screen(paths, opened, "o3")
    with pytest.raises(DataError, match=r"a\.nc holds no 'o3'; valid: no2"):
        summaries(xr.Dataset({"no2": ("time", [1.0])}), "o3", "a.nc")
    with pytest.raises(DataError, match="does not exist"):
        screen([tmp_path / "none.nc"], opened, "no2")
    assert not (tmp_path / "out").exists()


def test_zeros_and_gaps_do_not_stop_it():
    table = years_of(4).with_columns(q25=pl.lit(0.0))
    judged = judge(table)
    assert judged["ratio"].is_finite().all()
    assert judged["q25"].null_count() == len(judged)


def test_the_verb_reads_cams_files(tmp_path, monkeypatch, capsys):
    paths = []
    for path in files(tmp_path / "raw", months=(1, 4, 7, 10), inflate=(2020, 3.0)):
        with xr.open_dataset(path, engine="netcdf4") as file:
            paths += write_cams(file.load(), tmp_path)
    monkeypatch.setattr("sys.argv", ["airloom", "screen", *map(str, paths), "--folder", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert not stopped.value.code
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "no2, 2019 to 2022: 4 years, 2 levels"
    assert len(lines) == 2
    assert lines[1].startswith("  2020 at level 2000: ")
    assert "cams.eaq.vra.ENSa.no2.l2000.2020-" in lines[1]
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"screen.json", "screen.png", "screen.parquet"}
