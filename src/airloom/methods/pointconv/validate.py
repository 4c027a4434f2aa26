"""Every station predicted from the others, by the network and by what stands beside it."""

from collections.abc import Callable, Sequence
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
    """Stations predicted by what has not seen them: `pairs` of all models; of the network's last phase `predicted` [µg m⁻³] and how well the
    others `known` the place, each on (time, station), NaN where nothing was observed on the day by any of those left out.
    """

    pairs: pl.DataFrame
    predicted: np.ndarray
    known: np.ndarray


def cross_validate(
    fusers: Sequence[Callable[[Observed], Fuser]],
    stations: Stations,
    networks: Sequence[Observed],
    places: tuple[np.ndarray, np.ndarray],
    features: np.ndarray,
    *,
    leave: LeaveOut,
    baselines: Sequence[str],
    target: str,
    seed: int,
    progress: Progress,
) -> LeftOut:
    """All stations of the first of `networks`, each predicted by what has not seen it.

    Arguments:
        fusers: phases of the network over the region, each given the stations of the target that it may learn from.
        stations: of the target.
        networks: what each variable's stations say; the first is that of `stations`.
        places: x and y of the stations [m].
        features: what baselines know of the stations, on (station, feature).
        leave: who is left out together.
        baselines: names of BASELINES, scored on the same folds.
        target: what the pairs call these stations.
        seed: of the folds.
        progress: told after each fold.
    """
    days = stations.daily.time.to_numpy().astype("datetime64[D]")
    observed = networks[0].values
    phases: list[tuple[str, int | None]] = [(NAME, number) for number in range(1, len(fusers) + 1)]
    predicted = {model: np.full(observed.shape, np.nan) for model in [*phases, *((name, None) for name in baselines)]}
    known = np.full(observed.shape, np.nan)
    parts = list(folds(leave, *places, stations.table["name"].to_list(), seed))
    for number, left_out in enumerate(parts):
        some = np.flatnonzero(np.isfinite(observed[:, left_out]).any(1))
        seen, asked = [networks[0].some(~left_out), *networks[1:]], networks[0].some(left_out)
        at = np.ix_(some, left_out)
        for phase, fuser in zip(phases, fusers, strict=True):
            predicted[phase][at], known[at] = fuser(seen[0]).at(seen, some, asked)
        network = _network(days, observed, places, features, left_out, seed)
        for name in baselines:
            predicted[name, None][:, left_out] = BASELINES[name].predict(network)[:, left_out]
        progress(f"leave out {leave.what}", number + 1, len(parts))
    everywhere = np.ones(len(stations.table), bool)
    truth = observed, days, stations.table, everywhere
    tables = [pair(p, *truth, model=model, phase=phase) for (model, phase), p in predicted.items()]
    return LeftOut(pl.concat(tables).with_columns(target=pl.lit(target)), predicted[phases[-1]], known)


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
