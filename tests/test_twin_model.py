"""The twin's model: a closed budget, the same bits however it is run, and emissions that do what they should."""

from datetime import date
from pathlib import Path

import numpy as np
import pytest

from airloom.errors import DataError
from airloom.twin.emissions import (
    REFERENCE,
    SECTORS,
    YEAR,
    expected,
    holiday,
    inventory,
    profile,
    season,
    true_emissions,
)
from airloom.twin.layers import THICKNESS
from airloom.twin.model import Bilinear, Model, State, kinds
from tests.twin_world import Steady, plain

DAY = date(2019, 6, 18)  # a Tuesday


def run(species: str = "nox", *, days: int = 1, threads: int = 1, factor: float = 1.0, **wind: float):
    world = plain()
    model = Model(world, Steady(world.grid, **wind), species=species, threads=threads)
    emissions = true_emissions(world, 0)
    state = model.start(DAY)
    names = ("nox",) if species == "nox" else ("nox", "so2", "nh3", "voc", "pm25", "pmcoarse")
    tensors = {n: e * np.float32(factor) for n, e in emissions.day(DAY, names).items()}
    hours = [h for _ in range(days) for h in model.day(state, DAY, tensors)]
    return model, state, hours


@pytest.mark.parametrize("species", ["nox", "all"])
def test_the_budget_closes(species: str):
    model, state, _ = run(species, days=2)
    start = model.start(DAY).total()
    explained = start + state.budget.sum(0)
    np.testing.assert_allclose(state.total(), explained, rtol=1e-6)
    emitted = state.budget[1, [model.names.index("no"), model.names.index("no2")]].sum()
    kg = true_emissions(plain(), 0).day(DAY)["nox"].sum(dtype=float) * 3600 * 2
    assert emitted == pytest.approx(kg * 1e9 / 46.006, rel=1e-5)  # moles of NOx; the mass of NO is less, not the moles


def test_nothing_is_negative_and_the_town_has_the_most_no2():
    _, state, hours = run(u=2.0)
    assert state.amount.min() >= 0
    ground = np.mean([h.mean["no2"][0] for h in hours], 0)
    row, column = np.unravel_index(ground.argmax(), ground.shape)
    assert abs(row - 10) <= 3
    assert 7 <= column <= 15
    assert ground.max() > 1.5 * ground[:, 1].mean()


def test_the_wind_carries_the_plume():
    east = np.mean([h.mean["no2"][0] for h in run(u=3.0)[2]], 0)
    west = np.mean([h.mean["no2"][0] for h in run(u=-3.0)[2]], 0)
    assert east[10, 16] > 1.2 * west[10, 16]
    assert west[10, 5] > 1.2 * east[10, 5]


def test_a_deeper_boundary_layer_dilutes():
    shallow, deep = (np.mean([h.mean["no2"][0] for h in run(blh=b)[2]]) for b in (150.0, 1500.0))
    assert shallow > 1.15 * deep


def test_two_threads_give_the_bits_of_one():
    np.testing.assert_array_equal(run(threads=1)[1].amount, run(threads=2)[1].amount)


def test_a_saved_state_goes_on_to_the_bit(tmp_path: Path):
    model, state, _ = run("all")
    state.save(tmp_path / "state.npz")
    found = State.load(tmp_path / "state.npz")
    tensors = true_emissions(plain(), 0).day(DAY, ("nox", "so2", "nh3", "voc", "pm25", "pmcoarse"))
    for s in (state, found):
        list(model.day(s, DAY, tensors))
    np.testing.assert_array_equal(state.amount, found.amount)
    np.testing.assert_array_equal(state.budget, found.budget)


def test_half_the_emissions_mean_less_no2_and_more_ozone():
    full, half = (run(factor=f)[2][-1].mean for f in (1.0, 0.5))
    assert half["no2"][0].mean() < full["no2"][0].mean()
    assert half["o3"][0].mean() > full["o3"][0].mean()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda e: e.pop("nox"), "'nox' is missing"),
        (lambda e: e.update(nox=e["nox"][:23]), r"expected \(hour, release, y, x\)"),
        (lambda e: e.update(nox=e["nox"] - 1), "cannot be negative"),
        (lambda e: e.update(nox=e["nox"] * np.nan), "cannot be negative or NaN"),
    ],
)
def test_bad_emissions_are_refused(spoil, message: str):
    world = plain()
    model = Model(world, Steady(world.grid))
    tensors = true_emissions(world, 0).day(DAY)
    spoil(tensors)
    with pytest.raises(DataError, match=message):
        list(model.day(model.start(DAY), DAY, tensors))


def test_an_unknown_set_of_species_is_refused():
    world = plain()
    with pytest.raises(DataError, match="nox and all"):
        Model(world, Steady(world.grid), species="no2")


def test_expected_totals_are_a_persons_share_times_the_people():
    world = plain()
    people = world.population.sum(dtype=float) * 4  # km² a cell
    total = expected(world)[SECTORS.index("residential")].sum() * 4e6 * YEAR
    assert total == pytest.approx(2.0 * people, rel=1e-6)


def test_hidden_factors_keep_the_total_and_loosen_the_bond_with_the_map():
    world = plain(cells=60)
    road = SECTORS.index("road")
    truth, known = true_emissions(world, 3).maps[road], expected(world)[road]
    assert truth.sum() == pytest.approx(known.sum(), rel=1e-5)
    land = known > 0
    assert 0.4 < np.corrcoef(np.log(truth[land]), np.log(known[land]))[0, 1] < 0.98


def test_an_inventory_is_smeared_and_keeps_its_total():
    world = plain(cells=60)
    smeared, sharp = inventory(world).maps[0], expected(world)[0]
    assert smeared.max() < sharp.max()
    assert smeared.sum() == pytest.approx(sharp.sum(), rel=0.01)
    assert inventory(world, ahead=1.3).maps.sum() == pytest.approx(1.3 * inventory(world).maps.sum(), rel=1e-5)


def test_the_calendar_of_emissions():
    road = SECTORS.index("road")
    tuesday, sunday = profile(DAY)[:, road], profile(date(2019, 6, 23))[:, road]
    assert sunday.sum() < 0.8 * tuesday.sum()
    assert tuesday[16] > 2 * tuesday[2]  # 17:30 against 3:30 local
    assert holiday(date(2019, 4, 22))  # Easter Monday
    assert not holiday(date(2019, 4, 23))
    assert season("road", date(2020, 4, 10)) < 0.6 * season("road", date(2019, 4, 10))
    assert season("road", date(2023, 7, 1)) < 0.85 * season("road", date(2019, 7, 1))
    assert REFERENCE == 2019


def test_bilinear_values_are_exact_for_a_plane():
    world = plain()
    coarse = Steady(world.grid).grid
    plane = lambda g: np.add.outer(g.y * 1e-5, g.x * 2e-5)  # noqa: E731
    np.testing.assert_allclose(Bilinear(coarse, world.grid)(plane(coarse)), plane(world.grid), rtol=1e-5)


def test_kinds_of_ground_sum_to_one():
    found = kinds(plain())
    np.testing.assert_allclose(found.sum(0), 1)
    assert found[0, 10, 10] == 1  # the town
    assert found[4, 10, 0] == 1  # the sea
    assert found[1, 0, 19] == 1  # farmland
    assert len(THICKNESS) == 10
