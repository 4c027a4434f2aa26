"""A run's fields, stations, baselines, chemistry model and truth, put together for scoring."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl
import xarray as xr

from airloom.cube.store import Cube
from airloom.sources.members import matching
from airloom.study import Study
from airloom.verify.collect import all_pairs, network_of, series_of
from airloom.verify.days import chemistry, chemistry_at_ground, chemistry_on_grid, predicted, truth
from airloom.verify.evaluation import CAMS, Volumes, evaluate_volumes
from airloom.verify.profiles import people_layer
from airloom.verify.scores import pair
from airloom.verify.volumes import Day, Model


def pairs_of(
    study: Study,
    cube: Cube,
    fields: Mapping[Model, xr.Dataset],
    test: np.ndarray,
    *,
    withheld: np.ndarray,
    train_years: Sequence[int],
) -> pl.DataFrame:
    """Predicted and observed values at all stations: the method's phases, the baselines, and the chemistry model where the study
    has one.

    Arguments:
        study: what was asked.
        cube: its inputs and stations.
        fields: by their names and phases.
        test: days that are scored, bool on (time,).
        withheld: bool on (station,).
        train_years: years that the method was trained on, of which baselines learn.
    """
    network = network_of(
        cube,
        withheld,
        factor=study.weather_factor,
        train_years=train_years,
        adapt_years=study.adapt_years,
        test=test,
        seed=study.seed,
    )
    table, baselines = cube.stations.table, study.verification.baselines
    pairs = all_pairs(fields, network, table, baselines=baselines, pollutant=study.pollutant)
    if not cube.chemistry_days[test].any():
        return pairs
    cams = series_of(chemistry_at_ground(cube, np.flatnonzero(test)), table, int(test.sum()))
    return pl.concat([pairs, pair(cams, network.observed[test], cube.days[test], table, withheld, model=CAMS[0])])


def volumes_of(
    study: Study,
    cube: Cube,
    fields: Mapping[Model, xr.Dataset],
    test: np.ndarray,
    *,
    data: Path,
) -> Volumes | None:
    """Whole fields of every phase beside the chemistry model and a twin's truth; None where the study has neither.

    Arguments as in `pairs_of`; `data` is where the truth's patterns start from.

    Raises:
        DataError: a pattern of the truth matches nothing, or it lies on other cells or lacks the study's hours.
    """
    patterns = study.verification.truth
    at = np.flatnonzero(test)
    if not cube.chemistry_days[at].any() and not patterns:
        return None
    days = cube.days[at]
    models: dict[Model, Day] = {m: predicted(f, days, study.pollutant) for m, f in fields.items()}
    known, cams = None, None
    if patterns:
        paths = matching(data, patterns, "verification.truth")
        known = truth(paths, study.target_grid, study.levels, days, study.pollutant, study.hours)
    if cube.chemistry_days[at].any():  # an application year may have none
        cams = chemistry(cube, at)
        models[CAMS] = chemistry_on_grid(cube, at)
    people = people_layer(study)
    return evaluate_volumes(
        models,
        days=days,
        levels=study.levels,
        cams=cams,
        truth=known,
        factor=study.chemistry_factor,
        against=list(fields)[-1],
        population=cube.map(people) if people else None,
        elevation=cube.map("elevation"),
        draws=study.verification.draws,
        seed=study.seed,
    )
