"""Look at a study before anything runs: files, dates, stations, and what it will cost."""

import math
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from airloom.cube.build import BLOCK_BYTES, input_files
from airloom.cube.decode import Asked, products
from airloom.cube.layers import group_channels
from airloom.cube.stations import read_assimilated, read_stations
from airloom.cube.store import IN_MEMORY, INPUTS
from airloom.cube.weather import HOURS
from airloom.device import device, wait
from airloom.errors import DataError
from airloom.grid import tiles
from airloom.infer.boosted import seconds_a_cell
from airloom.infer.misses import DAYS
from airloom.learn.objective import compared_factor
from airloom.learn.own import SAMPLED
from airloom.ledger import Ledger
from airloom.memory import keep_freed_memory
from airloom.methods.describe import made_up
from airloom.methods.registry import method
from airloom.nets.memory import samples_at_once
from airloom.sources.cams import FILE
from airloom.sources.members import Member, members
from airloom.sources.registry import GRIDDED
from airloom.stations import Stations, split
from airloom.study import Study
from airloom.tiled.base import Base

CHECK_STEPS = 3  # timed training steps
PROBE = 64  # cells along the edge of their tiles, at most
LEFT_OUT = "writing NetCDF, evaluate, report"  # of the time
JOINING = 4  # times the memory of a block of days that joining them takes


@dataclass
class Findings:
    """What a check found: lines to read, and estimates."""

    lines: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    disk: float = 0.0  # bytes
    memory: float = 0.0  # bytes
    standing: float = 0.0  # bytes of the cube that are in memory while a network learns
    there: np.ndarray | None = None  # days of the period that the weather's files have, bool on (time,); None: not known


def check(study: Study, data: Path, folder: Path, *, workers: int = 2) -> Findings:
    """Files, dates, stations and split of a study, and an estimate of time, disk and memory; nothing is written.

    One file of each gridded product is decoded and a few training steps are run on made-up numbers, so the estimate is this
    machine's.

    Raises:
        StudyError, DataError: what would stop the study later.
    """
    found = Findings()
    files = input_files(study, data)
    for part, paths in files.items():
        size = sum(p.stat().st_size for p in paths)
        found.lines.append(f"{part}: {len(paths)} files, {size / 1e6:.1f} MB, {paths[0].name} … {paths[-1].name}")
    started = time.perf_counter()
    stations = read_stations(study.stations, study.pollutant, study.target_grid, study.period, data, study.hours)
    found.seconds["prepare"] = time.perf_counter() - started
    _stations(study, stations, read_assimilated(study.stations, data), found)
    for asked in products(study):
        _product(asked, files[asked.group], workers, found, cached=study.cache is not None)
    _training(study, stations, workers, found)
    free = shutil.disk_usage(_existing(folder)).free
    found.lines.append(
        f"estimate: {sum(found.seconds.values()) / 60:.0f} min ("
        + ", ".join(f"{k} {v / 60:.1f}" for k, v in found.seconds.items())
        + f"; not counted: {LEFT_OUT}), {found.disk / 1e6:.0f} MB of disk ({free / 1e9:.0f} GB free), {found.memory / 1e9:.1f} GB of memory"
    )
    if found.disk > free:
        found.lines.append(f"{folder}: there is less free disk than the study needs. Free some, or use --folder elsewhere.")
    return found


def lines(study: Study, data: Path, folder: Path, *, workers: int = 2) -> list[str]:
    """What `check` found, to read."""
    return check(study, data, folder, workers=workers).lines


def _stations(study: Study, stations: Stations, assimilated: list[str] | None, found: Findings) -> None:
    """Stations in use, withheld and left out."""
    part = study.stations.split
    drawn = split(stations, withheld=part.withheld, assimilated=assimilated, fraction=part.fraction, seed=part.seed)
    table, base = stations.table, Base.of(study)
    withheld = drawn.to_numpy()
    if base:
        withheld &= ~base.knows(table["station"].to_list())
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


def _product(asked: Asked, paths: list[Path], workers: int, found: Findings, *, cached: bool) -> None:
    """The dates and levels of a gridded product, and what decoding it costs, from one file."""
    source = GRIDDED[asked.source]()
    files = members(paths)
    started = time.perf_counter()
    part = next((p for p in map(asked.read, files) if p.data_vars), None)
    if part is None:
        raise DataError(
            f"{asked.group}: none of {len(files)} files, {files[0].label} the first, holds one of the variables."
        )
    one = time.perf_counter() - started
    days = np.arange(np.datetime64(asked.start), np.datetime64(asked.end) + 1)
    spans = [s for s in map(source.span, files) if s is not None]
    if spans:
        first, last = min(s[0] for s in spans), max(s[1] for s in spans)
        found.lines.append(f"{asked.group}: {first} … {last}, {len(files)} files")
        told = np.any([(days >= a.astype(days.dtype)) & (days <= b.astype(days.dtype)) for a, b in spans], 0)
        if asked.group in INPUTS:
            found.there = told if found.there is None else found.there & told
        if not told.all():
            found.lines.append(f"  {(~told).sum()} of {len(days)} days are in no file, {days[~told][0]} the first")
    _levels(asked, files, part, found)
    stored = len(days) * (1 if asked.daily else HOURS) * math.prod(asked.shape) * 4
    found.seconds["prepare"] = found.seconds.get("prepare", 0) + one * len(files) / max(1, workers) * 1.1
    found.disk += 2.5 * stored  # parts and store
    found.memory = max(found.memory, max(3 * part.nbytes, JOINING * min(stored, BLOCK_BYTES)) * max(1, workers))
    if stored < IN_MEMORY:
        found.standing += stored
    elif cached and asked.group in INPUTS:
        found.disk += stored / 2


def _levels(asked: Asked, files: list[Member], part: xr.Dataset, found: Findings) -> None:
    """Levels that the study asks for and that the files do not have: by their names, or else by the one that was read."""
    named = [FILE.search(m.label) for m in files]
    if asked.daily and all(named):
        there, where = {float(n["height"]) for n in named if n}, "no file is"
    else:
        dim = "height" if "height" in part.dims else "level"
        there, where = set(part[dim].values.tolist()) if dim in part.dims else set(), f"{part.attrs['file']} is not"
    if absent := [f"{v:g}" for v in asked.vertical if v not in there]:
        found.lines.append(f"  {asked.group}: {where} at {', '.join(absent)} {'m' if asked.daily else 'hPa'}")


def _training(study: Study, stations: Stations, workers: int, found: Findings) -> None:
    """What training and prediction cost, from a few steps on made-up numbers."""
    windows = len(tiles(study.target_grid.shape, study.tiles.size, study.tiles.stride, study.tile_multiple))
    channels = {g: n for g, n in group_channels(study).items() if n}
    found.lines.append("inputs: " + ", ".join(f"{n} {g}" for g, n in channels.items()))
    years = stations.daily.time.dt.year.to_numpy()
    years = years if found.there is None else years[found.there]
    side_by_side = min(workers, study.members)
    kept = 0.0
    keep_freed_memory()  # as training does
    for phase in study.phases:
        days, held = np.isin(years, phase.years).sum(), phase.validation.fraction
        by_days = phase.validation.by == "days"
        seen = days * min(windows, phase.tiles_a_day or windows)
        learnt, checked = seen * (1 - held if by_days else 1), seen * (held if by_days else 1)
        seconds = 0.0
        for stage, scales in phase.stages:
            step = _step(study, channels, phase.batch, side_by_side, scales)
            seconds += stage.epochs * (learnt * step.seconds + checked * step.forward)
        remembered = 0.0
        if phase.loss.former_ssim:
            seconds += days * windows * step.forward
            cells = study.tiles.size // compared_factor(phase.loss, study.grid.cell)
            remembered = days * windows * len(study.levels) * cells**2 * 4
        if phase.own_shares:
            seconds += len(phase.stages) * min(days, SAMPLED) * windows * step.forward
        rounds = math.ceil(study.members / side_by_side)
        found.seconds[f"train phase {phase.number} (at most)"] = float(rounds * seconds)
        kept = max(kept, (step.kept * phase.batch + remembered) * side_by_side)
    tested = np.isin(years, study.verification.years).sum()
    taught = np.isin(years, study.taught_years(max(p.number for p in study.phases)))
    compared = min(taught.sum(), DAYS) if study.assimilation else 0
    alone = _step(study, channels, samples_at_once(study.tiles.size, len(study.levels)), 1)
    found.seconds["predict"] = float((tested * len(study.phases) + compared) * windows * alone.forward * study.members)
    rows, columns = study.target_grid.shape
    if study.assimilation and study.assimilation.trees:
        found.seconds["assimilate"] = float(tested * rows * columns * seconds_a_cell(sum(channels.values())))
    fields = tested * (len(study.phases) + bool(study.assimilation) + 1) + compared
    found.disk += float(fields) * len(study.levels) * rows * columns * 4
    found.memory = 1e9 * side_by_side + max(found.memory, found.standing * side_by_side + kept)  # libraries, once a process


@dataclass(frozen=True)
class _Step:
    """Of one sample of a whole tile: seconds forward, forward and backward, and bytes kept for gradients."""

    forward: float
    seconds: float
    kept: float


def _step(study: Study, channels: dict[str, int], batch: int, side_by_side: int, scales: int | None = None) -> _Step:
    """Measured where training works, with the threads that a process has where so many work side by side; of the coarsest `scales`
    where given.

    On small tiles of made-up numbers, as many as make PROBE × PROBE cells four times, and scaled by area: whole ones of a large
    network may not fit here, and few small ones would take longer a sample than many.
    """
    size = min(study.tiles.size, math.ceil(PROBE / study.tile_multiple) * study.tile_multiple)
    small = study.model_copy(update={"tiles": study.tiles.model_copy(update={"size": size, "stride": size})})
    batch = max(2, min(batch, 4 * PROBE**2 // size**2))
    network = method(study.method.name).network(study, channels, 1.0)
    network = (method(study.method.name).coarsest(network, scales) if scales else network).to(device())
    inputs = {g: x.to(device()) for g, x in made_up(small, channels, batch).items()}
    kept, steps, forwards = 0, [], []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal kept
        kept += tensor.nbytes
        return tensor

    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, threads // side_by_side))
    try:
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):  # a first step, which is not timed
            network(inputs).square().mean().backward()
        for _ in range(CHECK_STEPS):
            steps.append(_timed(lambda: network(inputs).square().mean().backward()))
            with torch.no_grad():
                forwards.append(_timed(lambda: network(inputs)))
    finally:
        torch.set_num_threads(threads)
    area = (study.tiles.size / size) ** 2 / batch
    return _Step(min(forwards) * area, min(steps) * area, kept * area)


def _timed(work: Callable[[], object]) -> float:
    """Seconds that some work takes."""
    wait()
    started = time.perf_counter()
    work()
    wait()
    return time.perf_counter() - started


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above that exists."""
    return next(p for p in (folder.resolve(), *folder.resolve().parents) if p.exists())
