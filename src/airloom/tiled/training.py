"""A member of a run carried through the phases."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import nn

from airloom.grid import Tile
from airloom.learn.batches import Reader
from airloom.learn.ranks import Ranks
from airloom.learn.sets import Sets
from airloom.learn.train import PhaseTrainer
from airloom.memory import keep_freed_memory
from airloom.methods.registry import method
from airloom.parts import Phase
from airloom.progress import Progress
from airloom.study import Study
from airloom.tiled.networks import Networks


@dataclass(frozen=True)
class Training:
    """What training of a run needs.

    `study`: what is asked; `networks`: the run's; `reader`: reads batches; `tiles`: windows of the grid; `sets`: which values a
    phase sees; `ranks`: the processes that train together; `progress`: is told how far it is.
    """

    study: Study
    networks: Networks
    reader: Reader
    tiles: Sequence[Tile]
    sets: Callable[[Phase], Sets]
    ranks: Ranks
    progress: Progress

    def member(self, member: int) -> None:
        """Train one member through all phases, each with its coarse epochs first where it has some.

        Raises:
            Stopped, DataError, CheckpointError, StudyError: as `PhaseTrainer`.
        """
        keep_freed_memory()
        network, former = self.networks.random(member), None
        if self.networks.base:
            self.networks.base.load(network, member)
            former = copy.deepcopy(network).eval()
        for phase in self.study.phases:
            if phase.start_from == "scratch":
                network, former = self.networks.random(member), None
            for stage, scales in phase.stages:
                self.networks.set_trained(network, phase)  # a coarse stage has frozen the finer scales
                trained = method(self.study.method.name).coarsest(network, scales) if scales else network
                self._trainer(stage, trained, former, member, scales).run(self.progress)
            former = copy.deepcopy(network).eval()

    def _trainer(
        self, phase: Phase, network: nn.Module, former: nn.Module | None, member: int, scales: int | None
    ) -> PhaseTrainer:
        """What trains a phase of a member, or its epochs of so many coarse scales."""
        of_member = f" of member {member + 1}" if self.study.members > 1 else ""
        return PhaseTrainer(
            phase,
            network,
            former,
            self.reader,
            self.tiles,
            self.sets(phase),
            study=self.networks.marks[phase.number],
            seed=self.networks.seed(member),
            folder=self.networks.home(phase, member, scales),
            name=f"phase {phase.number}{of_member}{f' (coarse-{scales})' if scales else ''}",
            ranks=self.ranks,
        )
