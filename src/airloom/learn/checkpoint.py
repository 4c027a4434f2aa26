"""Checkpoints: all that training needs to go on as if it had never stopped; safetensors, nothing is ever unpickled."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from airloom.errors import CheckpointError
from airloom.files import whole


def save_weights(path: Path, network: nn.Module, facts: Mapping[str, Any]) -> None:
    """Write a network's weights and buffers with `facts` beside them."""
    _write(path, {f"network.{k}": v for k, v in network.state_dict().items()}, facts)


def load_weights(path: Path, network: nn.Module, *, belongs_to: str) -> dict[str, Any]:
    """Put saved weights into a network; returns the facts beside them.

    Raises:
        CheckpointError: the file is absent or broken, of another study (`belongs_to`), or of a network of another shape.
    """
    tensors, facts = _read(path, belongs_to)
    try:
        network.load_state_dict({k.removeprefix("network."): v for k, v in tensors.items() if k.startswith("network.")})
    except RuntimeError as error:
        why = str(error).splitlines()[-1].strip()
        raise CheckpointError(
            f"{path}: holds a network of another shape: {why}. Remove its folder, and `airloom train` makes it anew."
        ) from error
    return facts


def save_state(path: Path, network: nn.Module, optimiser: torch.optim.Optimizer, facts: Mapping[str, Any]) -> None:
    """Write weights and optimiser with `facts` (epoch, micro-batches done, best …)."""
    tensors = {f"network.{k}": v for k, v in network.state_dict().items()}
    state = optimiser.state_dict()
    for number, slots in state["state"].items():
        tensors |= {f"optimiser.{number}.{name}": torch.as_tensor(value) for name, value in slots.items()}
    _write(path, tensors, {**facts, "groups": state["param_groups"]})


def load_state(path: Path, network: nn.Module, optimiser: torch.optim.Optimizer, *, belongs_to: str) -> dict[str, Any]:
    """Put network and optimiser back as they were saved; returns the facts.

    Raises:
        CheckpointError: as `load_weights`.
    """
    facts = load_weights(path, network, belongs_to=belongs_to)
    tensors, _ = _read(path, belongs_to)
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("optimiser."):
            _, number, name = key.split(".", 2)
            state.setdefault(int(number), {})[name] = value
    optimiser.load_state_dict({"state": state, "param_groups": facts["groups"]})
    return facts


def _write(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    with whole(path) as aside:
        plain = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
        save_file(plain, aside, metadata={"facts": json.dumps(facts)})


def _read(path: Path, belongs_to: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads(file.metadata()["facts"])
            found = facts["study"]
            tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118  (no mapping)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path}: is no whole checkpoint: {error}. Remove it, and `airloom train` goes on without."
        ) from error
    if found != belongs_to:
        raise CheckpointError(
            f"{path}: belongs to another study, or has learnt from other files than there are now ({found}, not {belongs_to}). Name "
            "another run, or remove its folder, and `airloom train` makes it anew."
        )
    return tensors, facts
