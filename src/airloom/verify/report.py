"""The report of a run: one HTML file that needs nothing else, to read, print and pass on."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import yaml

from airloom.errors import DataError
from airloom.grid import Grid
from airloom.hours import WHOLE_DAY, named
from airloom.infer.cf import SYMBOLS
from airloom.ledger import Ledger
from airloom.verify import figures
from airloom.verify.baselines import BASELINES
from airloom.verify.evaluation import CAMS, Volumes
from airloom.verify.html import cards, embed, link, section, table, write_page
from airloom.verify.report_ledger import ledger_section
from airloom.verify.report_stations import station_sections
from airloom.verify.report_volumes import volume_sections
from airloom.verify.scores import AREAS, SEASONS
from airloom.verify.tables import (
    best_baseline,
    difference_from,
    last_phase,
    method_row,
    model_title,
    number,
    overall,
    stations_of,
    title_within,
    with_interval,
    withheld,
)
from airloom.verify.volumes import ASSIMILATED, Model


def write_report(
    path: Path,
    *,
    study: Mapping[str, Any],
    scores: Mapping[str, Any],
    pairs: pl.DataFrame,
    grid: Grid,
    field_mean: np.ndarray,
    seasons: Mapping[str, np.ndarray],
    stations: pl.DataFrame,
    ledger: Ledger,
    facts: Mapping[str, Any],
    training: Sequence[Mapping[str, Any]] | None = None,
    volumes: Volumes | None = None,
    places: pl.DataFrame | None = None,
    more: Mapping[str, str] | None = None,
    split: str | None = None,
) -> None:
    """Write a run's report as one self-contained HTML file, whole or not at all.

    `study` is the resolved study as plain keys and values; `scores` is what `tables.evaluate` gave for `pairs`;
    `field_mean` on (y, x) [µg m⁻³] is the last phase's mean over the verified days, and `seasons` the same for each
    season, by the names of `scores.SEASONS`; `stations` is the table of `Stations` with a boolean column `withheld`;
    `facts` are timings, versions and sizes to state; `training` holds one entry an epoch: phase, epoch, train, validation;
    `volumes` is the evaluation of whole fields, where the study has a chemistry model or a truth; `places`, columns station and
    place, says which lie at the centre or the edge of a network's tiles; `more` are further sections, HTML
    by their titles; `split` says who was withheld where that is not a part of the stations.

    Raises:
        DataError: the pairs hold no phase of a method at withheld stations, or a field does not fit the grid.
    """
    reference, row = last_phase(pairs), method_row(scores)
    if reference is None or row is None:
        raise DataError("report: the pairs hold no phase of a method at withheld stations. Predict them before reporting.")
    whole_fields = {f"{n}, phase {p}": f[0] for (n, p), f in volumes.means.items()} if volumes else {}
    for name, field in {"field_mean": field_mean, **seasons, **whole_fields}.items():
        if field.shape != grid.shape:
            raise DataError(f"report: {name} has shape {field.shape}; the grid has {grid.shape} cells on (y, x).")
    rival = best_baseline(scores)
    beside = [reference, *([(rival["model"], None)] if rival else [])]
    phases = [(r["model"], r["phase"]) for r in overall(scores) if r["phase"] is not None]
    names = {s: n or s for s, n in stations.select("station", "name").iter_rows()}
    observed = pairs.filter((pl.col("model") == reference[0]) & (pl.col("phase") == reference[1]))
    seen = _with_means(stations, observed)
    sections = {
        "Map": _maps(field_mean, grid, stations, observed, row),
        "Seasons": _seasons(seasons, grid, stations, observed),
        "Scores": _scores(scores),
        "Differences": _differences(scores),
        "By area and season": _strata(scores, rival),
        "By station": _stations(scores, stations, rival),
        "Scatter": _scatter(pairs, beside),
        "Time series": _series(pairs, beside, names) + _bias(pairs, [*phases, *beside[1:]]),
        **(volume_sections(volumes, grid, seen) if volumes else {}),
        **station_sections(pairs, grid, seen, places, draws=scores["draws"], seed=scores["seed"]),
        **(more or {}),
        "Training": _training(training),
        "Ledger": ledger_section(ledger),
        "Settings": f"<pre>{escape(yaml.safe_dump(dict(study), sort_keys=False, allow_unicode=True))}</pre>",
        "Provenance": _provenance(facts, scores),
    }
    sections = {title: content for title, content in sections.items() if content}
    body = _headline(study, scores, stations, row, rival, list(sections), split)
    body += "".join(section(title, content) for title, content in sections.items())
    write_page(path, str(study["title"]), body)


def _headline(
    study: Mapping[str, Any],
    scores: Mapping[str, Any],
    stations: pl.DataFrame,
    row: Mapping[str, Any],
    rival: Mapping[str, Any] | None,
    titles: list[str],
    split: str | None,
) -> str:
    lon, lat = study["grid"]["centre"]
    rows, columns = study["grid"]["shape"]
    cell = study["grid"].get("cell", 2000) / 1000
    first, end = study.get("hours", WHOLE_DAY)
    what = SYMBOLS[str(study.get("pollutant", "no2"))]
    mean = named((first, end))
    withheld = f"{int(stations['withheld'].sum())} of them withheld"
    where = (
        f"{mean[0].upper()}{mean[1:]} {what} on {rows} × {columns} cells of {cell:g} km "
        f"around {lon:g}°E, {lat:g}°N; {escape(row['period'])}; {stations.height} station cells, {split or withheld}."
    ).replace("-", "−")
    numbers = [
        (number(row["rmse"]), "RMSE [µg m⁻³]", _span(row["rmse_ci"])),
        (number(row["r2"]), "R²", _span(row["r2_ci"])),
        (number(row["r"]), "correlation r", _span(row["r_ci"])),
        (number(row["bias"], signed=True), "bias [µg m⁻³]", _span(row["bias_ci"], signed=True)),
        (f"{row['n']:,}", "station-days", f"on {row['days']:,} days"),
    ]
    links = " ".join(link(t) for t in titles)
    return (
        f'<h1>{escape(str(study["title"]))}</h1><p class="where">{where}</p>'
        f'<p class="lead">{_sentence(scores, row, rival)}</p>{cards(numbers)}<nav>{links}</nav>'
    )


def _sentence(scores: Mapping[str, Any], row: Mapping[str, Any], rival: Mapping[str, Any] | None) -> str:
    """The result in words: the last phase at withheld stations, and the best baseline beside it."""
    text = (
        f"At stations that it never saw, <b>{escape(model_title(row['model'], row['phase']))}</b> has an RMSE of "
        f"{with_interval(row['rmse'], row['rmse_ci'])} µg\u00a0m⁻³ and an R² of {with_interval(row['r2'], row['r2_ci'])}."
    )
    gap = difference_from(scores, rival["model"], None, "withheld") if rival else None
    if rival is None or gap is None or gap["rmse_difference"] is None:
        return text
    title = escape(title_within(rival["model"]))
    if gap["rmse_excludes_zero"]:
        verdict = "lower than" if gap["rmse_difference"] < 0 else "higher than"
    else:
        verdict = "not distinguishable from"
    return (
        f"{text} The best baseline, {title}, has {number(gap['other_rmse'])} and {number(gap['other_r2'])} on the same "
        f"{gap['n']:,} station-days: the method's error is <b>{verdict}</b> the baseline's "
        f"(difference {with_interval(gap['rmse_difference'], gap['rmse_difference_ci'], signed=True)} µg\u00a0m⁻³)."
    )


def _maps(mean: np.ndarray, grid: Grid, stations: pl.DataFrame, observed: pl.DataFrame, row: Mapping[str, Any]) -> str:
    figure = figures.annual_map(
        mean, grid, _with_means(stations, observed), title=f"Mean of {row['days']:,} days of {row['period']}"
    )
    return embed(figure, "The mean of the fields of all days, and in the same colours the observed means of the stations.")


def _seasons(seasons: Mapping[str, np.ndarray], grid: Grid, stations: pl.DataFrame, observed: pl.DataFrame) -> str:
    if not seasons:
        return ""
    months = {s: observed.filter(pl.col("time").dt.month().is_in(SEASONS[s])) for s in seasons}
    placed = {s: _with_means(stations, part) for s, part in months.items()}
    return embed(
        figures.season_maps(seasons, grid, placed),
        "Means of the seasons over the same days; colours are common to all four.",
    )


def _with_means(stations: pl.DataFrame, observed: pl.DataFrame) -> pl.DataFrame:
    """Stations that have values, with the mean of what they observed."""
    return stations.join(
        observed.group_by("station").agg(pl.col("observed").mean()), on="station", how="inner", maintain_order="left"
    )


def _scores(scores: Mapping[str, Any]) -> str:
    parts = []
    for target in (*withheld(scores), "training"):
        if rows := overall(scores, target):
            parts.append(f"<h3>At {stations_of(target)}</h3>" + _score_table(rows, overall(scores, target, "anomaly")))
    note = (
        "Square brackets are 95 % intervals from resampled days; they do not say how other stations would fare. "
        "R² is 1 − Σ(x−y)²/Σ(y−ȳ)². Anomaly R² scores each value's deviation from the same-day mean over these stations: the "
        "pattern between stations, without the signal of the day that they share. Where n differs between rows, compare by "
        "the differences below, which use common rows only. Baselines never use a training station for its own prediction; "
        "the method has seen the training stations."
    )
    used = {r["model"] for r in scores["rows"] if r["phase"] is None}
    known = [b for name, b in BASELINES.items() if name in used]
    described = [(b.title, b.description) for b in known]
    if CAMS[0] in used:
        what = (
            "The chemistry model's mean of the same hours at the ground, bilinear between its cells' centres; not corrected."
        )
        described.append((model_title(*CAMS), what))
    drawn = sorted({(r["model"], r["phase"]) for r in scores["rows"] if r["model"].endswith(ASSIMILATED)})
    how = (
        "That phase's field, mixed with boosted trees by the share that the study gives them, drawn to the same day's "
        "training stations."
    )
    described += [(model_title(*m), how) for m in drawn]
    legend = table(("Model", "What it is"), described)
    caption = (
        "RMSE at withheld stations with 95 % intervals; blue the method's phases, violet one drawn to the day's stations."
    )
    bars = embed(figures.score_bars(scores), caption)
    return "".join(parts) + f'<p class="note">{note}</p>{bars}{legend}'


def _score_table(rows: list[dict[str, Any]], anomaly: list[dict[str, Any]]) -> str:
    pattern = {(r["model"], r["phase"]): r["r2"] for r in anomaly}
    cells = [
        (
            model_title(r["model"], r["phase"]),
            f"{r['n']:,}",
            with_interval(r["rmse"], r["rmse_ci"]),
            with_interval(r["mae"], r["mae_ci"]),
            with_interval(r["r2"], r["r2_ci"]),
            number(r["r"]),
            with_interval(r["bias"], r["bias_ci"], signed=True),
            number(pattern.get((r["model"], r["phase"]))),
        )
        for r in rows
    ]
    ours = {i for i, r in enumerate(rows) if r["phase"] is not None}
    return table(("Model", "n", "RMSE [µg m⁻³]", "MAE [µg m⁻³]", "R²", "r", "Bias [µg m⁻³]", "Anomaly R²"), cells, ours)


def _differences(scores: Mapping[str, Any]) -> str:
    return "".join(_differences_at(scores, target) for target in withheld(scores))


def _differences_at(scores: Mapping[str, Any], target: str) -> str:
    rows = [d for d in scores["differences"] if d["target"] == target]
    if not rows:
        return ""
    cells = [
        (
            model_title(d["model"], d["phase"]),
            f"{d['n']:,}",
            with_interval(d["rmse_difference"], d["rmse_difference_ci"], signed=True),
            with_interval(d["r2_difference"], d["r2_difference_ci"], signed=True),
            "yes" if d["rmse_excludes_zero"] else "no",
        )
        for d in rows
    ]
    name = escape(model_title(rows[0]["reference"], rows[0]["reference_phase"]))
    return (
        f"<p>{name} less each other model at {stations_of(target)}, on the station-days that both predict. A negative ΔRMSE and a "
        "positive ΔR² speak for the method; the intervals resample the same days for both.</p>"
        + table(("Compared with", "n", "ΔRMSE [µg m⁻³]", "ΔR²", "Interval of ΔRMSE excludes zero"), cells)
    )


def _strata(scores: Mapping[str, Any], rival: Mapping[str, Any] | None) -> str:
    rows = [r for stratum in (*AREAS, *SEASONS, "anomaly") if (r := _row(scores, "withheld", stratum))]
    cells = [(r["stratum"].replace("anomaly", "same-day anomalies"), *_beside(scores, r, rival)) for r in rows]
    return _beside_note(rows, rival) + table(("Stratum", *_beside_heads(rival)), cells)


def _stations(scores: Mapping[str, Any], stations: pl.DataFrame, rival: Mapping[str, Any] | None) -> str:
    rows, cells = [], []
    for s in stations.filter("withheld").sort("station").iter_rows(named=True):
        if row := _row(scores, "withheld", f"station:{s['station']}"):
            rows.append(row)
            kind = ", ".join(v for v in (s["type"], s["area"]) if v)
            cells.append((f"{s['name'] or s['station']} ({s['station']})", kind, *_beside(scores, row, rival)))
    return _beside_note(rows, rival) + table(("Withheld station", "Type", *_beside_heads(rival)), cells)


def _row(scores: Mapping[str, Any], target: str, stratum: str) -> dict[str, Any] | None:
    """The method's last phase in one stratum."""
    rows = [r for r in overall(scores, target, stratum) if r["phase"] is not None]
    return rows[-1] if rows else None


def _beside_note(rows: Sequence[Mapping[str, Any]], rival: Mapping[str, Any] | None) -> str:
    """Which models a table sets side by side."""
    if not rows:
        return ""
    own = escape(model_title(rows[0]["model"], rows[0]["phase"]))
    beside = f", and beside it {escape(title_within(rival['model']))}, the best baseline" if rival else ""
    return f"<p>{own} at withheld stations{beside}.</p>"


def _beside_heads(rival: Mapping[str, Any] | None) -> tuple[str, ...]:
    return "n", "RMSE [µg m⁻³]", "R²", "Bias [µg m⁻³]", *(("Baseline RMSE", "Baseline R²") if rival else ())


def _beside(scores: Mapping[str, Any], row: Mapping[str, Any], rival: Mapping[str, Any] | None) -> tuple[str, ...]:
    """The method's scores in a stratum, and the best baseline's."""
    own = (
        f"{row['n']:,}",
        with_interval(row["rmse"], row["rmse_ci"]),
        with_interval(row["r2"], row["r2_ci"]),
        number(row["bias"], signed=True),
    )
    if rival is None:
        return own
    other = next((r for r in overall(scores, row["target"], row["stratum"]) if r["model"] == rival["model"]), None)
    return *own, number(other["rmse"] if other else None), number(other["r2"] if other else None)


def _scatter(pairs: pl.DataFrame, beside: Sequence[Model]) -> str:
    return embed(
        figures.scatter(pairs, beside),
        "Station-days at withheld stations; the line is 1:1. The scores count days beyond the axes too.",
    )


def _series(pairs: pl.DataFrame, beside: Sequence[Model], names: Mapping[str, str]) -> str:
    return embed(
        figures.series_at_stations(pairs, beside, names),
        "Withheld stations from the best predicted to the worst, weekly means; each panel has its own scale.",
    )


def _bias(pairs: pl.DataFrame, models: Sequence[Model]) -> str:
    return embed(figures.monthly_bias(pairs, models), "Mean error by month at withheld stations.")


def _training(training: Sequence[Mapping[str, Any]] | None) -> str:
    return embed(figures.training_curves(training), "Loss by epoch; each phase has its own scale.") if training else ""


def _provenance(facts: Mapping[str, Any], scores: Mapping[str, Any]) -> str:
    rows = [(key, f"{value:,.4g}" if isinstance(value, float) else str(value)) for key, value in facts.items()]
    rows.append(("bootstrap", f"{scores['draws']} draws of days, seed {scores['seed']}"))
    return table(("Fact", "Value"), rows, text=True)


def _span(between: Sequence[float] | None, *, signed: bool = False) -> str:
    return f"{number(between[0], signed=signed)} … {number(between[1], signed=signed)}" if between else "no interval"
