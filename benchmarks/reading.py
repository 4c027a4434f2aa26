"""Batches of tile-days: ours beside torch's DataLoader on the same store, and beside merely copying them out of a memmap.

    python benchmarks/reading.py [--days 32] [--cells 384] [--tile 256] [--batch 4] [--repeats 5] [--small]

A store with the paper's inputs (hourly weather on 16 km, all levels, maps on 2 km) is made in a temporary folder, laid out as a
cube is, with numbers that compress as weather does. All ways take turns, A B A B; figures are medians of samples a second, every
sample normalised and ready for a network. Ours reads the store, a float16 cache of it, or, where it fits, memory. DataLoader's
samples are cut from the same store one by one, normalised, and joined by its default, once in the same process and once with two
workers; a third loader cuts them from an array in memory that is normalised already, as ours then does. The memmap holds the very
float32 numbers, uncompressed and in the page cache, and is only copied.
Writes benchmarks/results/reading.json.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
import zarr
from _stamp import stamp
from torch.utils.data import DataLoader, Dataset

from airloom.cube import store
from airloom.cube.build import _empty, _put
from airloom.cube.decode import products
from airloom.cube.normalise import Scale
from airloom.cube.store import Cube
from airloom.files import write_json
from airloom.grid import Tile
from airloom.learn.ahead import ahead
from airloom.learn.batches import Normaliser, Reader
from airloom.memory import keep_freed_memory
from airloom.study import Study, changed, load

ROOT = Path(__file__).parents[1]
MAPS = {"emissions": 13, "geography": 6}
STATIONS = 60


def study(cells: int, tile: int) -> Study:
    """The published study on a smaller grid."""
    asked = load(ROOT / "studies" / "western-europe.yaml")
    return changed(asked, {"grid.shape": [cells, cells], "tiles.size": tile, "tiles.stride": tile // 2})


def make(asked: Study, folder: Path, days: int) -> tuple[Cube, dict[str, np.ndarray]]:
    """A cube of made-up numbers, and the memmaps of its hourly fields."""
    draw, group = np.random.default_rng(0), zarr.open_group(folder / "cube.zarr", mode="w")
    raw = {}
    for product in products(asked):
        if product.group not in ("weather", "upper"):
            continue
        _empty(group, product, days)
        array = group[product.group]
        raw[product.group] = np.memmap(folder / product.group, np.float32, "w+", shape=array.shape)
        for day in range(days):
            raw[product.group][day] = _smooth(draw, array.shape[1:])
            array[day] = raw[product.group][day]
        group[f"{product.group}_days"][:] = True
    calendar = draw.normal(size=(days, 3)).astype(np.float32)
    _put(group, "calendar", calendar, ("time", "channel"), names=[f"calendar-{i}" for i in range(3)])
    for name, channels in MAPS.items():
        values = draw.normal(size=(channels, *asked.target_grid.shape)).astype(np.float32)
        _put(group, name, values, ("channel", "y", "x"), names=[f"{name}-{i}" for i in range(channels)])
        raw[name] = np.memmap(folder / name, np.float32, "w+", shape=(1, *values.shape))
        raw[name][0] = values
    _put(group, "time", np.arange(days), ("time",))
    _put(group, "observed", draw.uniform(5, 50, (days, STATIONS)), ("time", "station"))
    cells = draw.integers(0, asked.grid.shape[0], (STATIONS, 2))
    rows = [{"station": f"s{i}", "row": int(r), "column": int(c)} for i, (r, c) in enumerate(cells)]
    group.attrs.update(stations=rows, ledger={}, made_of={"study": {"hours": [0, 24]}})
    return Cube(folder / "cube.zarr", group, asked.target_grid), raw


def _smooth(draw: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers that change little from hour to hour and from cell to cell, packed as a provider packs them."""
    hours = np.cumsum(draw.normal(0, 0.1, (shape[0], *shape[1:-2], 1, 1)), 0)
    slope = sum(
        np.linspace(0, s, n).reshape(-1, *[1] * (1 - axis))
        for axis, (s, n) in enumerate(zip((2, 3), shape[-2:], strict=True))
    )
    noise = draw.normal(0, 0.02, (1, *shape[1:]))
    return (np.round((280 + hours + slope + noise) * 2**10) / 2**10).astype(np.float32)


class Samples(Dataset):
    """One tile-day an item, as a plain user of torch would write it."""

    def __init__(self, reader: Reader, plan: list[tuple[int, Tile]], seen: np.ndarray) -> None:
        self.reader, self.plan, self.seen = reader, plan, seen

    def __len__(self) -> int:
        return len(self.plan)

    def __getitem__(self, index: int) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        day, tile = self.plan[index]
        batch = self.reader.read(np.array([day]), tile, self.seen)
        return {group: x[0] for group, x in batch.inputs.items()}, batch.observed[0]


def readers(cube: Cube, normaliser: Normaliser, factor: int, cache: Path) -> dict[str, Reader]:
    """One for each way in which weather can be kept, ready to read."""
    found = {"store": Reader(cube, normaliser, factor), "memory": Reader(cube, normaliser, factor)}
    found["float16"] = Reader(cube, normaliser, factor, cache=cache)
    for name, reader in found.items():
        store.IN_MEMORY = 2**40 if name == "memory" else 0
        _ = reader.gridded
    return found


def ways(
    asked: Study, made: dict[str, Reader], raw: dict[str, np.ndarray], days: int, batch: int
) -> dict[str, Callable[[], Iterator[object]]]:
    """Each gives one batch after the other."""
    size, grid = asked.tiles.size, asked.target_grid.shape
    corners = sorted({0, (grid[0] - size) // 2 // 8 * 8, grid[0] - size})
    tiles = [Tile(r, c, size) for r in corners for c in corners]
    draw = np.random.default_rng(1)
    plan = [(draw.permutation(days)[:batch], tiles[i % len(tiles)]) for i in range(max(2, days // batch))]
    seen = np.ones((days, STATIONS), bool)
    singles = [(int(day), tile) for some, tile in plan for day in some]

    def ours(kept: str) -> Callable[[], Iterator[object]]:
        return lambda: ahead(lambda one: made[kept].read(one[0], one[1], seen), plan)

    def loader(kept: str, workers: int) -> Callable[[], Iterator[object]]:
        samples = Samples(made[kept], singles, seen)
        found = DataLoader(samples, batch_size=batch, num_workers=workers, persistent_workers=workers > 0)
        return lambda: iter(found)

    edge = {g: size if g in MAPS else size // 8 for g in raw}
    buffers = {g: np.empty((1 if g in MAPS else batch, *a.shape[1:-2], *[edge[g]] * 2), np.float32) for g, a in raw.items()}

    def copied() -> Iterator[object]:
        for some, tile in plan:
            for group, array in raw.items():
                factor = size // edge[group]
                y, x = (slice(n // factor, n // factor + edge[group]) for n in (tile.row, tile.column))
                for i in range(len(buffers[group])):
                    buffers[group][i] = array[0 if group in MAPS else some[i]][..., y, x]
            yield buffers

    return {
        "ours, store": ours("store"),
        "ours, float16": ours("float16"),
        "ours, memory": ours("memory"),
        "DataLoader, store": loader("store", 0),
        "DataLoader, store, 2 workers": loader("store", 2),
        "DataLoader, memory": loader("memory", 0),
        "memmap, copied": copied,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=32)
    parser.add_argument("--cells", type=int, default=384)
    parser.add_argument("--tile", type=int, default=256)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--small", action="store_true", help="8 days of 128 cells, twice")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "reading.json")
    asked = parser.parse_args()
    if asked.small:
        asked.days, asked.cells, asked.tile, asked.batch, asked.repeats = 8, 128, 64, 2, 2
    torch.set_num_threads(1)
    keep_freed_memory()  # as training does
    what = study(asked.cells, asked.tile)
    with tempfile.TemporaryDirectory() as folder:
        cube, raw = make(what, Path(folder), asked.days)
        scales = {g: Scale(np.full(_leading(cube, g), 280.0), np.full(_leading(cube, g), 5.0)) for g in _groups(cube)}
        normaliser = Normaliser(scales, 10.0, 2.0, np.ones(len(what.levels)))
        made = readers(cube, normaliser, what.weather_factor, Path(folder) / "cache")
        taken: dict[str, list[float]] = {}
        every = ways(what, made, raw, asked.days, asked.batch)
        for turn in range(asked.repeats + 1):
            for name, way in every.items():
                started, batches = time.perf_counter(), 0
                for _ in way():
                    batches += 1
                if turn:  # the first fills caches and starts workers
                    taken.setdefault(name, []).append(batches * asked.batch / (time.perf_counter() - started))
        stored = sum(f.stat().st_size for f in (Path(folder) / "cube.zarr").rglob("*") if f.is_file())
    rates = {name: statistics.median(t) for name, t in taken.items()}
    result = {
        **stamp("torch", "zarr"),
        "asked": {k: v for k, v in vars(asked).items() if k != "out"},
        "megabytes_a_sample": sum(a[0].nbytes / (asked.batch if g in MAPS else 1) for g, a in raw.items())
        * (asked.tile / asked.cells) ** 2
        / 1e6,
        "store_gb": stored / 1e9,
        "samples_s": rates,
        "spread": {name: [min(t), max(t)] for name, t in taken.items()},
        "ours_to_loader": {
            k: rates[f"ours, {k}"] / max(r for n, r in rates.items() if "DataLoader, store" in n) for k in made
        },
        "ours_to_memmap": {k: rates[f"ours, {k}"] / rates["memmap, copied"] for k in made},
    }
    write_json(asked.out, result)
    print(
        json.dumps({k: result[k] for k in ("megabytes_a_sample", "samples_s", "ours_to_loader", "ours_to_memmap")}, indent=1)
    )


def _groups(cube: Cube) -> list[str]:
    return [g for g in ("calendar", "weather", "upper", *MAPS) if cube.channels(g)]


def _leading(cube: Cube, group: str) -> tuple[int, ...]:
    """Axes that a scale has: channels, of `upper` levels too."""
    shape = cube.group[group].shape
    return {"calendar": shape[1:], "weather": shape[2:3], "upper": shape[2:4]}.get(group, shape[:1])


if __name__ == "__main__":
    main()
