"""What a run's pairs say, as one dictionary and as a table for the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
from rich.table import Table

from airloom.verify.baselines import BASELINES
from airloom.verify.scores import differences, score_rows
from airloom.verify.volumes import ASSIMILATED

TITLES = {"cams-2km": "CAMS, bilinear to 2 km", "truth": "Truth"}  # models that are neither a method nor a baseline


def evaluate(pairs: pl.DataFrame, *, draws: int, seed: int) -> dict[str, Any]:
    """All scores of a run, ready for JSON: `rows` of `score_rows` and `differences` of the method's last phase.

    Raises:
        DataError: as `airloom.verify.scores.check`.
    """
    reference = last_phase(pairs)
    return {
        "draws": draws,
        "seed": seed,
        "rows": score_rows(pairs, draws=draws, seed=seed),
        "differences": differences(pairs, reference, draws=draws, seed=seed) if reference else [],
    }


def last_phase(pairs: pl.DataFrame) -> tuple[str, int] | None:
    """The method's assimilated model, else that of the highest phase; none where only baselines are there."""
    ours = pairs.filter(pl.col("phase").is_not_null()).select("model", "phase").unique().rows()
    return max(ours, key=turn, default=None)


def turn(model: tuple[str, int]) -> tuple[bool, int]:
    """Where one of the method's models stands among them: by phase, and what is assimilated last."""
    name, phase = model
    return name.endswith(ASSIMILATED), phase


def overall(scores: Mapping[str, Any], target: str = "withheld", stratum: str = "all") -> list[dict[str, Any]]:
    """One row a model: the method's phases in order, what is assimilated, then the baselines from the best RMSE to the worst."""
    rows = [r for r in scores["rows"] if r["target"] == target and r["stratum"] == stratum]
    ours = sorted((r for r in rows if r["phase"] is not None), key=lambda r: turn((r["model"], r["phase"])))
    return ours + sorted((r for r in rows if r["phase"] is None), key=lambda r: _last(r["rmse"]))


def method_row(scores: Mapping[str, Any], target: str = "withheld") -> dict[str, Any] | None:
    """The row of the method's last phase."""
    phases = [r for r in overall(scores, target) if r["phase"] is not None]
    return phases[-1] if phases else None


def best_baseline(scores: Mapping[str, Any], target: str = "withheld") -> dict[str, Any] | None:
    """The baseline's row that is hardest to beat: by RMSE on the rows it shares with the method, else on its own."""
    shared = {
        d["model"]: d["rmse_difference"] for d in scores["differences"] if d["target"] == target and d["phase"] is None
    }
    baselines = [r for r in overall(scores, target) if r["phase"] is None]
    return min(baselines, key=lambda r: (-_first(shared.get(r["model"])), _last(r["rmse"])), default=None)


def difference_from(scores: Mapping[str, Any], model: str, phase: int | None, target: str) -> dict[str, Any] | None:
    """How the method's last phase differs from a model."""
    return next((d for d in scores["differences"] if (d["model"], d["phase"], d["target"]) == (model, phase, target)), None)


def model_title(model: str, phase: int | None) -> str:
    """How tables and figures name a model.

    >>> model_title("dacno2", 3), model_title("network-mean", None), model_title("cams-2km", None)
    ('dacno2, phase 3', 'Network mean', 'CAMS, bilinear to 2 km')
    >>> model_title("dacno2-assimilated", 3)
    'dacno2, phase 3, assimilated'
    """
    if phase is not None:
        name = model.removesuffix(ASSIMILATED)
        return f"{name}, phase {phase}" + (", assimilated" if name != model else "")
    if model in TITLES:
        return TITLES[model]
    return BASELINES[model].title if model in BASELINES else model


def title_within(model: str) -> str:
    """The same of a baseline, within a sentence.

    >>> title_within("network-mean"), title_within("cams-2km")
    ('network mean', 'CAMS, bilinear to 2 km')
    """
    title = model_title(model, None)
    return title if title[:2].isupper() else title[:1].lower() + title[1:]


def number(value: float | None, *, signed: bool = False, digits: int = 2) -> str:
    """A score in print, with a true minus sign; a dash where there is none.

    >>> number(-1.234), number(0.5, signed=True), number(-1e-9), number(None)
    ('−1.23', '+0.50', '0.00', '–')
    """
    if value is None:
        return "–"
    rounded = round(value, digits) + 0.0  # no −0.00
    return f"{rounded:{'+' if signed else ''}.{digits}f}".replace("-", "−")


def with_interval(value: float | None, between: Sequence[float] | None, *, signed: bool = False, digits: int = 2) -> str:
    """A score and its 95 % interval.

    >>> with_interval(4.987, [4.81, 5.163])
    '4.99 [4.81, 5.16]'
    """
    if between is None:
        return number(value, signed=signed, digits=digits)
    low, high = (number(b, signed=signed, digits=digits) for b in between)
    return f"{number(value, signed=signed, digits=digits)} [{low}, {high}]"


def withheld(scores: Mapping[str, Any]) -> list[str]:
    """Targets that the method never saw: "withheld", then those of further cross-validations."""
    return sorted({r["target"] for r in scores["rows"] if r["target"].startswith("withheld")})


def unbroken(name: str, phase: int | None) -> str:
    """A model's title for a narrow column: a phase stays on one line, others break after their comma."""
    title = model_title(name, phase).replace(" ", "\u00a0")
    return title if phase is not None else title.replace(",\u00a0", ", ")


def stations_of(target: str) -> str:
    """How tables name the stations of a target.

    >>> stations_of("withheld"), stations_of("withheld blocks")
    ('withheld stations', 'stations of withheld blocks')
    """
    return f"stations of {target}" if " " in target else f"{target} stations"


def summary_table(scores: Mapping[str, Any], target: str = "withheld") -> Table:
    """The scores at withheld stations, for a terminal of 80 columns; the last column: how much the method's RMSE differs."""
    title = f"Scores at {stations_of(target)}, 95 % intervals over days; RMSE and bias in µg/m³"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("model")
    for heading in ("n", "RMSE", "R²", "bias", "ΔRMSE of the method"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in overall(scores, target):
        gap = difference_from(scores, row["model"], row["phase"], target)
        table.add_row(
            model_title(row["model"], row["phase"]),
            f"{row['n']:,}",
            with_interval(row["rmse"], row["rmse_ci"]),
            number(row["r2"]),
            number(row["bias"], signed=True),
            with_interval(gap["rmse_difference"], gap["rmse_difference_ci"], signed=True) if gap else "–",
        )
    return table


def tables(scores: Mapping[str, Any]) -> list[Table]:
    """The scores of fields as tables for a terminal: at stations that the method never saw, and of whole fields."""
    fields = field_table(scores)
    return [*(summary_table(scores, target) for target in withheld(scores)), *([fields] if fields else [])]


def field_table(scores: Mapping[str, Any]) -> Table | None:
    """The scores of whole fields, at the ground and of all levels together, for a terminal; None where there are none."""
    rows = [
        r for r in scores["rows"] if r["target"] in ("truth", "cams") and r["stratum"] == "all" and r["level"] in (0, None)
    ]
    if not rows:
        return None
    table = Table(
        title="Whole fields; RMSE and bias in µg/m³", title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0)
    )
    for heading in ("against", "level", "model"):
        table.add_column(heading)
    for heading in ("RMSE", "R²", "bias"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in sorted(rows, key=lambda r: (r["target"] != "truth", r["level"] is None)):
        table.add_row(
            {"truth": "the truth", "cams": "CAMS"}[row["target"]],
            "all" if row["level"] is None else "ground",
            model_title(row["model"], row["phase"]),
            with_interval(row["rmse"], row["rmse_ci"]),
            number(row["r2"]),
            number(row["bias"], signed=True),
        )
    return table


def _last(value: float | None) -> float:
    return float("inf") if value is None else value


def _first(value: float | None) -> float:
    return float("-inf") if value is None else value
