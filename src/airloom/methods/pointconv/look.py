"""What a fusion study is made of and what it will cost, before anything runs."""

import time
from pathlib import Path

import numpy as np
import torch

from airloom.cube.stations import read_stations
from airloom.methods.describe import Row, rows
from airloom.methods.pointconv.method import network_of
from airloom.methods.pointconv.models import lines as model_lines
from airloom.methods.pointconv.study import FusionStudy
from airloom.methods.pointconv.teach import days_to_make, worlds_folder

PROBES = 3  # timed steps


def describe(study: FusionStudy) -> list[Row]:
    """The parts of the study's network, for one sample of one window; nothing is computed."""
    with torch.device("meta"):
        network, (values, maps) = network_of(study), made_up(study, 1)
    return rows(study.method.name, network, values, values, maps)


def made_up(study: FusionStudy, batch: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Values, which serve as weights as well, on (batch, variable, y, x), and maps on (map, y, x)."""
    cells = study.practice.window
    return torch.rand(batch, len(study.variables), cells, cells), torch.randn(study.channels, cells, cells)


def check(study: FusionStudy, data: Path, folder: Path, *, workers: int) -> list[str]:
    """Lines about the stations of a study, what there is to make, and how long training takes; nothing is written.

    Raises:
        StudyError, DataError: what would stop the study later.
    """
    lines = []
    for part in study.networks:
        stations = read_stations(part.stations, part.variable, study.target_grid, study.period, data)
        there = int(np.isfinite(stations.daily.to_numpy()).sum())
        lines.append(
            f"{part.variable}: {stations.table.height} cells with stations, {there:,} daily values "
            f"({study.period.start} … {study.period.end}), {len(stations.ledger.of('station', 'out'))} stations left out"
        )
    if study.worlds.number:
        days = days_to_make(study, worlds_folder(study, folder))
        lines.append(f"worlds: {study.worlds.number} to learn from and one that validates, {days} days to make")
    lines += model_lines(study, data)
    seconds = _step(study) * study.practice.steps
    lines.append(f"training: {study.practice.steps} steps, about {seconds / 60:.0f} min on this machine")
    return lines


def _step(study: FusionStudy) -> float:
    """Seconds of a training step [s], measured on made-up numbers."""
    network = network_of(study)
    values, maps = made_up(study, study.practice.batch)
    spent = []
    for _ in range(PROBES):
        started = time.perf_counter()
        field, _known = network(values, (values > 0.99).float(), maps)
        field.mean().backward()
        spent.append(time.perf_counter() - started)
    return float(np.median(spent))
