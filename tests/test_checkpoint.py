"""Checkpoints give back what they were given, or say why not."""

import copy
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from airloom.errors import CheckpointError
from airloom.learn import checkpoint
from airloom.learn.checkpoint import load_state, load_weights, save_state, save_weights

FACTS = {"study": "abc", "log": {"epoch": 3, "best": 0.1 + 0.2, "epochs": [{"train": 1 / 3}]}}


def made(seed: int, width: int = 4) -> tuple[nn.Module, torch.optim.AdamW]:
    """A network with batch norm and dropout, and its optimiser, with the last layer frozen."""
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Linear(3, width), nn.BatchNorm1d(width), nn.Dropout(0.5), nn.Linear(width, 1))
    network[3].requires_grad_(False)
    return network, torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr=1e-2, weight_decay=0.1)


def step(network: nn.Module, optimiser: torch.optim.AdamW) -> None:
    """A step on random numbers, with another rate each time; what it draws depends on the rate alone."""
    torch.manual_seed(round(1e6 * optimiser.param_groups[0]["lr"]))
    optimiser.param_groups[0]["lr"] *= 0.9
    optimiser.zero_grad()
    network(torch.randn(8, 3)).square().mean().backward()
    optimiser.step()


def everything(network: nn.Module, optimiser: torch.optim.AdamW) -> list[torch.Tensor]:
    """Weights, buffers and moments."""
    state = optimiser.state_dict()["state"]
    slots = [torch.as_tensor(state[i][name]) for i in sorted(state) for name in sorted(state[i])]
    return [*network.state_dict().values(), *slots]


def same(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return all(x.dtype == y.dtype and torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_a_state_comes_back_to_the_bit_and_goes_on_the_same(tmp_path):
    network, optimiser = made(0)
    for _ in range(3):
        step(network, optimiser)
    path = tmp_path / "state.safetensors"
    save_state(path, network, optimiser, FACTS)
    saved, groups = copy.deepcopy(everything(network, optimiser)), copy.deepcopy(optimiser.param_groups[0])
    for _ in range(2):
        step(network, optimiser)
    ahead = copy.deepcopy(everything(network, optimiser))

    other, other_optimiser = made(1)
    assert not same(saved, ahead)
    facts = load_state(path, other, other_optimiser, belongs_to="abc")
    assert same(everything(other, other_optimiser), saved)
    assert facts["log"] == FACTS["log"]
    assert {k: v for k, v in other_optimiser.param_groups[0].items() if k not in ("params", "betas")} == {
        k: v for k, v in groups.items() if k not in ("params", "betas")
    }
    for _ in range(2):
        step(other, other_optimiser)
    assert same(everything(other, other_optimiser), ahead)


def test_a_state_before_the_first_step_comes_back(tmp_path):
    network, optimiser = made(0)
    path = tmp_path / "state.safetensors"
    save_state(path, network, optimiser, FACTS)
    before = copy.deepcopy(everything(network, optimiser))
    other, other_optimiser = made(1)
    load_state(path, other, other_optimiser, belongs_to="abc")
    assert same(everything(other, other_optimiser), before)


def test_saving_changes_nothing(tmp_path):
    network, optimiser = made(0)
    step(network, optimiser)
    before = copy.deepcopy(everything(network, optimiser))
    save_state(tmp_path / "state.safetensors", network, optimiser, FACTS)
    assert same(everything(network, optimiser), before)


def test_weights_come_back_and_leave_the_random_state_alone(tmp_path):
    network, optimiser = made(0)
    step(network, optimiser)
    save_weights(tmp_path / "best.safetensors", network, {"study": "abc", "epoch": 7})
    other, _ = made(1)
    before = torch.get_rng_state()
    assert load_weights(tmp_path / "best.safetensors", other, belongs_to="abc")["epoch"] == 7
    assert same(list(other.state_dict().values()), list(network.state_dict().values()))
    assert torch.equal(torch.get_rng_state(), before)


def test_another_study_is_refused(tmp_path):
    network, optimiser = made(0)
    path = tmp_path / "state.safetensors"
    save_state(path, network, optimiser, FACTS)
    with pytest.raises(CheckpointError, match=r"state.safetensors: belongs to another study, .* \(abc, not xyz\)"):
        load_state(path, network, optimiser, belongs_to="xyz")


def test_a_network_of_another_shape_is_refused(tmp_path):
    network, _ = made(0)
    save_weights(tmp_path / "best.safetensors", network, {"study": "abc"})
    with pytest.raises(CheckpointError, match=r"best.safetensors: holds a network of another shape: .*size mismatch"):
        load_weights(tmp_path / "best.safetensors", made(0, width=5)[0], belongs_to="abc")


@pytest.mark.parametrize("left", [0, 4, 100, 0.5, -1], ids=str)
def test_a_truncated_file_is_refused(tmp_path, left):
    network, optimiser = made(0)
    path = tmp_path / "state.safetensors"
    save_state(path, network, optimiser, FACTS)
    content = path.read_bytes()
    path.write_bytes(content[: int(left * len(content)) if left == 0.5 else left])
    with pytest.raises(CheckpointError, match=r"state.safetensors: is no whole checkpoint: .* Remove it"):
        load_state(path, network, optimiser, belongs_to="abc")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(CheckpointError, match=r"best.safetensors: is no whole checkpoint"):
        load_weights(tmp_path / "best.safetensors", made(0)[0], belongs_to="abc")


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}, {"facts": "{"}, {"facts": "{}"}], ids=str)
def test_a_file_of_somebody_else_is_refused(tmp_path, metadata):
    network, _ = made(0)
    path = tmp_path / "best.safetensors"
    save_file({f"network.{k}": v for k, v in network.state_dict().items()}, path, metadata=metadata)
    with pytest.raises(CheckpointError, match=r"best.safetensors: is no whole checkpoint"):
        load_weights(path, network, belongs_to="abc")


def test_a_crash_while_writing_leaves_the_old_checkpoint_whole(tmp_path, monkeypatch):
    network, optimiser = made(0)
    path = tmp_path / "state.safetensors"
    step(network, optimiser)
    save_state(path, network, optimiser, FACTS)
    saved = copy.deepcopy(everything(network, optimiser))
    step(network, optimiser)

    def half(tensors, aside, metadata):
        save_file(tensors, aside, metadata=metadata)
        content = Path(aside).read_bytes()
        Path(aside).write_bytes(content[: len(content) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", half)
    with pytest.raises(OSError, match="No space left"):
        save_state(path, network, optimiser, FACTS)
    assert [p.name for p in tmp_path.iterdir()] == ["state.safetensors"]
    load_state(path, network, optimiser, belongs_to="abc")
    assert same(everything(network, optimiser), saved)
