"""How well whole fields come back: an unseen world is known in the cells of stations alone, and found everywhere (paper 001, §3.2)."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from airloom.methods.pointconv.fuse import Fuser, Observed
from airloom.methods.pointconv.network import PointConvFusion
from airloom.methods.pointconv.teach import World
from airloom.stats.kriging import NEAREST, coefficients, distances, fit, on_grid
from airloom.verify.scores import interval, multiplicities

HIGH = 95  # percentile of a day above which its cells are scored once more


def reproduce(
    network: PointConvFusion,
    world: World,
    networks: list[Observed],
    maps: np.ndarray,
    cell: float,
    *,
    draws: int,
    seed: int,
) -> dict[str, Any]:
    """Scores of a world's fields over land, by day: of the network, kriging and inverse distance.

    Arguments:
        network: trained.
        world: one that it has not learnt from.
        networks: cells of the stations of each variable; what they observe is not looked at.
        maps: as the network sees them on (map, y, x).
        cell: edge of a cell [m].
        draws: bootstrap draws of days.
        seed: of the draws.

    Returns:
        `days`, `cells`, and for each model under `models` the means over days of R², RMSE, NME (mean absolute error over mean)
        and NME above each day's 95th percentile, each with its interval over days; under `differences` those of the network's
        RMSE less the others'.
    """
    allowed = world.allowed
    truth = np.stack([world.day(day) for day in range(len(world))])  # (day, variable, y, x)
    makers: Mapping[str, Callable[[], np.ndarray]] = {
        "pointconv": lambda: _fused(Fuser(network, maps, maps), truth, networks),
        "kriging": lambda: _kriged(truth[:, 0], networks[0], cell),
        "inverse-distance": lambda: _weighted(truth[:, 0], networks[0], cell),
    }
    known = np.zeros(allowed.shape, bool)
    known[networks[0].row, networks[0].column] = True
    where = allowed & ~known
    scores = {name: by_day(make()[:, where], truth[:, 0][:, where]) for name, make in makers.items()}
    drawn = multiplicities(len(truth), draws, seed) / len(truth)
    ours = scores["pointconv"]["rmse"]
    return {
        "days": len(truth),
        "cells": int(where.sum()),
        "stations": len(networks[0].row),
        "models": {
            name: {k: {"mean": float(v.mean()), "ci": interval(drawn @ v)} for k, v in found.items()}
            for name, found in scores.items()
        },
        "differences": {
            name: {"rmse": float((ours - found["rmse"]).mean()), "ci": interval(drawn @ (ours - found["rmse"]))}
            for name, found in scores.items()
            if name != "pointconv"
        },
    }


def by_day(found: np.ndarray, truth: np.ndarray) -> dict[str, np.ndarray]:
    """R², RMSE, NME and NME of high values, each on (day,), of fields on (day, cell)."""
    error = found - truth
    spread = ((truth - truth.mean(1, keepdims=True)) ** 2).sum(1)
    high = truth > np.percentile(truth, HIGH, axis=1, keepdims=True)
    return {
        "r2": 1 - (error**2).sum(1) / spread,
        "rmse": np.sqrt((error**2).mean(1)),
        "nme": abs(error).sum(1) / truth.sum(1),
        "nme_high": (abs(error) * high).sum(1) / (truth * high).sum(1),
    }


def _fused(fuser: Fuser, truth: np.ndarray, networks: list[Observed]) -> np.ndarray:
    """The network's fields on (day, y, x)."""
    dates = np.datetime64("2000-01-01") + np.arange(len(truth))  # any
    seen = [Observed(truth[:, v, n.row, n.column], dates, n.row, n.column) for v, n in enumerate(networks)]
    return np.concatenate([found for _, found, _ in fuser.fields(seen, np.arange(len(truth)))])


def _kriged(truth: np.ndarray, stations: Observed, cell: float) -> np.ndarray:
    """Ordinary kriging of the stations' cells, one variogram of all days."""
    x, y = (stations.column + 0.5) * cell, -(stations.row + 0.5) * cell
    values = truth[:, stations.row, stations.column].astype(float)
    apart = distances(x, y)
    variogram = fit(values, apart)
    rows, columns = truth.shape[1:]
    centres = (np.arange(columns) + 0.5) * cell, -(np.arange(rows) + 0.5) * cell
    return on_grid(variogram, x, y, coefficients(variogram.among(apart), values), *centres)


def _weighted(truth: np.ndarray, stations: Observed, cell: float) -> np.ndarray:
    """Mean of the stations' cells by distance⁻²."""
    values = truth[:, stations.row, stations.column]
    rows, columns = truth.shape[1:]
    found = np.empty(truth.shape)
    for row in range(rows):
        apart = cell * np.hypot(stations.column[:, None] - np.arange(columns), (stations.row - row)[:, None])
        weight = np.maximum(apart, NEAREST) ** -2.0
        found[:, row] = values @ (weight / weight.sum(0))
    return found
