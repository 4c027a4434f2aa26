"""Sums of plane waves: smooth random fields that travel, known at any place and time without their past."""

from dataclasses import dataclass

import numpy as np

EPOCH = np.datetime64("2000-01-01T00", "h")
DAY = 86400.0  # s


def seconds(hours: np.ndarray) -> np.ndarray:
    """Seconds since 2000 of datetime64[h] times, as float64."""
    return (hours - EPOCH).astype(float) * 3600.0


def season(hours: np.ndarray, peak: float) -> np.ndarray:
    """A year's cosine on (time, 1, 1), 1 on day `peak` of the year, float32."""
    days = seconds(hours) / DAY
    return np.cos(2 * np.pi * (days - peak) / 365.2425).astype(np.float32)[:, None, None]


@dataclass(frozen=True, eq=False)
class Waves:
    """Plane waves cos(kx·x + ky·y − phase(t)), each with an amplitude that comes and goes.

    Arguments:
        kx, ky: wave numbers [m⁻¹], on (wave,).
        speed: angular frequency [s⁻¹].
        start: phase in 2000.
        pulse, pulse_start: angular frequency [s⁻¹] and phase of the amplitude's coming and going.
        swing: how far it goes, 0…1.
    """

    kx: np.ndarray
    ky: np.ndarray
    speed: np.ndarray
    start: np.ndarray
    pulse: np.ndarray
    pulse_start: np.ndarray
    swing: float

    @property
    def k(self) -> np.ndarray:
        """Total wave number [m⁻¹]."""
        return np.hypot(self.kx, self.ky)

    def phase(self, hours: np.ndarray) -> np.ndarray:
        """Phase on (time, wave); in double precision, for years are many turns."""
        return np.mod(np.outer(seconds(hours), self.speed) + self.start, 2 * np.pi)

    def strength(self, hours: np.ndarray) -> np.ndarray:
        """Relative amplitude on (time, wave)."""
        return 1 + self.swing * np.cos(np.outer(seconds(hours), self.pulse) + self.pulse_start)


def travelling(
    rng: np.random.Generator, lengths: np.ndarray, spread: float, speeds: tuple[float, float], swing: float
) -> Waves:
    """Waves of given lengths [m] whose crests face east within ± `spread` [rad] and move east.

    `speeds` are the lowest and highest eastward phase speed [m s⁻¹], `swing` how far amplitudes come and go.
    """
    n = len(lengths)
    angle = rng.uniform(-spread, spread, n)
    kx, ky = 2 * np.pi / lengths * np.cos(angle), 2 * np.pi / lengths * np.sin(angle)
    pulse = 2 * np.pi / (rng.uniform(3, 9, n) * DAY)
    turn = rng.uniform(0, 2 * np.pi, (2, n))
    return Waves(kx, ky, kx * rng.uniform(*speeds, n), turn[0], pulse, turn[1], swing)


class Texture:
    """Unit-variance random fields on fixed places: a sum of `waves` with weights, as two matrix products.

    Arguments:
        x, y: places [m], on (place,).
        weights: amplitude of each wave, on (field, wave), real or complex (its angle shifts the wave); None: alike, normalised.
    """

    def __init__(self, waves: Waves, x: np.ndarray, y: np.ndarray, weights: np.ndarray | None = None) -> None:
        if weights is None:
            weights = np.full((1, len(waves.kx)), np.sqrt(2 / len(waves.kx) / (1 + waves.swing**2 / 2)))
        self.waves, self.weights = waves, weights
        argument = np.outer(waves.kx, x) + np.outer(waves.ky, y)
        self.cos, self.sin = np.cos(argument).astype(np.float32), np.sin(argument).astype(np.float32)

    def at(self, hours: np.ndarray) -> np.ndarray:
        """The fields on (field, time, place), float32: Re(weight · exp i(k·x − phase)) summed over waves."""
        turned = self.weights[:, None] * self.waves.strength(hours) * np.exp(-1j * self.waves.phase(hours))
        return turned.real.astype(np.float32) @ self.cos - turned.imag.astype(np.float32) @ self.sin
