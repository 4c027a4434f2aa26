"""The training loop: one phase at a time, resumable to the bit."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from airloom.errors import DataError, StudyError
from airloom.files import write_json
from airloom.grid import Tile
from airloom.learn.batches import Batch, Reader, order
from airloom.learn.board import Board
from airloom.learn.checkpoint import load_state, load_weights, save_state, save_weights
from airloom.learn.losses import masked_mse, roughness, structural_dissimilarity
from airloom.learn.mirror import AS_IT_IS, Mirror
from airloom.learn.stop import Stopped, stop_asked
from airloom.nets.memory import samples_at_once
from airloom.parts import Phase
from airloom.progress import Progress

WARM_UP = 0.1  # share of the steps over which the learning rate rises
CLIP = 1.0  # largest norm of the gradient


@dataclass(frozen=True)
class Sets:
    """What a phase sees, for training and for validation: values of stations, bool on (time, station), none in both; and days,
    bool on (time,), on which the chemistry model, too, teaches or validates.
    """

    train: np.ndarray
    check: np.ndarray
    train_days: np.ndarray
    check_days: np.ndarray

    @classmethod
    def of(cls, phase: Phase, days: np.ndarray, stations: np.ndarray, seed: int) -> "Sets":
        """Split the values of `days` and `stations`, each bool, as the phase's validation says, by `seed`.

        Withheld stations must not be among `stations`.

        Raises:
            StudyError: the split would leave nothing to train on or nothing to validate on.
        """
        # the same days in every phase, or a later one would be judged by what an earlier one has learnt
        draw = np.random.default_rng([seed, 2 if phase.validation.by == "days" else phase.number])
        pool = np.outer(days, stations)
        fraction = phase.validation.fraction
        if phase.validation.by == "values":
            chosen = np.asarray(draw.random(pool.shape) < fraction)
        elif phase.validation.by == "days":
            chosen = _share(days, fraction, draw)[:, None]
        else:
            chosen = _share(stations, fraction, draw)[None, :]
        train, check = pool & np.logical_not(chosen), pool & chosen
        by_days = phase.validation.by == "days"
        train_days = days & ~chosen[:, 0] if by_days else train.any(1)
        check_days = days & chosen[:, 0] if by_days else check.any(1)
        if not train.any() or not check.any():
            raise StudyError(
                f"phase {phase.number}: {phase.validation.fraction:.0%} of {int(days.sum())} days and {int(stations.sum())} "
                f"training stations, by {phase.validation.by}, leaves nothing to train on, or nothing to validate on. Choose "
                "another share in phases.validation."
            )
        return cls(train, check, train_days, check_days)


def _share(pool: np.ndarray, fraction: float, draw: np.random.Generator) -> np.ndarray:
    """At least one member of `pool`, bool, drawn at random."""
    members = np.flatnonzero(pool)
    taken = draw.permutation(members)[: max(1, round(fraction * len(members)))]
    return np.isin(np.arange(len(pool)), taken)


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
        sets: values to train on and to validate on.
        study: fingerprint that checkpoints carry.
        seed: of the order and of dropout.
        folder: where the phase lives.
        name: how messages call it.
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
    ) -> None:
        self.phase, self.network, self.former, self.reader = phase, network, former, reader
        self.tiles, self.sets, self.study, self.seed, self.folder, self.name = tiles, sets, study, seed, folder, name
        trained = [p for p in network.parameters() if p.requires_grad]
        self.optimiser = torch.optim.AdamW(trained, lr=phase.learning_rate, weight_decay=phase.weight_decay)
        self.steps = sum(1 for _ in self._order(0)) * phase.epochs
        self.log = Log()
        self.former_field: dict[tuple[int, Tile], Tensor] = {}

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
        self.former_field = self._remember(progress)
        board = Board(self.folder / "board", self.log.epoch)
        try:
            with stop_asked() as asked:
                while not self._over():
                    self._epoch(progress, asked)
                    board.epoch(self.log.epoch, self.log.epochs[-1])
        finally:
            board.close()
        load_weights(self.best, self.network, belongs_to=self.study)
        return self.log

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
        return self.reader.read(days, tile, seen, chemistry=self.phase.loss.chemistry, mirror=mirror)

    def _epoch(self, progress: Progress, asked: Callable[[], bool]) -> None:
        """One pass over the days, validation, and a checkpoint."""
        started, losses = time.perf_counter(), []
        _to_training(self.network)
        batches = list(self._order(self.log.epoch))
        for i, (days, tile) in enumerate(batches):
            if asked():
                raise Stopped(f"{self.name}: stopped in epoch {self.log.epoch + 1}; the same command goes on.")
            first = i - i % self.phase.accumulate  # of the micro-batches that make one step; the last step may have fewer
            together = min(self.phase.accumulate, len(batches) - first)
            if i == first:
                self.optimiser.zero_grad(set_to_none=True)
            loss = self._loss(self._read(days, tile, self.sets.train, self._mirror(i)))
            self._check_finite(loss, days, tile)
            (loss / together).backward()
            losses.append(float(loss.detach()))
            if i + 1 == first + together:
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
        write_json(self.folder / "log.json", self.log.epochs)
        save_state(self.state, self.network, self.optimiser, {"study": self.study, "log": asdict(self.log)})

    def _words(self) -> str:
        """What the progress bar says."""
        best = f", best {self.log.best:.3f} in epoch {self.log.best_epoch}" if self.log.epochs else ""
        return f"train {self.name}, epoch {self.log.epoch + 1}{best}"

    def _step(self, step: int) -> None:
        """Change the weights; the rate rises linearly, then falls as a cosine to a hundredth."""
        share = min(1.0, step / max(1, self.steps))  # epochs of drawn tiles differ by a batch or two
        rise = min(1.0, (share + 1 / self.steps) / WARM_UP)
        fall = 0.01 + 0.99 * (1 + np.cos(np.pi * max(0.0, share - WARM_UP) / (1 - WARM_UP))) / 2
        for group in self.optimiser.param_groups:
            group["lr"] = self.phase.learning_rate * rise * fall
        nn.utils.clip_grad_norm_(self.network.parameters(), CLIP)
        self.optimiser.step()

    def _loss(self, batch: Batch) -> Tensor:
        """The phase's loss of a batch, training or not."""
        predicted = self.network(batch.inputs)
        weights = self.phase.loss
        loss = weights.station_mse * masked_mse(predicted[:, 0], batch.observed)  # stations see the lowest level
        if batch.chemistry is not None:
            loss = loss + self._chemistry_loss(predicted, batch.chemistry)
        if weights.roughness:
            loss = loss + weights.roughness * roughness(predicted, self.reader.cube.grid.cell)
        if self.former_field:
            before = batch.mirror.field(torch.stack([self.former_field[day, batch.tile] for day in batch.days.tolist()]))
            now = self._coarse(predicted)
            loss = loss + weights.former_ssim * structural_dissimilarity(now, before, window=weights.ssim_window)
        return loss

    def _chemistry_loss(self, predicted: Tensor, target: Tensor) -> Tensor:
        """The terms against the chemistry model, on its cells; its days and edges without values are left out."""
        weights, coarse = self.phase.loss, functional.avg_pool2d(predicted, self.reader.chemistry_factor)
        loss = weights.chemistry_mse * masked_mse(coarse, target)
        there = torch.isfinite(target).any(0).any(0)  # a tile may hang over the grid
        if weights.chemistry_ssim and there.any():
            rows, columns = there.any(1).nonzero().flatten(), there.any(0).nonzero().flatten()
            inside = ..., slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
            coarse, target = coarse[inside], target[inside]
            whole = torch.isfinite(target).flatten(1).all(1)
            dissimilarity = structural_dissimilarity(coarse[whole], target[whole], window=weights.ssim_window)
            loss = loss + weights.chemistry_ssim * dissimilarity
        return loss

    def _coarse(self, field: Tensor) -> Tensor:
        """A field on the cells on which it is compared with the former model's."""
        return functional.avg_pool2d(field, max(1, round(self.phase.loss.ssim_cell / self.reader.cube.grid.cell)))

    def _remember(self, progress: Progress) -> dict[tuple[int, Tile], Tensor]:
        """The former model's field of every day and tile of the phase; in a fixed order, so that a resumed run has the same."""
        if self.former is None or not self.phase.loss.former_ssim:
            return {}
        days = np.flatnonzero(self.sets.train_days | self.sets.check_days)
        fields = {}
        self.former.eval()
        with torch.no_grad():
            for done, tile in enumerate(self.tiles):
                progress(f"what {self.name} starts from, tile", done, len(self.tiles))
                for start in range(0, len(days), self._at_once):
                    block = days[start : start + self._at_once]
                    field = self._coarse(self.former(self.reader.read(block, tile).inputs))
                    fields.update({(day, tile): one for day, one in zip(block.tolist(), field, strict=True)})
        progress(f"what {self.name} starts from, tile", len(self.tiles), len(self.tiles))
        return fields

    def validate(self) -> float:
        """The phase's loss on the validation sets; a batch weighs as many values of stations as it holds, or as many fields where
        the chemistry model teaches.
        """
        self.network.eval()
        total = weight = 0.0
        with torch.no_grad():
            for days, tile in self._checks():
                batch = self._read(days, tile, self.sets.check)
                values = batch.observed if batch.chemistry is None else batch.chemistry.flatten(1).nan_to_num(np.inf).amin(1)
                held = float(torch.isfinite(values).sum())
                if held:
                    loss = self._loss(batch)
                    self._check_finite(loss, batch.days, tile)
                    total += held * float(loss)
                    weight += held
        if weight == 0:
            raise DataError(
                f"{self.name}: no station has a value on the {self.sets.check_days.sum()} validation days. "
                "Use more years, or another share in phases.validation."
            )
        return total / weight

    def _check_finite(self, loss: Tensor, days: np.ndarray, tile: Tile) -> None:
        if not torch.isfinite(loss):
            named = ", ".join(str(d) for d in self.reader.cube.days[days])
            raise DataError(
                f"{self.name}, epoch {self.log.epoch + 1}: the loss is not finite. Days {named}, tile at row "
                f"{tile.row}, column {tile.column}. Lower the learning rate, or look at these days' inputs."
            )


def _to_training(network: nn.Module) -> None:
    """Training mode, but for parts that are frozen: their batch norm and dropout stay as they are when predicting."""
    network.train()
    for part in network.modules():
        weights = list(part.parameters())
        if weights and not any(w.requires_grad for w in weights):
            part.eval()
