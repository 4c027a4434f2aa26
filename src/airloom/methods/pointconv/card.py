"""A model's card: what it is, how good it was, and what it is for and not for."""

from collections.abc import Mapping, Sequence
from typing import Any

from airloom import __version__
from airloom.infer.cf import SYMBOLS
from airloom.methods.pointconv.study import FusionStudy
from airloom.verify.tables import model_title, number, overall, with_interval, withheld

FOR = (
    "daily means out of any network of the region's stations or sensors: new ones, moving ones, more or fewer than it was scored with",
    "places between some and some hundred kilometres from the next station",
    "a field as a first guess, before anything better is trained",
)
NOT_FOR = (
    "streets, plumes and other things smaller than a cell",
    "cells whose `coverage` is near 0: no station reaches them",
    "other kinds of places than stations stand at",
    "hours, forecasts, and other regions, whose maps it does not hold",
    "proof that a limit value was kept or exceeded",
)


def card(study: FusionStudy, scores: Mapping[str, Any], weights: int) -> str:
    """The card as Markdown, out of a run's `scores` and the number of the network's weights."""
    symbol, cells = SYMBOLS[study.pollutant], " × ".join(map(str, study.grid.shape))
    parts = [
        f"# {study.title}",
        f"`airloom fuse` makes {symbol} fields on {cells} cells of {study.grid.cell / 1000:g} km of it. PointConv fusion, preset "
        f"`{study.method.preset}`, {weights:,} weights, taught by {study.teachers}; {_seen(study)}.",
        f"Made by `airloom run studies/{study.name}.yaml`, airloom {__version__}.",
        *(_scores(scores, target) for target in withheld(scores)),
        "## Intervals at left-out stations\n\n"
        + _table(("nominal", "found [%]", "mean width [µg m⁻³]"), interval_rows(scores["intervals"])),
        "## For\n\n" + _list(FOR),
        "## Not for\n\n" + _list(NOT_FOR),
    ]
    return "\n\n".join(parts) + "\n"


def _seen(study: FusionStudy) -> str:
    """What the network knows of observations."""
    if study.adaptation:
        return "adapted to the stations below, of which each was left out in turn to score it; fields and intervals are of background air"
    return (
        "a chemistry model may have seen observations, the network has not"
        if study.models
        else "it has never seen an observation"
    )


def _scores(scores: Mapping[str, Any], target: str) -> str:
    rows = overall(scores, target)
    left_out = target.removeprefix("withheld").strip() or "stations"
    lines = [
        (
            model_title(r["model"], r["phase"]),
            f"{r['n']:,}",
            with_interval(r["rmse"], r["rmse_ci"]),
            number(r["r2"]),
            number(r["bias"], signed=True),
        )
        for r in rows
    ]
    return f"## {left_out.capitalize()} left out, {rows[0]['period']}\n\n" + _table(
        ("", "n", "RMSE [µg m⁻³]", "R²", "bias"), lines
    )


def interval_rows(found: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, str]]:
    """What `intervals.coverage` found in print: nominal, found [%], mean width [µg m⁻³]."""
    return [
        (
            f"{r['nominal']:.0%}",
            with_interval(100 * r["coverage"], [100 * c for c in r["coverage_ci"]], digits=1),
            number(r["width"], digits=1),
        )
        for r in found
    ]


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, ["---"] * len(heads), *rows))


def _list(items: Sequence[str]) -> str:
    return "\n".join(f"- {item};" for item in items[:-1]) + f"\n- {items[-1]}."
