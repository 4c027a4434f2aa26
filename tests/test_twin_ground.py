"""Days of a world at the ground, and its maps."""

from datetime import date
from types import SimpleNamespace

import numpy as np
import pytest

from airloom.methods.pointconv.teach import ALOFT
from airloom.twin.ground import FAR, ground_days, ground_map
from airloom.twin.world import Plan, World


def country(**maps) -> SimpleNamespace:
    """As much of a geography as maps need."""
    return SimpleNamespace(grid=SimpleNamespace(cell=4000.0), **maps)


def test_ground_is_sealed_as_people_live_on_it():
    found = ground_map(country(population=np.array([[0.0, 3000.0, 1e6]])), "impervious")
    np.testing.assert_allclose(found, [[0, 100 * (1 - np.exp(-1)), 100]])


def test_distance_to_a_motorway():
    roads = np.zeros((1, 1, 4))
    roads[0, 0, 0] = 30.0
    np.testing.assert_allclose(ground_map(country(road_density=roads), "motorway"), [[1000, 4000, 8000, 12000]])
    assert (ground_map(country(road_density=0 * roads), "motorway") == FAR).all()


@pytest.mark.slow
def test_a_day_has_its_variables_and_thins_out_with_height():
    plan = Plan(date(2019, 1, 1), date(2019, 1, 1), lon=10.3, lat=51.2, size=320_000, cell=20_000, species="all")
    ((ground, aloft),) = ground_days(World(plan), plan.dates, ("pm10", "relative_humidity", "wind"), ALOFT)
    assert ground.shape == (3, 16, 16)
    assert aloft.shape == (4, 16, 16)
    assert ground[0].min() > 0
    assert 1 < ground[1].min() <= ground[1].max() <= 105
    assert aloft[-1].mean() < ground[0].mean()
