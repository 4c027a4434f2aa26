"""Training on lessons; goes on where it was stopped, to the bit."""

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from airloom.errors import DataError
from airloom.files import write_json
from airloom.learn.ahead import ahead
from airloom.learn.checkpoint import load_state, load_weights, save_state, save_weights
from airloom.learn.schedule import rate
from airloom.learn.stop import Stopped, stop_asked
from airloom.methods.pointconv.lessons import Lesson, Teacher
from airloom.methods.pointconv.network import PointConvFusion, of_stations
from airloom.nets.memory import keep_freed_memory
from airloom.nets.norm import settle
from airloom.progress import Progress

EPOCHS = 20  # parts of the training after which it is validated and saved
CHECKS = 12  # batches that validate, always the same
EXAMS = 10**9  # their number is that of no step
WARM_UP = 0.05  # share of the steps over which the learning rate rises
KERNELS = 5.0  # how much faster kernels learn, which are logarithms and begin alike
CLIP = 1.0  # largest norm of the gradient
SAVE_EVERY = 60.0  # seconds


@dataclass
class Log:
    """Steps done, losses of the epochs, the best of them, and the sum of losses of the epoch under way."""

    step: int = 0
    best: float = float("inf")
    best_epoch: int = 0
    lost: float = 0.0
    epochs: list[dict[str, float]] = field(default_factory=list)


class Trainer:
    """Trains a network in a folder: `state.safetensors` to go on from, `best.safetensors`, `log.json`.

    Every step's lesson depends on seed and step alone, so a state need not hold what was drawn.

    Arguments:
        network: gets the best weights when training ends.
        teacher: of the worlds to learn from.
        examiner: of the world that validates.
        steps: batches.
        learning_rate: AdamW's, at its highest.
        study: fingerprint that checkpoints carry.
        seed: of the lessons.
        folder: where training lives.
    """

    def __init__(
        self,
        network: PointConvFusion,
        teacher: Teacher,
        examiner: Teacher,
        *,
        steps: int,
        learning_rate: float,
        study: str,
        seed: int,
        folder: Path,
    ) -> None:
        self.network, self.teacher, self.examiner = network, teacher, examiner
        self.steps, self.study, self.seed, self.folder = steps, study, seed, folder
        self.rate = learning_rate
        kernels = list(network.points.parameters())
        groups: list[dict[str, Any]] = [
            {"params": kernels, "weight_decay": 0.0},
            {"params": list(network.blend.parameters())},
        ]
        self.optimiser = torch.optim.AdamW(groups, lr=learning_rate, weight_decay=1e-4)
        self.log, self.saved = Log(), time.perf_counter()

    @property
    def best(self) -> Path:
        """The weights of the best epoch."""
        return self.folder / "best.safetensors"

    def run(self, progress: Progress) -> Log:
        """Train to the end; then the network holds the best weights.

        Raises:
            Stopped: SIGTERM or SIGINT came; the state after the last step is saved.
            DataError: the loss is not finite.
            CheckpointError: the folder holds a checkpoint of another study.
        """
        keep_freed_memory()
        state = self.folder / "state.safetensors"
        if state.is_file():
            facts = load_state(state, self.network, self.optimiser, belongs_to=self.study)
            self.log = Log(**facts["log"])
        lessons = ahead(lambda step: self.teacher.lesson([self.seed, step], turn=True), range(self.log.step, self.steps))
        with stop_asked() as asked_to_stop, closing(lessons):
            for lesson in lessons:
                self._step(lesson)
                progress(self._words(), self.log.step, self.steps)
                if self.log.step % self._epoch == 0 or self.log.step == self.steps:
                    self._examine()
                self._save_if(asked_to_stop)
        load_weights(self.best, self.network, belongs_to=self.study)
        return self.log

    @property
    def _epoch(self) -> int:
        """Steps of an epoch."""
        return max(1, self.steps // EPOCHS)

    def _words(self) -> str:
        best = f", best {self.log.best:.3f} in epoch {self.log.best_epoch}" if self.log.epochs else ""
        return f"train, epoch {len(self.log.epochs) + 1}{best}"

    def _step(self, lesson: Lesson) -> None:
        """Change the weights by the gradient of one lesson."""
        self._set_rate()
        self.network.train()
        loss = self._loss(lesson)
        if not torch.isfinite(loss):
            raise DataError(f"training, step {self.log.step + 1}: the loss is not finite. Lower practice.learning_rate.")
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), CLIP)
        self.optimiser.step()
        settle(self.network)
        self.log.step += 1
        self.log.lost += float(loss.detach())

    def _loss(self, lesson: Lesson) -> Tensor:
        """Mean absolute error over land, in deviations of the day's stations (paper 001, Eq. 5)."""
        found, _ = self.network(lesson.values, lesson.weights, lesson.maps)
        _, spread = of_stations(lesson.values[:, :1], lesson.weights[:, :1])
        apart = (found - lesson.field).abs() / spread[:, 0]
        return (apart * lesson.scored).sum() / (lesson.scored.sum() * len(apart))

    def _set_rate(self) -> None:
        """Set the learning rate; kernels have one of their own."""
        for group, times in zip(self.optimiser.param_groups, (KERNELS, 1.0), strict=True):
            group["lr"] = self.rate * times * rate(self.log.step, self.steps, WARM_UP)

    def _examine(self) -> None:
        """Validate, note, and keep the best weights."""
        self.network.eval()
        with torch.inference_mode():
            found = [float(self._loss(self.examiner.lesson([self.seed, EXAMS + n], turn=False))) for n in range(CHECKS)]
        done = self.log.step % self._epoch or self._epoch
        facts = {"epoch": len(self.log.epochs) + 1, "train": self.log.lost / done, "validation": float(np.mean(found))}
        self.log.epochs.append(facts)
        self.log.lost = 0.0
        if facts["validation"] < self.log.best:
            self.log.best, self.log.best_epoch = facts["validation"], len(self.log.epochs)
            save_weights(self.best, self.network, {"study": self.study, "epoch": len(self.log.epochs)})
        write_json(self.folder / "log.json", self.log.epochs)
        self._save()

    def _save_if(self, asked_to_stop: Callable[[], bool]) -> None:
        """Save from time to time; stop where that was asked."""
        if asked_to_stop():
            self._save()
            raise Stopped(f"training: stopped after {self.log.step} of {self.steps} steps; the same command goes on.")
        if time.perf_counter() - self.saved > SAVE_EVERY:
            self._save()

    def _save(self) -> None:
        save_state(
            self.folder / "state.safetensors", self.network, self.optimiser, {"study": self.study, "log": asdict(self.log)}
        )
        self.saved = time.perf_counter()
