"""Wind, mixing and deposition of the twin against solutions known by hand."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numba import set_num_threads

from airloom.twin.columns import lift, mix
from airloom.twin.layers import HEIGHTS, INTERFACES, LAYERS, THICKNESS, at_heights
from airloom.twin.transport import FURTHEST, horizontal


def uniform_air(layers: int, rows: int, columns: int, value: float = 3.0) -> np.ndarray:
    return np.full((layers, rows, columns), value, np.float32)


def winds(u: float, v: float, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    return np.full(shape, u, np.float32), np.full(shape, v, np.float32)


@pytest.mark.parametrize(("u", "v"), [(3, 0), (-2, 0), (0, 5), (0, -1), (2, -3)])
def test_a_wind_of_whole_cells_moves_every_value_exactly(u: int, v: int):
    amount = np.zeros((1, 1, 24, 20), np.float32)
    amount[0, 0, 12, 9] = 7
    air = uniform_air(1, 24, 20)
    horizontal(amount, air, *winds(u, v, air.shape), border=np.zeros((1, 1), np.float32), x_first=True)
    expected = np.zeros((24, 20))
    expected[12 - v, 9 + u] = 7  # row 0 is the northernmost, and v blows north
    np.testing.assert_allclose(amount[0, 0], expected, atol=1e-5)


def test_what_leaves_and_enters_is_told():
    # one cell of 7 at the eastern side, wind 1 cell east: 7 leaves; 24 rows of border air of 3 × 0.5 enter in the west
    amount = np.zeros((1, 1, 24, 20), np.float32)
    amount[0, 0, 5, 19] = 7
    air = uniform_air(1, 24, 20)
    entered = horizontal(amount, air, *winds(1, 0, air.shape), border=np.full((1, 1), 0.5, np.float32), x_first=True)
    assert entered[0] == pytest.approx(24 * 1.5 - 7)
    assert entered[1] == pytest.approx(0)
    np.testing.assert_allclose(amount[0, 0, :, 0], 1.5)


def gaussian_error(cells: int) -> float:
    """RMSE after a sine wave of the wind's direction has crossed a quarter of the window, at Courant number 0.4."""
    x = (np.arange(cells) + 0.5) / cells
    wave = 2 + np.exp(-(((x - 0.4) / 0.08) ** 2))
    amount = np.repeat(wave[None, :], 4, 0)[None, None].astype(np.float32)
    air = uniform_air(1, 4, cells)
    steps = round(0.25 * cells / 0.4)
    for step in range(steps):
        horizontal(amount, air, *winds(0.4, 0, air.shape), border=np.full((1, 1), 2 / 3, np.float32), x_first=step % 2 == 0)
    expected = 2 + np.exp(-(((x - 0.4 - steps * 0.4 / cells) / 0.08) ** 2))
    return float(np.sqrt(np.mean((amount[0, 0, 1] - expected) ** 2)))


def test_advection_converges_with_order_two():
    # the limiter clips the top of the hill, so the order stays below the parabola's three
    coarse, middle, fine = (gaussian_error(n) for n in (40, 80, 160))
    assert np.log2(coarse / middle) > 1.9
    assert np.log2(middle / fine) > 1.9


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), strength=st.floats(0.1, 8))
@example(seed=1, strength=7.75)  # single precision leaves 1.3e-6
def test_any_wind_conserves_mass_and_sign_and_a_uniform_mixing_ratio(seed: int, strength: float):
    draw = np.random.default_rng(seed)
    waves = draw.uniform(-1, 1, (2, 4, 2))
    y, x = np.mgrid[0:36, 0:40] / 40
    u, v = (
        (strength * sum(a * np.cos(2 * np.pi * (k + 1) * x / 2 + 3 * b) * np.sin(2 * y + b) for k, (a, b) in enumerate(w)))
        .astype(np.float32)[None]
        .repeat(3, 0)
        for w in waves * 0.4
    )
    air = uniform_air(3, 36, 40) * np.array([1, 2, 4], np.float32)[:, None, None]
    target = air.copy()
    amount = np.stack([draw.exponential(size=air.shape).astype(np.float32) * (draw.random(air.shape) < 0.1), 0.25 * air])
    border = np.array([[0.1] * 3, [0.25] * 3], np.float32)
    before = amount.sum((1, 2, 3), dtype=float)
    entered = horizontal(amount, air, u, v, border=border, x_first=bool(seed % 2))[:2]
    entered += lift(amount, air, target, border[:, -1])[:2].sum(1)
    weather = strength < 2  # beyond, the wind empties whole cells, as none does, and single precision rounds coarsely
    np.testing.assert_allclose(amount.sum((1, 2, 3), dtype=float), before + entered, rtol=1e-6 if weather else 5e-6)
    assert amount.min() >= 0
    if weather:
        np.testing.assert_allclose(amount[1] / target, 0.25, rtol=2e-4)
    np.testing.assert_array_equal(air, target)


def test_a_wind_too_strong_for_the_step_is_refused():
    air = uniform_air(1, 8, 8)
    with pytest.raises(ValueError, match=r"covers 70 cells.*at most 64"):
        horizontal(air[None].copy(), air, *winds(70, 0, air.shape), border=np.zeros((1, 1), np.float32), x_first=True)
    assert FURTHEST == 64


def test_one_thread_and_two_give_the_same_bits():
    draw = np.random.default_rng(0)
    results = []
    start = draw.random((2, 3, 70, 66), np.float32)
    u, v = draw.uniform(-2, 2, (2, 3, 70, 66)).astype(np.float32)
    for threads in (1, 2):
        set_num_threads(threads)
        amount, air = start.copy(), uniform_air(3, 70, 66)
        target = air.copy()
        entered = horizontal(amount, air, u, v, border=np.zeros((2, 3), np.float32), x_first=True)
        lift(amount, air, target, np.zeros(2, np.float32))
        mix(amount, target, uniform_air(2, 70, 66, 0.01), uniform_air(2, 70, 66, 1e-4), 600.0)
        results.append((amount, entered))
    np.testing.assert_array_equal(results[0][0], results[1][0])
    np.testing.assert_array_equal(results[0][1], results[1][1])


def column(values: list[float]) -> np.ndarray:
    return np.array(values, np.float32)[None, :, None, None]


def test_rising_air_takes_its_tracer_along():
    # the lowest layer holds 1 too much of 3: 1 of its air, with a mixing ratio of 2, goes up; the top then spills 1
    amount, air = column([6, 0, 0]), np.array([3, 2, 2], np.float32)[:, None, None]
    target = uniform_air(3, 1, 1, 2)
    entered = lift(amount, air.copy(), target, np.zeros(1, np.float32))
    assert amount[0, 0, 0, 0] == pytest.approx(4)  # ratio 2 everywhere in what was there
    assert amount.sum() == pytest.approx(6 + entered[0].sum())
    assert entered[1].sum() == pytest.approx(-1)


def test_sinking_air_brings_the_borders():
    # every layer lacks 1 of 2: 3 enter through the top, with the border's ratio 0.5
    amount, air = column([0.5, 0.5, 0.5]), uniform_air(3, 1, 1, 1)
    entered = lift(amount, air.copy(), uniform_air(3, 1, 1, 2), np.full(1, 0.5, np.float32))
    assert entered[1].sum() == pytest.approx(3)
    assert entered[0].sum() == pytest.approx(1.5)
    np.testing.assert_allclose(amount[0, :, 0, 0], 1)


def test_mixing_of_two_layers_follows_the_implicit_formula():
    # ratios 4 and 0, air 1 each, exchange × step = 0.5: d = 4 / (1 + 2 · 0.5) = 2 between them, so 3 and 1
    amount = column([4, 0])
    mix(amount, uniform_air(2, 1, 1, 1), uniform_air(1, 1, 1, 0.5), np.zeros((1, 1, 1), np.float32), 1.0)
    np.testing.assert_allclose(amount[0, :, 0, 0], [3, 1], rtol=1e-6)


def test_deposition_alone_is_implicit_decay():
    # 10 / (1 + 0.25) = 8; 2 are deposited
    amount = column([10])
    gone = mix(amount, uniform_air(1, 1, 1, 1), np.zeros((0, 1, 1), np.float32), uniform_air(1, 1, 1, 0.25), 1.0)
    assert amount[0, 0, 0, 0] == pytest.approx(8)
    assert gone[0, 0, 0] == pytest.approx(2)


def test_deposition_converges_to_exponential_decay_with_first_order():
    def error(steps: int) -> float:
        amount = column([10])
        for _ in range(steps):
            mix(amount, uniform_air(1, 1, 1, 1), np.zeros((0, 1, 1), np.float32), uniform_air(1, 1, 1, 1), 1 / steps)
        return abs(float(amount[0, 0, 0, 0]) - 10 / np.e)

    assert np.log2(error(10) / error(20)) == pytest.approx(1, abs=0.1)
    assert np.log2(error(20) / error(40)) == pytest.approx(1, abs=0.1)


def diffusion_error(layers: int, steps: int) -> float:
    """A cosine decays as exp(−π² K t) between closed ends; K = 1, depth 1, t = 0.1."""
    z = (np.arange(layers) + 0.5) / layers
    amount = (2 + np.cos(np.pi * z)).astype(np.float32)[None, :, None, None] / layers
    air = uniform_air(layers, 1, 1, 1 / layers)
    for _ in range(steps):
        mix(amount, air, uniform_air(layers - 1, 1, 1, layers), np.zeros((1, 1, 1), np.float32), 0.1 / steps)
    found = amount[0, :, 0, 0] * layers
    return float(np.abs(found - 2 - np.cos(np.pi * z) * np.exp(-(np.pi**2) * 0.1)).max())


def test_diffusion_converges_with_first_order_in_time_and_second_in_height():
    assert np.log2(diffusion_error(64, 20) / diffusion_error(64, 40)) == pytest.approx(1, abs=0.15)
    in_height = [diffusion_error(n, 40 * n * n // 16) for n in (4, 8, 16)]  # the step falls as the square, so both terms do
    assert np.log2(in_height[0] / in_height[1]) == pytest.approx(2, abs=0.3)
    assert np.log2(in_height[1] / in_height[2]) == pytest.approx(2, abs=0.3)


def test_heights_are_read_off_the_layers():
    values = LAYERS.astype(np.float32)[:, None, None]
    np.testing.assert_allclose(at_heights(values)[:, 0, 0], np.clip(HEIGHTS, LAYERS[0], LAYERS[-1]), rtol=1e-6)
    assert INTERFACES[-1] == THICKNESS.sum()
