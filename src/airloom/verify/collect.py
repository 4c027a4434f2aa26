"""Fields, stations and inputs of a study, brought together for scoring."""

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
import xarray as xr

from airloom.cube.features import Features
from airloom.cube.store import Cube
from airloom.infer.fields import at_cells, surface
from airloom.verify.baselines import BASELINES, Network
from airloom.verify.scores import SEASONS, pair
from airloom.verify.volumes import Day, Model


def series_of(read: Day, table: pl.DataFrame, days: int) -> np.ndarray:
    """The lowest level of fields on (level, y, x) [µg m⁻³], read a day at a time, at the stations' cells: (time, station)."""
    rows, columns = table["row"].to_numpy(), table["column"].to_numpy()
    return np.stack([read(day)[0, rows, columns] for day in range(days)]).astype(float)


def network_of(
    cube: Cube,
    withheld: np.ndarray,
    *,
    factor: int,
    train_years: Sequence[int],
    adapt_years: Sequence[int],
    test: np.ndarray,
    seed: int,
) -> Network:
    """What the baselines see: the method's inputs at each station's cell, and the same split."""
    table, features = cube.stations.table, Features(cube, factor)
    x, y = cube.grid.project(table["lon"].to_numpy(), table["lat"].to_numpy())
    rows, columns = table["row"].to_numpy(), table["column"].to_numpy()
    return Network(
        days=cube.days,
        observed=cube.stations.daily.to_numpy(),
        x=x,
        y=y,
        withheld=withheld,
        features=features.at(np.arange(len(cube.days)), rows, columns).astype(float),
        feature_names=features.names,
        train_years=tuple(train_years),
        adapt_years=tuple(adapt_years),
        test_days=test,
        seed=seed,
    )


def all_pairs(
    fields: Mapping[Model, xr.Dataset],
    network: Network,
    table: pl.DataFrame,
    *,
    baselines: Sequence[str],
    pollutant: str,
) -> pl.DataFrame:
    """Pairs of the method's phases and of every baseline, at all stations, on the test days."""
    test, days = network.test_days, network.days[network.test_days]
    observed = network.observed[test]
    rows, columns = table["row"].to_numpy(), table["column"].to_numpy()
    tables = []
    for (model, phase), field in fields.items():
        predicted = at_cells(field, rows, columns, days, pollutant)
        tables.append(pair(predicted, observed, days, table, network.withheld, model=model, phase=phase))
    for name in baselines:
        predicted = BASELINES[name].predict(network)[test]
        tables.append(pair(predicted, observed, days, table, network.withheld, model=name))
    return pl.concat(tables)


def means(field: xr.Dataset, pollutant: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Mean of the lowest level over all days, and over each season that has days, on (y, x) [µg m⁻³]."""
    ground = surface(field, pollutant)
    month = ground.time.dt.month
    seasons = {name: ground.isel(time=month.isin(months).to_numpy()) for name, months in SEASONS.items()}
    return ground.mean("time").to_numpy(), {n: s.mean("time").to_numpy() for n, s in seasons.items() if s.sizes["time"]}
