"""The training loop: one phase at a time, resumable to the bit, alone or shared by ranks."""

import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import NoReturn, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from airloom.errors import DataError, StudyError
from airloom.files import write_json
from airloom.grid import Tile
from airloom.learn.ahead import ahead
from airloom.learn.batches import Batch, Reader, order
from airloom.learn.board import Board
from airloom.learn.checkpoint import load_state, load_weights, save_state, save_weights
from airloom.learn.familiar import farthest
from airloom.learn.mirror import AS_IT_IS, Mirror
from airloom.learn.objective import Objective, remember
from airloom.learn.own import own_shares
from airloom.learn.ranks import ALONE, Ranks
from airloom.learn.schedule import rate
from airloom.learn.sets import Sets
from airloom.learn.stop import Stopped, stop_asked
from airloom.nets.memory import samples_at_once
from airloom.nets.norm import settle
from airloom.parts import Phase
from airloom.progress import Progress

WARM_UP = 0.1  # share of the steps over which the learning rate rises
CLIP = 1.0  # largest norm of the gradient
SAVE_EVERY = 60.0  # seconds between two states within an epoch: what a crash may cost

T = TypeVar("T")


@dataclass
class Log:
    """What an epoch gave, and the best so far; of the epoch under way the micro-batches `done`, the sum of their losses, the
    seconds that they took, and those in which batches were waited for.
    """

    epoch: int = 0
    best: float = float("inf")
    best_epoch: int = 0
    epochs: list[dict[str, float]] = field(default_factory=list)
    done: int = 0
    lost: float = 0.0
    seconds: float = 0.0
    waited: float = 0.0


class PhaseTrainer:
    """Trains one phase in a folder: `state.safetensors` to go on from, `best.safetensors`, `log.json`.

    Ranks share the micro-batches of each step and add their gradients, and what these tell of running statistics. What is drawn
    at random depends on seed, phase, epoch and micro-batch alone, so a state need not hold it, and ranks draw what one process
    would.

    Arguments:
        phase: what to do.
        network: gets the phase's initial weights from the caller, and the best ones when training ends.
        former: the model that the phase started from, for the term that stays near it; None where there is none.
        reader: reads batches.
        tiles: windows of the grid.
        sets: values to train on and to validate on.
        study: fingerprint that checkpoints carry.
        seed: of the order and of dropout.
        folder: where the phase lives.
        name: how messages call it.
        ranks: the processes that train together.

    Raises:
        StudyError: the micro-batches of a step cannot be shared evenly among the ranks.
    """

    def __init__(
        self,
        phase: Phase,
        network: nn.Module,
        former: nn.Module | None,
        reader: Reader,
        tiles: Sequence[Tile],
        sets: Sets,
        *,
        study: str,
        seed: int,
        folder: Path,
        name: str,
        ranks: Ranks = ALONE,
    ) -> None:
        if phase.accumulate % ranks.size:
            raise StudyError(
                f"{name}: {ranks.size} ranks cannot share {phase.accumulate} micro-batches a step evenly. Set accumulate to a "
                f"multiple of {ranks.size}, and batch to so much less, or start another number of ranks."
            )
        self.phase, self.network, self.former, self.reader = phase, network, former, reader
        self.tiles, self.sets, self.study, self.seed, self.folder, self.name = tiles, sets, study, seed, folder, name
        self.ranks = ranks
        self.trained = [p for p in network.parameters() if p.requires_grad]
        self.optimiser = torch.optim.AdamW(self.trained, lr=phase.learning_rate, weight_decay=phase.weight_decay)
        self.steps = sum(1 for _ in self._order(0)) * phase.epochs
        self.log, self.saved = Log(), time.perf_counter()
        self.objective = Objective(phase.loss, reader.cube.grid.cell, reader.chemistry_factor, {})
        self.own: np.ndarray | None = None  # what of each station's values does not teach
        self.asked_to_stop = lambda: False

    @property
    def state(self) -> Path:
        """What training goes on from."""
        return self.folder / "state.safetensors"

    @property
    def best(self) -> Path:
        """The weights of the best epoch."""
        return self.folder / "best.safetensors"

    def run(self, progress: Progress) -> Log:
        """Train until the epochs or the patience end; then the network holds the best weights.

        Raises:
            Stopped: SIGTERM or SIGINT came, which is obeyed within a micro-batch; the state after the last step is saved.
            DataError: the loss or its gradient is not finite; the message names the days, the tile and the strangest input.
            CheckpointError: the folder holds a checkpoint of another study.
        """
        if self.state.is_file():
            facts = load_state(self.state, self.network, self.optimiser, belongs_to=self.study)
            self.log = Log(**facts["log"])
        self.ranks.wait()  # until all have read it
        if not self._over():  # else nothing of the former model is asked for
            self._ask_former(progress)
            self._epochs(progress)
        self.ranks.wait()  # until the best weights are written
        load_weights(self.best, self.network, belongs_to=self.study)
        return self.log

    def _ask_former(self, progress: Progress) -> None:
        """What the phase needs of the model that it started from."""
        if self.former is not None and self.phase.loss.former_ssim:
            days = np.flatnonzero(self.sets.train_days | self.sets.check_days)
            asked = self.former, self.reader, self.tiles, days, self.phase.loss, self.name
            self.objective = replace(self.objective, former=remember(*asked, progress))
        if self.former is not None and self.phase.own_shares:
            self.own = own_shares(self.former, self.reader, self.tiles, self.sets, self.name, progress)

    def _epochs(self, progress: Progress) -> None:
        """Epoch after epoch until the phase ends."""
        board = Board(self.folder / "board", self.log.epoch) if self.ranks.lead else None
        try:
            with stop_asked() as self.asked_to_stop:
                while not self._over():
                    self._epoch(progress)
                    if board:
                        board.epoch(self.log.epoch, self.log.epochs[-1])
        finally:
            if board:
                board.close()

    def _over(self) -> bool:
        """Whether the phase has ended."""
        return self.log.epoch >= self.phase.epochs or self.log.epoch - self.log.best_epoch >= self.phase.patience

    def _order(self, epoch: int) -> Iterator[tuple[np.ndarray, Tile]]:
        seed, days = [self.seed, self.phase.number, epoch], np.flatnonzero(self.sets.train_days)
        return order(days, self.tiles, self.phase.batch, seed, tiles_a_day=self.phase.tiles_a_day)

    def _checks(self) -> Iterator[tuple[np.ndarray, Tile]]:
        """Batches of the validation days, the same at every epoch."""
        days, seed = np.flatnonzero(self.sets.check_days), [self.seed, self.phase.number]
        return order(days, self.tiles, self._at_once, seed, tiles_a_day=self.phase.tiles_a_day)

    @property
    def _at_once(self) -> int:
        """Samples a batch where nothing is trained."""
        return samples_at_once(self.tiles[0].size, self.reader.levels)

    def _mirror(self, batch: int) -> Mirror:
        """How a training batch of this epoch is shown."""
        seed = [self.seed, self.phase.number, self.log.epoch, batch]
        return Mirror.drawn(seed) if self.phase.mirror else AS_IT_IS

    def _read(self, days: np.ndarray, tile: Tile, seen: np.ndarray, mirror: Mirror = AS_IT_IS) -> Batch:
        """A batch with the targets that the loss asks for."""
        return self.reader.read(days, tile, seen, chemistry=self.phase.loss.chemistry, mirror=mirror, own=self.own)

    def _epoch(self, progress: Progress) -> None:
        """One pass over the days, validation, and a checkpoint; goes on where the state says."""
        _to_training(self.network)
        batches = list(self._order(self.log.epoch))
        with closing(self._shares(batches)) as shares:
            while self.log.done < len(batches):
                self._step(shares, len(batches))
                progress(self._words(), self.log.epoch * len(batches) + self.log.done, self.steps)
                if time.perf_counter() - self.saved > SAVE_EVERY:
                    self._save()
        self._save()
        started = time.perf_counter()
        found = self.validate()
        spent = self.log.seconds + time.perf_counter() - started
        facts = {"epoch": self.log.epoch + 1, "train": self.log.lost / len(batches), "validation": found}
        facts |= {"seconds": spent, "waited": self.log.waited}
        self.log = Log(self.log.epoch + 1, self.log.best, self.log.best_epoch, [*self.log.epochs, facts])
        if found < self.log.best:
            self.log.best, self.log.best_epoch = found, self.log.epoch
            if self.ranks.lead:
                marks = {"study": self.study, "phase": self.phase.number, "epoch": self.log.epoch}
                save_weights(self.best, self.network, marks)
        if self.ranks.lead:
            write_json(self.folder / "log.json", self.log.epochs)
        self._save()

    def _stop_if_asked(self) -> None:
        """Save and stop, all ranks at the same place, where one of them was asked to.

        Until a step ends nothing that is saved has changed: its micro-batches so far are done again, as is what was validated.
        """
        if self.ranks.any(self.asked_to_stop()):
            self._save()
            raise Stopped(f"{self.name}: stopped in epoch {self.log.epoch + 1}; the same command goes on.")

    def _save(self) -> None:
        """Write what training goes on from."""
        if self.ranks.lead:
            save_state(self.state, self.network, self.optimiser, {"study": self.study, "log": asdict(self.log)})
        self.saved = time.perf_counter()

    def _words(self) -> str:
        """What the progress bar says."""
        best = f", best {self.log.best:.3f} in epoch {self.log.best_epoch}" if self.log.epochs else ""
        return f"train {self.name}, epoch {self.log.epoch + 1}{best}"

    def _shares(self, batches: Sequence[tuple[np.ndarray, Tile]]) -> Generator[tuple[int, Batch], None, None]:
        """The micro-batches of an epoch that are still to do and this rank's, with their numbers, read ahead."""
        steps = range(self.log.done, len(batches), self.phase.accumulate)
        numbers = [n for first in steps for n in self.ranks.share(self._of_step(first, len(batches)))]
        return ahead(lambda n: (n, self._read(*batches[n], self.sets.train, self._mirror(n))), numbers)

    def _of_step(self, first: int, total: int) -> range:
        """Numbers of the micro-batches of the step that begins with `first`; the last step of an epoch may have fewer."""
        return range(first, min(first + self.phase.accumulate, total))

    def _step(self, shares: Iterator[tuple[int, Batch]], total: int) -> None:
        """Change the weights by the mean gradient of the next micro-batches of the epoch's `total`."""
        started, numbers = time.perf_counter(), self._of_step(self.log.done, total)
        self.optimiser.zero_grad(set_to_none=True)
        lost, waited = torch.zeros(1, device=self.trained[0].device), 0.0
        for (number, batch), waiting in self._in_step(shares, len(numbers)):
            lost, waited = lost + self._backward(number, batch, len(numbers)), waited + waiting
        self._join(lost)
        self._set_rate(self.log.epoch * total + numbers[-1])
        if not torch.isfinite(nn.utils.clip_grad_norm_(self.network.parameters(), CLIP)):
            self._blame(numbers)
        self.optimiser.step()
        settle(self.network)
        self.log.done, self.log.lost = numbers[-1] + 1, self.log.lost + float(lost)
        self.log.waited += waited
        self.log.seconds += time.perf_counter() - started

    def _backward(self, number: int, batch: Batch, of: int) -> Tensor:
        """Add a micro-batch's part of the mean gradient `of` so many; returns its loss."""
        torch.manual_seed(_drawn([self.seed, self.phase.number, self.log.epoch, number]))
        loss = self._loss(batch)
        self._check_finite("loss", loss, batch)
        (loss / of).backward()
        return loss.detach()

    def _blame(self, numbers: range) -> NoReturn:
        """Stop before weights are lost, and say which of a step's micro-batches did it: each is done once more, alone."""
        batches = list(self._order(self.log.epoch))
        for number in self.ranks.share(numbers):
            self.optimiser.zero_grad(set_to_none=True)
            batch = self._read(*batches[number], self.sets.train, self._mirror(number))
            self._backward(number, batch, len(numbers))
            norm = nn.utils.clip_grad_norm_(self.network.parameters(), CLIP)
            self._check_finite(f"gradient of micro-batch {number + 1}", norm, batch)
        raise DataError(
            f"{self.name}, epoch {self.log.epoch + 1}: the gradient of micro-batches {numbers[0] + 1} to {numbers[-1] + 1} is not "
            "finite; none of this process is by itself. Lower the learning rate."
        )

    def _in_step(self, shares: Iterator[T], total: int) -> Iterator[tuple[T, float]]:
        """Of the next `total` micro-batches those of this rank, and for how many seconds each was waited for; before each of them
        all ranks may stop.
        """
        for first in range(0, total, self.ranks.size):
            self._stop_if_asked()
            if first + self.ranks.rank < total:
                waiting = time.perf_counter()
                yield next(shares), time.perf_counter() - waiting

    def _join(self, lost: Tensor) -> None:
        """Add gradients and losses of all ranks, and take the mean of their statistics."""
        if self.ranks.size == 1:
            return
        for weight in self.trained:
            if weight.grad is None:  # a last step may have fewer micro-batches than there are ranks
                weight.grad = torch.zeros_like(weight)
        gradients = [w.grad for w in self.trained if w.grad is not None]
        statistics = [b for b in self.network.buffers() if b.is_floating_point()]
        self.ranks.add([*gradients, *statistics, lost])
        for statistic in statistics:
            statistic /= self.ranks.size

    def _set_rate(self, done: int) -> None:
        """Set the learning rate."""
        for group in self.optimiser.param_groups:  # epochs of drawn tiles differ by a batch or two
            group["lr"] = self.phase.learning_rate * rate(done, self.steps, WARM_UP)

    def _loss(self, batch: Batch) -> Tensor:
        """The phase's loss of a batch, training or not."""
        return self.objective(self.network(batch.inputs), batch)

    def validate(self) -> float:
        """The phase's loss on the validation sets; a batch weighs as many values of stations as it holds, or as many fields where
        the chemistry model teaches.
        """
        self.network.eval()
        total = torch.zeros(2, dtype=torch.float64)  # weighed losses, weights
        checks = list(self._checks())
        shares = ahead(lambda check: self._read(*check, self.sets.check), self.ranks.share(checks))
        with torch.no_grad(), closing(shares):
            for batch, _ in self._in_step(shares, len(checks)):
                values = batch.observed if batch.chemistry is None else batch.chemistry.flatten(1).nan_to_num(np.inf).amin(1)
                held = float(torch.isfinite(values).sum())
                if held:
                    loss = self._loss(batch)
                    self._check_finite("loss", loss, batch)
                    total += torch.tensor([held * float(loss), held])
        self.ranks.add([total])
        if total[1] == 0:
            who = "the chemistry model has no field" if self.phase.loss.chemistry else "no station has a value"
            raise DataError(
                f"{self.name}: {who} on the {self.sets.check_days.sum()} validation days. "
                "Use more years, or another share in phases.validation."
            )
        return float(total[0] / total[1])

    def _check_finite(self, what: str, found: Tensor, batch: Batch) -> None:
        if not torch.isfinite(found):
            named = ", ".join(str(d) for d in self.reader.cube.days[batch.days])
            raise DataError(
                f"{self.name}, epoch {self.log.epoch + 1}: the {what} is not finite. Days {named}, tile at row "
                f"{batch.tile.row}, column {batch.tile.column}. Lower the learning rate, or look at these days' inputs: "
                f"{farthest(batch.inputs, self.reader.cube.channels)}."
            )


def _to_training(network: nn.Module) -> None:
    """Training mode, but for parts that are frozen: their statistics and dropout stay as they are when predicting."""
    network.train()
    for part in network.modules():
        weights = list(part.parameters())
        if weights and not any(w.requires_grad for w in weights):
            part.eval()


def _drawn(numbers: Sequence[int]) -> int:
    """A seed made of several numbers."""
    return int(np.random.SeedSequence(list(numbers)).generate_state(1)[0])
