"""Time the DACNO₂ network beside what the machine can do.

    python benchmarks/network.py [--device cpu] [--threads 1] [--repeats 5] [--small]

Forward, and forward with backward, of each preset on made-up inputs of the paper (five groups, 8 levels, 24 hours), in
float32 and bfloat16, with and without memory that is kept where the device is a processor. The ceilings are a matrix product
and a 3 × 3 convolution, channels last. All variants of a preset take turns in one process; figures are medians. On a
processor seconds are those of the process, so that neighbours on the machine count less; wall time stands beside them.
Each preset runs in a process of its own, so that peak memory is its own. Writes benchmarks/results/network.json.
"""

import argparse
import json
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from _stamp import stamp
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from airloom.memory import keep_freed_memory
from airloom.methods.dacno2.network import DACNO2, PRESETS

RESULTS = Path(__file__).parent / "results" / "network.json"
CHANNELS = {"calendar": 3, "weather": 14, "upper": 7, "emissions": 13, "geography": 6}
LEVELS, HOURS, FACTOR, SCALES = 8, 24, 8, 4
CASES = [("small", 64, 4), ("small", 128, 4), ("base", 256, 1), ("paper", 256, 1)]  # preset, cells, batch
SHORT = [("small", 64, 1)]
TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def made_up(cells: int, batch: int) -> dict[str, torch.Tensor]:
    """Inputs of one tile."""
    coarse = cells // FACTOR
    return {
        "calendar": torch.randn(batch, CHANNELS["calendar"]),
        "weather": torch.randn(batch, HOURS, CHANNELS["weather"], coarse, coarse),
        "upper": torch.randn(batch, HOURS, CHANNELS["upper"], LEVELS, coarse, coarse),
        "emissions": torch.randn(1, CHANNELS["emissions"], cells, cells),
        "geography": torch.randn(1, CHANNELS["geography"], cells, cells),
    }


def network(preset: str) -> DACNO2:
    return DACNO2(CHANNELS, levels=LEVELS, scales=SCALES, widths=PRESETS[preset], dropout=0.1)


def operations(preset: str, cells: int) -> int:
    """Of one sample's forward pass."""
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(preset)(made_up(cells, 1))
    return counter.get_total_flops()


def take_turns(variants: dict[str, Callable[[], Any]], repeats: int, device: str) -> dict[str, dict[str, float]]:
    """Median seconds of each, run A B A B after a first round that does not count."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in variants}
    for turn in range(repeats + 1):
        for name, run in variants.items():
            _wait(device)
            busy, started = time.process_time(), time.perf_counter()
            run()
            _wait(device)
            if turn:
                taken[name].append((time.perf_counter() - started, time.process_time() - busy))
    return {
        name: {"wall_s": statistics.median(w for w, _ in t), "process_s": statistics.median(p for _, p in t)}
        for name, t in taken.items()
    }


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def counted(seconds: dict[str, float], device: str) -> float:
    """Wall seconds on an accelerator; on a processor those in which it worked for us."""
    return seconds["wall_s"] if device == "cuda" else seconds["process_s"] / torch.get_num_threads()


def ceilings(device: str, repeats: int) -> dict[str, float]:
    """GFLOP/s of a matrix product and of a 3 × 3 convolution with 64 channels."""
    n = 8192 if device == "cuda" else 1024
    frames, cells = (64, 256) if device == "cuda" else (4, 64)
    variants: dict[str, Callable[[], Any]] = {}
    work: dict[str, float] = {}
    for name, kind in TYPES.items():
        a = torch.randn(n, n, device=device, dtype=kind)
        x = torch.randn(frames, 64, cells, cells, device=device, dtype=kind).contiguous(memory_format=torch.channels_last)
        w = torch.randn(64, 64, 3, 3, device=device, dtype=kind)
        variants[f"matrix product {name}"] = lambda a=a: a @ a
        variants[f"convolution {name}"] = lambda x=x, w=w: functional.conv2d(x, w, padding=1)
        work[f"matrix product {name}"] = 2 * n**3
        work[f"convolution {name}"] = 2 * 9 * 64 * 64 * frames * cells**2
    with torch.no_grad():
        found = take_turns(variants, 2 * repeats, device)
    return {name: work[name] / counted(seconds, device) / 1e9 for name, seconds in found.items()}


def case(
    preset: str, cells: int, batch: int, types: list[str], device: str, repeats: int, *, compiled: bool
) -> dict[str, Any]:
    """Figures of one preset on tiles of so many cells; where asked for, of the network compiled besides."""
    torch.manual_seed(0)
    net = network(preset).to(device)
    inputs = {group: x.to(device) for group, x in made_up(cells, batch).items()}

    nets = {"": net, **({"compiled, ": torch.compile(net, dynamic=False)} if compiled else {})}

    def field(how: str, kind: str) -> torch.Tensor:
        with torch.autocast(device, torch.bfloat16, enabled=kind == "bfloat16"):
            return nets[how](inputs)

    def forward(how: str, kind: str) -> None:
        with torch.no_grad():
            field(how, kind)

    def learn(how: str, kind: str) -> None:
        net.zero_grad(set_to_none=True)
        field(how, kind).float().square().mean().backward()

    variants = {
        f"{how}{what} {kind}": partial(run, how, kind)
        for kind in types
        for what, run in (("forward", forward), ("forward and backward", learn))
        for how in nets
    }
    work = operations(preset, cells)
    top = ceilings(device, repeats)
    found: dict[str, Any] = take_turns(variants, repeats, device)
    for name, seconds in found.items():
        one = counted(seconds, device) / batch
        rate = work * (3 if "backward" in name else 1) / one / 1e9  # a backward pass does about twice the work
        kind = name.rsplit(" ", 1)[1]
        seconds |= {"samples_s": 1 / one, "gflop_s": rate, "of_convolution": rate / top[f"convolution {kind}"]}
    memory = (
        torch.cuda.max_memory_allocated() if device == "cuda" else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    )
    return {
        "preset": preset,
        "cells": cells,
        "batch": batch,
        "gflop": work / 1e9,
        "parameters": sum(p.numel() for p in net.parameters()),
        "peak_memory_gb": memory / 1e9,
        "ceilings_gflop_s": top,
        "runs": found,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=("cpu", "cuda"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--types", nargs="+", default=list(TYPES), choices=list(TYPES))
    parser.add_argument("--presets", nargs="+", default=list(PRESETS), choices=list(PRESETS))
    parser.add_argument(
        "--compile", action="store_true", help="by torch.compile too, which needs a C++ compiler and minutes"
    )
    parser.add_argument("--small", action="store_true", help="one tile of 64 cells, twice")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--one", help=argparse.SUPPRESS)  # a case and how, as JSON: what a process of its own does
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    if asked.one:
        *which, keeps = json.loads(asked.one)
        if keeps:
            keep_freed_memory()
        print(
            json.dumps(
                case(*which, asked.types, asked.device, asked.repeats, compiled=asked.compile)
                | {"keeps_freed_memory": keeps}
            )
        )
        return
    repeats = 2 if asked.small else asked.repeats
    results = []
    for preset, cells, batch in SHORT if asked.small else CASES:
        for keeps in (False, True) if asked.device == "cpu" else (False,):
            if preset not in asked.presets:
                continue
            words = ["--one", json.dumps([preset, cells, batch, keeps]), "--device", asked.device, "--types", *asked.types]
            words += ["--threads", str(asked.threads), "--repeats", str(repeats)]
            words += ["--compile"] * asked.compile
            done = subprocess.run([sys.executable, __file__, *words], stdout=subprocess.PIPE, text=True)
            if done.returncode:
                results.append({"preset": preset, "cells": cells, "batch": batch, "failed": done.returncode})
                print(f"{preset} {cells}: ended with {done.returncode}")
                continue
            result = json.loads(done.stdout.splitlines()[-1])
            results.append(result)
            print(
                f"{preset} {cells} cells, batch {batch}, {result['gflop']:.1f} GFLOP, {result['peak_memory_gb']:.1f} GB, {keeps=}"
            )
            for name, run in result["runs"].items():
                share = f"{run['gflop_s']:.0f} GFLOP/s, {run['of_convolution']:.0%} of a convolution"
                print(f"  {name:32} {1 / run['samples_s']:.3f} s a sample, {run['samples_s']:.2f} samples/s, {share}")
    chip = torch.cuda.get_device_name() if asked.device == "cuda" else platform.processor() or platform.machine()
    facts = {**stamp("torch"), "device": chip, "threads": asked.threads}
    asked.out.parent.mkdir(exist_ok=True)
    asked.out.write_text(json.dumps(facts | {"cases": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
