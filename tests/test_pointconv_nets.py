"""Point convolution and UNet++: what scattered values make of a grid."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from airloom.methods.pointconv.network import PRESETS, PointConvFusion, of_stations
from airloom.nets.pointconv import PAPER, Influence, PointConv, Step, correlate
from airloom.nets.unetpp import UNetPP


def stations(cells: dict[tuple[int, int], float], shape=(40, 40)) -> tuple[torch.Tensor, torch.Tensor]:
    """Values and weights on (1, 1, y, x)."""
    values, weights = torch.zeros(1, 1, *shape), torch.zeros(1, 1, *shape)
    for at, value in cells.items():
        values[0, 0][at], weights[0, 0][at] = value, 1
    return values, weights


def test_one_station_speaks_for_all_cells_in_reach_and_for_no_other():
    field, known = PointConv(PAPER)(*stations({(20, 20): 5.0}))
    near = field[0, 0, 10:31, 10:31]  # 21 × 21 about it
    torch.testing.assert_close(near, torch.full_like(near, 5.0), rtol=1e-3, atol=0)
    assert field[0, 0, 0, 0] == 0
    assert known[0, 0, 20, 20] == 0.5  # a station in the middle of the kernel, and no other
    assert known[0, :, 0, 0].tolist() == [0, 0]


def test_a_cell_between_two_alike_has_their_mean():
    field, _ = PointConv((Step(21),))(*stations({(20, 15): 2.0, (20, 25): 6.0}))
    assert field[0, 0, 20, 20].item() == pytest.approx(4.0, rel=1e-4)


def test_equal_stations_make_a_level_field_up_to_the_border():
    cells = {(r, c): 3.0 for r in range(0, 40, 7) for c in range(0, 40, 7)}
    field, _ = PointConv(PAPER)(*stations(cells))
    torch.testing.assert_close(field, torch.full_like(field, 3.0), rtol=1e-3, atol=0)


def test_the_second_step_brings_the_field_nearer_to_the_stations():
    cells = {(20, 14): 0.0, (20, 20): 9.0, (20, 26): 0.0}
    values, weights = stations(cells)
    off = [abs(PointConv(steps)(values, weights)[0][0, 0, 20, 20] - 9).item() for steps in (PAPER[:1], PAPER)]
    assert off[1] < 0.7 * off[0]


@settings(max_examples=25, deadline=None)
@given(
    st.integers(12, 41),
    st.integers(12, 41),
    st.integers(1, 12),
    st.sampled_from([(Step(5, 4), Step(9)), PAPER]),
    st.integers(0, 99),
)
def test_stations_alone_have_what_the_field_has_in_their_cells(rows, columns, number, steps, seed):
    torch.manual_seed(seed)
    points = PointConv(steps, cautious=True)
    with torch.no_grad():
        for logarithm in points.logs:
            logarithm += torch.randn_like(logarithm)
    cells = torch.randperm(rows * columns)[:number]
    row, column = cells // columns, cells % columns
    values, weights = torch.randn(2, number), (torch.rand(2, number) < 0.7).float()  # some are heard and do not speak
    gridded = torch.zeros(2, 2, 1, rows, columns)
    gridded[0, :, 0, row, column], gridded[1, :, 0, row, column] = values, weights
    field, _ = points(*gridded)
    influence = [Influence.between(step, row, column, (rows, columns)) for step in steps]
    torch.testing.assert_close(points.at(values, weights, influence), field[:, 0, row, column], rtol=1e-4, atol=1e-5)


def test_blocks_carry_farther():
    values, weights = stations({(20, 20): 5.0}, (80, 80))
    reached = [(PointConv(s)(values, weights)[0] > 1).sum().item() for s in ((Step(11),), (Step(11, 4),))]
    assert reached[0] == 121
    assert reached[1] > 10 * reached[0]


def test_caution_lets_a_lone_station_say_less():
    sure, wary = (PointConv((Step(11),), cautious=c)(*stations({(20, 20): 5.0}))[0] for c in (False, True))
    assert sure[0, 0, 20, 20].item() == pytest.approx(5, rel=1e-3)
    assert wary[0, 0, 20, 20].item() == pytest.approx(5 / 1.3, rel=1e-3)  # ε of 0.3 beside a weight of 1


@pytest.mark.parametrize("shape", [(30, 30), (17, 64)])
def test_correlation_is_that_of_a_convolution_layer(shape):
    x, kernel = torch.randn(2, 3, *shape, requires_grad=True), torch.randn(11, 11, requires_grad=True)
    found = correlate(x, kernel)
    plain = functional.conv2d(x.flatten(0, 1)[:, None], kernel[None, None], padding=5).view_as(x)
    torch.testing.assert_close(found, plain, rtol=1e-4, atol=1e-5)
    towards = torch.randn_like(x)
    for ours, theirs in zip(*(torch.autograd.grad(y, (x, kernel), towards) for y in (found, plain)), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-3)


def test_several_channels_share_their_weights():
    values, weights = stations({(5, 5): 3.0, (30, 30): 7.0})
    points = PointConv(PAPER)
    both, _ = points(torch.cat([values, 2 * values], 1), weights)
    alone, _ = points(values, weights)
    torch.testing.assert_close(both, torch.cat([alone, 2 * alone], 1))


def test_a_kernel_needs_a_middle():
    with pytest.raises(ValueError, match=r"kernels of \[10\] cells have no middle"):
        PointConv((Step(10),))


@pytest.mark.parametrize("shape", [(32, 32), (37, 50)])
def test_unetpp_keeps_the_cells_and_first_adds_nothing(shape):
    network = UNetPP(3, 1, (4, 6, 8)).eval()
    assert network(torch.randn(2, 3, *shape)).shape == (2, 1, *shape)
    assert network(torch.randn(2, 3, *shape)).abs().max() == 0


def test_a_window_gives_what_the_whole_gives_well_inside():
    torch.manual_seed(0)
    network = UNetPP(2, 1, (4, 6)).eval()
    torch.nn.init.normal_(network.head.weight)
    x = torch.randn(1, 2, 64, 64)
    window = network(x[..., 16:48, 16:48])
    torch.testing.assert_close(network(x)[..., 28:36, 28:36], window[..., 12:20, 12:20], rtol=1e-4, atol=1e-5)


def fusion(variables: int = 1) -> PointConvFusion:
    torch.manual_seed(0)
    network = PointConvFusion(variables, 1, PRESETS["small"]).eval()
    torch.nn.init.normal_(network.blend.head.weight, std=0.1)
    return network


def test_other_units_and_another_offset_give_the_same_field():
    draw = np.random.default_rng(0)
    cells = {
        (int(r), int(c)): float(v) for r, c, v in zip(*draw.integers(40, size=(2, 30)), draw.normal(20, 8, 30), strict=True)
    }
    values, weights = stations(cells)
    network, maps = fusion(), torch.randn(1, 40, 40)
    with torch.no_grad():
        field, _ = network(values, weights, maps)
        other, _ = network(1000 * values, weights, maps)
    torch.testing.assert_close(other, 1000 * field, rtol=1e-3, atol=1e-2)


def test_what_stands_where_no_station_is_does_not_matter():
    values, weights = stations({(5, 5): 3.0, (30, 30): 7.0})
    network, maps = fusion(), torch.zeros(1, 40, 40)
    with torch.no_grad():
        field, _ = network(values, weights, maps)
        other, _ = network(torch.where(weights > 0, values, 99.0), weights, maps)
    torch.testing.assert_close(other, field)


def test_mean_and_spread_of_stations():
    values, weights = stations({(0, 0): 2.0, (3, 3): 6.0})
    mean, spread = of_stations(values, weights)
    assert (mean.item(), spread.item()) == (4, 2)
    mean, spread = of_stations(*stations({(0, 0): 10.0}))
    assert (mean.item(), spread.item()) == (10, pytest.approx(1.5))  # one station has no spread: 15 % of its value
    mean, spread = of_stations(*stations({}))
    assert (mean.item(), spread.item()) == (0, 1)
