"""A training step and a region's day of DACNO₂, beside the textbook form of the same network and what the machine can do.

    python benchmarks/speed.py [--preset base] [--device cuda] [--batch 1] [--threads 2] [--repeats 3] [--small]

The textbook form (tests/plain.py) has the same weights: float32, eager, tensors as they come, zeros wherever nothing is lifted to, a
loop over time; ours is in float32, and in bfloat16 but for the head, as `method.precision` makes it. A step is forward and backward of
`--batch` tiles of 256 cells with 24 hours and 8 levels; a region's day is the 12 such tiles of studies/western-europe.yaml,
predicted and blended into one field, as `airloom predict` does. Each is a process of its own, started by one that takes
little memory, for a process takes over the peak of the one that starts it; on a processor ours are in memory that is kept as
airloom does it, the textbook's as torch finds it. They take turns, A B A B; a first round does not count. Seconds are
medians of wall time, with the smallest, the largest and all of them. Ours and the textbook's fields must agree.

The roofline: the network's operations at the rate of a matrix product and of a 3 × 3 convolution, and the bytes that go
through memory at the rate of copying, all measured in the same run on the same device. Bytes are counted operation by
operation of our form, each reading what it is given and writing what it gives, weights, inputs and activations alike, in the
run's precision; what is fused or stays in a
cache needs fewer. `roofline_s` is the longer of convolution and copying. The hours of a first phase are those of its training steps:
200 epochs of 10,512 samples, 12 tiles of four fifths of three years. Writes benchmarks/results/speed.json.
"""

import argparse
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from _stamp import stamp  # noqa: E402
from network import HOURS, LEVELS, _wait, ceilings, made_up, network, operations  # noqa: E402
from network import counted as of_device  # noqa: E402
from network import take_turns as in_turns  # noqa: E402

from airloom.files import write_json  # noqa: E402
from airloom.grid import Grid, tiles  # noqa: E402
from airloom.infer.predict import mosaics  # noqa: E402
from airloom.memory import keep_freed_memory  # noqa: E402
from airloom.study import load  # noqa: E402
from tests import plain  # noqa: E402

WINDOWS = 12  # of a region's day
KINDS = ("textbook", "float32", "bfloat16")
BYTES = {"textbook": 4, "float32": 4, "bfloat16": 2}  # of a number
CEILINGS = ("matrix product", "convolution")
FIRST_PHASE = 200 * 10_512  # samples
COPIED = 2**28  # bytes
AGREE = 2e-3  # largest difference of two fields, of their standard deviation: float32 added in another order
T = TypeVar("T")


class Worker:
    """A process of its own with the network in it."""

    def __init__(self, asked: argparse.Namespace) -> None:
        self.pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=begin, initargs=(asked,))

    def does(self, work: Callable[..., T], *given: object) -> T:
        """What some work there gives."""
        return self.pool.submit(work, *given).result()


HELD: dict[str, Any] = {}  # of a worker: its network, inputs of a step and of a tile, and what was asked


def begin(asked: argparse.Namespace) -> None:
    """Make a worker's network."""
    torch.set_num_threads(asked.threads)
    torch.manual_seed(0)
    step, tile = ({g: x.to(asked.device) for g, x in made_up(asked.cells, n).items()} for n in (asked.batch, 1))
    HELD.update(net=network(asked.preset).to(asked.device), step=step, tile=tile, asked=asked)


def timed(what: str, kind: str) -> dict[str, float]:
    """In a worker: wall seconds of a step or a region's day, and the most memory that the process, or its device, took so far."""
    asked, net = HELD["asked"], HELD["net"].train(what == "step")
    net.reduced = kind == "bfloat16"
    forward = net
    if kind == "textbook":
        forward = Plain(net)
    elif asked.device == "cpu":
        keep_freed_memory()
    _wait(asked.device)
    started = time.perf_counter()
    if what == "step":
        net.zero_grad(set_to_none=True)
        forward(HELD["step"]).square().mean().backward()
    else:
        region_day(forward, HELD["tile"], asked.cells)
    _wait(asked.device)
    seconds = time.perf_counter() - started
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"seconds": seconds, "memory_gb": (torch.cuda.max_memory_allocated() if asked.device == "cuda" else own) / 1e9}


def compared() -> dict[str, Any]:
    """In a worker: how far ours and the textbook's fields are apart, and the ceilings."""
    asked, net = HELD["asked"], HELD["net"].eval()
    torch.backends.cudnn.allow_tf32 = False  # for this comparison alone
    with torch.inference_mode():
        ours, theirs = net(HELD["tile"]), plain.dacno2(net, HELD["tile"])
        apart = float((ours - theirs).abs().max() / theirs.std())
    torch.backends.cudnn.allow_tf32 = True  # as torch has it
    full = torch.ones(COPIED // 4, device=asked.device)
    copy = torch.empty_like(full)
    copying = in_turns({"copying": lambda: copy.copy_(full)}, 2 * asked.repeats, asked.device)["copying"]
    return {
        "apart_of_deviation": apart,
        "ceilings_gflop_s": ceilings(asked.device, asked.repeats),
        "copying_gb_s": 2 * COPIED / of_device(copying, asked.device) / 1e9,  # read and written
    }


def take_turns(workers: dict[str, Worker], repeats: int) -> dict[str, dict[str, Any]]:
    """Of each: median, smallest, largest and all seconds, and memory; a first round does not count."""
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in workers}
    for turn in range(repeats + 1):
        for name, worker in workers.items():
            one = worker.does(timed, *name.split(", "))
            if turn:
                taken[name].append(one)
                print(f"{name:24} {one['seconds']:.2f} s, {one['memory_gb']:.1f} GB", flush=True)
    found: dict[str, dict[str, Any]] = {}
    for name, every in taken.items():
        seconds = [one["seconds"] for one in every]
        found[name] = {"seconds": statistics.median(seconds), "least": min(seconds), "most": max(seconds)}
        found[name] |= {"all_seconds": seconds, "memory_gb": every[-1]["memory_gb"]}
    return found


class Plain(torch.nn.Module):
    """The textbook form of a network, by its weights."""

    def __init__(self, fast: torch.nn.Module) -> None:
        super().__init__()
        self.fast = fast

    def forward(self, groups: dict[str, torch.Tensor]) -> torch.Tensor:
        """As the fast one."""
        return plain.dacno2(self.fast, groups)


def region_day(net: torch.nn.Module, inputs: dict[str, torch.Tensor], cells: int) -> np.ndarray:
    """The field of a day over the region, scaled down to windows of so many cells, on (level, y, x)."""
    study = load(ROOT / "studies" / "western-europe.yaml")
    scale = study.tiles.size // cells
    grid = Grid.around(2, 48, cell=study.grid.cell, shape=tuple(n // scale for n in study.grid.shape))
    windows = tiles(grid.shape, cells, study.tiles.stride // scale, study.tile_multiple // scale)
    normaliser = SimpleNamespace(physical=lambda field: field)
    reader = SimpleNamespace(
        read=lambda days, tile: SimpleNamespace(inputs=inputs), normaliser=normaliser, cube=SimpleNamespace(grid=grid)
    )
    return np.concatenate([strip[0] for _, strip in mosaics(net, reader, windows, np.array([0]))], axis=-2)


class Traffic(TorchDispatchMode):
    """Counts the numbers that operations read and write, each for itself; a view moves none."""

    numbers = 0

    def __torch_dispatch__(self, operation: Any, types: Any, given: Any = (), named: Any = None) -> Any:
        told = operation(*given, **(named or {}))
        if not operation.is_view:
            moved = tree_leaves((given, named, told))
            self.numbers += sum(t.numel() for t in moved if isinstance(t, torch.Tensor))
        return told


def traffic(preset: str, cells: int, *, step: bool) -> int:
    """Numbers that a sample's forward pass, or a whole step of it, moves through memory."""
    with torch.device("meta"), torch.set_grad_enabled(step):
        net, inputs = network(preset).train(step), made_up(cells, 1)
        with Traffic() as moved:
            field = net(inputs)
            if step:
                field.square().mean().backward()
    return moved.numbers


def roofline(name: str, run: dict[str, Any], asked: argparse.Namespace, top: dict[str, Any]) -> dict[str, float]:
    """What a run did a second, and what it would have taken at the machine's rates."""
    what, kind = name.split(", ")
    samples, step = (asked.batch, True) if what == "step" else (WINDOWS, False)
    work = operations(asked.preset, asked.cells) * samples * (3 if step else 1)  # a backward pass does about twice the work
    moved = traffic(asked.preset, asked.cells, step=step) * samples * BYTES[kind]
    precision = kind.replace("textbook", "float32")
    floors = {way: work / top["ceilings_gflop_s"][f"{way} {precision}"] / 1e9 for way in CEILINGS}
    floors["copying"] = moved / top["copying_gb_s"] / 1e9
    most = max(floors["convolution"], floors["copying"])
    found = {"samples_s": samples / run["seconds"], "gflop": work / 1e9, "gb_moved": moved / 1e9}
    found |= {f"seconds_at_rate_of_{way.replace(' ', '_')}": seconds for way, seconds in floors.items()}
    found |= {"roofline_s": most, "of_roofline": most / run["seconds"]}
    return found | ({"first_phase_hours": FIRST_PHASE / found["samples_s"] / 3600} if step else {})


def main() -> None:
    """Measure, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="base")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=("cpu", "cuda"))
    parser.add_argument("--batch", type=int, default=1, help="samples of a step")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--small", action="store_true", help="the small preset on tiles of 64 cells, once, by a thread")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "speed.json")
    asked = parser.parse_args()
    asked.cells = 256
    if asked.small:
        asked.preset, asked.cells, asked.repeats, asked.threads = "small", 64, 1, 1
    judge = Worker(asked)
    top = judge.does(compared)
    judge.pool.shutdown()
    assert top["apart_of_deviation"] < AGREE, top
    found: dict[str, dict[str, Any]] = {}
    for what in ("step", "day"):
        workers = {f"{what}, {kind}": Worker(asked) for kind in KINDS}
        found |= take_turns(workers, asked.repeats)
        for worker in workers.values():
            worker.pool.shutdown()
    for name, run in found.items():
        run["times_the_textbook"] = found[f"{name.split(',')[0]}, textbook"]["seconds"] / run["seconds"]
        run |= roofline(name, run, asked, top)
    gflop = operations(asked.preset, asked.cells) / 1e9
    result = {
        **stamp("torch"),
        "device": torch.cuda.get_device_name() if asked.device == "cuda" else platform.machine(),
        "threads": asked.threads,
        "repeats": asked.repeats,
        "batch": asked.batch,
        "network": {"preset": asked.preset, "cells": asked.cells, "levels": LEVELS, "hours": HOURS, "gflop": gflop},
        **top,
        "runs": found,
    }
    write_json(asked.out, result)
    for name, run in found.items():
        told = f"{run['seconds']:7.2f} s {run['times_the_textbook']:5.2f} × the textbook {run['memory_gb']:5.1f} GB"
        print(f"{name:24} {told} {run['of_roofline']:4.0%} of the roofline")


if __name__ == "__main__":
    main()
