"""Scores of series as tables, by task, by what was told, and by lead: forecasts and reanalyses are never in one table."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.table import Table

from airloom.methods.aqnet.around import TITLES as AROUND
from airloom.methods.aqnet.baselines import BASELINES
from airloom.methods.aqnet.beside import TITLES as NETWORKS
from airloom.methods.aqnet.score import ALONE, OURS
from airloom.verify.tables import number, with_interval

WHAT = {
    "seen": "forecasts at stations that are seen",
    "hidden": "stations of which nothing but the place is known",
    "gaps": "blocks of hours that were taken out",
}
HEADS = ("RMSE", "MAE", "R²", "bias", "ΔRMSE of AQ-Net")


def title(model: str) -> str:
    """How tables name a model.

    >>> title("aqnet"), title("gradient-boosting"), title("kriging, persisting")
    ('AQ-Net', 'Gradient boosting', 'Ordinary kriging, persisting')
    """
    name, comma, rest = model.partition(",")
    names = {
        OURS: "AQ-Net",
        ALONE: "AQ-Net's networks alone",
        **{k: v[0] for k, v in BASELINES.items()},
        **NETWORKS,
        **AROUND,
    }
    return f"{names.get(name, name)}{comma}{rest}"


def groups(scores: Mapping[str, Any]) -> Iterator[tuple[str, str, list[dict[str, Any]]]]:
    """Rows of what belongs in one table: task, what was told, rows by lead and from the best RMSE to the worst."""
    keys = dict.fromkeys((r["task"], r["what"]) for r in scores["rows"])
    for task, what in keys:
        rows = [r for r in scores["rows"] if (r["task"], r["what"]) == (task, what)]
        yield task, what, sorted(rows, key=lambda r: (r["lead"], r["rmse"]))


def cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    """A row's scores in print, as HEADS."""
    gap = row.get("rmse_difference")
    return (
        with_interval(row["rmse"], row["rmse_ci"]),
        number(row["mae"]),
        with_interval(row["r2"], row["r2_ci"], digits=3),
        number(row["bias"], signed=True),
        with_interval(gap, row["rmse_difference_ci"], signed=True) if gap is not None else "–",
    )


def tables(scores: Mapping[str, Any]) -> list[Table]:
    """Scores for a terminal."""
    found = []
    for task, what, rows in groups(scores):
        heading = f"{task}: {WHAT[what]}; 95 % intervals over weeks; RMSE, MAE and bias in µg/m³"
        table = Table(title=heading, title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for head in ("lead" if what != "gaps" else "share", "model"):
            table.add_column(head)
        for head in ("n", *HEADS):
            table.add_column(head, justify="right", no_wrap=True)
        for row in rows:
            table.add_row(f"{row['lead']:g}", title(row["model"]), f"{row['n']:,}", *cells(row))
        found.append(table)
    return found
