"""Screening of gridded fields: is a year's distribution at some level unlike that of the other years?

Fields are summarised file by file (`summaries`), so that many years never lie in memory together, and the summaries are
judged (`judge`). A month's distribution at a level is its 5, 25, 50, 75 and 95 % quantiles over all cells and hours.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import xarray as xr
from scipy import stats

from airloom.errors import DataError, nearest
from airloom.files import whole, write_json
from airloom.progress import Progress, quiet
from airloom.sources.members import Member, members

Reader = Callable[[Member, Sequence[str]], xr.Dataset]  # such as `read` of a `GriddedSource`

QUANTILES = {"q05": 0.05, "q25": 0.25, "q50": 0.5, "q75": 0.75, "q95": 0.95}
JUDGED = ("q25", "q50", "q75", "q95")  # the lowest twentieth is noise and rounding
TABLE = {
    "level": pl.Float64,
    "year": pl.Int32,
    "month": pl.Int32,
    **dict.fromkeys(QUANTILES, pl.Float64),
    "mean": pl.Float64,
    "n": pl.Int64,  # values: cells × hours
    "file": pl.String,
}
YEARS, MONTHS = 3, 3  # fewer years say nothing; a year is judged on that many months at least
USUAL, WORTH = (
    0.10,
    8,
)  # how far years differ by nature (standard deviation of the log), and how many years that belief is worth
SIGNIFICANT, RELEVANT = 0.03, 1.25  # corrected p below, and ratio above (or below one over it)
VERTICAL = ("level", "height")  # what the vertical dimension may be called
MOST = 2_000_000  # values from which quantiles are taken; of more, every second, third, … counts
FULL = 0.5  # a month with less than this share of the values of a usual one is left out


@dataclass(frozen=True)
class Screening:
    """What was found: the table of `summaries`, that of `judge`, and the months that are missing."""

    variable: str
    table: pl.DataFrame
    judged: pl.DataFrame
    missing: dict[int, list[int]]

    @property
    def outliers(self) -> pl.DataFrame:
        """The rows of `judged` that are outliers, by year and level."""
        return self.judged.filter("outlier").sort("year", "level")

    @property
    def lines(self) -> list[str]:
        """The findings in words."""
        years = sorted(self.judged["year"].unique())
        lines = [f"{self.variable}, {years[0]} to {years[-1]}: {len(years)} years, {self.judged['level'].n_unique()} levels"]
        for year, months in self.missing.items():
            lines.append(f"  {year}: no data for month {', '.join(map(str, months))}; judged on the others")
        for year, level in self.judged.filter(pl.col("outlier").is_null()).select("year", "level").rows():
            lines.append(
                f"  {year} at level {level:g}: not judged, fewer than {MONTHS} months that two other years have too"
            )
        for row in self.outliers.iter_rows(named=True):
            files = row["files"]
            more = f" and {len(files) - 3} more" if len(files) > 3 else ""
            lines.append(
                f"  {row['year']} at level {row['level']:g}: {row['ratio']:.2f} times the other years (they differ by "
                f"{100 * row['spread']:.0f} %; p = {row['p']:.1g}), in {', '.join(files[:3])}{more}"
            )
        return lines if len(self.outliers) else [*lines, "  no outlier year"]

    def content(self) -> dict[str, Any]:
        """The findings for a JSON file."""
        rule = {"p below": SIGNIFICANT, "ratio beyond": RELEVANT, "natural spread": USUAL, "worth years": WORTH}
        found = {"variable": self.variable, "rule": rule, "missing": self.missing}
        return found | {"outliers": self.outliers.to_dicts(), "judged": self.judged.drop("files").to_dicts()}


def screen(
    files: Sequence[Path], read: Reader, variable: str, folder: Path | None = None, progress: Progress = quiet
) -> Screening:
    """Summarise files one by one, judge the years, and write screen.json, screen.png and screen.parquet into `folder`.

    Arguments:
        files: files or zip archives of them, all of one product and region.
        read: what opens one; a dataset on (time, [level or height,] …), times in UTC.
        variable: as `read` names it.
        folder: nothing is written without it.
        progress: told after each file.

    Raises:
        DataError: a file cannot be read, none holds `variable`, or there are too few years; as `judge`.
    """
    inner = members(files)
    parts = []
    for i, member in enumerate(inner):
        progress("screen", i, len(inner))
        fields = read(member, [variable])
        if variable in fields.data_vars:  # files of other pollutants may lie beside
            parts.append(summaries(fields, variable, member.label))
    progress("screen", len(inner), len(inner))
    if not parts:
        raise DataError(f"{variable} is in none of {len(inner)} files, {inner[0].label} the first. Name files that hold it.")
    table = pl.concat(parts)
    found = Screening(variable, table, judge(table), missing_months(table))
    if folder is not None:
        _write(found, folder)
    return found


def _write(found: Screening, folder: Path) -> None:
    from airloom.verify.screen_figure import figure

    write_json(folder / "screen.json", found.content())
    with whole(folder / "screen.parquet") as aside:
        found.table.write_parquet(aside)
    with whole(folder / "screen.png") as aside:
        figure(found).savefig(aside)


def summaries(fields: xr.Dataset, variable: str, file: str) -> pl.DataFrame:
    """The distribution of a variable on (time, [level or height,] …) at each level in each month, over all cells and hours.

    Returns TABLE's columns in the variable's unit, one row a level and month; NaN is left out, and a month that is nothing
    but NaN has no row. A field without levels is at level 0.

    Raises:
        DataError: the variable is missing, or has no time.
    """
    if variable not in fields.data_vars:
        raise DataError(f"{file} holds no {variable!r}; {nearest(variable, map(str, fields.data_vars))}.")
    array = fields[variable]
    if "time" not in array.dims:
        raise DataError(f"{file}: {variable} is on ({', '.join(map(str, array.dims))}), expected time among them.")
    vertical = next((v for v in VERTICAL if v in (*array.dims, *array.coords)), None)
    if vertical is None:
        vertical, array = "level", array.expand_dims(level=[0.0])
    elif vertical not in array.dims:
        array = array.expand_dims(vertical)
    array = array.transpose("time", vertical, ...)
    months = array["time"].to_numpy().astype("datetime64[M]")
    rows = []
    for month in np.unique(months):
        here = array[months == month].to_numpy()
        for i, level in enumerate(array[vertical].to_numpy()):
            step = max(1, here[:, i].size // MOST)
            values = here[:, i].ravel()[::step]
            values = values[np.isfinite(values)]
            if not values.size:
                continue
            quantiles = np.quantile(values, list(QUANTILES.values())).tolist()
            mean = float(values.mean(dtype=float))
            year, number = map(int, str(month).split("-"))
            rows.append((float(level), year, number, *quantiles, mean, values.size * step, file))
    return pl.DataFrame(rows, schema=TABLE, orient="row")


def judge(table: pl.DataFrame) -> pl.DataFrame:
    """Whether a year's distribution at a level is unlike that of the other years.

    For each month the log of a year's 25, 50, 75 and 95 % quantiles is compared with the median of the other years' logs;
    the mean of these differences over quantiles and months is the log of the year's `ratio`. Its `spread` s pools how far
    the other years differ among one another (variance with m − 1 degrees of freedom, m other years) with what is usual by
    nature, 10 % a year, as if that had been learnt from 8 years: s² = (8 · 0.1² · 12 / months + (m − 1) · variance) / (7 + m).
    Under the hypothesis that the year is one of the others, log(ratio) / (s √(1 + π / 2m)), the median of m being that
    uncertain, follows Student's t with 7 + m degrees of freedom. A year is an **outlier** at a level where the two-sided p,
    times the number of years, is below 0.03 and the ratio beyond 1.25 or 1 / 1.25.

    Measured on synthetic records of 4 years on 8 levels, whose monthly anomalies vary by 10, 15 and 20 % (lag-one
    autocorrelation 0.5): 0, 0 and 1 % of 1000 normal records have any flag at all, and a year that is 1.6 times too high on
    three levels is found in 99, 94 and 90 % of 500. Where whole years differ by 10 % besides, 6 % of 300 normal ones do.
    The median of the others bears one outlier year; of four years two that are alike in this cannot be told.

    Arguments:
        table: as `summaries` returns it; several files of one month are taken together. A month with fewer than half the
            values of a usual month counts as missing.

    Returns:
        One row a level and year: level, year, months, ratio, spread, p, outlier; the ratio of each quantile; by_month, the
        ratio in months 1 to 12; and files, of the months that stand out most first. `outlier` is null, and `p` too, where
        fewer than 3 months are there in two other years too.

    Raises:
        DataError: fewer than 3 years.
    """
    months = _months(table)
    years = sorted(months["year"].unique())
    if len(years) < YEARS:
        raise DataError(
            f"{len(years)} year{'s' * (len(years) != 1)} ({', '.join(map(str, years))}) cannot be told apart; "
            f"screening needs {YEARS}, better 4 or more. Name files of other years too."
        )
    files: dict[tuple[object, int], list[tuple[int, str]]] = {}
    for level, year, month, file in table.select("level", "year", "month", "file").iter_rows():
        files.setdefault((level, year), []).append((month, file))
    rows: list[dict[str, Any]] = []
    for (level,), group in months.group_by("level", maintain_order=True):
        here = sorted(group["year"].unique())
        logs = _logs(group, here)
        for i, year in enumerate(here):
            verdict = _verdict(logs[i], np.delete(logs, i, 0), len(here))
            rows.append(
                {"level": level, "year": year, **verdict, "files": _files(files.get((level, year), []), verdict["by_month"])}
            )
    return pl.DataFrame(rows, infer_schema_length=None).sort("level", "year")


def missing_months(table: pl.DataFrame) -> dict[int, list[int]]:
    """The months of each year that no level has, though another year has them."""
    found = _months(table)
    every = set(found["month"])
    years = {year: sorted(every - set(group["month"])) for (year,), group in found.sort("year").group_by("year")}
    return {int(year): months for year, months in sorted(years.items()) if months}


def _months(table: pl.DataFrame) -> pl.DataFrame:
    """One row a level, year and month: quantiles weighted by the number of values where several files have some."""
    weighted = [((pl.col(q) * pl.col("n")).sum() / pl.col("n").sum()).alias(q) for q in QUANTILES]
    months = table.group_by("level", "year", "month").agg(*weighted, pl.col("n").sum())
    return months.filter(pl.col("n") >= FULL * pl.col("n").median().over("level")).sort("level", "year", "month")


def _logs(months: pl.DataFrame, years: Sequence[int]) -> np.ndarray:
    """Logs of the quantiles that are judged, (year, month, quantile); NaN where there is none or it is not positive."""
    logs = np.full((len(years), 12, len(JUDGED)), np.nan)
    for row in months.iter_rows(named=True):
        values = np.array([row[q] for q in JUDGED])
        with np.errstate(divide="ignore", invalid="ignore"):
            logs[years.index(row["year"]), row["month"] - 1] = np.where(values > 0, np.log(values), np.nan)
    return logs


def _verdict(own: np.ndarray, others: np.ndarray, years: int) -> dict[str, Any]:
    """A year's logs on (month, quantile) against those of the others on (year, month, quantile); `judge` says how."""
    shared = np.isfinite(own) & (np.isfinite(others).sum(axis=0) >= YEARS - 1)
    centre = np.full(own.shape, np.nan)
    centre[shared] = np.nanmedian(others[:, shared], axis=0)
    apart = own - centre
    by_month = [float(np.exp(np.nanmean(a))) if np.isfinite(a).any() else None for a in apart]
    count = sum(r is not None for r in by_month)
    found: dict[str, Any] = {"months": count, "ratio": None, "spread": None, "p": None, "outlier": None}
    found |= dict.fromkeys(JUDGED) | {"by_month": by_month}
    if count < MONTHS:
        return found
    rest = [float(np.nanmean(o - centre)) for o in others if np.isfinite(o - centre).any()]
    free = len(rest) - 1
    spread = np.sqrt((WORTH * USUAL**2 * 12 / count + free * np.var(rest, ddof=1)) / (WORTH + free))
    log = float(np.mean(np.log([r for r in by_month if r is not None])))
    t = log / (spread * np.sqrt(1 + np.pi / 2 / len(rest)))
    p = min(1.0, 2 * float(stats.t.sf(abs(t), WORTH + free)) * years)
    quantiles = {
        q: float(np.exp(np.nanmean(a))) if np.isfinite(a).any() else None for q, a in zip(JUDGED, apart.T, strict=True)
    }
    outlier = p < SIGNIFICANT and abs(log) > np.log(RELEVANT)
    return found | {"ratio": float(np.exp(log)), "spread": float(spread), "p": p, "outlier": bool(outlier)} | quantiles


def _files(found: list[tuple[int, str]], by_month: Sequence[float | None]) -> list[str]:
    """Files out of (month, file), those of the months that stand out most first."""
    far = [abs(np.log(r)) if r is not None else 0.0 for r in by_month]
    return list(dict.fromkeys(file for _, file in sorted(found, key=lambda f: (-far[f[0] - 1], f[1]))))
