"""Blocks against plain references."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from airloom.nets import elements
from airloom.nets.convlstm import ClimbingConvLSTM, ConvLSTM, DescendingCNN
from airloom.nets.inception import Inception, Lifted, inception_2d, inception_3d, inception_lstm
from airloom.nets.levels import double, fold, share_levels, unfold
from airloom.nets.memory import samples_at_once
from tests import plain


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def lived_in(network: nn.Module, *shape: int) -> nn.Module:
    """The network in eval mode and double precision, its running statistics no longer 0 and 1."""
    network.double().train()
    with torch.no_grad():
        network(3 + 2 * torch.randn(*shape, dtype=torch.double))
    return network.eval()


def on_levels(inputs: int, outputs: int) -> Inception:
    return inception_lstm(inputs, outputs, levels=True)


# Inception


@pytest.mark.parametrize(
    ("make", "weights"),
    [
        # 4 inputs, two outputs a branch, no biases: 1×1: 8, 3×3: 72, 5×5: 200, 1×7 then 7×1: 56 + 28, pool: 8, norm: 2 × 10
        (lambda: inception_2d(4, 10), 8 + 72 + 200 + 84 + 8 + 20),
        (lambda: inception_lstm(4, 8), 8 + 72 + 200 + 8 + 16),
        (lambda: inception_lstm(4, 10, levels=True), 8 + 72 + 200 + 24 + 8 + 20),
        # 1×1×1: 8, 1×3×3: 72, 3×1×1: 24, pool: 8, norm: 2 × 8
        (lambda: inception_3d(4, 8), 8 + 72 + 24 + 8 + 16),
    ],
    ids=["2d", "lstm", "lstm on levels", "3d"],
)
def test_inception_has_the_branches_it_says(make, weights):
    assert sum(p.numel() for p in make().parameters()) == weights


@pytest.mark.parametrize("outputs", [5, 7, 16])
@pytest.mark.parametrize(
    ("make", "cells"),
    [(inception_2d, (6, 9)), (inception_lstm, (6, 9)), (on_levels, (3, 6, 9)), (inception_3d, (3, 6, 9))],
    ids=["2d", "lstm", "lstm on levels", "3d"],
)
def test_inception_keeps_cells_and_gives_as_many_channels_as_asked(make, cells, outputs):
    assert make(3, outputs)(torch.randn(2, 3, *cells)).shape == (2, outputs, *cells)


def footprint(block: nn.Module, *cells: int) -> np.ndarray:
    """Which input cells the output of the centre cell depends on."""
    block = lived_in(block, 2, 1, *cells)
    x = torch.randn(1, 1, *cells, dtype=torch.double, requires_grad=True)
    centre = (slice(None), slice(None), *(n // 2 for n in cells))
    block(x)[centre].square().sum().backward()
    return x.grad[0, 0].numpy() != 0


def test_inception_reaches_as_far_as_its_kernels():
    square = np.zeros((9, 9), bool)
    square[1:-1, 1:-1] = True  # 1×7 then 7×1
    assert (footprint(inception_2d(1, 10), 9, 9) == square).all()
    square[1:-1, 1:-1], square[2:-2, 2:-2] = False, True  # 5×5
    assert (footprint(inception_lstm(1, 8), 9, 9) == square).all()
    cross = np.zeros((5, 5, 5), bool)
    cross[2, 1:4, 1:4] = cross[1:4, 2, 2] = True  # 1×3×3 and 3×1×1
    assert (footprint(inception_3d(1, 8), 5, 5, 5) == cross).all()


def assert_same(fast: torch.Tensor, slow: torch.Tensor, inputs: list[torch.Tensor]) -> None:
    """Equal values, and equal gradients of a random sum."""
    torch.testing.assert_close(fast, slow, atol=1e-9, rtol=0)
    towards = torch.randn(fast.shape, dtype=fast.dtype)  # a level alone may have any stride, and batch norm in 3-D minds
    for a, b in zip(
        torch.autograd.grad((fast * towards).sum(), inputs), torch.autograd.grad((slow * towards).sum(), inputs), strict=True
    ):
        torch.testing.assert_close(a, b, atol=1e-9, rtol=0)


def convolutions(block: Inception) -> list[torch.Tensor]:
    return [weight for name, weight in block.named_parameters() if not name.startswith("norm")]


@pytest.mark.parametrize("outputs", [11, 60], ids=["one kernel", "a kernel each"])
@pytest.mark.parametrize(
    ("make", "cells"),
    [
        (inception_2d, (6, 9)),
        (inception_lstm, (6, 9)),
        (on_levels, (5, 6, 9)),
        (inception_3d, (5, 6, 9)),
        (inception_3d, (1, 6, 9)),
    ],
    ids=["2d", "lstm", "lstm on levels", "3d", "3d of one level"],
)
def test_inception_is_the_plain_one(make, cells, outputs):
    block, x = make(3, outputs).double(), torch.randn(4, 3, *cells, dtype=torch.double, requires_grad=True)
    assert_same(block(x), plain.inception(block, x), [x, *convolutions(block)])


@pytest.mark.parametrize("levels", [1, 2, 5, 6, 8])
@pytest.mark.parametrize("whole", [True, False], ids=["with a whole part", "lifted parts alone"])
def test_parts_are_the_block_on_their_concatenation(levels, whole):
    draw = lambda *shape: torch.randn(*shape, dtype=torch.double, requires_grad=True)  # noqa: E731
    maps, weather, embedding = draw(1, 2, 6, 7), draw(3, 3, 6, 7), draw(3, 1, 6, 7)
    parts = [Lifted(maps, 1, levels), Lifted(weather, 5, levels), Lifted(embedding, levels, levels)]
    inputs = [maps, weather, embedding]
    if whole:
        inputs.append(upper := draw(3, 2, levels, 6, 7))
        parts.insert(2, upper)
    block = inception_3d(6 + 2 * whole, 9).double()
    concatenated = torch.cat([plain.lifted(part, 3) for part in parts], 1)
    assert_same(block(parts), plain.inception(block, concatenated), [*inputs, *convolutions(block)])


# Levels


def test_folding_back_and_forth_copies_nothing_where_channels_come_last():
    x = torch.randn(2, 3, 4, 5, 6).contiguous(memory_format=torch.channels_last_3d)
    frames = fold(x)
    assert frames.shape == (8, 3, 5, 6)
    assert torch.equal(frames[5], x[1, :, 1])  # 5 = 1 × 4 levels + 1
    assert frames.data_ptr() == x.data_ptr() == unfold(frames, 4).data_ptr()
    assert torch.equal(unfold(frames, 4), x)


def test_doubling_is_bilinear_between_cell_centres_and_leaves_levels():
    x = torch.randn(2, 3, 4, 5, 6)
    assert torch.equal(double(x[:, :, 0]), double(x)[:, :, 0])
    row = torch.tensor([0.0, 4.0, 8.0])[None, None, None]  # a fine centre lies a quarter of a cell from its coarse one
    assert double(row)[0, 0].tolist() == [[0.0, 1.0, 3.0, 5.0, 7.0, 8.0]] * 2


def test_levels_share_by_hand():
    # one sample, three levels, one channel, one cell; a level has 100 × l for the one above, 10 × l for itself, l for below
    taps = torch.tensor([[100.0, 10.0, 1.0], [200.0, 20.0, 2.0], [300.0, 30.0, 3.0]])[:, :, None, None]
    assert share_levels(taps, 3).flatten().tolist() == [10 + 2, 20 + 100 + 3, 30 + 200]


def test_the_gradient_of_sharing_levels():
    taps = torch.randn(6, 6, 2, 2, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(lambda t: share_levels(t, 3), (taps,))


# ConvLSTM


@pytest.mark.parametrize("doubles", [False, True])
@pytest.mark.parametrize("levels", [(), (3,)], ids=["flat", "levels"])
def test_convlstm_is_the_textbook_one(levels, doubles):
    layer = ConvLSTM(3, 5, levels=bool(levels), doubles=doubles).double()
    torch.stack(layer(torch.randn(2, 6, 3, *levels, 4, 4, dtype=torch.double)))  # running statistics
    layer.eval()
    x = torch.randn(2, 6, 3, *levels, 4, 4, dtype=torch.double, requires_grad=True)
    assert_same(torch.stack(layer(x), 1), torch.stack(plain.convlstm(layer, x), 1), [x, *layer.parameters()])


def test_a_state_knows_nothing_of_later_steps():
    layer = lived_in(ConvLSTM(2, 5), 2, 6, 2, 4, 4)
    x = torch.randn(1, 6, 2, 4, 4, dtype=torch.double)
    later = x.clone()
    later[:, 4:] += 1
    before, after = torch.stack(layer(x)), torch.stack(layer(later))
    assert torch.equal(before[:4], after[:4])
    assert not torch.isclose(before[4:], after[4:]).all()


def test_climbing_halves_the_steps_and_doubles_the_cells():
    climb, seen = ClimbingConvLSTM(3, [6, 5, 4, 4]), []
    for stage in climb.stages:
        stage.register_forward_pre_hook(lambda _, args: seen.append(tuple(args[0].shape)))
    last = climb(torch.randn(2, 24, 3, 2, 2))
    assert seen == [(2, 24, 3, 2, 2), (2, 12, 6, 4, 4), (2, 6, 5, 8, 8), (2, 3, 4, 16, 16)]
    assert [tuple(x.shape) for x in last] == [(2, 6, 2, 2), (2, 5, 4, 4), (2, 4, 8, 8), (2, 4, 16, 16)]


def test_climbing_with_levels_keeps_them_and_doubles_behind_the_branches():
    climb, seen = ClimbingConvLSTM(3, [6, 5, 5, 5], levels=True), []
    for stage in climb.stages:
        stage.register_forward_pre_hook(lambda _, args: seen.append(tuple(args[0].shape)))
    last = climb(torch.randn(2, 24, 3, 7, 2, 2))
    assert seen == [(2, 24, 3, 7, 2, 2), (2, 12, 6, 7, 2, 2), (2, 6, 5, 7, 4, 4), (2, 3, 5, 7, 8, 8)]
    assert [tuple(x.shape) for x in last] == [(2, 6, 7, 2, 2), (2, 5, 7, 4, 4), (2, 5, 7, 8, 8), (2, 5, 7, 16, 16)]


@pytest.mark.parametrize("levels", [(), (3,)], ids=["flat", "levels"])
def test_climbing_goes_on_from_every_second_state_and_keeps_the_last(levels):
    climb = lived_in(ClimbingConvLSTM(2, [5, 5, 5, 5], levels=bool(levels)), 2, 24, 2, *levels, 2, 2)
    x = torch.randn(2, 24, 2, *levels, 2, 2, dtype=torch.double)
    found = climb(x)
    for stage, result in zip(climb.stages, found, strict=True):
        states = torch.stack(plain.convlstm(stage, x), 1)
        torch.testing.assert_close(result, states[:, -1], atol=1e-6, rtol=0)
        kept = list(range(states.shape[1] - 1, -1, -2))[::-1]  # 23, 21 … 1, in order of time
        x = states[:, kept]
        x = x if levels else double(x.flatten(0, 1)).unflatten(0, x.shape[:2])  # with levels the next stage doubles


def test_the_last_hour_of_the_day_reaches_every_scale():
    climb = lived_in(ClimbingConvLSTM(2, [4, 4, 4, 4]), 2, 24, 2, 2, 2)
    x = torch.randn(1, 24, 2, 2, 2, dtype=torch.double)
    changed = x.clone()
    changed[:, -1] += 1
    assert all(not torch.allclose(a, b) for a, b in zip(climb(x), climb(changed), strict=True))


def test_descending_halves_the_cells():
    found = DescendingCNN(3, [6, 5, 5, 5])(torch.randn(2, 3, 16, 16))
    assert [tuple(x.shape) for x in found] == [(2, 6, 2, 2), (2, 5, 4, 4), (2, 5, 8, 8), (2, 5, 16, 16)]


@pytest.mark.parametrize(("size", "levels", "samples"), [(32, 1, 32), (64, 8, 32), (128, 8, 8), (256, 8, 2), (1024, 8, 1)])
def test_large_tiles_are_predicted_few_at_a_time(size, levels, samples):
    assert samples_at_once(size, levels) == samples


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("learns", [False, True])
def test_the_largest_around_is_max_pooling(dtype, learns):
    x = torch.randn(2, 3, 7, 5).to(dtype).requires_grad_(learns)
    found, expected = elements.largest_around(x), functional.max_pool2d(x.float(), 3, 1, 1)
    assert torch.equal(found.float(), expected)
    assert found.dtype == dtype
    if learns:
        weight = torch.randn_like(expected)
        (ours,), (theirs,) = (torch.autograd.grad((y.float() * weight).sum(), x) for y in (found, expected))
        torch.testing.assert_close(ours, theirs, rtol=2e-2, atol=2e-2)
    assert elements.largest_around(torch.zeros(1, 1, 1, 1)).item() == 0


def test_the_fast_tanh_is_the_tangent_and_has_its_slope():
    x = torch.linspace(-30, 30, 4001, dtype=torch.float64).float().requires_grad_()
    torch.testing.assert_close(elements.tanh(x), torch.tanh(x), rtol=0, atol=4e-7)
    (ours,), (theirs,) = (torch.autograd.grad(f(x).sum(), x) for f in (elements.tanh, torch.tanh))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=4e-7)
