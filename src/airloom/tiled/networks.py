"""The networks of a run: one a member and phase, and where their weights lie."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from airloom.files import fingerprint, read_json, sha256
from airloom.learn.checkpoint import load_weights
from airloom.methods.base import Ensemble
from airloom.methods.registry import method
from airloom.parts import Phase
from airloom.study import Study
from airloom.tiled.base import Base


@dataclass(frozen=True)
class Networks:
    """Makes and finds the networks of a run.

    `study`: what is asked; `folder`: the run's; `base`: the run that it starts from; `channels`: inputs of each group;
    `start`: about what a network gives before it is trained; `marks`: what checkpoints of each phase carry, by its number; `device`:
    where networks live.
    """

    study: Study
    folder: Path
    base: Base | None
    channels: Mapping[str, int]
    start: float
    marks: Mapping[int, str]
    device: torch.device

    @property
    def facts(self) -> dict[str, str]:
        """How large they are, and where they live, for a report."""
        weights = sum(p.numel() for p in self.random(0).parameters())
        found = {"network": f"{weights:,} weights, {self.study.members} members"}
        return found | ({"device": torch.cuda.get_device_name(self.device)} if self.device.type == "cuda" else {})

    def seed(self, member: int) -> int:
        """The seed of a member; that of the first is the study's."""
        return self.study.seed + 1000 * member

    def random(self, member: int) -> nn.Module:
        """A member's network with the random weights of its seed, drawn on the processor and so the same on every device."""
        torch.manual_seed(self.seed(member))
        return method(self.study.method.name).network(self.study, self.channels, self.start).to(self.device)

    def of(self, phase: Phase, member: int) -> nn.Module:
        """A member's network with the best weights of a phase.

        Raises:
            CheckpointError: as `airloom.learn.checkpoint.load_weights`.
        """
        network = self.random(member)
        if self.base and phase is self.base.phase:
            self.base.load(network, member)
        else:
            load_weights(self.weights(phase, member), network, belongs_to=self.marks[phase.number])
        return network

    def ensemble(self, phase: Phase) -> Ensemble:
        """All members with the best weights of a phase."""
        return Ensemble([self.of(phase, member) for member in range(self.study.members)])

    def set_trained(self, network: nn.Module, phase: Phase) -> None:
        """Freeze all but what the phase trains, and set its dropout."""
        network.requires_grad_(phase.train == "all")
        if phase.train == "decoder":
            for part in method(self.study.method.name).decoder(network):
                part.requires_grad_(True)
        for part in network.modules():
            if isinstance(part, nn.Dropout2d | nn.Dropout3d):
                part.p = phase.dropout

    def home(self, phase: Phase, member: int, scales: int | None = None) -> Path:
        """Where a phase of a member lives, or its epochs of so many coarse scales."""
        home = self.folder / f"phase-{phase.number}" / f"member-{member + 1}"
        return home / f"coarse-{scales}" if scales else home

    def weights(self, phase: Phase, member: int) -> Path:
        """Where its best weights lie."""
        if self.base and phase is self.base.phase:
            return self.base.weights(member)
        return self.home(phase, member) / "best.safetensors"

    def digest(self, phase: Phase) -> str:
        """What changes when a phase's weights do."""
        return fingerprint([sha256(self.weights(phase, m)) for m in range(self.study.members)])

    def epochs(self, phase: Phase) -> list[dict[str, float]]:
        """Train and validation loss of each epoch of a phase, its coarse ones first, the mean of the members that came so far."""
        found: list[dict[str, float]] = []
        for _, scales in phase.stages:
            logs = [read_json(self.home(phase, m, scales) / "log.json") for m in range(self.study.members)]
            for number in range(max(map(len, logs))):
                there = [log[number] for log in logs if len(log) > number]
                losses = {k: float(np.mean([e[k] for e in there])) for k in ("train", "validation")}
                found.append({"epoch": len(found) + 1, **losses})
        return found
