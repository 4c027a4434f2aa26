"""Which values a phase learns from, and which choose its checkpoint."""

from dataclasses import dataclass

import numpy as np

from airloom.errors import StudyError
from airloom.parts import Phase


@dataclass(frozen=True)
class Sets:
    """What a phase sees, for training and for validation: values of stations, bool on (time, station), none in both; and days,
    bool on (time,), on which the chemistry model, too, teaches or validates.
    """

    train: np.ndarray
    check: np.ndarray
    train_days: np.ndarray
    check_days: np.ndarray

    @classmethod
    def of(
        cls, phase: Phase, days: np.ndarray, stations: np.ndarray, seed: int, drawn_from: np.ndarray | None = None
    ) -> "Sets":
        """Split the values of `days` and `stations`, each bool, as the phase's validation says, by `seed`.

        Withheld stations must not be among `stations`. `drawn_from`: days, the phase's among them, out of which validation
        days are drawn; phases that give the same ones have the same validation days, as far as these are their own.

        Raises:
            StudyError: the split would leave nothing to train on or nothing to validate on.
        """
        # the same draw in every phase, or a later one would be judged by what an earlier one has learnt
        draw = np.random.default_rng([seed, 2 if phase.validation.by == "days" else phase.number])
        pool = np.outer(days, stations)
        fraction = phase.validation.fraction
        if phase.validation.by == "values":
            chosen = np.asarray(draw.random(pool.shape) < fraction)
        elif phase.validation.by == "days":
            chosen = _share(days if drawn_from is None else drawn_from, fraction, draw)[:, None]
        else:
            chosen = _share(stations, fraction, draw)[None, :]
        train, check = pool & np.logical_not(chosen), pool & chosen
        by_days = phase.validation.by == "days"
        train_days = days & ~chosen[:, 0] if by_days else train.any(1)
        check_days = days & chosen[:, 0] if by_days else check.any(1)
        if not train.any() or not check.any():
            raise StudyError(
                f"phase {phase.number}: {phase.validation.fraction:.0%} of {int(days.sum())} days and {int(stations.sum())} "
                f"training stations, by {phase.validation.by}, leaves nothing to train on, or nothing to validate on. Choose "
                "another share in phases.validation."
            )
        return cls(train, check, train_days, check_days)


def _share(pool: np.ndarray, fraction: float, draw: np.random.Generator) -> np.ndarray:
    """At least one member of `pool`, bool, drawn at random."""
    members = np.flatnonzero(pool)
    taken = draw.permutation(members)[: max(1, round(fraction * len(members)))]
    return np.isin(np.arange(len(pool)), taken)
