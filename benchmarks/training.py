"""Train a preset on generated days: samples a second, memory, and how the loss falls.

    python benchmarks/training.py [--preset base] [--minutes 20] [--batch 8]      # on a GPU
    python benchmarks/training.py --preset paper --steps 200 --batch 2
    python benchmarks/training.py --small                                         # a minute on a processor

Inputs have the paper's groups, hours and levels. The NO₂ that is to be learnt follows from them by a rule that a network
can find: emissions spread over 10 km and moved by the day's mean wind, thinned by the boundary layer, less at each level the
shallower it is. Days are made on the device, so that nothing is read; a fifth of them is kept for validation. Runs without
the packages that read and write files. Writes benchmarks/results/training-PRESET.json.
"""

import argparse
import json
import platform
import time
from pathlib import Path
from typing import Any

import torch
from _stamp import stamp
from network import CHANNELS, FACTOR, HOURS, LEVELS, network, operations
from torch import Tensor, nn
from torch.nn import functional

from airloom.memory import keep_freed_memory
from airloom.methods.dacno2.network import PRESETS

ROOT = Path(__file__).parents[1]
DEPTH, EAST, NORTH = 0, 5, 6  # channels of the single-level weather that the rule uses
CELLS_A_UNIT = 8.0  # that a wind of one deviation moves what is emitted
RATE, DECAY, CLIP, WARM_UP = 2e-3, 1e-2, 1.0, 50
EVERY = 50  # steps between two validations


class Days:
    """So many generated days of one tile, all on the device."""

    def __init__(self, number: int, cells: int, device: str) -> None:
        draw = torch.Generator(device=device).manual_seed(0)

        def smooth(*shape: int, reach: int) -> Tensor:
            """Noise that varies over `reach` cells, deviation 1."""
            coarse = [max(2, n // reach) for n in shape[-2:]]
            noise = torch.randn(*shape[:-2], *coarse, generator=draw, device=device)
            field = functional.interpolate(noise.flatten(0, -3)[None], shape[-2:], mode="bicubic")[0].reshape(shape)
            return field / field.std()

        coarse = cells // FACTOR
        self.calendar = torch.randn(number, CHANNELS["calendar"], generator=draw, device=device)
        self.weather = smooth(number, HOURS, CHANNELS["weather"], coarse, coarse, reach=4)
        self.weather += torch.randn(number, 1, CHANNELS["weather"], 1, 1, generator=draw, device=device)  # days differ most
        self.upper = smooth(number, HOURS, CHANNELS["upper"] * LEVELS, coarse, coarse, reach=4)
        self.upper = self.upper.unflatten(2, (CHANNELS["upper"], LEVELS))
        self.maps = {g: smooth(1, CHANNELS[g], cells, cells, reach=3) for g in ("emissions", "geography")}
        self.cells, self.number = cells, number

    def batch(self, days: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Inputs, and NO₂ on (batch, level, y, x)."""
        inputs = {"calendar": self.calendar[days], "weather": self.weather[days], "upper": self.upper[days], **self.maps}
        return inputs, self._no2(inputs["weather"].mean(1))

    def _no2(self, weather: Tensor) -> Tensor:
        """What the rule makes of the day's mean weather, (batch, channel, y, x)."""
        emitted = functional.softplus(2 * self.maps["emissions"][:, :1])
        spread = functional.avg_pool2d(functional.pad(emitted, (2, 2, 2, 2), mode="replicate"), 5, 1)
        fine = functional.interpolate(weather, scale_factor=FACTOR, mode="bilinear")
        line = torch.linspace(-1, 1, self.cells, device=weather.device)
        y, x = torch.meshgrid(line, line, indexing="ij")
        moved = 2 * CELLS_A_UNIT / self.cells
        from_where = torch.stack([x - moved * fine[:, EAST], y - moved * fine[:, NORTH]], -1)
        ground = functional.grid_sample(
            spread.expand(len(weather), -1, -1, -1), from_where, padding_mode="border", align_corners=True
        )
        depth = functional.softplus(fine[:, DEPTH : DEPTH + 1] + 1)
        heights = torch.linspace(0, 2, LEVELS, device=weather.device)[:, None, None]
        return ground / depth * torch.exp(-heights / depth)


def train(asked: argparse.Namespace) -> dict[str, Any]:
    """Train until the minutes or the steps are over."""
    device, kind = asked.device, torch.bfloat16 if asked.bfloat16 else torch.float32
    torch.manual_seed(0)
    days = Days(asked.days, asked.cells, device)
    net = network(asked.preset).to(device)
    optimiser = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=DECAY)
    held = torch.arange(0, days.number, 5, device=device)
    learnt = torch.tensor([d for d in range(days.number) if d % 5], device=device)

    def loss_of(chosen: Tensor) -> Tensor:
        inputs, target = days.batch(chosen)
        with torch.autocast(device, kind, enabled=asked.bfloat16):
            found = net(inputs)
        return functional.mse_loss(found.float(), target)

    def validated() -> float:
        net.eval()
        with torch.no_grad():
            parts = [loss_of(part) for part in held.split(asked.batch)]
        net.train()
        return float(torch.stack(parts).mean())

    variance = float(torch.cat([days.batch(part)[1] for part in held.split(asked.batch)]).var())
    curve, step, spent = [{"step": 0, "minutes": 0.0, "validation": validated()}], 0, 0.0
    while step < asked.steps and spent < 60 * asked.minutes:
        started, losses = time.perf_counter(), []
        for _ in range(min(EVERY, asked.steps - step)):
            for group in optimiser.param_groups:
                group["lr"] = RATE * min(1.0, (step + 1) / WARM_UP)
            optimiser.zero_grad(set_to_none=True)
            loss = loss_of(learnt[torch.randint(len(learnt), (asked.batch,), device=device)])
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), CLIP)
            optimiser.step()
            losses.append(loss.detach())
            step += 1
        train_loss = float(torch.stack(losses).mean())  # waits for the device
        spent += time.perf_counter() - started
        curve.append({"step": step, "minutes": spent / 60, "train": train_loss, "validation": validated()})
        print(
            f"step {step}, {spent / 60:.1f} min: train {train_loss:.4f}, validation {curve[-1]['validation']:.4f}",
            flush=True,
        )
    work = operations(asked.preset, asked.cells)
    rate = step * asked.batch / spent
    return {
        "parameters": sum(p.numel() for p in net.parameters()),
        "steps": step,
        "samples_s": rate,
        "gflop_s": 3 * work * rate / 1e9,  # a backward pass does about twice the work
        "peak_memory_gb": torch.cuda.max_memory_allocated() / 1e9 if device == "cuda" else None,
        "variance_of_validation": variance,
        "curve": curve,
    }


def main() -> None:
    """Read the command line, train, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="base", choices=list(PRESETS))
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--steps", type=int, default=10**9)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--cells", type=int, default=256)
    parser.add_argument("--days", type=int, default=100, help="generated; a fifth validates")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=("cpu", "cuda"))
    parser.add_argument("--float32", dest="bfloat16", action="store_false", help="instead of bfloat16 where it can be used")
    parser.add_argument("--small", action="store_true", help="the preset small, tiles of 64 cells, 60 steps, float32")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    if asked.small:
        asked.preset, asked.cells, asked.days, asked.batch, asked.steps, asked.bfloat16 = "small", 64, 20, 4, 60, False
    if asked.device == "cpu":
        keep_freed_memory()
    found = {
        **stamp("torch"),
        "device": torch.cuda.get_device_name() if asked.device == "cuda" else platform.machine(),
        **{k: v for k, v in vars(asked).items() if k not in ("out", "small")},
        **train(asked),
    }
    path = asked.out or ROOT / "benchmarks" / "results" / f"training-{asked.preset}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=1) + "\n")
    print(f"{found['samples_s']:.1f} samples/s, {found['gflop_s']:,.0f} GFLOP/s; {path}")


if __name__ == "__main__":
    main()
