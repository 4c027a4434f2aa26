"""Scores of paired values: sums that add, and intervals from resampled days.

The common currency is a table of *pairs*, one row for each day and station where both a prediction and an observation
exist, with the columns of `PAIRS`. `phase` is null for what has no phases (the baselines); `target` says whether the
station was withheld from training.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import polars as pl

from airloom.errors import DataError

PAIRS = {
    "model": pl.String,
    "phase": pl.Int64,
    "target": pl.String,  # withheld or training
    "station": pl.String,
    "type": pl.String,
    "area": pl.String,
    "time": pl.Date,
    "predicted": pl.Float64,  # µg m⁻³
    "observed": pl.Float64,  # µg m⁻³
}
AREAS = ("urban", "suburban", "rural")
SEASONS = {
    "winter (DJF)": (12, 1, 2),
    "spring (MAM)": (3, 4, 5),
    "summer (JJA)": (6, 7, 8),
    "autumn (SON)": (9, 10, 11),
}
SCORES = ("rmse", "mae", "r", "r2", "bias")
Sum = float | np.ndarray


@dataclass(frozen=True)
class Moments:
    """Sums from which every score of paired values follows; `a + b` scores the two sets together.

    x is predicted and y observed [µg m⁻³]. A sum may also be an array, such as one value a day; the scores then have its
    shape. A score that the values do not define (fewer than two pairs, or no variance to explain) is NaN on purpose.
    """

    n: Sum  # pairs
    e: Sum  # Σ|x − y|
    x: Sum  # Σx, and so on
    y: Sum
    xx: Sum
    yy: Sum
    xy: Sum

    @classmethod
    def of(cls, predicted: np.ndarray, observed: np.ndarray, *, where: np.ndarray) -> "Moments":
        """Sums over the pairs marked by `where` (boolean, same shape as both values)."""
        p, o = predicted[where], observed[where]
        return cls(float(p.size), *(float(s.sum()) for s in (abs(p - o), p, o, p * p, o * o, p * o)))

    @classmethod
    def by_day(cls, predicted: np.ndarray, observed: np.ndarray, day: np.ndarray, days: int) -> "Moments":
        """Sums on (day,); `day` is each pair's day as an index below `days`."""
        p, o = predicted, observed
        return cls(*(np.bincount(day, s, days) for s in (np.ones_like(p), abs(p - o), p, o, p * p, o * o, p * o)))

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def total(self) -> "Moments":
        """All days together."""
        return Moments(*(float(np.sum(s)) for s in astuple(self)))

    def resampled(self, multiplicities: np.ndarray) -> "Moments":
        """Sums on (draw,), out of sums on (day,) and how often each draw holds each day, on (draw, day)."""
        return Moments(*(multiplicities @ np.stack(astuple(self), axis=1)).T)

    @property
    def rmse(self) -> Sum:
        """√(Σ(x−y)²/n) [µg m⁻³]."""
        return np.sqrt(_ratio(self._errors, self.n, self.n > 1))

    @property
    def mae(self) -> Sum:
        """Σ|x−y| / n [µg m⁻³]."""
        return _ratio(self.e, self.n, self.n > 1)

    @property
    def bias(self) -> Sum:
        """Σ(x−y) / n [µg m⁻³]: positive where too much is predicted."""
        return _ratio(self.x - self.y, self.n, self.n > 1)

    @property
    def r(self) -> Sum:
        """Pearson's correlation."""
        sxx, syy = self._spread(self.x, self.xx), self._spread(self.y, self.yy)
        sxy = self.xy - self.x * self.y / np.maximum(self.n, 1)
        return np.clip(_ratio(sxy, np.sqrt(sxx * syy), (sxx > 0) & (syy > 0)), -1, 1)

    @property
    def r2(self) -> Sum:
        """1 − Σ(x−y)² / Σ(y−ȳ)²: the share of observed variance explained, not the square of r."""
        syy = self._spread(self.y, self.yy)
        return 1 - _ratio(self._errors, syy, syy > 0)

    @property
    def _errors(self) -> Sum:
        """Σ(x−y)², not below zero by rounding."""
        return np.maximum(self.xx - 2 * self.xy + self.yy, 0)

    def _spread(self, s: Sum, ss: Sum) -> Sum:
        """Σ(v−v̄)², exactly zero where rounding is all there is."""
        spread = ss - s * s / np.maximum(self.n, 1)
        return np.where((self.n > 1) & (spread > 1e-12 * ss), spread, 0.0)


def _ratio(a: Sum, b: Sum, where: bool | np.ndarray) -> Sum:
    """Quotient a / b, NaN outside `where`."""
    return np.divide(a, b, out=np.full(np.shape(a), np.nan), where=where)[()]


def pair(
    predicted: np.ndarray,
    observed: np.ndarray,
    days: np.ndarray,
    stations: pl.DataFrame,
    withheld: np.ndarray,
    *,
    model: str,
    phase: int | None = None,
) -> pl.DataFrame:
    """The pairs of one model: a row wherever both values are there.

    Both values are on (time, station) [µg m⁻³], NaN where there is none; `days` is datetime64[D] on (time,), `withheld`
    boolean on (station,), and `stations` has a row for each station in that order, with the columns station, type, area.
    A baseline has no phase.
    """
    time, station = np.nonzero(np.isfinite(predicted) & np.isfinite(observed))
    who = stations.select("station", "type", "area")[station]
    return who.select(
        pl.lit(model).alias("model"),
        pl.lit(phase, pl.Int64).alias("phase"),
        pl.Series("target", np.where(withheld[station], "withheld", "training"), pl.String),
        pl.col("station", "type", "area").cast(pl.String),
        pl.Series("time", days[time].astype("datetime64[D]"), pl.Date),
        pl.Series("predicted", predicted[time, station].astype(float)),
        pl.Series("observed", observed[time, station].astype(float)),
    )


def check(pairs: pl.DataFrame) -> None:
    """See that a table of pairs is one.

    Raises:
        DataError: a column is absent, a value is not finite, or a station has two values of one model on one day.
    """
    if absent := [c for c in PAIRS if c not in pairs.columns]:
        raise DataError(
            f"pairs: columns {absent} are absent; expected {list(PAIRS)}. `airloom.verify.scores.pair` makes them."
        )
    for column in ("predicted", "observed"):
        bad = pairs.filter(pl.col(column).is_null() | ~pl.col(column).is_finite())
        if bad.height:
            raise DataError(
                f"pairs: {bad.height} values of {column!r} are not finite, the first of {_where(bad)}. Leave out such rows."
            )
    key = ["model", "phase", "target", "station", "time"]
    twice = pairs.filter(pl.struct(key).is_duplicated())
    if twice.height:
        raise DataError(
            f"pairs: {twice.height} rows repeat a station's day, the first of {_where(twice)}. Keep one of each."
        )


def _where(rows: pl.DataFrame) -> str:
    first = rows.row(0, named=True)
    phase = "" if first["phase"] is None else f" phase {first['phase']}"
    return f"{first['model']}{phase}, station {first['station']}, {first['time']}"


def of_model(pairs: pl.DataFrame, model: tuple[str, int | None]) -> pl.DataFrame:
    """The rows of a table of pairs, or of scores, that are of one model and phase."""
    name, phase = model
    return pairs.filter((pl.col("model") == name) & pl.col("phase").eq_missing(pl.lit(phase, pl.Int64)))


@lru_cache(maxsize=64)
def multiplicities(days: int, draws: int, seed: int) -> np.ndarray:
    """How often each bootstrap draw holds each day, on (draw, day): `days` days drawn with replacement."""
    drawn = np.random.default_rng(seed).multinomial(days, np.full(days, 1 / days), size=draws).astype(float)
    drawn.setflags(write=False)
    return drawn


def interval(values: np.ndarray) -> list[float] | None:
    """The central 95 % of bootstrap draws; none where no draw defines the score."""
    values = values[np.isfinite(values)]
    return [float(v) for v in np.percentile(values, [2.5, 97.5])] if values.size else None


def score_rows(pairs: pl.DataFrame, *, draws: int, seed: int) -> list[dict[str, Any]]:
    """Scores of every model, phase and target, in every stratum, with 95 % intervals.

    Strata: `all`; the areas; the seasons; `anomaly`, the deviation of both values from their own same-day mean over the
    target's stations (days with fewer than two are left out), which asks for the pattern between stations that a common
    daily signal hides; `station:ID`. Intervals resample whole days, since the stations of one day err together; they do
    not say how other stations would fare.

    Raises:
        DataError: as `check`.
    """
    check(pairs)
    rows = []
    for (model, phase, target), group in pairs.group_by("model", "phase", "target", maintain_order=True):
        head = {"model": model, "phase": phase, "target": target}
        tail = {"level": 0, "period": _period(group["time"])}
        for stratum, part in strata(group):
            rows.append({**head, "stratum": stratum, **tail, **_scored(part, draws, seed)})
    return rows


def strata(group: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame]]:
    """The strata of one model's pairs that hold any."""
    yield "all", group
    parts: Mapping[str, pl.DataFrame] = {
        **{area: group.filter(pl.col("area") == area) for area in AREAS},
        **{season: group.filter(pl.col("time").dt.month().is_in(months)) for season, months in SEASONS.items()},
        "anomaly": anomalies(group),
        **{f"station:{s}": group.filter(pl.col("station") == s) for s in group["station"].unique().sort()},
    }
    yield from ((name, part) for name, part in parts.items() if part.height)


def anomalies(group: pl.DataFrame) -> pl.DataFrame:
    """One model's pairs of one target, each value less its same-day mean over the stations that have a pair."""
    # rounded, so that a prediction equal everywhere is constant and not a pattern of rounding errors
    centred = [(pl.col(c) - pl.col(c).mean().over("time")).round(9).alias(c) for c in ("predicted", "observed")]
    return group.filter(pl.len().over("time") > 1).with_columns(centred)


def _scored(part: pl.DataFrame, draws: int, seed: int) -> dict[str, Any]:
    day, days = _days(part)
    return scored(Moments.by_day(part["predicted"].to_numpy(), part["observed"].to_numpy(), day, days), draws, seed)


def scored(sums: Moments, draws: int, seed: int) -> dict[str, Any]:
    """Scores of sums on (day,) with their intervals over days, as a row for JSON."""
    days = np.size(sums.n)
    total = sums.total()
    drawn = sums.resampled(multiplicities(days, draws, seed)) if days > 1 else total
    scores = {name: plain(getattr(total, name)) for name in SCORES}
    intervals = {f"{s}_ci": interval(getattr(drawn, s)) if days > 1 and scores[s] is not None else None for s in SCORES}
    return {"n": int(total.n), "days": days, **scores, **intervals}


def differences(pairs: pl.DataFrame, reference: tuple[str, int | None], *, draws: int, seed: int) -> list[dict[str, Any]]:
    """How much the reference differs from each other model, on the rows that both have.

    Returns for each other model, phase and target: `rmse_difference` [µg m⁻³] and `r2_difference`, reference minus other
    (a negative RMSE and a positive R² speak for the reference), each with its paired 95 % interval (both models resampled
    on the same days) and whether that excludes zero; besides, the RMSE of both on the common rows.

    Raises:
        DataError: as `check`, or the reference has no pairs.
    """
    check(pairs)
    name, phase = reference
    is_reference = (pl.col("model") == name) & pl.col("phase").eq_missing(pl.lit(phase, pl.Int64))
    own = pairs.filter(is_reference).select("target", "station", "time", pl.col("predicted").alias("reference"))
    if own.is_empty():
        raise DataError(f"pairs: the reference {name!r}, phase {phase}, has none; there are {_models(pairs)}.")
    rows = []
    others = pairs.filter(~is_reference).join(own, on=["target", "station", "time"], how="inner", maintain_order="left")
    for (model, other_phase, target), part in others.group_by("model", "phase", "target", maintain_order=True):
        head = {"model": model, "phase": other_phase, "target": target, "reference": name, "reference_phase": phase}
        rows.append({**head, **_compared(part, draws, seed)})
    return rows


def _compared(part: pl.DataFrame, draws: int, seed: int) -> dict[str, Any]:
    day, days = _days(part)
    observed = part["observed"].to_numpy()
    ours, theirs = (Moments.by_day(part[c].to_numpy(), observed, day, days) for c in ("reference", "predicted"))
    return compared(ours, theirs, draws, seed)


def compared(ours: Moments, theirs: Moments, draws: int, seed: int) -> dict[str, Any]:
    """Differences of RMSE and R², ours minus theirs, of sums on the same (day,), as a row for JSON."""
    days = np.size(ours.n)
    drawn = multiplicities(days, draws, seed)
    row: dict[str, Any] = {"n": int(ours.total().n), "days": days}
    for score in ("rmse", "r2"):
        a, b = getattr(ours.total(), score), getattr(theirs.total(), score)
        spread = getattr(ours.resampled(drawn), score) - getattr(theirs.resampled(drawn), score)
        between = interval(spread) if days > 1 and np.isfinite(a - b) else None
        row |= {f"reference_{score}": plain(a), f"other_{score}": plain(b), f"{score}_difference": plain(a - b)}
        row |= {
            f"{score}_difference_ci": between,
            f"{score}_excludes_zero": between is not None and not between[0] <= 0 <= between[1],
        }
    return row


def _days(part: pl.DataFrame) -> tuple[np.ndarray, int]:
    """Each row's day as an index, and how many days there are."""
    unique, index = np.unique(part["time"].to_numpy(), return_inverse=True)
    return index, len(unique)


def plain(value: Sum) -> float | None:
    """A number that JSON can hold: None for NaN."""
    return float(value) if np.isfinite(value) else None


def _period(time: pl.Series) -> str:
    years: Sequence[int] = time.dt.year().unique().sort().to_list()
    return str(years[0]) if len(years) == 1 else ", ".join(map(str, years))


def _models(pairs: pl.DataFrame) -> list[tuple[str, int | None]]:
    return [(m, p) for m, p in pairs.select("model", "phase").unique(maintain_order=True).iter_rows()]
