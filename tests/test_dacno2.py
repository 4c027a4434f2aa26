"""The DACNO₂ network from outside, and what `describe` says of it."""

import math

import pytest
import torch
from torch.nn import functional

from airloom.errors import StudyError
from airloom.methods.dacno2.method import DACNO2Method
from airloom.methods.dacno2.network import DACNO2, PRESETS, Gain, Widths
from airloom.methods.describe import describe, made_up
from airloom.nets.inception import Lifted
from airloom.nets.norm import settle
from airloom.study import Study, changed
from tests import plain
from tests.small import STUDY

CHANNELS = {"calendar": 2, "weather": 3, "upper": 2, "emissions": 2, "geography": 1}
PAPER = {"calendar": 3, "weather": 14, "upper": 7, "emissions": 13, "geography": 6}  # 43 maps of 38 data sets
TINY = Widths(encoder=(5, 5, 5, 5), upper=(6, 5, 5, 5), decoder=(4, 4, 4, 4), embedding=3)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def groups(channels: dict[str, int], *, batch=2, levels=1, cells=16, scales=4, shared=True) -> dict[str, torch.Tensor]:
    """Random inputs; maps come once for all samples where `shared`."""
    shapes = {
        "calendar": (batch, channels.get("calendar", 0)),
        "weather": (batch, 24, channels.get("weather", 0), *[cells >> (scales - 1)] * 2),
        "upper": (batch, 24, channels.get("upper", 0), levels, *[cells >> (scales - 1)] * 2),
        **{g: (1 if shared else batch, channels.get(g, 0), cells, cells) for g in ("emissions", "geography")},
    }
    return {g: torch.randn(shapes[g]) for g in channels}


def network(channels: dict[str, int], **changes) -> DACNO2:
    return DACNO2(channels, **({"levels": 1, "scales": 4, "widths": TINY, "dropout": 0.0} | changes))


PRESENT = [
    ("calendar", "weather", "upper", "emissions", "geography"),
    ("calendar", "weather", "emissions", "geography"),
    ("weather", "upper"),
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
    field = network(channels, levels=levels)(groups(channels, levels=levels))
    assert field.shape == (2, levels, 16, 16)
    assert torch.isfinite(field).all()
    assert (field > 0).all()


@pytest.mark.parametrize("scales", [1, 2, 3, 4])
def test_as_many_scales_as_lie_between_the_weather_and_the_grid(scales):
    field = network(CHANNELS, scales=scales)(groups(CHANNELS, scales=scales))
    assert field.shape == (2, 1, 16, 16)


def test_groups_stand_in_their_levels():
    found = network(CHANNELS, levels=8).encode(groups(CHANNELS, levels=8))
    *maps, weather, upper, calendar = found[0]
    assert [part.lowest for part in maps] == [1, 1]
    assert (weather.lowest, calendar.lowest) == (5, 8)
    assert upper.shape == (2, 6, 8, 2, 2)
    for scale in found[1:]:  # the calendar joins at the coarsest cells alone
        assert [part.lowest for part in scale if isinstance(part, Lifted)] == [1, 1, 5]


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("start", [0.3, 1.7, 4.0])
def test_the_untrained_network_gives_about_the_start(preset, start):
    field = network(CHANNELS, widths=PRESETS[preset], start=start)(groups(CHANNELS, batch=4, cells=32))
    assert field.mean().item() == pytest.approx(start, abs=0.35)


@pytest.mark.parametrize("levels", [1, 8])
def test_gradients_reach_every_weight(levels):
    net = network(CHANNELS, levels=levels)
    net(groups(CHANNELS, levels=levels)).square().mean().backward()
    for name, weight in net.named_parameters():
        assert weight.grad is not None, name
        assert torch.isfinite(weight.grad).all(), name
        assert (weight.grad != 0).any(), name


def test_a_map_that_all_days_share_is_the_map_repeated():
    net = network(CHANNELS, levels=2)
    inputs = groups(CHANNELS, batch=3, levels=2)
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
    net = DACNO2(PAPER, levels=8, scales=4, widths=PRESETS["base"], dropout=0.1).eval()
    with torch.no_grad():
        field = net(groups(PAPER, batch=1, levels=8, cells=256))
    assert field.shape == (1, 8, 256, 256)
    assert torch.isfinite(field).all()


# Describing


WHOLE = {
    "levels": [0, 50, 250],
    "upper": {"files": ["*.nc"], "variables": ["t", "u"], "levels": [1000, 975, 950]},
    "chemistry": {"files": ["*.nc"]},
}


@pytest.fixture(scope="module")
def study() -> Study:
    return Study.model_validate(STUDY | WHOLE)


def test_a_network_of_the_study_has_its_levels(study):
    channels = {"calendar": 2, "weather": 3, "upper": 2, "emissions": 1}
    field = DACNO2Method().network(study, channels, 1.0)(made_up(study, channels, 2))
    assert field.shape == (2, 3, 32, 32)


def test_describe_counts_weights_and_shows_shapes(study):
    rows = {row.name: row for row in describe(study)}
    network = DACNO2Method().network(study, {"calendar": 2, "weather": 3, "upper": 2, "emissions": 1}, 1.0)
    assert rows["dacno2"].parameters == sum(p.numel() for p in network.parameters())
    assert rows["dacno2"].shape == (1, 3, 32, 32)
    assert rows["upper.stages.0"].shape == (1, 8, 3, 4, 4)
    assert rows["upper.stages.3"].shape == (1, 5, 3, 32, 32)
    # the head: 16 channels to one in 3 levels of 32 × 32 cells, a multiplication and an addition each
    assert rows["head"].operations == 2 * 16 * 3 * 32 * 32
    assert rows["head"].parameters == 16 + 1


def test_parts_add_up(study):
    rows = describe(study)
    top = [row for row in rows if row.depth == 1]
    assert sum(row.parameters for row in top) == rows[0].parameters
    assert sum(row.operations for row in top) == rows[0].operations


def test_describe_refuses_what_the_method_refuses(study):
    with pytest.raises(StudyError, match="no preset 'smal'"):
        describe(changed(study, {"method.preset": "smal"}))


@pytest.mark.parametrize(("preset", "least", "most"), [("base", 80e9, 120e9), ("paper", 800e9, 1200e9)])
def test_the_large_presets_are_as_large_as_they_say(preset, least, most):
    asked = Study.model_validate(
        STUDY
        | {
            "grid": {"centre": [3, 49], "shape": [256, 256]},
            "tiles": {"size": 256, "stride": 256},
            "levels": list(range(8)),
            "upper": {"files": ["*.nc"]},
            "chemistry": {"files": ["*.nc"]},
            "method": {"preset": preset},
        }
    )
    assert least < describe(asked)[0].operations < most


def test_in_bfloat16_the_field_is_nearly_the_same_and_weights_are_learnt_in_float32():
    plain, reduced = network(CHANNELS, levels=3), network(CHANNELS, levels=3, reduced=True)
    reduced.load_state_dict(plain.state_dict())
    inputs = groups(CHANNELS, levels=3)
    fields = [net(inputs) for net in (plain, reduced)]
    assert fields[1].dtype == torch.float32
    torch.testing.assert_close(*fields, rtol=0.05, atol=0.05)
    assert not torch.equal(*fields)
    for field in fields:
        field.square().mean().backward()
    assert {p.grad.dtype for p in reduced.parameters()} == {torch.float32}
    one, other = (torch.cat([p.grad.flatten() for p in net.parameters()]) for net in (plain, reduced))
    assert (one - other).norm() < 0.1 * one.norm()


def test_a_study_says_in_what_its_network_computes():
    made = [
        DACNO2Method().network(changed(Study.model_validate(STUDY), {"method.precision": p}), CHANNELS, 1.0)
        for p in ("float32", "bfloat16")
    ]
    assert [network.reduced for network in made] == [False, True]


# What is not in the paper


def test_untrained_the_gain_changes_nothing():
    torch.manual_seed(1)
    plain, gaining = network(CHANNELS, levels=3).eval(), network(CHANNELS, levels=3, gain=True).eval()
    gaining.load_state_dict(plain.state_dict(), strict=False)
    inputs = groups(CHANNELS, levels=3)
    assert torch.equal(plain(inputs), gaining(inputs))


def test_a_gain_is_a_factor_on_a_level_by_the_days_weather_and_the_cell():
    gain, inputs, maps = Gain(CHANNELS, 3, 4), groups(CHANNELS, levels=3), torch.randn(1, 4, 2, 2)
    with torch.no_grad():
        gain.day.weight[0, 0] = 0.5  # of the first level, by the tile's mean of the first weather channel
        gain.cell.weight[1, 1] = 0.25  # of the second level, by the cell's second
        gain.cell.weight[2, -1] = 0.1  # of the third, by what the maps' encoders see last
        factor = gain(inputs, [maps], (2, 2))
    tile, cells = inputs["weather"][:, :, 0].mean((1, 2, 3)), inputs["weather"][:, :, 1].mean(1)
    torch.testing.assert_close(factor[:, 0], torch.exp(0.5 * tile)[:, None, None].expand(-1, 2, 2))
    torch.testing.assert_close(factor[:, 1], torch.exp(0.25 * cells))
    torch.testing.assert_close(factor[:, 2], torch.exp(0.1 * maps[:, 3]).expand(2, -1, -1))


def test_a_gain_is_smooth_between_the_coarsest_cells():
    gain = Gain({"weather": 1}, 1, 0)
    with torch.no_grad():
        gain.cell.weight.fill_(1.0)
        factor = gain({"weather": torch.tensor([[0.0, 1.0]]).expand(1, 24, 1, 2, 2)}, [], (4, 4))
    expected = torch.tensor([0.0, 0.25, 0.75, 1.0])  # a quarter of the way between two centres, then three
    torch.testing.assert_close(factor.log()[0, 0], expected.expand(4, -1))


@pytest.mark.parametrize("channels", [{"calendar": 2, "emissions": 1}, {"emissions": 1}, {"upper": 2}], ids=str)
def test_a_gain_does_without_what_a_study_lacks(channels):
    made, inputs = network(channels, gain=True).eval(), groups(channels)
    with torch.no_grad():
        before = made(inputs)
        for weight in made.gain.parameters():
            weight.fill_(0.1)
        assert not torch.equal(made(inputs), before)


def test_a_gain_has_a_limit():
    made, inputs = network({"calendar": 2, "emissions": 1}, gain=True).eval(), groups({"calendar": 2, "emissions": 1})
    before = made(inputs)
    with torch.no_grad():
        made.gain.day.bias.fill_(100.0)
    torch.testing.assert_close(made(inputs), before * math.exp(3))


@pytest.mark.parametrize("scales", [1, 2, 3])
def test_the_whole_pyramid_goes_on_where_its_coarsest_scales_leave_off(scales):
    whole, inputs = network(CHANNELS, levels=2, pyramid=True, gain=True), groups(CHANNELS, levels=2)
    part = DACNO2Method().coarsest(whole, scales)
    optimiser = torch.optim.SGD(part.parameters(), 0.1)
    before = whole.eval()(inputs)
    part(inputs).square().mean().backward()
    optimiser.step()
    assert not torch.equal(whole(inputs), before)
    assert torch.equal(whole(inputs), part(inputs))  # finer heads tell nothing yet


def test_heads_of_a_pyramid_add_up():
    torch.manual_seed(1)
    made, inputs = network(CHANNELS, levels=2, pyramid=True).eval(), groups(CHANNELS, levels=2)
    with torch.no_grad():
        for head in [*made.coarse_heads, made.head]:
            head.weight.zero_()
            head.bias.fill_(0.5)
        torch.testing.assert_close(made(inputs), functional.softplus(torch.full((2, 2, 16, 16), 2.0)))
        torch.testing.assert_close(made.field(inputs, 3), functional.softplus(torch.full((2, 2, 16, 16), 1.5)))


@pytest.mark.parametrize("scales", [1, 2, 3])
def test_the_coarsest_scales_learn_weights_of_the_whole_and_leave_the_finer_ones(scales):
    whole = network(CHANNELS, pyramid=True)
    part = DACNO2Method().coarsest(whole, scales)
    part(groups(CHANNELS)).square().mean().backward()
    assert all(p.grad is not None for p in part.parameters() if p.requires_grad)
    finer = [whole.head, *whole.coarse_heads[scales:]]
    finer += [p for parts in (whole.fuse, whole.decode, whole.weather.stages) for p in parts[scales:]]
    assert not any(p.requires_grad for part in finer for p in part.parameters())


def test_as_many_scales_as_there_are_are_not_the_coarse_ones():
    with pytest.raises(StudyError, match=r"phases\.coarse\.scales: 4 of 4 scales"):
        DACNO2Method().coarsest(network(CHANNELS), 4)


@pytest.mark.parametrize("learns", [True, False], ids=["training", "predicting"])
def test_the_network_is_the_textbook_one(learns):
    torch.manual_seed(1)
    net, inputs = network(CHANNELS, levels=8), groups(CHANNELS, levels=8)
    if not learns:
        for _ in range(3):  # running statistics
            net(inputs)
            settle(net)
        net.eval()
    fast, slow = net(inputs), plain.dacno2(net, inputs)
    torch.testing.assert_close(fast, slow, rtol=1e-4, atol=1e-5)
    towards = torch.randn(fast.shape)
    ours, theirs = (
        torch.cat([g.flatten() for g in torch.autograd.grad((field * towards).sum(), net.parameters())])
        for field in (fast, slow)
    )
    assert (ours - theirs).norm() < 1e-4 * theirs.norm()


def test_computing_again_keeps_less_and_gives_the_same():
    torch.manual_seed(0)
    kept, again = (network(CHANNELS, levels=4, recompute=recompute, dropout=0.2) for recompute in (False, True))
    again.load_state_dict(kept.state_dict())
    inputs, held, found = groups(CHANNELS, levels=4), {}, {}
    for name, net in (("kept", kept), ("again", again)):
        sizes: dict[int, int] = {}

        def pack(x, sizes=sizes):
            sizes[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
            return x

        torch.manual_seed(1)  # of dropout
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
            field = net(inputs)
        held[name] = sum(sizes.values())
        field.square().sum().backward()
        settle(net)
        found[name] = {n: p.grad for n, p in net.named_parameters()} | dict(net.named_buffers())
    assert held["again"] < held["kept"] / 3
    assert all(torch.equal(value, found["again"][n]) for n, value in found["kept"].items())
