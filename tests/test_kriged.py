"""Kriging as a layer: what kriging says of the values, and a covariance that is fitted."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from airloom.learn.covariance import fit
from airloom.nets.kriged import Kriged
from airloom.stats.kriging import fit as variogram
from airloom.stats.kriging import from_others

STATIONS = 6


def scattered(number: int, seed: int = 0) -> torch.Tensor:
    """Offsets among random places within 50 km [m]."""
    places = 5e4 * torch.rand(number, 2, generator=torch.Generator().manual_seed(seed))
    return places[None] - places[:, None]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), lacking=st.floats(0, 0.8))
def test_a_kriged_layer_says_what_kriging_says(seed, lacking):
    draw, offsets, layer = torch.Generator().manual_seed(seed), scattered(9, seed), Kriged()
    values = 3 + torch.randn(4, 9, generator=draw)
    values[torch.rand(4, 9, generator=draw) < lacking] = torch.nan
    shared, own = layer.covariance(offsets)
    gamma = (1 - shared).detach().double().numpy()
    np.fill_diagonal(gamma, 0)
    assert (shared[0, 0] + own).item() == pytest.approx(1)
    asked = ~torch.isfinite(values) & torch.isfinite(values).any(1, keepdim=True)
    wanted = torch.from_numpy(from_others(gamma, values.double().numpy()))
    assert torch.allclose(layer.linear(values, offsets).detach()[asked].double(), wanted[asked], atol=1e-4)


def test_a_kriged_layer_minds_neither_places_without_values_nor_hours_without_any():
    offsets, layer = scattered(STATIONS + 20), Kriged()
    values = torch.full((2, STATIONS + 20), torch.nan)
    values[0, :STATIONS] = torch.arange(float(STATIONS))
    told = layer(values, offsets)
    assert torch.allclose(told[0, :STATIONS], layer(values[:, :STATIONS], offsets[:STATIONS, :STATIONS])[0], atol=1e-5)
    assert not told[1].any()
    told.square().sum().backward()
    assert all(torch.isfinite(p.grad).all() and p.grad.any() for p in layer.parameters())


def test_roots_give_back_what_all_stations_share():
    layer = Kriged()
    layer.bottom.fill_(-2)
    told = layer(torch.tensor([[7.0, 7, torch.nan]]), scattered(3))
    assert torch.allclose(told, torch.full((1, 3), 7.0), atol=1e-4)


def stretched(moments: int, stations: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Squares of Gaussian fields that reach four times as far north as east, on (moment, station), and the offsets."""
    offsets = scattered(stations, 1)
    apart = (offsets / torch.tensor([15e3, 60e3])).norm(dim=-1)
    factor = torch.linalg.cholesky(torch.exp(-apart) + 1e-4 * torch.eye(stations))
    normal = torch.randn(moments, stations, generator=torch.Generator().manual_seed(0))
    return (4 + normal @ factor.T).square(), offsets


def test_a_fitted_covariance_finds_the_direction_and_errs_less_than_one_of_distance_alone():
    values, offsets = stretched(1500, 20)
    learnt, test = values[:1000], values[1000:]
    layer = Kriged()
    fit(layer, learnt, offsets, seed=0)
    east, north = (layer.covariance(torch.tensor(o))[0].item() for o in ((2e4, 0.0), (0.0, 2e4)))
    assert north > east + 0.2
    apart = offsets.norm(dim=-1).double().numpy()
    plain = from_others(variogram(learnt.double().numpy(), apart).among(apart), test.double().numpy())
    ours = np.empty_like(plain)
    for station in range(20):
        without = test.clone()
        without[:, station] = torch.nan
        ours[:, station] = layer(without, offsets).detach()[:, station]
    errs = [np.sqrt(np.mean((told - test.numpy()) ** 2)) for told in (ours, plain)]
    assert errs[0] < 0.95 * errs[1]


def test_a_fit_is_the_same_twice_and_bears_gaps():
    values, offsets = stretched(200, 5)
    values[::3, 2], values[7] = torch.nan, torch.nan
    layers = [Kriged(), Kriged()]
    for layer in layers:
        fit(layer, values, offsets, seed=3)
    assert all(torch.equal(a, b) for a, b in zip(*(k.state_dict().values() for k in layers), strict=True))
    assert layers[0].bottom == values[torch.isfinite(values)].min()
    assert all(torch.isfinite(p).all() for p in layers[0].parameters())


def test_nothing_known_is_nothing_fitted():
    layer, plain = Kriged(), Kriged()
    fit(layer, torch.full((4, 3), torch.nan), scattered(3), seed=0)
    assert all(torch.equal(a, b) for a, b in zip(layer.parameters(), plain.parameters(), strict=True))
