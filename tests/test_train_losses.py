"""Training: steps, and what the loss is made of and teaches."""

import copy
import dataclasses
import re

import numpy as np
import pytest
import torch
from torch import nn

from airloom.errors import DataError
from airloom.grid import Tile
from airloom.learn import train
from airloom.learn.losses import structural_dissimilarity
from airloom.learn.mirror import AS_IT_IS
from airloom.methods.dacno2.method import DACNO2Method
from airloom.methods.dacno2.network import DACNO2
from airloom.methods.template import LinearField
from airloom.parts import Loss
from tests.memory_cube import FACTOR, memory_cube
from tests.trainers import (
    CHANNELS,
    FEW,
    TILES,
    Recorder,
    dacno2,
    linear,
    phase,
    quiet,
    same,
    split,
    trainer,
)

# Steps and losses


def test_accumulated_micro_batches_are_one_step_on_their_mean_gradient(tmp_path):
    network, reader, taken = linear(), Recorder(), []
    made = trainer(tmp_path, phase(epochs=1, batch=2, accumulate=2), network, reader=reader, tiles=TILES[:1])
    start, step = copy.deepcopy(network), made.optimiser.step
    made.optimiser.step = lambda: (taken.append([p.grad.clone() for p in network.parameters()]), step())
    made.run(quiet)
    assert len(taken) == 2  # eight days, two a micro-batch, two micro-batches a step
    gradients = []
    for days, tile, seen in reader.asked[:2]:
        batch = reader.inner.read(np.array(days), tile, seen)
        there = torch.isfinite(batch.observed)
        loss = (start(batch.inputs)[:, 0] - batch.observed)[there].square().mean()
        gradients.append(torch.autograd.grad(loss, list(start.parameters())))
    mean = [(a + b) / 2 for a, b in zip(*gradients, strict=True)]
    norm = torch.cat([g.flatten() for g in mean]).norm()
    for found, expected in zip(taken[0], mean, strict=True):
        torch.testing.assert_close(found, expected * min(1.0, train.CLIP / norm.item()), atol=1e-5, rtol=1e-4)


def apart(network: nn.Module, former: nn.Module) -> float:
    """1 − SSIM between two models over some days."""
    inputs = Recorder().read(np.arange(12), TILES[0]).inputs
    with torch.no_grad():
        return structural_dissimilarity(network.eval()(inputs), former(inputs), window=7).item()


def test_the_term_of_the_former_model_keeps_the_new_one_near(tmp_path):
    former, changes = linear(), {}
    for layer in former.weights.values():
        nn.init.constant_(layer.weight, 0.3)
    for weight in (0.0, 30.0):
        loss = Loss(station_mse=1, former_ssim=weight, ssim_cell=2000, ssim_window=7)
        network = copy.deepcopy(former)
        asked = phase(number=3, epochs=6, patience=6, loss=loss, learning_rate=3e-2)
        trainer(tmp_path / str(weight), asked, network, former=former, tiles=TILES[:1]).run(quiet)
        changes[weight] = apart(network, former)
    assert 0 < changes[30.0] < changes[0.0] / 2


def test_the_former_model_is_not_changed(tmp_path):
    former = dacno2().eval()
    before = copy.deepcopy(former.state_dict())
    asked = phase(epochs=1, loss=Loss(former_ssim=1, ssim_cell=2000))
    trainer(tmp_path, asked, copy.deepcopy(former), former=former).run(quiet)
    assert same(former.state_dict(), before)
    assert not former.training


def test_a_term_of_weight_0_is_not_computed(tmp_path):
    class Untouched(nn.Module):
        def forward(self, inputs):
            raise AssertionError("the former model was run")

    trainer(tmp_path, phase(epochs=1), linear(), former=Untouched()).run(quiet)


def decoder_trained(folder) -> tuple[DACNO2, dict]:
    """A network whose decoder alone was trained, and its state before."""
    network, method = dacno2(), DACNO2Method()
    network.requires_grad_(False)
    for part in method.decoder(network):
        part.requires_grad_(True)
    before = copy.deepcopy(network.state_dict())
    trainer(folder, phase(epochs=1), network).run(quiet)
    return network, before


def test_a_phase_that_trains_the_decoder_changes_no_other_weight(tmp_path):
    network, before = decoder_trained(tmp_path)
    for name, weight in network.named_parameters():
        assert torch.equal(weight, before[name]) != weight.requires_grad, name
    trained = {name.split(".")[0] for name, weight in network.named_parameters() if weight.requires_grad}
    assert trained == {"fuse", "decode", "head"}


def test_a_phase_that_trains_the_decoder_leaves_other_statistics_alone(tmp_path):
    network, before = decoder_trained(tmp_path)
    frozen = [
        n for n in before if n not in dict(network.named_parameters()) and n.split(".")[0] not in ("fuse", "decode", "head")
    ]
    assert frozen
    assert [n for n in frozen if not torch.equal(network.state_dict()[n], before[n])] == []


def test_a_loss_that_is_not_finite_names_days_and_tile(tmp_path):
    weather = memory_cube().group["weather"][:]
    weather[5, 3, 1, 4, 4] = np.inf
    made = trainer(
        tmp_path,
        phase(batch=2),
        reader=Recorder(memory_cube(weather=weather, observed=np.full((40, 6), 20.0))),
        tiles=TILES[:1],
    )
    with pytest.raises(DataError, match="phase 2, epoch 1: the loss is not finite") as caught:
        made.run(quiet)
    message = str(caught.value)
    assert "2020-12-17" in message  # day 5
    assert len(re.findall(r"2020-12-\d\d", message)) == 2
    assert "tile at row 0, column 0" in message
    assert "weather-1 is farthest from what is usual, by inf standard deviations" in message
    assert not made.state.is_file()


class Rooted(LinearField):
    """Adds a root whose slope is no number where the weather is strange: d√(a · 0)/da = 0 / 0."""

    def forward(self, inputs):
        usual = (inputs["weather"] < 50).all().float()
        return super().forward(inputs) + (self.offset * usual).sqrt()


def test_a_gradient_that_is_not_finite_stops_before_the_step_and_names_batch_and_input(tmp_path):
    weather = memory_cube().group["weather"][:]
    weather[5, 3, 1, 4, 4] = 1e3
    reader = Recorder(memory_cube(weather=weather, observed=np.full((40, 6), 20.0)))
    network = Rooted(CHANNELS, factor=FACTOR, start=3.0)
    made = trainer(tmp_path, phase(batch=2, accumulate=2), network, reader=reader, tiles=TILES[:1])
    with pytest.raises(DataError, match=r"phase 2, epoch 1: the gradient of micro-batch [1-4] is not finite") as caught:
        made.run(quiet)
    message = str(caught.value)
    assert "2020-12-17" in message  # day 5
    assert len(re.findall(r"2020-12-\d\d", message)) == 2  # of the step's four
    assert "tile at row 0, column 0" in message
    assert re.search(r"weather-1 is farthest from what is usual, by 993\.4 standard deviations", message)
    assert all(p.isfinite().all() for p in network.parameters())
    assert not made.best.is_file()


@pytest.mark.parametrize("make", [dacno2, linear])
def test_training_lowers_the_loss(tmp_path, make):
    asked = phase(epochs=8, patience=8, batch=8, learning_rate=3e-2)
    sets = split("days", 0.2)
    made = trainer(tmp_path, asked, make(), tiles=TILES[:1], sets=sets)
    untrained = made.validate()
    log = made.run(quiet)
    assert log.epochs[-1]["train"] < 0.6 * log.epochs[0]["train"]
    assert log.best < 0.8 * untrained
    assert made.validate() == pytest.approx(log.best)  # the network holds the best weights


def test_a_phase_with_mirrors_trains_in_them_and_validates_without(tmp_path):
    reader = Recorder()
    trainer(tmp_path, phase(epochs=4, mirror=True), reader=reader, tiles=[Tile(0, 0, 16)]).run(quiet)
    seen = [str(sets) for _, _, sets in reader.asked]
    training = {m for m, s in zip(reader.mirrors, seen, strict=True) if s == str(FEW.train)}
    checking = {m for m, s in zip(reader.mirrors, seen, strict=True) if s == str(FEW.check)}
    assert len(training) > 1
    assert checking == {AS_IT_IS}


# What teaches nothing


class Taught(Recorder):
    """A chemistry model on the grid's own cells that is 2 everywhere but on days without it."""

    def __init__(self, without=()):
        super().__init__()
        self.without = without

    def read(self, days, tile, seen=None, *, chemistry=False, mirror=AS_IT_IS, own=None):
        batch = super().read(days, tile, seen, chemistry=False, mirror=mirror, own=own)
        rows = torch.arange(tile.size, dtype=torch.float32)[:, None]
        field = (2 + 0.1 * rows).expand(len(days), 1, tile.size, tile.size).clone()
        field[[d in self.without for d in days.tolist()]] = np.nan
        return dataclasses.replace(batch, chemistry=field if chemistry else None)


TEACHING = Loss(station_mse=0, chemistry_mse=1, chemistry_ssim=0.5, ssim_window=7)


def test_a_day_without_the_chemistry_model_weighs_nothing(tmp_path):
    network, seen = dacno2().eval(), FEW.train
    losses = []
    for without, days in (((5,), [5, 6]), ((), [6])):
        made = trainer(tmp_path, phase(loss=TEACHING), network, reader=Taught(without))
        losses.append(float(made._loss(made._read(np.array(days), Tile(0, 0, 16), seen)).detach()))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_a_batch_of_days_without_the_chemistry_model_moves_no_weight(tmp_path):
    made = trainer(tmp_path, phase(loss=TEACHING), reader=Taught(range(40)))
    loss = made._loss(made._read(np.array([5, 6]), Tile(0, 0, 16), FEW.train))
    loss.backward()
    assert float(loss.detach()) == 0
    assert all(p.grad is None or not p.grad.any() for p in made.network.parameters())


def test_a_tile_of_sea_without_stations_or_emissions_moves_no_weight(tmp_path):
    reader = Recorder()
    reader.inner.cube.group["emissions"][:] = 0
    sea = Tile(8, 0, 4)
    made = trainer(tmp_path, phase(), linear(), reader=reader)
    batch = made._read(np.array([5, 6]), sea, FEW.train)
    assert not torch.isfinite(batch.observed).any()
    loss = made._loss(batch)
    loss.backward()
    assert float(loss.detach()) == 0
    assert all(not p.grad.any() for p in made.network.parameters())
