"""Every station predicted from the others, by the network and by what stands beside it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from airloom.files import whole
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


@dataclass(frozen=True)
class Case:
    """`stations` of the target; what all `networks` say, that of these stations first; their `places`, x and y [m]; and the `features`
    that baselines know of them, on (station, feature).
    """

    stations: Stations
    networks: Sequence[Observed]
    places: tuple[np.ndarray, np.ndarray]
    features: np.ndarray


def cross_validate(
    fusers: Sequence[Callable[[Observed], Fuser]],
    case: Case,
    *,
    leave: LeaveOut,
    baselines: Sequence[str],
    target: str,
    seed: int,
    keep: Path,
    progress: Progress,
) -> LeftOut:
    """All stations of a case, each predicted by what has not seen it.

    Arguments:
        fusers: phases of the network over the region, each given the stations of the target that it may learn from.
        case: who is predicted, from what.
        leave: who is left out together.
        baselines: names of BASELINES, scored on the same folds.
        target: what the pairs call these stations.
        seed: of the folds.
        keep: folder of folds that are done; they are not done again.
        progress: told after each fold.
    """
    stations, observed = case.stations, case.networks[0].values
    phases: list[tuple[str, int | None]] = [(NAME, number) for number in range(1, len(fusers) + 1)]
    models = [*phases, *((name, None) for name in baselines)]
    predicted, known = {model: np.full(observed.shape, np.nan) for model in models}, np.full(observed.shape, np.nan)
    parts = list(folds(leave, *case.places, stations.table["name"].to_list(), seed))
    for number, left_out in enumerate(parts):
        path = keep / f"{number}.npz"
        if not path.is_file():
            with whole(path) as aside:
                np.savez(aside, **_fold(fusers, case, baselines, left_out, seed))
        with np.load(path) as found:
            known[:, left_out] = found["known"]
            for model in models:
                predicted[model][:, left_out] = found[_key(*model)]
        progress(f"leave out {leave.what}", number + 1, len(parts))
    everywhere = np.ones(len(stations.table), bool)
    truth = observed, case.networks[0].dates, stations.table, everywhere
    tables = [pair(p, *truth, model=model, phase=phase) for (model, phase), p in predicted.items()]
    return LeftOut(pl.concat(tables).with_columns(target=pl.lit(target)), predicted[phases[-1]], known)


def _fold(
    fusers: Sequence[Callable[[Observed], Fuser]], case: Case, baselines: Sequence[str], left_out: np.ndarray, seed: int
) -> dict[str, Any]:
    """What each model says at the stations that are left out, and how well the others know them, each on (time, station left out)."""
    target, *others = case.networks
    some = np.flatnonzero(np.isfinite(target.values[:, left_out]).any(1))
    seen, asked = [target.some(~left_out), *others], target.some(left_out)
    found: dict[str, Any] = {}
    for number, fuser in enumerate(fusers, 1):
        values, known = (np.full((len(target.dates), int(left_out.sum())), np.nan) for _ in range(2))
        values[some], known[some] = fuser(seen[0]).at(seen, some, asked)
        found |= {_key(NAME, number): values, "known": known}
    network = baseline_network(target.dates, target.values, case.places, case.features, left_out, seed)
    return found | {_key(name, None): BASELINES[name].predict(network)[:, left_out] for name in baselines}


def _key(model: str, phase: int | None) -> str:
    return model if phase is None else f"{model} {phase}"


def baseline_network(
    days: np.ndarray,
    observed: np.ndarray,
    places: tuple[np.ndarray, np.ndarray],
    features: np.ndarray,
    left_out: np.ndarray,
    seed: int,
) -> Network:
    """What baselines see: the same stations, the same days, and `features` on (station, feature) or (time, station, feature)."""
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
