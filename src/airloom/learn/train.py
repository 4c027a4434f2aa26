"""The training loop: one phase at a time, resumable to the bit."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from airloom.errors import DataError
from airloom.files import write_json
from airloom.grid import Tile
from airloom.learn.batches import Batch, Reader, order
from airloom.learn.board import Board
from airloom.learn.checkpoint import load_state, load_weights, save_state, save_weights
from airloom.learn.losses import station_mse, structural_dissimilarity
from airloom.learn.stop import Stopped, stop_asked
from airloom.study import Loss, Phase

Progress = Callable[[str, int, int], None]
WARM_UP = 0.1  # share of the steps over which the learning rate rises
CLIP = 1.0  # largest norm of the gradient
CHECK = 32  # days a batch where nothing is trained


@dataclass(frozen=True)
class Sets:
    """Who a phase sees: indices of days and of stations, for training and for validation."""

    train_days: np.ndarray
    train_stations: np.ndarray
    check_days: np.ndarray
    check_stations: np.ndarray

    @classmethod
    def of(cls, phase: Phase, days: np.ndarray, stations: np.ndarray, seed: int) -> "Sets":
        """Split training `days` and training `stations` (indices) as the phase's validation says, by `seed`.

        Withheld stations must not be among `stations`.
        """
        draw = np.random.default_rng([seed, phase.number])
        by = phase.validation.by
        pool = days if by == "days" else stations
        taken = np.sort(draw.permutation(pool)[: max(1, round(phase.validation.fraction * len(pool)))])
        left = np.setdiff1d(pool, taken)
        if by == "days":
            return cls(left, stations, taken, stations)
        return cls(days, left, days, taken)


@dataclass
class Log:
    """What an epoch gave, and the best so far."""

    epoch: int = 0
    best: float = float("inf")
    best_epoch: int = 0
    epochs: list[dict[str, float]] = field(default_factory=list)


class PhaseTrainer:
    """Trains one phase in a folder: `state.safetensors` to go on from, `best.safetensors`, `log.json`.

    Arguments:
        phase: what to do.
        network: gets the phase's initial weights from the caller, and the best ones when training ends.
        former: the model that the phase started from, for the term that stays near it; None where there is none.
        reader: reads batches.
        tiles: windows of the grid.
        sets: days and stations.
        study: fingerprint that checkpoints carry.
        seed: of the order and of dropout.
        folder: where the phase lives.
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
    ) -> None:
        self.phase, self.network, self.former, self.reader = phase, network, former, reader
        self.tiles, self.sets, self.study, self.seed, self.folder = tiles, sets, study, seed, folder
        trained = [p for p in network.parameters() if p.requires_grad]
        self.optimiser = torch.optim.AdamW(trained, lr=phase.learning_rate, weight_decay=phase.weight_decay)
        self.steps = sum(1 for _ in self._order(0)) * phase.epochs
        self.log = Log()

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
            Stopped: SIGTERM or SIGINT came; the last whole epoch is saved.
            DataError: the loss is not finite; the message names the days and the tile.
            CheckpointError: the folder holds a checkpoint of another study.
        """
        torch.manual_seed(int(np.random.SeedSequence([self.seed, self.phase.number]).generate_state(1)[0]))
        if self.state.is_file():
            facts = load_state(self.state, self.network, self.optimiser, belongs_to=self.study)
            self.log = Log(**facts["log"])
        board = Board(self.folder / "board", self.log.epoch)
        with stop_asked() as asked:
            while not self._over():
                self._epoch(progress, asked)
                board.epoch(self.log.epoch, self.log.epochs[-1])
        board.close()
        load_weights(self.best, self.network, belongs_to=self.study)
        return self.log

    def _over(self) -> bool:
        """Whether the phase has ended."""
        return self.log.epoch >= self.phase.epochs or self.log.epoch - self.log.best_epoch >= self.phase.patience

    def _order(self, epoch: int) -> Iterator[tuple[np.ndarray, Tile]]:
        seed = [self.seed, self.phase.number, epoch]
        return order(self.sets.train_days, self.tiles, self.phase.batch, seed)

    def _epoch(self, progress: Progress, asked: Callable[[], bool]) -> None:
        """One pass over the days, validation, and a checkpoint."""
        started, losses = time.perf_counter(), []
        self.network.train()
        batches = list(self._order(self.log.epoch))
        for i, (days, tile) in enumerate(batches):
            if asked():
                raise Stopped(f"phase {self.phase.number}: stopped in epoch {self.log.epoch + 1}; the same command goes on.")
            if i % self.phase.accumulate == 0:
                self.optimiser.zero_grad(set_to_none=True)
            loss = self._loss(self.reader.read(days, tile, self.sets.train_stations))
            self._check_finite(loss, days, tile)
            (loss / self.phase.accumulate).backward()
            losses.append(float(loss.detach()))
            if (i + 1) % self.phase.accumulate == 0 or i + 1 == len(batches):
                self._step(self.log.epoch * len(batches) + i)
            progress(self._words(), self.log.epoch * len(batches) + i + 1, self.steps)
        found = self.validate()
        self.log.epoch += 1
        self.log.epochs.append(
            {
                "epoch": self.log.epoch,
                "train": float(np.mean(losses)),
                "validation": found,
                "seconds": time.perf_counter() - started,
            }
        )
        if found < self.log.best:
            self.log.best, self.log.best_epoch = found, self.log.epoch
            save_weights(self.best, self.network, {"study": self.study, "phase": self.phase.number, "epoch": self.log.epoch})
        save_state(self.state, self.network, self.optimiser, {"study": self.study, "log": asdict(self.log)})
        write_json(self.folder / "log.json", self.log.epochs)

    def _words(self) -> str:
        """What the progress bar says."""
        best = f", best {self.log.best:.3f} in epoch {self.log.best_epoch}" if self.log.epochs else ""
        return f"train phase {self.phase.number}, epoch {self.log.epoch + 1}{best}"

    def _step(self, step: int) -> None:
        """Change the weights; the rate rises linearly, then falls as a cosine to a hundredth."""
        share = step / max(1, self.steps)
        rise = min(1.0, (share + 1 / self.steps) / WARM_UP)
        fall = 0.01 + 0.99 * (1 + np.cos(np.pi * max(0.0, share - WARM_UP) / (1 - WARM_UP))) / 2
        for group in self.optimiser.param_groups:
            group["lr"] = self.phase.learning_rate * rise * fall
        nn.utils.clip_grad_norm_(self.network.parameters(), CLIP)
        self.optimiser.step()

    def _loss(self, batch: Batch) -> Tensor:
        """The phase's loss of a batch, training or not."""
        predicted = self.network(batch.inputs)
        return combined(self.phase.loss, predicted, batch, self.former, self.reader)

    def validate(self) -> float:
        """The phase's loss on the validation days and stations, each batch weighted by its values."""
        self.network.eval()
        total = weight = 0.0
        with torch.no_grad():
            for tile in self.tiles:
                for start in range(0, len(self.sets.check_days), CHECK):
                    batch = self.reader.read(self.sets.check_days[start : start + CHECK], tile, self.sets.check_stations)
                    values = float(torch.isfinite(batch.observed).sum())
                    if values:
                        total += values * float(self._loss(batch))
                        weight += values
        if weight == 0:
            raise DataError(
                f"phase {self.phase.number}: no validation station has a value on the {len(self.sets.check_days)} validation "
                "days. Use more years, or another share in phases.validation."
            )
        return total / weight

    def _check_finite(self, loss: Tensor, days: np.ndarray, tile: Tile) -> None:
        if not torch.isfinite(loss):
            named = ", ".join(str(d) for d in self.reader.cube.days[days])
            raise DataError(
                f"phase {self.phase.number}, epoch {self.log.epoch + 1}: the loss is not finite. Days {named}, tile at row "
                f"{tile.row}, column {tile.column}. Lower the learning rate, or look at these days' inputs."
            )


def combined(weights: Loss, predicted: Tensor, batch: Batch, former: nn.Module | None, reader: Reader) -> Tensor:
    """The weighted sum of a loss's terms; `predicted` on (batch, level, y, x), stations see the lowest level."""
    loss = weights.station_mse * station_mse(predicted[:, 0], batch.observed)
    if weights.former_ssim and former is not None:
        with torch.no_grad():
            before = former(batch.inputs)
        factor = max(1, round(weights.ssim_cell / reader.cube.grid.cell))
        a, b = (nn.functional.avg_pool2d(f, factor) for f in (predicted, before))
        loss = loss + weights.former_ssim * structural_dissimilarity(a, b, window=weights.ssim_window)
    return loss
