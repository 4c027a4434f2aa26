"""Scores of whole fields, level by level: days are read one at a time and only their sums are kept."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from airloom.errors import DataError
from airloom.verify.scores import Moments, compared, plain, scored

COLUMNS = ((0.0, 1000.0), (1000.0, 5000.0))  # bottom and top of the columns that are scored besides [m]
Model = tuple[str, int | None]
ASSIMILATED = "-assimilated"  # ends the name of a method whose field is drawn to the day's stations
Day = Callable[[int], np.ndarray]  # a day's index to its field on (level, y, x) [µg m⁻³]


def column_weights(levels: Sequence[float], bottom: float, top: float) -> np.ndarray:
    """Weights on (level,) whose sum with a profile is its mean between two levels, by the trapezoid rule.

    >>> column_weights((0, 50, 250), 0, 50).tolist()
    [0.5, 0.5, 0.0]
    """
    heights = np.asarray(levels, float)
    inside = np.flatnonzero((heights >= bottom) & (heights <= top))
    half = np.diff(heights[inside]) / 2
    weights = np.zeros(len(heights))
    weights[inside] = np.append(half, 0) + np.append(0, half)
    return weights / (top - bottom)


def columns_of(levels: Sequence[float]) -> list[tuple[str, np.ndarray]]:
    """Names and weights of the columns of `COLUMNS` that begin and end at a level."""
    there = [(b, t) for b, t in COLUMNS if b in levels and t in levels]
    return [(f"column {b:g}-{t:g} m", column_weights(levels, b, t)) for b, t in there]


class VolumeSums:
    """What the days of one target add up to, for all models on the same cells and days.

    Arguments:
        models: names and phases.
        levels: heights [m], the ground first.
        days: how many days there may be.

    A *band* is a level or, after all levels, a column. Sums stand by day on (day, band) and by cell on (band, y, x).
    """

    def __init__(self, models: Sequence[Model], levels: Sequence[float], days: int) -> None:
        self.models, self.levels, self.columns = tuple(models), tuple(levels), columns_of(levels)
        bands = len(self.levels) + len(self.columns)
        self.by_day = {m: Moments(*np.zeros((7, days, bands))) for m in self.models}
        self.by_cell: dict[Model, Moments] = {}
        self.used = np.zeros(days, bool)

    def add(self, day: int, fields: Mapping[Model, np.ndarray], reference: np.ndarray) -> bool:
        """Take in a day: fields and reference on (level, y, x) [µg m⁻³]; False where no cell has a value of all.

        Raises:
            DataError: a field has another shape than the reference.
        """
        for (name, phase), values in fields.items():
            if values.shape != reference.shape or len(reference) != len(self.levels):
                raise DataError(
                    f"volumes: day {day}, {name}, phase {phase}: shape {values.shape}; the reference has {reference.shape} "
                    f"and there are {len(self.levels)} levels. Bring both to the same cells on (level, y, x)."
                )
        observed = self._bands(reference)
        predicted = {m: self._bands(fields[m]) for m in self.models}
        where = np.logical_and.reduce([np.isfinite(v) for v in (observed, *predicted.values())])
        if not where.any():
            return False
        for model, values in predicted.items():
            sums = _pointwise(np.where(where, values, 0.0), np.where(where, observed, 0.0), where)
            for total, part in zip(_sums(self.by_day[model]), _sums(sums), strict=True):
                total[day] = part.sum((1, 2))
            if model not in self.by_cell:
                self.by_cell[model] = sums
                continue
            for total, part in zip(_sums(self.by_cell[model]), _sums(sums), strict=True):
                total += part
        self.used[day] = True
        return True

    def _bands(self, levels: np.ndarray) -> np.ndarray:
        """A day's levels and, below them, its columns, on (band, y, x)."""
        values = levels.astype(float)
        return np.concatenate([values, *(np.tensordot(w, values, (0, 0))[None] for _, w in self.columns)])

    def rows(self, target: str, period: str, *, draws: int, seed: int) -> list[dict[str, Any]]:
        """Scores like those of `scores.score_rows`: one row a level, one with all pooled (level null), one a column.

        Besides, `temporal_r`: the correlation over days of each cell, its mean over cells; and `regional_r`: that of the
        daily means over all cells. The pooled row has neither.
        """
        rows = []
        for (name, phase), sums in self.by_day.items():
            head = {"model": name, "phase": phase, "target": target}
            for stratum, level, band in self._parts():
                part = self._part(sums, band)
                row = {**head, "stratum": stratum, "level": level, "period": period, **scored(part, draws, seed)}
                rows.append({**row, **self._temporal((name, phase), part, band)})
        return rows

    def differences(self, target: str, against: Model, *, draws: int, seed: int) -> list[dict[str, Any]]:
        """`against` less every other model, by level, pooled and by column, with paired intervals as `scores.differences`."""
        rows = []
        for (name, phase), sums in self.by_day.items():
            if (name, phase) == against:
                continue
            head = {"model": name, "phase": phase, "target": target, "reference": against[0], "reference_phase": against[1]}
            for stratum, level, band in self._parts():
                ours, theirs = self._part(self.by_day[against], band), self._part(sums, band)
                rows.append({**head, "stratum": stratum, "level": level, **compared(ours, theirs, draws, seed)})
        return rows

    def _parts(self) -> Iterator[tuple[str, float | None, int | None]]:
        """Stratum, level and band of each row; all levels pooled have no band."""
        yield "all", None, None
        yield from (("all", float(level), band) for band, level in enumerate(self.levels))
        yield from ((name, None, len(self.levels) + i) for i, (name, _) in enumerate(self.columns))

    def _part(self, sums: Moments, band: int | None) -> Moments:
        """Sums on (day,) of one band, or of all levels together; days that were left out are none."""
        count = len(self.levels)
        chosen = [s[self.used] for s in _sums(sums)]
        return Moments(*(s[:, :count].sum(1) if band is None else s[:, band] for s in chosen))

    def _temporal(self, model: Model, part: Moments, band: int | None) -> dict[str, float | None]:
        if band is None or model not in self.by_cell:
            return {"temporal_r": None, "regional_r": None}
        cells = np.asarray(Moments(*(s[band] for s in _sums(self.by_cell[model]))).r)
        defined = cells[np.isfinite(cells)]
        there = np.asarray(part.n) > 0
        series = [np.asarray(s)[there] / np.asarray(part.n)[there] for s in (part.x, part.y)]
        regional = Moments.of(*series, where=np.ones(int(there.sum()), bool)).r
        return {"temporal_r": float(defined.mean()) if defined.size else None, "regional_r": plain(regional)}


def _sums(sums: Moments) -> tuple[np.ndarray, ...]:
    """The seven sums themselves; `dataclasses.astuple` copies arrays."""
    return tuple(np.asarray(getattr(sums, name)) for name in ("n", "e", "x", "y", "xx", "yy", "xy"))


def _pointwise(p: np.ndarray, o: np.ndarray, where: np.ndarray) -> Moments:
    """Each value's own sums; values outside `where` are zero."""
    return Moments(where.astype(float), abs(p - o), p, o, p * p, o * o, p * o)


@dataclass
class FieldMeans:
    """Running means of several fields over the cells and days that all of them have."""

    total: dict[Model, np.ndarray] = field(default_factory=dict)
    count: np.ndarray | int = 0

    def add(self, fields: Mapping[Model, np.ndarray]) -> None:
        """Take in a day's fields, all on the same (level, y, x)."""
        where = np.logical_and.reduce([np.isfinite(f) for f in fields.values()])
        for model, values in fields.items():
            self.total[model] = self.total.get(model, 0.0) + np.where(where, values, 0.0)
        self.count = self.count + where

    def any(self) -> bool:
        """Whether a cell of some day had all."""
        return bool(np.any(self.count))

    def means(self) -> dict[Model, np.ndarray]:
        """Each field's mean on (level, y, x) as float32 [µg m⁻³], NaN where no day has all."""
        count = np.maximum(self.count, 1)
        return {m: np.where(self.count, t / count, np.nan).astype(np.float32) for m, t in self.total.items()}
