"""Every station predicted from the others, by the network and by what stands beside it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from airloom.methods.pointconv.folds import folds
from airloom.methods.pointconv.fuse import Fuser, Observed
from airloom.methods.pointconv.study import LeaveOut
from airloom.progress import Progress
from airloom.stations import Stations
from airloom.verify.baselines import BASELINES, Network
from airloom.verify.scores import pair

NAME = "pointconv"


@dataclass(frozen=True)
class LeftOut:
    """Stations predicted by what has not seen them: `pairs` of all models; of the network `predicted` [µg m⁻³] and how well the
    others `known` the place, each on (time, station), NaN where nothing was observed on the day by any of those left out.
    """

    pairs: pl.DataFrame
    predicted: np.ndarray
    known: np.ndarray


def cross_validate(
    fuser: Fuser,
    stations: Stations,
    networks: Sequence[Observed],
    places: tuple[np.ndarray, np.ndarray],
    *,
    leave: LeaveOut,
    baselines: Sequence[str],
    target: str,
    seed: int,
    progress: Progress,
) -> LeftOut:
    """All stations of the first of `networks`, each predicted by what has not seen it.

    Arguments:
        fuser: the trained network over the region.
        stations: of the target.
        networks: what each variable's stations say; the first is that of `stations`.
        places: x and y of the stations [m].
        leave: who is left out together.
        baselines: names of BASELINES, scored on the same folds.
        target: what the pairs call these stations.
        seed: of the folds.
        progress: told after each fold.
    """
    days = stations.daily.time.to_numpy().astype("datetime64[D]")
    observed = networks[0].values
    predicted = {name: np.full(observed.shape, np.nan) for name in (NAME, *baselines)}
    known = np.full(observed.shape, np.nan)
    features = fuser.places[:, networks[0].row, networks[0].column].T.astype(float)
    parts = list(folds(leave, *places, stations.table["name"].to_list(), seed))
    for number, left_out in enumerate(parts):
        some = np.flatnonzero(np.isfinite(observed[:, left_out]).any(1))
        seen = [networks[0].without(left_out), *networks[1:]]
        cells = networks[0].row[left_out], networks[0].column[left_out]
        at = np.ix_(some, left_out)
        predicted[NAME][at], known[at] = fuser.at(seen, some, *cells)
        network = _network(days, observed, places, features, left_out, seed)
        for name in baselines:
            predicted[name][:, left_out] = BASELINES[name].predict(network)[:, left_out]
        progress(f"leave out {leave.what}", number + 1, len(parts))
    everywhere = np.ones(len(stations.table), bool)
    asked = observed, days, stations.table, everywhere
    tables = [pair(p, *asked, model=n, phase=1 if n == NAME else None) for n, p in predicted.items()]
    return LeftOut(pl.concat(tables).with_columns(target=pl.lit(target)), predicted[NAME], known)


def _network(
    days: np.ndarray,
    observed: np.ndarray,
    places: tuple[np.ndarray, np.ndarray],
    features: np.ndarray,
    left_out: np.ndarray,
    seed: int,
) -> Network:
    """What baselines see: the same stations, the same days, and the maps at the stations, on (station, feature)."""
    years = tuple(int(y) for y in np.unique(days.astype("datetime64[Y]").astype(int) + 1970))
    return Network(
        days=days,
        observed=observed,
        x=places[0],
        y=places[1],
        withheld=left_out,
        features=np.broadcast_to(features, (*observed.shape, features.shape[-1])),
        feature_names=tuple(f"map {n}" for n in range(features.shape[-1])),
        train_years=years,
        adapt_years=(),
        test_days=np.ones(len(days), bool),
        seed=seed,
    )
