"""Look at a study before anything runs: files, dates, stations, and what it will cost."""

import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from airloom.cube.build import input_files, read_stations
from airloom.cube.weather import HOURS
from airloom.errors import DataError
from airloom.grid import tiles
from airloom.ledger import Ledger
from airloom.methods.registry import method
from airloom.sources.members import members
from airloom.sources.registry import GRIDDED
from airloom.stations import Stations, split
from airloom.study import Study

CHECK_STEPS = 3  # timed training steps


@dataclass
class Findings:
    """What a check found: lines to read, and estimates."""

    lines: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    disk: float = 0.0  # bytes
    memory: float = 0.0  # bytes


def check(study: Study, data: Path, folder: Path, *, workers: int = 2) -> Findings:
    """Files, dates, stations and split of a study, and an estimate of time, disk and memory; nothing is written.

    One weather file is decoded and a few training steps are run on made-up numbers, so the estimate is this machine's.

    Raises:
        StudyError, DataError: what would stop the study later.
    """
    found = Findings()
    for part, paths in input_files(study, data).items():
        size = sum(p.stat().st_size for p in paths)
        found.lines.append(f"{part}: {len(paths)} files, {size / 1e6:.1f} MB, {paths[0].name} … {paths[-1].name}")
    stations = read_stations(study, data)
    _stations(study, stations, found)
    if study.weather:
        _weather(study, input_files(study, data)["weather"], workers, found)
    _training(study, stations, found)
    free = shutil.disk_usage(_existing(folder)).free
    found.lines.append(
        f"estimate: {sum(found.seconds.values()) / 60:.0f} min ("
        + ", ".join(f"{k} {v / 60:.1f}" for k, v in found.seconds.items())
        + f"), {found.disk / 1e6:.0f} MB of disk ({free / 1e9:.0f} GB free), {found.memory / 1e9:.1f} GB of memory"
    )
    if found.disk > free:
        found.lines.append(f"{folder}: there is less free disk than the study needs. Free some, or use --folder elsewhere.")
    return found


def _stations(study: Study, stations: Stations, found: Findings) -> None:
    """Stations in use, withheld and left out."""
    part = study.stations.split
    withheld = split(stations, withheld=part.withheld, fraction=part.fraction, seed=part.seed).to_numpy()
    table = stations.table
    there = np.isfinite(stations.daily.to_numpy())
    years = stations.daily.time.dt.year.to_numpy()
    found.lines.append(
        f"stations: {table.height} cells, {int(withheld.sum())} withheld, {int(there.sum()):,} daily values "
        f"({study.period.start} … {study.period.end})"
    )
    for year in sorted({*study.verification.years, *(y for p in study.phases for y in p.years)}):
        seen = there[years == year]
        found.lines.append(
            f"  {year}: {int(seen[:, ~withheld].sum()):,} values to train on, {int(seen[:, withheld].sum()):,} withheld"
        )
    found.lines += _grouped(stations.ledger)


def _grouped(ledger: Ledger) -> list[str]:
    """One line for each reason why stations or values are out."""
    reasons: dict[tuple[str, str], list[int]] = {}
    for entry in ledger.entries:
        if entry.verdict == "out":
            reasons.setdefault((entry.kind, entry.why), []).append(entry.count)
    return [f"  out: {len(c)} {kind} entries ({sum(c):,} values): {why}" for (kind, why), c in reasons.items()][:20]


def _weather(study: Study, paths: list[Path], workers: int, found: Findings) -> None:
    """The dates of the weather, and what decoding it costs, from one file."""
    assert study.weather
    source = GRIDDED[study.weather.source]()
    files = members(paths)
    started = time.perf_counter()
    part = next((p for p in (source.read(m, study.weather.variables) for m in files) if p.data_vars), None)
    if part is None:
        raise DataError(f"weather: none of {len(files)} files, {files[0].label} the first, holds one of the variables.")
    one = time.perf_counter() - started
    spans = [source.span(m) for m in files]
    known = [s for s in spans if s is not None]
    if known:
        found.lines.append(f"weather: {min(s[0] for s in known)} … {max(s[1] for s in known)}, {len(files)} files")
    coarse = study.target_grid.coarsen(study.weather_factor)
    days = (study.period.end - study.period.start).days + 1
    size = days * HOURS * len(study.weather.variables) * coarse.shape[0] * coarse.shape[1] * 4
    found.seconds["prepare"] = one * len(files) / max(1, workers) * 1.1
    found.disk += 2.5 * size  # parts and store
    found.memory += 3 * part.nbytes * max(1, workers) + size


def _training(study: Study, stations: Stations, found: Findings) -> None:
    """What training and prediction cost, from a few steps on made-up numbers."""
    windows = tiles(study.target_grid.shape, study.tiles.size, study.tiles.stride, study.weather_factor)
    channels = {
        "calendar": 2 * (study.calendar + study.season),
        "weather": len(study.weather.variables) if study.weather else 0,
        "emissions": len(study.emissions),
        "geography": len(study.geography),
    }
    network = method(study.method.name).network(study, {g: n for g, n in channels.items() if n}, 1.0)
    size, coarse = study.tiles.size, study.tiles.size // study.weather_factor
    batch = study.phases[0].batch
    shapes = {
        "calendar": (batch, channels["calendar"]),
        "weather": (batch, HOURS, channels["weather"], coarse, coarse),
        "emissions": (1, channels["emissions"], size, size),
        "geography": (1, channels["geography"], size, size),
    }
    inputs = {g: torch.randn(shapes[g]) for g, n in channels.items() if n}
    times = []
    for _ in range(CHECK_STEPS):
        started = time.perf_counter()
        network(inputs).square().mean().backward()
        times.append(time.perf_counter() - started)
    sample = min(times) / batch
    years = stations.daily.time.dt.year.to_numpy()
    for phase in study.phases:
        samples = np.isin(years, phase.years).sum() * len(windows) * phase.epochs * study.members
        found.seconds[f"train phase {phase.number} (at most)"] = float(samples * sample)
    tested = np.isin(years, study.verification.years).sum()
    found.seconds["predict"] = float(tested * len(windows) * sample / 3 * len(study.phases) * study.members)
    rows, columns = study.target_grid.shape
    found.disk += float(tested) * rows * columns * 4 * (len(study.phases) + 1)
    found.memory += 1e9  # libraries, and what a step keeps for its gradients


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above that exists."""
    return next(p for p in (folder.resolve(), *folder.resolve().parents) if p.exists())
