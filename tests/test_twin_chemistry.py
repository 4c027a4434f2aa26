"""The twin's chemistry against steady states and budgets worked out by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airloom.twin.chemistry import CLEAR, MOLECULES, NO2_OH, OH_NOON, Rates, particles, photochemistry

ONE = np.ones(1)  # a layer of 1 m, so that amounts are concentrations


def cell(value: float) -> np.ndarray:
    return np.full((1, 1, 1), value, np.float32)


def flat(value: float) -> np.ndarray:
    return np.full((1, 1), value, np.float32)


def react(no, no2, o3, *, k=8e-3, night=0.0, j=0.0, voc=0.0, biogenic=0.0, seconds=1200.0):
    a, b, c = cell(no), cell(no2), cell(o3)
    nitric = photochemistry(a, b, c, cell(voc), (cell(k), cell(night)), flat(j), flat(biogenic), ONE, seconds)
    return a.item(), b.item(), c.item(), nitric.item()


def test_long_steps_reach_the_photostationary_state():
    # NO2 / (NO · O3) = k / J (Leighton); an hour is many times 1 / J = 200 s, and losses take hours
    no, no2, o3, _ = react(0.3, 0.5, 1.2, k=1e-2, j=5e-3, seconds=1e6)
    for _ in range(200):
        no, no2, o3, nitric = react(no, no2, o3, k=1e-2, j=5e-3, seconds=30.0)
    assert no2 / (no * o3) == pytest.approx(2.0, rel=0.03)
    assert nitric >= 0


def test_in_the_dark_the_scarcer_of_no_and_ozone_is_used_up():
    # 0.2 of NO meet 1.5 of ozone: all becomes NO2
    no, no2, o3, nitric = react(0.2, 0.1, 1.5, seconds=1e5)
    assert no == pytest.approx(0, abs=1e-3)
    assert no2 == pytest.approx(0.3, abs=1e-3)
    assert o3 == pytest.approx(1.3, abs=1e-3)
    assert nitric == 0
    no, no2, o3, _ = react(1.5, 0.1, 0.2, seconds=1e5)
    assert (no, no2, o3) == pytest.approx((1.3, 0.3, 0.0), abs=1e-3)


def test_loss_to_hydroxyl_under_an_overhead_sun_is_implicit_decay():
    # without ozone production: NO2 / (1 + dt · k · OH / (1 + NO2 / 0.6)); k·OH = 1.1e-11 · 5e6 = 5.5e-5 s⁻¹
    no2 = 0.06
    loss = 600 * NO2_OH * OH_NOON / MOLECULES / 1.1
    *_, nitric = react(0.0, no2, 1.0, k=1e3, j=CLEAR, seconds=600.0)  # so fast that nearly all NOx is NO2
    assert nitric == pytest.approx(no2 * loss / (1 + loss), rel=0.02)
    assert pytest.approx(5.5e-5) == NO2_OH * OH_NOON / MOLECULES


def test_night_time_loss_takes_half_an_ozone_for_an_no2():
    # two NO2 meet one NO3, and NO3 takes one O3
    no, no2, o3, nitric = react(0.0, 0.4, 1.6, k=1e3, night=2e-5, seconds=3600.0)
    assert nitric == pytest.approx(0.4 - no2 - no, rel=1e-5)
    assert 1.6 - o3 == pytest.approx(nitric / 2, rel=1e-3)


def test_voc_moves_ozone():
    sunny = [react(0.05, 0.3, 1.5, j=CLEAR, voc=v)[2] for v in (0.0, 0.2, 0.4)]
    assert sunny[0] < sunny[1] < sunny[2]
    dark = [react(0.05, 0.3, 1.5, voc=v)[2] for v in (0.0, 0.4)]
    assert dark[0] == dark[1]


@settings(max_examples=100, deadline=None)
@given(
    st.floats(0, 50),
    st.floats(0, 50),
    st.floats(0, 50),
    st.floats(0, 1.5e-2),
    st.floats(0, 1),
    st.floats(1, 1e5),
    st.floats(0, 5),
)
def test_nitrogen_is_kept_and_nothing_is_negative(no, no2, o3, j, night, seconds, voc):
    a, b, c, nitric = react(no, no2, o3, j=j, night=night * 1e-4, seconds=seconds, voc=voc)
    assert min(a, b, c, nitric) >= 0
    assert a + b + nitric == pytest.approx(no + no2, rel=2e-6, abs=1e-7)


def particle_cells(**amounts: float) -> dict[str, np.ndarray]:
    names = ("so2", "nh3", "voc", "hno3", "so4", "no3", "nh4", "soa", "no2")
    return {n: cell(amounts.get(n, 0.0)) for n in names}


def form(of: dict[str, np.ndarray], *, nitric=0.0, humid=0.0, held=0.0, j=0.0, seconds=1200.0) -> dict[str, float]:
    particles(*of.values(), cell(nitric), (cell(humid), cell(held)), flat(j), ONE, seconds)
    return {k: v.item() for k, v in of.items()}


def test_ammonia_neutralises_sulphate_first_then_meets_nitric_acid():
    # 5 of ammonia: 2 × 1 for sulphate, 3 remain; half of min(3, 2) pairs stay particulate
    found = form(particle_cells(so4=1, nh3=5, hno3=2), held=0.5)
    assert found["nh4"] == pytest.approx(3)
    assert found["no3"] == pytest.approx(1)
    assert found["hno3"] == pytest.approx(1)
    assert found["nh3"] == pytest.approx(2)


def test_less_ammonia_or_less_sulphur_means_less_particulate_matter():
    def mass(**amounts: float) -> float:
        found = form(particle_cells(**amounts), nitric=1.0, humid=1e-5, held=0.6)
        return 96.06 * found["so4"] + 62.005 * found["no3"] + 18.038 * found["nh4"]

    base = mass(so2=4, nh3=6, hno3=1)
    assert mass(so2=4, nh3=1, hno3=1) < base  # less than the 2 of nitric acid that it could bind
    assert mass(so2=2, nh3=6, hno3=1) < base


def test_sulphur_and_nitrogen_are_kept():
    found = form(particle_cells(so2=4, so4=1, nh3=6, nh4=1, hno3=1, no3=2), nitric=0.5, humid=1e-5, held=0.7, j=CLEAR)
    assert found["so2"] + found["so4"] == pytest.approx(5)
    assert found["nh3"] + found["nh4"] == pytest.approx(7)
    assert found["hno3"] + found["no3"] == pytest.approx(3.5)


def test_organic_particles_come_of_voc_by_day():
    assert form(particle_cells(voc=1), j=CLEAR)["soa"] > 0
    assert form(particle_cells(voc=1))["soa"] == 0


def test_rates_have_known_values():
    # IUPAC: k(NO + O3) = 1.4e-12 exp(−1310 / 298) = 1.7e-14 cm³ s⁻¹ at 298 K; no photolysis below the horizon
    shape = (1, 1, 1)
    rates = Rates.of(np.full(shape, 298.0), np.full(shape, 60.0), flat(-0.1), flat(0.0))
    assert rates.no_o3.item() / MOLECULES == pytest.approx(1.73e-14, rel=0.01)
    assert rates.photolysis.item() == 0
    noon = Rates.of(np.full(shape, 298.0), np.full(shape, 60.0), flat(1.0), flat(0.0))
    assert noon.photolysis.item() == pytest.approx(9.4e-3, rel=0.02)
    cloudy = Rates.of(np.full(shape, 298.0), np.full(shape, 60.0), flat(1.0), flat(1.0))
    assert cloudy.photolysis.item() == pytest.approx(0.4 * noon.photolysis.item(), rel=1e-5)
