"""Time a day's fusion of stations beside kriging, inverse distance and what the machine can do.

    python benchmarks/fusion.py [--threads 2] [--repeats 5] [--small] [--out FILE]

A field of 372 × 426 cells out of 868 stations, as China's national network has them at 12 km, by each preset with a second network of
two variables and two maps, on made-up values. Ordinary kriging (the weights' solution and the map) and inverse distance of the same
stations are the references, a 3 × 3 convolution of the preset's first width, channels last, the ceiling. Besides: a kernel of
21 × 21 cells over a batch to learn from, with its gradients, by Fourier transforms and by a convolution layer. All take turns in one
process; figures are medians. Writes benchmarks/results/fusion.json.
"""

import argparse
import json
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _stamp import stamp
from network import take_turns
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from airloom.memory import keep_freed_memory
from airloom.methods.pointconv.network import PRESETS, PointConvFusion
from airloom.nets.pointconv import correlate
from airloom.stats.kriging import coefficients, distances, fit, on_grid

RESULTS = Path(__file__).parent / "results" / "fusion.json"
SHAPE, STATIONS, VARIABLES, MAPS, CELL = (372, 426), 868, 3, 2, 12_000.0
GOAL = 1.0  # seconds a day


def made_up(shape: tuple[int, int], stations: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Values and weights on (1, variable, y, x), and maps on (map, y, x)."""
    draw = np.random.default_rng(0)
    weights = np.zeros((1, VARIABLES, *shape), np.float32)
    for variable in range(VARIABLES):
        weights[0, variable].flat[draw.choice(shape[0] * shape[1], stations, replace=False)] = 1
    values = draw.gamma(3, 10, weights.shape).astype(np.float32)
    return torch.from_numpy(values), torch.from_numpy(weights), torch.randn(MAPS, *shape)


def ours(preset: str, inputs: tuple[torch.Tensor, ...]) -> tuple[Callable[[], Any], int]:
    """A forward pass, and its arithmetic."""
    torch.manual_seed(0)
    network = PointConvFusion(VARIABLES, MAPS, PRESETS[preset]).eval()

    def run() -> Any:
        with torch.inference_mode():
            return network(*inputs)

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(*inputs)
    return run, counter.get_total_flops()


def references(inputs: tuple[torch.Tensor, ...]) -> dict[str, Callable[[], Any]]:
    """Kriging and inverse distance of the first variable's stations."""
    values, weights = (t[0, 0].numpy() for t in inputs[:2])
    row, column = np.nonzero(weights)
    x, y, seen = column * CELL, -row * CELL, values[row, column][None].astype(float)
    rows, columns = (np.arange(n) * CELL for n in values.shape)
    apart = distances(x, y)
    variogram = fit(np.repeat(seen, 3, 0) + np.random.default_rng(1).normal(size=(3, len(x))), apart)

    def krige() -> Any:
        return on_grid(variogram, x, y, coefficients(variogram.among(apart), seen), columns, -rows)

    def weigh() -> Any:
        found = np.empty(values.shape)
        for at, northing in enumerate(-rows):
            weight = np.maximum(np.hypot(x[:, None] - columns, (y - northing)[:, None]), CELL) ** -2.0
            found[at] = (seen @ (weight / weight.sum(0)))[0]
        return found

    return {"kriging": krige, "inverse distance": weigh}


def ceiling(shape: tuple[int, int], width: int) -> tuple[Callable[[], Any], int]:
    """A plain convolution on the same cells, and its arithmetic."""
    x = torch.randn(1, width, *shape).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(width, width, 3, 3).contiguous(memory_format=torch.channels_last)
    return (lambda: functional.conv2d(x, weight, padding=1)), 2 * 9 * width * width * shape[0] * shape[1]


def kernels(cells: int) -> dict[str, Callable[[], Any]]:
    """A step's kernel over ten days of two channels, and its gradients: ours, and the layer that does the same."""
    seen, kernel = torch.rand(10, 2, cells, cells), torch.rand(21, 21, requires_grad=True)

    def layer(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return functional.conv2d(x.flatten(0, 1)[:, None], weight[None, None], padding=10).view_as(x)

    def run(spread: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> Callable[[], Any]:
        return lambda: torch.autograd.grad(spread(seen, kernel).square().sum(), kernel)

    torch.testing.assert_close(correlate(seen, kernel), layer(seen, kernel), rtol=1e-5, atol=1e-4)
    return {"kernel by Fourier transforms": run(correlate), "kernel by a layer": run(layer)}


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--small", action="store_true", help="an eighth of the cells, one repeat")
    parser.add_argument("--out", type=Path, default=RESULTS)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    keep_freed_memory()
    shape, stations = ((96, 128), 80) if asked.small else (SHAPE, STATIONS)
    inputs = made_up(shape, stations)
    runs, operations = references(inputs), {}
    for name, preset in PRESETS.items():
        runs[name], operations[name] = ours(name, inputs)
        runs[f"ceiling of {name}"], operations[f"ceiling of {name}"] = ceiling(shape, preset.widths[0])
    with torch.inference_mode():
        taken = take_turns(runs, 1 if asked.small else asked.repeats, "cpu")
    taken |= take_turns(kernels(32 if asked.small else 128), 1 if asked.small else asked.repeats, "cpu")
    rates = {name: operations[name] / taken[name]["wall_s"] / 1e9 for name in operations}
    result = {
        **stamp("torch", threads=asked.threads),
        "cells": shape,
        "stations": stations,
        "seconds": {name: round(t["wall_s"], 4) for name, t in taken.items()},
        "gflop": {name: round(n / 1e9, 2) for name, n in operations.items()},
        "gflop_per_s": {name: round(rate, 1) for name, rate in rates.items()},
        "of_ceiling": {name: round(rates[name] / rates[f"ceiling of {name}"], 3) for name in PRESETS},
        "goal_s": GOAL,
        "peak_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2),
    }
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    for name, seconds in result["seconds"].items():
        print(f"{name:28} {seconds:8.3f} s")


if __name__ == "__main__":
    main()
