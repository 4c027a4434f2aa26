"""Prediction of regions of 1, 4 and 16 times the area: seconds a cell, and memory.

    python benchmarks/growth.py [--cells 192] [--tile 64] [--days 2] [--preset small] [--repeats 3] [--small]

Stores with the paper's inputs are made as in reading.py, their weather beyond memory as of a large study; each is predicted
by `predict_field` to a Zarr store, in a process of its own, whose peak memory is its own. Tiles overlap by half. Writes
benchmarks/results/growth.json.
"""

import argparse
import json
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
import zarr
from _stamp import stamp
from network import network
from reading import Scale, _groups, _leading, make, study

from airloom.cube import store
from airloom.cube.store import Cube
from airloom.files import write_json
from airloom.grid import tiles
from airloom.infer.predict import mosaics, predict_field
from airloom.learn.batches import Normaliser, Reader
from airloom.memory import keep_freed_memory
from airloom.progress import quiet

ROOT = Path(__file__).parents[1]
T = TypeVar("T")
TIMES = (1, 2, 4)  # as long a side


def made(cells: int, tile: int, days: int, folder: Path) -> None:
    """A store in a folder."""
    make(study(cells, tile), folder, days)


def predicted(cells: int, tile: int, days: int, preset: str, folder: Path) -> dict[str, float]:
    """Seconds to predict days of a region, once the network is warm, and the most memory that this process took."""
    torch.manual_seed(0)
    keep_freed_memory()
    what = study(cells, tile)
    cube = Cube(folder / "cube.zarr", zarr.open_group(folder / "cube.zarr", mode="r"), what.target_grid)
    store.IN_MEMORY = 0
    scales = {g: Scale(np.full(_leading(cube, g), 280.0), np.full(_leading(cube, g), 5.0)) for g in _groups(cube)}
    reader = Reader(cube, Normaliser(scales, 10.0, 2.0, np.ones(len(what.levels))), what.weather_factor)
    windows = tiles(what.target_grid.shape, tile, tile // 2, what.tile_multiple)
    asked = network(preset), reader, windows, np.arange(days), folder / "field.zarr"
    list(mosaics(asked[0], reader, windows[:1], np.arange(days)))
    started = time.perf_counter()
    predict_field(*asked, levels=what.levels, attrs={"title": "growth", "weights": "none"}, progress=quiet)
    seconds = time.perf_counter() - started
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    return {"seconds": seconds, "memory_gb": most, "tiles": len(windows)}


def apart(work: Callable[..., T], *given: object) -> T:
    """Done in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work, *given).result()


def main() -> None:
    """Measure, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=192)
    parser.add_argument("--tile", type=int, default=64)
    parser.add_argument("--days", type=int, default=2)
    parser.add_argument("--preset", default="small")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--small", action="store_true", help="64 cells, once")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "growth.json")
    asked = parser.parse_args()
    cells, repeats = (64, 1) if asked.small else (asked.cells, asked.repeats)
    taken: dict[int, list[dict[str, float]]] = {n: [] for n in TIMES}
    for turn in range(repeats):
        for n in TIMES:
            with tempfile.TemporaryDirectory() as folder:
                apart(made, n * cells, asked.tile, asked.days, Path(folder))
                taken[n].append(apart(predicted, n * cells, asked.tile, asked.days, asked.preset, Path(folder)))
            print(f"{turn}: {n * cells}² cells", {k: round(v, 2) for k, v in taken[n][-1].items()}, flush=True)
    rows = []
    for n, every in taken.items():
        seconds = statistics.median(t["seconds"] for t in every)
        rows.append(
            {
                "area": n**2,
                "cells": (n * cells) ** 2,
                "tiles": every[0]["tiles"],
                "seconds": seconds,
                "microseconds_a_cell": seconds / asked.days / (n * cells) ** 2 * 1e6,
                "microseconds_a_cell_of_tiles": seconds / asked.days / every[0]["tiles"] / asked.tile**2 * 1e6,
                "memory_gb": statistics.median(t["memory_gb"] for t in every),
            }
        )
    result = {
        **stamp("torch"),
        "asked": {k: v for k, v in vars(asked).items() if k != "out"},
        "regions": rows,
    }
    write_json(asked.out, result)
    print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
