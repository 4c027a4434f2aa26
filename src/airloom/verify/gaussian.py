"""Gaussian processes in space, and in space and time: kriging whose covariance is fitted by likelihood, day and neighbouring days."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from scipy.optimize import minimize

from airloom.stats.kriging import NEAREST

WINDOWS = 30  # stretches of days that the covariance is fitted to
PLACES = 60  # most stations of such a stretch
LEAST = 3  # values of a stretch that say something of a covariance
TRIALS = 400  # of covariances


@dataclass(frozen=True)
class Covariance:
    """Of two values, in shares of their variance: two Matérn-3/2 structures of distance, near and far, and a nugget, which is a
    station's own. All fade exponentially with the days between.

    `share` of the variance and `reach` [m] of the structures; what the shares leave of 1 is the nugget. `span` of both, and of the
    nugget [days].
    """

    share: tuple[float, float]
    reach: tuple[float, float]
    span: tuple[float, float, float]

    def __call__(self, distance: np.ndarray, apart: np.ndarray) -> np.ndarray:
        """Of different stations, at a distance [m] and so many days `apart`, in any shapes that fit."""
        total = np.zeros(np.broadcast_shapes(distance.shape, apart.shape))
        for share, reach, span in zip(self.share, self.reach, self.span[:2], strict=True):
            near = np.sqrt(3) * distance / reach
            total += share * (1 + near) * np.exp(-near - apart / span)
        return total

    def among(self, stretch: "Stretch", distance: np.ndarray) -> np.ndarray:
        """Of a stretch's values with one another, 1 of each with itself; `distance` on (station, station)."""
        apart, who = abs(stretch.day[:, None] - stretch.day), stretch.station
        own = (who[:, None] == who) * np.exp(-apart / self.span[2])
        return self(distance[np.ix_(who, who)], apart) + (1 - sum(self.share)) * own


@dataclass(frozen=True)
class Stretch:
    """Values of some days: `station` and `day` of each, and the `value`, all on (number,)."""

    station: np.ndarray
    day: np.ndarray
    value: np.ndarray

    @classmethod
    def about(cls, values: np.ndarray, dates: np.ndarray, middle: int, around: int) -> "Stretch":
        """What is there of values on (time, station) at most `around` days from a day."""
        some = np.flatnonzero(abs((dates - dates[middle]).astype(int)) <= around)
        time, station = np.nonzero(np.isfinite(values[some]))
        return cls(station, dates[some][time].astype(int), values[some][time, station])

    @property
    def means(self) -> np.ndarray:
        """Which day each value is of, 0 or 1 on (number, day): every day has a mean of its own."""
        return (self.day[:, None] == np.unique(self.day)).astype(float)

    def of(self, stations: np.ndarray) -> "Stretch":
        """That of some stations alone."""
        keep = np.isin(self.station, stations)
        return Stretch(self.station[keep], self.day[keep], self.value[keep])


def fit(values: np.ndarray, dates: np.ndarray, distance: np.ndarray, around: int, seed: int) -> Covariance:
    """The covariance under which values on (time, station) are likeliest, each day with a mean, each stretch of days with a variance of its own.

    `dates` on (time,), datetime64[D]; `distance` on (station, station) [m]. Of some stretches and stations, drawn by `seed`.
    """
    draw = np.random.default_rng(seed)
    days = draw.permutation(np.flatnonzero(np.isfinite(values).sum(1) >= LEAST))[:WINDOWS]
    stretches = []
    for day in days:
        some = draw.permutation(distance.shape[0])[:PLACES]
        stretch = Stretch.about(values, dates, day, around).of(some)
        if len(stretch.value) - stretch.means.shape[1] >= LEAST - 1 and np.ptp(stretch.value) > 0:
            stretches.append(stretch)
    wide = max(distance.max(), NEAREST)
    first = np.array([0.0, 0.0, np.log(wide / 15), np.log(wide / 2), 0.0, 0.0, 0.0])
    if not stretches:
        return _of(first)
    found = minimize(
        lambda asked: sum(_unlikely(_of(asked), s, distance) for s in stretches) + ((asked - first) ** 2).sum() / 10,
        first,  # a little loyalty to where it begins keeps what the values say nothing of within reason
        method="Nelder-Mead",
        options={"maxfev": TRIALS, "xatol": 0.02, "fatol": 0.05, "initial_simplex": first + np.eye(8, 7)},
    )
    return _of(found.x)


def _of(numbers: np.ndarray) -> Covariance:
    """A covariance out of seven numbers without bounds."""
    near, far = np.exp(numbers[:2])
    share, reach, span = np.array([near, far]) / (0.5 + near + far), np.exp(numbers[2:4]), np.exp(numbers[4:])
    return Covariance((share[0], share[1]), (reach[0], reach[1]), (span[0], span[1], span[2]))


def _unlikely(covariance: Covariance, stretch: Stretch, distance: np.ndarray) -> float:
    """Minus the logarithm of a stretch's likelihood, means and variance being the likeliest ones, but for a constant."""
    try:
        factor = cho_factor(covariance.among(stretch, distance), lower=True)
    except LinAlgError:
        return np.inf
    means = stretch.means
    left = stretch.value - means @ np.linalg.solve(
        means.T @ cho_solve(factor, means), means.T @ cho_solve(factor, stretch.value)
    )
    variance = left @ cho_solve(factor, left) / len(left)
    return float(np.log(np.diag(factor[0])).sum() + len(stretch.value) / 2 * np.log(max(variance, 1e-12)))


def predict(
    covariance: Covariance, values: np.ndarray, dates: np.ndarray, asked: np.ndarray, distance: np.ndarray, around: int
) -> np.ndarray:
    """Values on (asked day, station), kriged from those that are there on the day and `around` it; a station that speaks is
    predicted from the others.

    Arguments:
        covariance: as `fit` finds it.
        values: on (time, station), NaN where there is none.
        dates: datetime64[D] on (time,).
        asked: positions of the days.
        distance: on (station, station) [m].
        around: days before and after that are used.
    """
    found = np.full((len(asked), values.shape[1]), np.nan)
    for number, day in enumerate(asked):
        stretch = Stretch.about(values, dates, day, around)
        if (stretch.day == dates[day].astype(int)).any():
            found[number] = _of_day(covariance, stretch, distance, dates[day].astype(int))
    return found


def _of_day(covariance: Covariance, stretch: Stretch, distance: np.ndarray, day: int) -> np.ndarray:
    """Kriging of all stations on a day, the days' means unknown; those that speak, without what they say on any day (block
    leave-one-out).
    """
    count, means = len(stretch.value), stretch.means
    matrix = np.block([[covariance.among(stretch, distance), means], [means.T, np.zeros((means.shape[1], means.shape[1]))]])
    inverse = np.linalg.inv(matrix)
    border = np.zeros((len(matrix), len(distance)))
    border[:count] = covariance(distance[stretch.station], abs(stretch.day - day)[:, None])
    border[count:] = (np.unique(stretch.day) == day)[:, None]
    told = inverse[:, :count] @ stretch.value
    found: np.ndarray = told @ border
    for station, own in _own(stretch):
        others = np.delete(stretch.day, own)
        if not (others == day).any():  # the day's mean is its own alone
            found[station] = np.nan
            continue
        own = own[np.isin(stretch.day[own], others)]  # on other days its value says nothing but that day's mean
        without = told - inverse[:, own] @ np.linalg.solve(inverse[np.ix_(own, own)], told[own])
        found[station] = without @ border[:, station]
    return found


def _own(stretch: Stretch) -> Iterator[tuple[int, np.ndarray]]:
    """Stations that speak, and which values are theirs."""
    for station in np.unique(stretch.station):
        yield int(station), np.flatnonzero(stretch.station == station)
