"""Baselines: what anyone would try first, on the very split that the method has.

Every baseline is a function of a `Network` and returns values on (time, station) [µg m⁻³] for all stations on the test
days, NaN on other days and where it can say nothing. A withheld station's values are never read. A training station's own
values of the test days are never used for itself: it is predicted as if it were not there.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from airloom.errors import DataError
from airloom.stats.boosting import folds, grown, told
from airloom.stats.kriging import NEAREST, distances, fit, from_others
from airloom.verify import gaussian


@dataclass(frozen=True)
class Network:
    """Stations, their daily values, and what the method knows about their cells.

    Arguments:
        days: datetime64[D] on (time,).
        observed: on (time, station) [µg m⁻³], NaN where there is none.
        x, y: projected coordinates on (station,) [m].
        withheld: boolean on (station,).
        features: the method's own inputs at each station's cell on (time, station, feature), NaN where missing.
        feature_names: names on (feature,).
        train_years: years that the method was trained on.
        adapt_years: years of which it saw the training stations besides.
        test_days: boolean on (time,).
        seed: seed of what is drawn at random.

    Raises:
        DataError: an array has another shape than its neighbours, a place is unknown, or no station is left to train on.
    """

    days: np.ndarray
    observed: np.ndarray
    x: np.ndarray
    y: np.ndarray
    withheld: np.ndarray
    features: np.ndarray
    feature_names: tuple[str, ...]
    train_years: tuple[int, ...]
    adapt_years: tuple[int, ...]
    test_days: np.ndarray
    seed: int = 0

    def __post_init__(self) -> None:
        time, station = self.observed.shape
        expected = {
            "days": (time,),
            "test_days": (time,),
            "x": (station,),
            "y": (station,),
            "withheld": (station,),
            "features": (time, station, len(self.feature_names)),
        }
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                raise DataError(
                    f"network.{name} has shape {getattr(self, name).shape}; with observed on (time, station) = "
                    f"{(time, station)} and {len(self.feature_names)} feature names it must be {shape}."
                )
        if not np.isfinite(self.x + self.y).all():
            lost = np.flatnonzero(~np.isfinite(self.x + self.y)).tolist()
            raise DataError(f"network: stations at positions {lost} have no coordinates. Leave them out before.")
        if self.withheld.all():
            raise DataError(f"network: all {station} stations are withheld; a baseline needs one to learn from.")

    @property
    def training(self) -> np.ndarray:
        """Positions of the training stations."""
        return np.flatnonzero(~self.withheld)

    @property
    def year(self) -> np.ndarray:
        """Calendar year on (time,)."""
        return self.days.astype("datetime64[Y]").astype(int) + 1970

    def on_test_days(self, predicted: np.ndarray) -> np.ndarray:
        """Spread values on (test day, station) over all days, NaN elsewhere."""
        whole = np.full(self.observed.shape, np.nan)
        whole[self.test_days] = predicted
        return whole


def network_mean(network: Network) -> np.ndarray:
    """Same-day mean of the (other) training stations."""
    return _weighted(network, np.ones((len(network.x), len(network.training))))


def inverse_distance(network: Network) -> np.ndarray:
    """Same-day mean of the (other) training stations, weighted by distance⁻²."""
    distance = np.maximum(distances(network.x, network.y)[:, network.training], NEAREST)
    return _weighted(network, distance**-2)


def _weighted(network: Network, weights: np.ndarray) -> np.ndarray:
    """Same-day weighted mean; `weights` on (station, training station), a station's weight for itself is set to nil."""
    weights = weights.copy()
    weights[network.training, np.arange(len(network.training))] = 0
    values = network.observed[network.test_days][:, network.training]
    there = np.isfinite(values)
    total, weight = np.where(there, values, 0) @ weights.T, there @ weights.T
    return network.on_test_days(np.divide(total, weight, out=np.full(total.shape, np.nan), where=weight > 0))


def kriging(network: Network) -> np.ndarray:
    """Ordinary kriging of the same-day training stations; one variogram, out of the training years' pairs of them."""
    return network.on_test_days(_kriged(network, network.observed))


def regression_kriging(network: Network) -> np.ndarray:
    """Kriging of what a regression on the features leaves, each day.

    One regression for all days: of a value's departure from its day's mean, as a share of that, on the features' departures from
    theirs, over the training stations of the training years; least squares with a ridge of a hundredth.
    """
    there = np.isfinite(network.observed) & ~network.withheld
    weights = there / np.maximum(there.sum(1, keepdims=True), 1)
    mean = (np.where(there, network.observed, 0) * weights).sum(1, keepdims=True)  # (time, 1); 0 on a day without any
    share = np.divide(network.observed, mean, out=np.full(network.observed.shape, np.nan), where=mean > 0) - 1
    known = np.nan_to_num(network.features)
    apart = known - np.einsum("ts,tsf->tf", weights, known)[:, None]
    seen = there & np.isin(network.year, network.train_years)[:, None] & np.isfinite(share)
    terms, spread = apart[seen], apart[seen].std(0) + 1e-12
    scaled = terms / spread
    inner = scaled.T @ scaled + 0.01 * len(scaled) * np.eye(scaled.shape[1])
    slopes = np.linalg.solve(inner, scaled.T @ share[seen]) / spread
    drift = mean * (apart @ slopes)
    return network.on_test_days(_kriged(network, network.observed - drift) + drift[network.test_days])


def _kriged(network: Network, values: np.ndarray) -> np.ndarray:
    """Values on (time, station) kriged from the same day's training stations, on (test day, station)."""
    apart, training = distances(network.x, network.y), network.training
    learnt = values[np.isin(network.year, network.train_years)][:, training]
    gamma = fit(learnt, apart[np.ix_(training, training)]).among(apart)
    return from_others(gamma, np.where(network.withheld, np.nan, values[network.test_days]))


def gaussian_process(network: Network) -> np.ndarray:
    """A Gaussian process of the same-day training stations."""
    return _process(network, 0)


def space_time_kriging(network: Network) -> np.ndarray:
    """The same of the day before, the day, and the day after."""
    return _process(network, 1)


def _process(network: Network, around: int) -> np.ndarray:
    distance, training = distances(network.x, network.y), network.training
    years = np.isin(network.year, network.train_years)
    learnt = network.observed[np.ix_(years, training)], network.days[years], distance[np.ix_(training, training)]
    covariance = gaussian.fit(*learnt, around, network.seed)
    values, asked = np.where(network.withheld, np.nan, network.observed), np.flatnonzero(network.test_days)
    return network.on_test_days(gaussian.predict(covariance, values, network.days, asked, distance, around))


def gradient_boosting(network: Network) -> np.ndarray:
    """Gradient boosting on the method's own inputs, from the training years' training stations."""
    return _boosted(network, network.train_years)


def gradient_boosting_adapted(network: Network) -> np.ndarray:
    """The same, having seen the adaptation years' training stations too."""
    return _boosted(network, (*network.train_years, *network.adapt_years))


def gradient_boosting_of_the_year(network: Network) -> np.ndarray:
    """The same, from the adaptation years' training stations alone."""
    return _boosted(network, network.adapt_years)


def gradient_boosting_of_neighbours(network: Network) -> np.ndarray:
    """Gradient boosting on the method's own inputs and on what the day's other stations say, weighted by distance⁻²; of withheld
    stations alone, from all years' training stations.
    """
    always = replace(network, test_days=np.ones_like(network.test_days))
    features = np.concatenate([network.features, inverse_distance(always)[..., None]], -1)
    more = replace(network, features=features, feature_names=(*network.feature_names, "inverse distance"))
    seen = np.isin(network.year, (*network.train_years, *network.adapt_years))
    predicted = np.full((int(network.test_days.sum()), len(network.x)), np.nan)
    predicted[:, network.withheld] = _fit_predict(more, seen, network.training, np.flatnonzero(network.withheld))
    return network.on_test_days(predicted)


def _boosted(network: Network, years: tuple[int, ...]) -> np.ndarray:
    """Withheld stations from all training stations; each fold of the training stations from the other folds."""
    training = network.training
    rounds = [(training, np.flatnonzero(network.withheld)), *folds(training, network.seed)]
    predicted = np.full((int(network.test_days.sum()), len(network.x)), np.nan)
    for learnt, asked in rounds:
        if len(learnt) and len(asked):
            predicted[:, asked] = _fit_predict(network, np.isin(network.year, years), learnt, asked)
    return network.on_test_days(predicted)


def _fit_predict(network: Network, seen: np.ndarray, learnt: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Values on (test day, asked station)."""
    trees = grown(_inputs(network, seen, learnt), network.observed[np.ix_(seen, learnt)], network.seed)
    return told(trees, _inputs(network, network.test_days, asked))


def _inputs(network: Network, days: np.ndarray, stations: np.ndarray) -> np.ndarray:
    """Features and coordinates on (time, station, feature)."""
    features = network.features[np.ix_(days, stations)]
    place = np.stack([network.x, network.y], axis=-1)[stations]
    return np.concatenate([features, np.broadcast_to(place, (*features.shape[:2], 2))], axis=-1)


def climatology(network: Network, window: int = 7) -> np.ndarray:
    """Mean of the (other) training stations in the training years, days of the year within ±7, weekdays or weekends."""
    seen = np.isin(network.year, network.train_years)
    calendar = (network.days - network.days.astype("datetime64[Y]")).astype(int)
    weekend = (network.days.astype("datetime64[D]").astype(int) + 3) % 7 >= 5  # 1 January 1970 was a Thursday
    apart = abs(calendar[network.test_days][:, None] - calendar[seen][None])
    alike = (np.minimum(apart, 366 - apart) <= window) & (weekend[network.test_days][:, None] == weekend[seen][None])
    values = network.observed[seen]
    there = np.isfinite(values) & ~network.withheld
    total, count = alike @ np.where(there, values, 0), alike.astype(float) @ there  # (test day, station)
    total, count = (s.sum(axis=1, keepdims=True) - s for s in (total, count))  # a training station without itself
    return network.on_test_days(np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0))


@dataclass(frozen=True)
class Baseline:
    """A baseline as the report presents it."""

    title: str
    description: str
    predict: Callable[[Network], np.ndarray]


BASELINES = {
    "network-mean": Baseline(
        "Network mean", "Same-day mean of the training stations: the same value everywhere.", network_mean
    ),
    "inverse-distance": Baseline(
        "Inverse distance", "Same-day mean of the training stations weighted by distance⁻².", inverse_distance
    ),
    "kriging": Baseline(
        "Ordinary kriging",
        "Same-day training stations, one exponential variogram fitted to the training stations' pooled pairs.",
        kriging,
    ),
    "regression-kriging": Baseline(
        "Regression kriging",
        "Ordinary kriging of what a regression on the features leaves, with one regression for all days.",
        regression_kriging,
    ),
    "gaussian-process": Baseline(
        "Gaussian process",
        "Same-day training stations; a nugget and two Matérn-3/2 structures, fitted by likelihood.",
        gaussian_process,
    ),
    "space-time-kriging": Baseline(
        "Space-time kriging",
        "A Gaussian process of the training stations of the day, the day before and the day after; structures fade with the days.",
        space_time_kriging,
    ),
    "gradient-boosting": Baseline(
        "Gradient boosting",
        "LightGBM on the network's own inputs and coordinates at the stations' cells, training years only.",
        gradient_boosting,
    ),
    "gradient-boosting-adapted": Baseline(
        "Gradient boosting, adapted",
        "The same, having seen the training stations of the adaptation years too.",
        gradient_boosting_adapted,
    ),
    "gradient-boosting-year": Baseline(
        "Gradient boosting, adaptation years alone",
        "The same, from the training stations of the adaptation years alone.",
        gradient_boosting_of_the_year,
    ),
    "gradient-boosting-neighbours": Baseline(
        "Gradient boosting with neighbours",
        "LightGBM on the network's own inputs, coordinates, and the same day's other training stations weighted by distance⁻².",
        gradient_boosting_of_neighbours,
    ),
    "climatology": Baseline(
        "Climatology",
        "Mean of the training stations in the training years: days of the year within ±7, weekdays or weekends.",
        climatology,
    ),
}
