"""Tables of a look at a twin: its numbers beside what papers report, with the paper's table or figure."""

import numpy as np
import polars as pl

from airloom.twin.layers import HEIGHTS
from airloom.twin.page_figures import profile
from airloom.twin.page_numbers import Seen
from airloom.verify.html import table
from airloom.verify.scores import Moments
from airloom.verify.tables import number

FEWEST = 3  # days for a correlation at one station
KINDS = (  # type, area
    ("background", "urban"),
    ("background", "suburban"),
    ("background", "rural"),
    ("industrial", "suburban"),
    ("traffic", "urban"),
)

# DACNO₂ paper (000), Table 2: CAMS-2km at withheld stations in 2023: RMSE [µg m⁻³], r, R², bias [µg m⁻³]
TABLE_2 = {
    "all": (5.32, 0.80, 0.61, -1.15),
    "urban": (5.89, 0.82, 0.56, -2.89),
    "suburban": (4.39, 0.84, 0.69, -0.23),
    "rural": (4.79, 0.80, 0.51, 1.98),
}
BY_STATION = 0.85, 0.88, 0.52  # the same paper, §3.1: mean r, median r and median R² of CAMS-2km over its stations' series
# Table 2 again, by height [m]: RMSE [µg m⁻³] and R² of the method's first phase against CAMS; higher up too few digits stand
TABLE_2_HEIGHTS: dict[float, tuple[float, float]] = {
    0: (1.92, 0.85),
    50: (1.58, 0.88),
    250: (1.05, 0.83),
    500: (0.70, 0.79),
    1000: (0.31, 0.72),
}
# the same paper, Fig. 4b and its text: means of 2023 round Paris by height [µg m⁻³]
PARIS: dict[str, dict[float, float]] = {
    "Paris 2023, CAMS (Fig. 4b)": {0: 8.43, 50: 7.15, 250: 3.63},
    "Paris 2023, DACNO₂ (Fig. 4b)": {0: 10.08, 50: 8.94, 250: 4.65},
}


def implied_spread(rmse: float, r2: float) -> float:
    """Standard deviation of the values that predictions were scored against: R² is 1 − RMSE² / variance.

    >>> implied_spread(3.0, 0.75)
    6.0
    """
    return rmse / (1 - r2) ** 0.5


def background(seen: Seen, area: str) -> np.ndarray:
    """Which stations are background stations of an area, bool on (station,)."""
    return which(seen, (pl.col("type") == "background") & (pl.col("area") == area))


def which(seen: Seen, condition: pl.Expr) -> np.ndarray:
    """Stations that meet a condition on `seen.stations`, bool on (station,)."""
    return seen.stations.select(condition.fill_null(False).alias("here"))["here"].to_numpy().astype(bool)


def score(seen: Seen, area: str) -> Moments | None:
    """CAMS against what withheld background stations report, by day; none without pairs."""
    chosen = ~pl.col("assimilated") & (pl.col("type") == "background")
    if area != "all":
        chosen &= pl.col("area") == area
    observed, cams = (seen.daily[n].to_numpy()[:, which(seen, chosen)] for n in ("observed", "cams"))
    pairs = np.isfinite(observed) & np.isfinite(cams)
    return Moments.of(cams.astype(float), observed.astype(float), where=pairs) if pairs.sum() > 1 else None


def scores(seen: Seen) -> str:
    """CAMS at withheld background stations; nothing without values."""
    rows = []
    for area, (rmse, r, r2, bias) in TABLE_2.items():
        if found := score(seen, area):
            pairs = ((found.rmse, rmse, False), (found.r, r, False), (found.r2, r2, False), (found.bias, bias, True))
            cells = [f"{number(float(own), signed=sign)} [{number(there, signed=sign)}]" for own, there, sign in pairs]
            rows.append((area, f"{found.n:,.0f}", *cells))
    if not rows:
        return ""
    text = (
        "Daily means at background stations that the reanalysis did not assimilate, CAMS bilinear. In square brackets what the "
        "DACNO₂ paper (000) reports in Table 2 of CAMS-2km at its withheld stations, industrial ones among them, in 2023."
    )
    heads = ("Stations", "Station-days", "RMSE [µg m⁻³]", "r", "R²", "Bias [µg m⁻³]")
    return table(heads, rows) + note(text) + note(_station_by_station(seen))


def _station_by_station(seen: Seen) -> str:
    """How well CAMS follows each withheld background station alone."""
    here = np.flatnonzero(which(seen, ~pl.col("assimilated") & (pl.col("type") == "background")))
    found = []
    for station in here:
        observed, cams = (seen.daily[n].to_numpy()[:, station].astype(float) for n in ("observed", "cams"))
        pairs = np.isfinite(observed) & np.isfinite(cams)
        if pairs.sum() >= FEWEST:
            one = Moments.of(cams, observed, where=pairs)
            found.append((float(one.r), float(one.r2)))
    if not found:
        return ""
    r, r2 = np.array(found).T
    numbers = [
        f"{number(float(value))} [{number(there)}]"
        for value, there in zip((r.mean(), np.median(r), np.median(r2)), BY_STATION, strict=True)
    ]
    return (
        f"Each station alone: mean r {numbers[0]}, median r {numbers[1]}, median R² {numbers[2]}; in square brackets the "
        "paper's CAMS-2km in 2023 (§3.1, Fig. S3)."
    )


def levels(seen: Seen) -> str:
    """What stations of each kind report; nothing without values."""
    rows = []
    for kind, area in KINDS:
        here = which(seen, (pl.col("type") == kind) & (pl.col("area") == area))
        values = seen.daily["observed"].to_numpy()[:, here]
        values = values[np.isfinite(values)].astype(float)
        if not len(values):
            continue
        spread = implied_spread(TABLE_2[area][0], TABLE_2[area][2]) if kind == "background" else None
        quantiles = (number(q, digits=1) for q in np.percentile(values, [5, 25, 50, 75, 95]))
        deviation = f"{number(float(values.std()), digits=1)} [{number(spread, digits=1)}]"
        mean = number(float(values.mean()), digits=1)
        rows.append((f"{kind}, {area}", str(here.sum()), f"{len(values):,}", mean, deviation, *quantiles))
    if not rows:
        return ""
    text = (
        "Daily means that stations report [µg m⁻³]. In square brackets the standard deviation that follows from the DACNO₂ "
        "paper (000), Table 2, by SD = RMSE / √(1 − R²): of stations of that area, background and industrial together, over "
        "2023. The paper gives no means by type."
    )
    heads = ("Stations", "Number", "Station-days", "Mean", "SD", "5 %", "25 %", "50 %", "75 %", "95 %")
    return table(heads, rows) + note(text)


def note(text: str) -> str:
    """A paragraph under a table or figure."""
    return f'<p class="note">{text}</p>'


def heights(seen: Seen) -> str:
    """NO₂ by height, all as ratios to the ground."""
    columns = [(seen.truth, seen.towns), (seen.truth, seen.country), (seen.cams, seen.towns)]
    means = [profile(fields, cells) if cells.any() else None for fields, cells in columns]
    spreads = [seen.truth.spread, seen.cams.spread]
    ground = implied_spread(*TABLE_2_HEIGHTS[0])
    rows = []
    for level, height in enumerate(HEIGHTS):
        own = [number(p[level] / p[0], digits=3) if p is not None else "–" for p in (*means, *spreads)]
        paris = "–".join(number(there[height] / there[0]) for there in PARIS.values() if 0 < height <= max(there))
        reported = TABLE_2_HEIGHTS.get(height)
        spread = number(implied_spread(*reported) / ground) if reported else "–"
        rows.append((f"{height:g}", *own[:3], paris or "–", *own[3:], spread))
    heads = (
        "Height [m]",
        "Truth, towns",
        "Truth, country",
        "CAMS, towns",
        "Paris, paper",
        "SD, truth",
        "SD, CAMS",
        "SD, paper",
    )
    text = (
        "All are ratios to the ground. Paris: DACNO₂ paper (000), Fig. 4b, CAMS and DACNO₂. SD is the standard deviation over "
        "cells and days; the paper's is that of CAMS over its region in 2023 and follows from Table 2's RMSE and R² at each "
        f"height by SD = RMSE / √(1 − R²). At the ground it is {number(float(seen.truth.spread[0]), digits=1)} (truth), "
        f"{number(float(seen.cams.spread[0]), digits=1)} (CAMS) and {number(ground, digits=1)} µg m⁻³ (paper)."
    )
    return table(heads, rows) + note(text)
