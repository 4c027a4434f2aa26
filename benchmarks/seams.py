"""Whether overlapping tiles leave seams: steps of a run's fields across the tiles' inner edges against steps beside them.

    python benchmarks/seams.py RUN [--out benchmarks/results/seams.json]

A step is the mean |difference| between the cells on both sides of a line through the whole field. Tiles begin and end where
cells of weather do, and the network's coarse scales leave a lattice on those lines. Emissions have gradients of their own at
fixed places, so an edge is compared with the nearest lines of the lattice on both sides that are no edges:

    seam     steps at edges over those at the lines beside; its interval resamples days
    chance   the same interval for as many lines that are no edges, drawn from all of the lattice
    lattice  steps at all of the lattice's lines over those two and three cells beside: what the network leaves without tiles

A seam is real where `seam` lies above `chance`. Nothing in RUN is changed.
"""

import argparse
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from _stamp import stamp

from airloom.errors import StudyError
from airloom.files import write_json
from airloom.grid import tiles
from airloom.infer.fields import read
from airloom.study import Study, load
from airloom.verify.scores import interval, multiplicities

ROOT = Path(__file__).parents[1]
BESIDE = (-3, -2, 2, 3)  # cells from a line of the lattice to those between
LEAST = 4  # cells of a lattice that has lines between its own
DRAWS, SEED = 1000, 0


def edges(length: int, spans: Sequence[tuple[int, int]]) -> list[int]:
    """Lines inside of `length` cells on which spans (first cell, cells) begin or end; line n lies before cell n."""
    found = {line for first, size in spans for line in (first, first + size)}
    return sorted(line for line in found if 0 < line < length)


def steps(field: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean |difference| [µg m⁻³] across each line, between rows on (level, y − 1) and columns on (level, x − 1)."""
    return np.abs(np.diff(field, axis=1)).mean(2), np.abs(np.diff(field, axis=2)).mean(1)


def beside(found: np.ndarray, lines: Iterable[int], shifts: Sequence[int], without: Sequence[int] = ()) -> np.ndarray:
    """Steps on (day, level, line − 1) at `lines` and their mean at the lines `shifts` away that are not among `without`:
    (line, 2, day, level). Lines that have none beside them are left out.
    """
    pairs = np.empty((0, 2, *found.shape[:2]))
    for line in lines:
        near = [n - 1 for n in (line + shift for shift in shifts) if 0 < n <= found.shape[2] and n not in without]
        if near:
            pairs = np.append(pairs, [[found[..., line - 1], found[..., near].mean(-1)]], axis=0)
    return pairs


def compare(field: xr.DataArray, inner: Sequence[Sequence[int]], multiple: int) -> Iterator[dict[str, Any]]:
    """A row for each level of a field on (time, level, y, x), whose tiles' edges along y and x are `inner`.

    Raises:
        StudyError: there are no edges, or no other lines to compare them with.
    """
    days = [steps(field.isel(time=day).to_numpy().astype(float)) for day in range(field.sizes["time"])]
    at_edges, elsewhere, between = [], [], []
    for along, lines in zip(map(np.stack, zip(*days, strict=True)), inner, strict=True):
        lattice, nearest = range(multiple, along.shape[2] + 1, multiple), (-multiple, multiple)
        at_edges.append(beside(along, lines, nearest, lines))
        elsewhere.append(beside(along, [n for n in lattice if n not in lines], nearest, lines))
        between.append(beside(along, lattice if multiple >= LEAST else (), BESIDE))
    if not sum(map(len, at_edges)) or not sum(map(len, elsewhere)):
        raise StudyError(
            f"the tiles' inner edges along y and x are {inner}: none, or all lines that are multiples of {multiple} cells, so "
            "there is nothing to compare. Use a run of several tiles that begin farther apart."
        )
    for number in range(field.sizes["level"]):
        yield _row(*(np.concatenate(pairs)[..., number] for pairs in (at_edges, elsewhere, between)))


def _row(at_edges: np.ndarray, elsewhere: np.ndarray, between: np.ndarray) -> dict[str, Any]:
    """Ratios of steps at lines to those beside, from pairs on (line, 2, day)."""
    count, _, days = at_edges.shape
    at, near = at_edges.mean(2).sum(0)
    drawn = multiplicities(days, DRAWS, SEED) @ at_edges.sum(0).T  # (draw, 2)
    others = elsewhere.sum(2)[np.random.default_rng(SEED).integers(len(elsewhere), size=(DRAWS, count))].sum(1)
    return {
        "days": days,
        "edges": count,
        "step": float(at / count),
        "seam": float(at / near),
        "seam_ci": interval(drawn[:, 0] / drawn[:, 1]),
        "chance": interval(others[:, 0] / others[:, 1]),
        "lattice": float(np.divide(*between.sum((0, 2)))) if len(between) else None,
    }


def rows_of(run: Path, study: Study) -> Iterator[dict[str, Any]]:
    """A row for each phase and level; raises as `compare`."""
    shape, multiple = study.target_grid.shape, study.tile_multiple
    windows = tiles(shape, study.tiles.size, study.tiles.stride, multiple)
    spans = [(t.row, t.size) for t in windows], [(t.column, t.size) for t in windows]
    inner = [edges(length, along) for length, along in zip(shape, spans, strict=True)]
    for phase in study.phases:
        field = read(run / "fields" / f"phase-{phase.number}.zarr")[study.pollutant]
        field = field if "level" in field.dims else field.expand_dims("level", 1)
        for level, row in zip(study.levels, compare(field, inner, multiple), strict=True):
            yield {"phase": phase.number, "level": level, **row}


def main() -> None:
    """Read the command line, measure, print, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a run whose fields are complete")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "seams.json")
    asked = parser.parse_args()
    study = load(asked.run / "study.yaml")
    rows = []
    for row in rows_of(asked.run, study):
        rows.append(row)
        span, chance = (f"{low:.3f} … {high:.3f}" for low, high in (row["seam_ci"], row["chance"]))
        lattice = "" if row["lattice"] is None else f", lattice {row['lattice']:.2f}"
        print(
            f"phase {row['phase']}, {row['level']:g} m: step {row['step']:.3g} µg m⁻³, seam {row['seam']:.3f} ({span}), "
            f"by chance {chance}{lattice}",
            flush=True,
        )
    write_json(
        asked.out,
        {
            **stamp("numpy"),
            "study": study.name,
            "cells": list(study.target_grid.shape),
            "tiles": study.tiles.model_dump(),
            "draws": DRAWS,
            "rows": rows,
        },
    )
    print(asked.out)


if __name__ == "__main__":
    main()
