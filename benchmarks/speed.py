"""A training step and a region's day of DACNO₂, beside the textbook form of the same network and what the machine can do.

    python benchmarks/speed.py [--preset base] [--threads 2] [--repeats 3] [--small]

The textbook form (tests/plain.py) has the same weights: float32, eager, tensors as they come, zeros wherever nothing is lifted to, a
loop over time. A step is forward and backward of one tile of 256 cells with 24 hours and 8 levels; a region's day is the 12 such tiles
of studies/western-europe.yaml, predicted and blended into one field, as `airloom predict` does. Each is a process of its own, ours in memory that is kept as airloom does
it, the textbook's as torch finds it; they take turns, A B A B. Figures are medians of wall seconds, with the smallest and largest. Ours and the textbook's fields must agree. Ceilings: the
network's operations at the rate of a matrix product and of a 3 × 3 convolution, measured in the same run. Writes
benchmarks/results/speed.json.
"""

import argparse
import json
import resource
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from _stamp import stamp  # noqa: E402
from network import HOURS, LEVELS, ceilings, made_up, network, operations  # noqa: E402

from airloom.grid import Grid, tiles  # noqa: E402
from airloom.infer.predict import mosaics  # noqa: E402
from airloom.memory import keep_freed_memory  # noqa: E402
from airloom.study import load  # noqa: E402
from tests import plain  # noqa: E402

WINDOWS = 12  # of a region's day
AGREE = 2e-3  # largest difference of two fields, of their standard deviation: float32 added in another order


class Worker:
    """A process of its own with the network in it, in memory that is kept as airloom keeps it, or as torch finds it."""

    def __init__(self, preset: str, cells: int, threads: int, *, keeps: bool) -> None:
        given = preset, cells, threads, keeps
        self.pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=begin, initargs=given)

    def timed(self, what: str, kind: str) -> dict[str, float]:
        """Wall seconds of a step or a region's day, and the most memory that the process took so far."""
        return self.pool.submit(timed, what, kind).result()


HELD: dict[str, Any] = {}  # of a worker: its network and inputs


def begin(preset: str, cells: int, threads: int, keeps: bool) -> None:
    """Make a worker's network."""
    torch.set_num_threads(threads)
    if keeps:
        keep_freed_memory()
    torch.manual_seed(0)
    HELD.update(net=network(preset), inputs=made_up(cells, 1), cells=cells)


def timed(what: str, kind: str) -> dict[str, float]:
    """In a worker."""
    net, inputs = HELD["net"].train(what == "step"), HELD["inputs"]
    forward = Plain(net) if kind == "textbook" else net
    started = time.perf_counter()
    if what == "step":
        net.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=kind == "bfloat16"):
            field = forward(inputs)
        field.float().square().mean().backward()
    else:
        region_day(forward, inputs, HELD["cells"], reduced=kind == "bfloat16")
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    return {"seconds": time.perf_counter() - started, "memory_gb": most}


def take_turns(workers: dict[str, Worker], repeats: int) -> dict[str, dict[str, float]]:
    """Of each: median, smallest and largest seconds, and memory; a first round does not count."""
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in workers}
    for turn in range(repeats + 1):
        for name, worker in workers.items():
            one = worker.timed(*name.split(", "))
            if turn:
                taken[name].append(one)
                print(f"{name:24} {one['seconds']:.2f} s, {one['memory_gb']:.1f} GB", flush=True)
    found = {}
    for name, every in taken.items():
        seconds = [one["seconds"] for one in every]
        found[name] = {"seconds": statistics.median(seconds), "least": min(seconds), "most": max(seconds)}
        found[name]["memory_gb"] = every[-1]["memory_gb"]
    return found


class Plain(torch.nn.Module):
    """The textbook form of a network, by its weights."""

    def __init__(self, fast: torch.nn.Module) -> None:
        super().__init__()
        self.fast = fast

    def forward(self, groups: dict[str, torch.Tensor]) -> torch.Tensor:
        """As the fast one."""
        return plain.dacno2(self.fast, groups)


def region_day(net: torch.nn.Module, inputs: dict[str, torch.Tensor], cells: int, *, reduced: bool = False) -> np.ndarray:
    """The field of a day over the region, scaled down to windows of so many cells, on (level, y, x)."""
    study = load(ROOT / "studies" / "western-europe.yaml")
    scale = study.tiles.size // cells
    grid = Grid.around(2, 48, cell=study.grid.cell, shape=tuple(n // scale for n in study.grid.shape))
    windows = tiles(grid.shape, cells, study.tiles.stride // scale, study.tile_multiple // scale)
    normaliser = SimpleNamespace(physical=lambda field: field)
    reader = SimpleNamespace(
        read=lambda days, tile: SimpleNamespace(inputs=inputs), normaliser=normaliser, cube=SimpleNamespace(grid=grid)
    )
    with torch.autocast("cpu", torch.bfloat16, enabled=reduced):
        return np.concatenate([strip[0] for _, strip in mosaics(net, reader, windows, np.array([0]))], axis=-2)


def main() -> None:
    """Measure, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="base")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--small", action="store_true", help="the small preset on tiles of 64 cells, once")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "speed.json")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    preset, cells, repeats = ("small", 64, 1) if asked.small else (asked.preset, 256, asked.repeats)
    begin(preset, cells, asked.threads, keeps=False)
    net, inputs = HELD["net"].eval(), HELD["inputs"]
    with torch.inference_mode():
        ours, theirs = net(inputs), plain.dacno2(net, inputs)
        apart = float((ours - theirs).abs().max() / theirs.std())
    assert apart < AGREE, apart
    HELD.clear()
    top = ceilings("cpu", repeats)
    found: dict[str, dict[str, float]] = {}
    for what in ("step", "day"):
        workers = {
            f"{what}, {kind}": Worker(preset, cells, asked.threads, keeps=kind != "textbook")
            for kind in ("textbook", "float32", "bfloat16")
        }
        found |= take_turns(workers, repeats)
        for worker in workers.values():
            worker.pool.shutdown()
    work = operations(preset, cells)
    for name, run in found.items():
        what, kind = name.split(", ")
        if kind == "textbook":
            continue
        run["times_the_textbook"] = found[f"{what}, textbook"]["seconds"] / run["seconds"]
        operations_here = work * (3 if what == "step" else WINDOWS)
        for way in ("matrix product", "convolution"):
            run[f"seconds_at_rate_of_{way.replace(' ', '_')}"] = operations_here / top[f"{way} {kind}"] / 1e9
    result = {
        **stamp("torch"),
        "threads": asked.threads,
        "network": {"preset": preset, "cells": cells, "levels": LEVELS, "hours": HOURS, "gflop": work / 1e9},
        "apart_of_deviation": apart,
        "ceilings_gflop_s": top,
        "runs": found,
    }
    asked.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    for name, run in found.items():
        print(f"{name:24} {run['seconds']:7.2f} s {run.get('times_the_textbook', 1):5.2f} × the textbook")


if __name__ == "__main__":
    main()
