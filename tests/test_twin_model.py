"""The twin's model: a closed budget, the same bits however it is run, and emissions that do what they should."""

from datetime import date
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from airloom.errors import DataError
from airloom.twin.emissions import (
    PERSONAL,
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


def test_the_budget_closes_over_a_month():
    world = plain()
    model = Model(world, Steady(world.grid))
    state, tensors = model.start(DAY), true_emissions(world, 0).day(DAY)
    start = state.total()
    for day in range(30):  # another wind every day, for the same rounding every day would add up
        model.weather = Steady(world.grid, u=1.5 + 0.1 * day, v=np.sin(day))
        for _ in model.day(state, DAY, tensors):
            pass
    gap = state.total() - (start + state.budget.sum(0))
    turned_over = start + np.abs(state.budget).sum(0)
    assert (np.abs(gap) < 1e-6 * turned_over).all()


def test_nothing_is_negative_and_the_town_has_the_most_no2():
    _, state, hours = run(u=2.0)
    assert state.amount.min() >= 0
    ground = np.mean([h.mean["no2"][0] for h in hours], 0)[:, 5:]  # of the land; ships lie off the coast
    assert ground[8:13, 8:13].mean() > 1.5 * ground[:, 1].mean()
    assert ground[8:13, 8:13].mean() > 1.2 * ground[:4, 8:13].mean()


def test_the_wind_carries_the_plume():
    def mean(u: float) -> np.ndarray:
        model = Model(world, Steady(world.grid, u=u), richer=0)  # no NO₂ comes in, from whichever side
        hours = model.day(model.start(DAY), DAY, true_emissions(world, 0).day(DAY))
        return np.mean([h.mean["no2"][0] for h in hours], 0)

    world = plain()
    east, west = mean(3.0), mean(-3.0)
    assert east[10, 16] > 1.2 * west[10, 16]
    assert west[10, 5] > 1.2 * east[10, 5]


def test_the_continents_air_brings_more_no2_than_the_seas():
    world = plain()
    found = [Model(world, w).beyond(DAY, w.day(DAY)) for w in (Steady(world.grid, u=u) for u in (-6.0, 3.6, 8.4, 60.0))]
    no2 = np.array([f[1, 0] for f in found])  # of NO, NO₂, O₃ at the ground
    np.testing.assert_allclose(no2 / no2[1], np.exp([0.6 * 2, 0, -0.6, -0.6 * 2]), rtol=1e-5)  # −6 and 60 m/s are cut at two


class Torn(Steady):
    """The wind blows off the window's middle, as strongly as `apart` cells an hour and cell say; by night."""

    apart = 5.9

    def day(self, day: date) -> xr.Dataset:
        found = super().day(day)
        away = (self.grid.x - self.grid.x.mean()) * self.apart / 3600
        return found.assign(layer_u=found["layer_u"] * away.astype(np.float32), cossza=found["cossza"] * 0)


def test_a_wind_that_tears_cells_apart_takes_shorter_steps():
    # in a third of an hour the sides of a cell would come from beyond each other: nothing would be left in it
    world = plain()
    torn = Torn(world.grid, u=1.0)
    model = Model(world, torn)
    state, nothing = model.start(DAY), np.zeros((24, 2, 20, 20), np.float32)
    for _ in model.day(state, DAY, {"nox": nothing}):
        pass
    assert state.steps == 24 * 10  # 5.9 / 0.6, rounded up
    ozone = model.names.index("o3")
    assert (state.amount[ozone] / model.air).max() <= 1.001 * model.beyond(DAY, torn.day(DAY))[ozone].max()
    start = model.start(DAY).total()
    gap = state.total() - (start + state.budget.sum(0))
    assert (np.abs(gap) < 5e-6 * start).all()  # no weather does this


def test_a_wind_that_crosses_many_cells_takes_shorter_steps():
    # 140 m/s for an hour: 252 cells of 2 km, in four steps of 63
    world = plain()
    state = (model := Model(world, Steady(world.grid, u=140.0))).start(DAY)
    for _ in model.day(state, DAY, true_emissions(world, 0).day(DAY)):
        pass
    assert state.steps == 24 * 4


def test_weather_that_is_not_finite_is_refused():
    world = plain()
    model = Model(world, Steady(world.grid, blh=np.nan))
    with pytest.raises(DataError, match=r"weather of 2019-06-18: blh .* at 00:00"):
        list(model.day(model.start(DAY), DAY, true_emissions(world, 0).day(DAY)))


def test_more_threads_than_cores_are_no_error():
    np.testing.assert_array_equal(run(threads=1)[1].amount, run(threads=10_000)[1].amount)


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
    assert total == pytest.approx(PERSONAL["residential"] * people, rel=1e-6)


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
    assert smeared.sum() == pytest.approx(sharp.sum(), rel=1e-5)
    assert inventory(world, ahead=1.3).maps.sum() == pytest.approx(1.3 * inventory(world).maps.sum(), rel=1e-5)


def test_the_calendar_of_emissions():
    road = SECTORS.index("road")
    tuesday, sunday = profile(DAY)[:, road], profile(date(2019, 6, 23))[:, road]
    assert sunday.sum() < 0.8 * tuesday.sum()
    assert tuesday[16] > 2 * tuesday[2]  # 17:30 against 3:30 local
    assert all(holiday(d) for d in (date(2019, 4, 22), date(2020, 4, 13), date(2024, 4, 1)))  # Easter Mondays
    assert not holiday(date(2019, 4, 23))
    assert season("road", date(2020, 4, 10)) < 0.6 * season("road", date(2019, 4, 10))
    assert season("road", date(2023, 7, 1)) < 0.85 * season("road", date(2019, 7, 1))
    assert REFERENCE == 2019


def test_hours_are_of_utc_and_clocks_an_hour_ahead():
    # 23 UTC is midnight of the next day: of Labour Day's eve it is a holiday's, and not much less than one UTC later
    road = SECTORS.index("road")
    eve, labour, tuesday = (profile(date(2019, *d))[:, road] for d in ((4, 30), (5, 1), (6, 18)))
    assert eve[23] / eve[22] < 0.8 * tuesday[23] / tuesday[22]
    assert labour[23] / labour[22] > tuesday[23] / tuesday[22]  # Thursday's first hour
    assert labour[12] < 0.75 * tuesday[12]
    assert tuesday.argmax() == 16  # 17–18 by the clock, for rush hour is at 17:30


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
