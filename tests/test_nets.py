"""Blocks against plain references, and the DACNO₂ network from outside."""

import numpy as np
import pytest
import torch
from torch import nn

from airloom.methods.dacno2.network import DACNO2, PRESETS, Widths
from airloom.nets.convlstm import ClimbingConvLSTM, ConvLSTM2d, DescendingCNN
from airloom.nets.inception import inception_2d, inception_3d, inception_lstm

CHANNELS = {"calendar": 2, "weather": 3, "emissions": 2, "geography": 1}
TINY = Widths(encoder=(5, 5, 5, 5), decoder=(4, 4, 4, 4), embedding=3)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def lived_in(network: nn.Module, *shape: int) -> nn.Module:
    """The network in eval mode and double precision, its running statistics no longer 0 and 1."""
    network.double().train()
    with torch.no_grad():
        network(3 + 2 * torch.randn(*shape, dtype=torch.double))
    return network.eval()


# Inception


@pytest.mark.parametrize(
    ("make", "weights"),
    [
        # 4 inputs, two outputs a branch, no biases: 1×1: 8, 3×3: 72, 5×5: 200, 1×7 then 7×1: 56 + 28, pool: 8, norm: 2 × 10
        (lambda: inception_2d(4, 10), 8 + 72 + 200 + 84 + 8 + 20),
        (lambda: inception_lstm(4, 8), 8 + 72 + 200 + 8 + 16),
        # 1×1×1: 8, 1×3×3: 72, 3×1×1: 24, pool: 8, norm: 2 × 8
        (lambda: inception_3d(4, 8), 8 + 72 + 24 + 8 + 16),
    ],
    ids=["2d", "lstm", "3d"],
)
def test_inception_has_the_branches_it_says(make, weights):
    assert sum(p.numel() for p in make().parameters()) == weights


@pytest.mark.parametrize("outputs", [5, 7, 16])
@pytest.mark.parametrize(
    ("make", "cells"),
    [(inception_2d, (6, 9)), (inception_lstm, (6, 9)), (inception_3d, (3, 6, 9))],
    ids=["2d", "lstm", "3d"],
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


def plain(block: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """The block by its weights alone: each branch, the last behind a max-pool, with norm and SiLU of its own."""
    flat = x.dim() == 4
    convolve = nn.functional.conv2d if flat else nn.functional.conv3d
    pooled = nn.functional.max_pool2d(x, 3, 1, 1) if flat else nn.functional.max_pool3d(x, (1, 3, 3), 1, (0, 1, 1))
    branches: dict[str, list[torch.Tensor]] = {}
    for name, weight in block.branches.named_parameters():
        branches.setdefault(name.split(".")[0], []).append(weight)
    found = []
    for number, weights in enumerate(branches.values()):
        y = pooled if number == len(branches) - 1 else x
        for weight in weights:
            y = convolve(y, weight, padding=tuple(n // 2 for n in weight.shape[2:]))
        over = tuple(d for d in range(y.dim()) if d != 1)
        y = (y - y.mean(over, keepdim=True)) / torch.sqrt(y.var(over, correction=0, keepdim=True) + block.norm.eps)
        found.append(nn.functional.silu(y))
    return torch.cat(found, 1)


@pytest.mark.parametrize(
    ("make", "cells"),
    [(inception_2d, (6, 9)), (inception_lstm, (6, 9)), (inception_3d, (5, 6, 9)), (inception_3d, (1, 6, 9))],
    ids=["2d", "lstm", "3d", "3d of one level"],
)
def test_inception_is_the_plain_one(make, cells):
    block, x = make(3, 11).double(), torch.randn(4, 3, *cells, dtype=torch.double, requires_grad=True)
    towards = torch.randn(4, 11, *cells, dtype=torch.double)
    fast, slow = block(x), plain(block, x)
    torch.testing.assert_close(fast, slow, atol=1e-9, rtol=0)
    inputs = [x, *block.branches.parameters()]
    for a, b in zip(
        torch.autograd.grad((fast * towards).sum(), inputs), torch.autograd.grad((slow * towards).sum(), inputs), strict=True
    ):
        torch.testing.assert_close(a, b, atol=1e-9, rtol=0)


# ConvLSTM


def textbook(layer: ConvLSTM2d, x: torch.Tensor) -> torch.Tensor:
    """Shi et al., 2015, without peepholes: all gates from this step's input and the last hidden state, step by step."""
    n = layer.from_hidden.in_channels
    wx, b, wh = layer.from_input.weight, layer.from_input.bias, layer.from_hidden.weight
    h = c = x.new_zeros(len(x), n, *x.shape[-2:])
    states = []
    for t in range(x.shape[1]):
        seen = layer.branches(x[:, t])
        i, f, o, g = (
            nn.functional.conv2d(seen, wx[k * n : (k + 1) * n], b[k * n : (k + 1) * n])
            + nn.functional.conv2d(h, wh[k * n : (k + 1) * n], padding=1)
            for k in range(4)
        )
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        states.append(h)
    return torch.stack(states, 1)


def test_convlstm_is_the_textbook_one():
    layer = lived_in(ConvLSTM2d(3, 5), 2, 6, 3, 4, 4)
    x = torch.randn(2, 6, 3, 4, 4, dtype=torch.double, requires_grad=True)
    inputs = [x, *layer.parameters()]
    towards = torch.randn(2, 6, 5, 4, 4, dtype=torch.double)
    fast, plain = layer(x), textbook(layer, x)
    torch.testing.assert_close(fast, plain, atol=1e-6, rtol=0)
    for a, b in zip(
        torch.autograd.grad((fast * towards).sum(), inputs),
        torch.autograd.grad((plain * towards).sum(), inputs),
        strict=True,
    ):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=0)


def test_a_state_knows_nothing_of_later_steps():
    layer = lived_in(ConvLSTM2d(2, 5), 2, 6, 2, 4, 4)
    x = torch.randn(1, 6, 2, 4, 4, dtype=torch.double)
    later = x.clone()
    later[:, 4:] += 1
    before, after = layer(x), layer(later)
    assert torch.equal(before[:, :4], after[:, :4])
    assert not torch.isclose(before[:, 4:], after[:, 4:]).all()


def test_climbing_halves_the_steps_and_doubles_the_cells():
    climb, seen = ClimbingConvLSTM(3, [6, 5, 4, 4]), []
    for stage in climb.stages:
        stage.register_forward_pre_hook(lambda _, args: seen.append(tuple(args[0].shape)))
    last = climb(torch.randn(2, 24, 3, 2, 2))
    assert seen == [(2, 24, 3, 2, 2), (2, 12, 6, 4, 4), (2, 6, 5, 8, 8), (2, 3, 4, 16, 16)]
    assert [tuple(x.shape) for x in last] == [(2, 6, 2, 2), (2, 5, 4, 4), (2, 4, 8, 8), (2, 4, 16, 16)]


def test_climbing_goes_on_from_every_second_state_and_keeps_the_last():
    climb = lived_in(ClimbingConvLSTM(2, [4, 4, 4, 4]), 2, 24, 2, 2, 2)
    x = torch.randn(1, 24, 2, 2, 2, dtype=torch.double)
    found = climb(x)
    for stage, result in zip(climb.stages, found, strict=True):
        states = textbook(stage, x)
        torch.testing.assert_close(result, states[:, -1], atol=1e-6, rtol=0)
        kept = list(range(states.shape[1] - 1, -1, -2))[::-1]  # 23, 21 … 1, in order of time
        x = states[:, kept].repeat_interleave(2, -1).repeat_interleave(2, -2)


def test_the_last_hour_of_the_day_reaches_every_scale():
    climb = lived_in(ClimbingConvLSTM(2, [4, 4, 4, 4]), 2, 24, 2, 2, 2)
    x = torch.randn(1, 24, 2, 2, 2, dtype=torch.double)
    changed = x.clone()
    changed[:, -1] += 1
    assert all(not torch.allclose(a, b) for a, b in zip(climb(x), climb(changed), strict=True))


def test_descending_halves_the_cells():
    found = DescendingCNN(3, [6, 5, 5, 5])(torch.randn(2, 3, 16, 16))
    assert [tuple(x.shape) for x in found] == [(2, 6, 2, 2), (2, 5, 4, 4), (2, 5, 8, 8), (2, 5, 16, 16)]


# DACNO₂


def groups(channels: dict[str, int], *, batch=2, cells=16, scales=4, shared=True) -> dict[str, torch.Tensor]:
    """Random inputs; maps come once for all samples where `shared`."""
    shapes = {
        "calendar": (batch, channels.get("calendar", 0)),
        "weather": (batch, 24, channels.get("weather", 0), *[cells >> (scales - 1)] * 2),
        **{g: (1 if shared else batch, channels.get(g, 0), cells, cells) for g in ("emissions", "geography")},
    }
    return {g: torch.randn(shapes[g]) for g in channels}


def network(channels: dict[str, int], **changes) -> DACNO2:
    return DACNO2(channels, **({"levels": 1, "scales": 4, "widths": TINY, "dropout": 0.0} | changes))


PRESENT = [
    ("calendar", "weather", "emissions", "geography"),
    ("weather", "emissions", "geography"),
    ("calendar", "weather", "geography"),
    ("calendar", "weather", "emissions"),
    ("calendar", "emissions", "geography"),
    ("calendar", "emissions"),
    ("weather",),
]


@pytest.mark.parametrize("levels", [1, 8])
@pytest.mark.parametrize("present", PRESENT, ids="-".join)
def test_any_group_may_be_absent(present, levels):
    channels = {g: CHANNELS[g] for g in present}
    field = network(channels, levels=levels)(groups(channels))
    assert field.shape == (2, levels, 16, 16)
    assert torch.isfinite(field).all()
    assert (field > 0).all()


@pytest.mark.parametrize("scales", [1, 2, 3, 4])
def test_as_many_scales_as_lie_between_the_weather_and_the_grid(scales):
    field = network(CHANNELS, scales=scales)(groups(CHANNELS, scales=scales))
    assert field.shape == (2, 1, 16, 16)


@pytest.mark.parametrize(("group", "lowest"), [("emissions", 1), ("geography", 1), ("weather", 5)])
def test_features_stand_at_their_levels_and_zeros_elsewhere(group, lowest):
    channels = {group: CHANNELS[group]}
    for scale in network(channels, levels=8).encode(groups(channels)):
        assert scale.shape[2] == 8
        assert (scale[:, :, lowest:] == 0).all()
        assert (scale[:, :, :lowest] == scale[:, :, :1]).all()
        assert (scale[:, :, 0] != 0).any()


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("start", [0.3, 1.7, 4.0])
def test_the_untrained_network_gives_about_the_start(preset, start):
    field = network(CHANNELS, widths=PRESETS[preset], start=start)(groups(CHANNELS, batch=4, cells=32))
    assert field.mean().item() == pytest.approx(start, abs=0.35)


@pytest.mark.parametrize("levels", [1, 8])
def test_gradients_reach_every_weight(levels):
    net = network(CHANNELS, levels=levels)
    net(groups(CHANNELS)).square().mean().backward()
    for name, weight in net.named_parameters():
        assert weight.grad is not None, name
        assert torch.isfinite(weight.grad).all(), name
        assert (weight.grad != 0).any(), name


def test_a_map_that_all_days_share_is_the_map_repeated():
    net = network(CHANNELS, levels=2)
    inputs = groups(CHANNELS, batch=3)
    net(inputs)  # running statistics
    repeated = {g: v.expand(3, *v.shape[1:]) if g in ("emissions", "geography") else v for g, v in inputs.items()}
    with torch.no_grad():
        torch.testing.assert_close(net.eval()(inputs), net(repeated), atol=1e-5, rtol=1e-5)


def test_a_sample_is_the_same_whatever_its_batch():
    net = network(CHANNELS)
    inputs = groups(CHANNELS, batch=3)
    net(inputs)
    alone = {g: v if len(v) == 1 else v[1:2] for g, v in inputs.items()}
    with torch.no_grad():
        torch.testing.assert_close(net.eval()(inputs)[1:2], net(alone), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_run(preset):
    with torch.no_grad():
        assert network(CHANNELS, widths=PRESETS[preset]).eval()(groups(CHANNELS, cells=32)).shape == (2, 1, 32, 32)


@pytest.mark.slow
def test_the_base_preset_fills_a_tile_of_the_paper():
    net = DACNO2(
        {"calendar": 3, "weather": 14, "emissions": 13, "geography": 6},
        levels=8,
        scales=4,
        widths=PRESETS["base"],
        dropout=0.1,
    ).eval()
    with torch.no_grad():
        field = net(groups({"calendar": 3, "weather": 14, "emissions": 13, "geography": 6}, batch=1, cells=256))
    assert field.shape == (1, 8, 256, 256)
    assert torch.isfinite(field).all()
