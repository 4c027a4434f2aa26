"""Training counted in steps, on lessons that are made anew for each; goes on where it was stopped, to the bit."""

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from airloom.errors import DataError
from airloom.files import write_json
from airloom.learn.ahead import ahead
from airloom.learn.checkpoint import load_state, load_weights, save_state, save_weights
from airloom.learn.schedule import rate
from airloom.learn.stop import Stopped, stop_asked
from airloom.memory import keep_freed_memory
from airloom.nets.norm import settle
from airloom.progress import Progress

EPOCHS = 20  # parts of the training after which it is validated and saved
WARM_UP = 0.05  # share of the steps over which the learning rate rises
CLIP = 1.0  # largest norm of the gradient
SAVE_EVERY = 60.0  # seconds
STATE = "state.safetensors"  # what training goes on from
L = TypeVar("L")


@dataclass
class Log:
    """Steps done, losses of the epochs, the best of them, and the sum of losses of the epoch under way."""

    step: int = 0
    best: float = float("inf")
    best_epoch: int = 0
    lost: float = 0.0
    epochs: list[dict[str, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Pace:
    """How some of a network's parameters learn: their learning rate to that of the others, and AdamW's decay of them."""

    parameters: Sequence[nn.Parameter]
    times: float = 1.0
    decay: float = 1e-4


class Trainer(Generic[L]):
    """Trains a network in a folder: `state.safetensors` to go on from, `best.safetensors`, `log.json`.

    Every step's lesson, and what is drawn within the network, depend on seed and step alone, so a state need not hold them.

    Arguments:
        network: gets the best weights when training ends.
        lesson: of a step.
        exams: what validates, always the same.
        loss: of the network on a lesson.
        paces: how the network's parameters learn; all of them alike by default.
        steps: their number.
        learning_rate: AdamW's, at its highest.
        study: fingerprint that checkpoints carry.
        seed: of what is drawn within the network.
        folder: where training lives.
    """

    def __init__(
        self,
        network: nn.Module,
        lesson: Callable[[int], L],
        exams: Callable[[], Iterable[L]],
        loss: Callable[[L], Tensor],
        *,
        paces: Sequence[Pace] = (),
        steps: int,
        learning_rate: float,
        study: str,
        seed: int,
        folder: Path,
    ) -> None:
        self.network, self.lesson, self.exams, self.loss = network, lesson, exams, loss
        self.steps, self.study, self.seed, self.folder = steps, study, seed, folder
        self.rate = learning_rate
        self.paces = paces or (Pace(list(network.parameters())),)
        groups: list[dict[str, Any]] = [{"params": list(p.parameters), "weight_decay": p.decay} for p in self.paces]
        self.optimiser = torch.optim.AdamW(groups, lr=learning_rate)
        self.log, self.saved = Log(), time.perf_counter()

    @property
    def best(self) -> Path:
        """The weights of the best epoch."""
        return self.folder / "best.safetensors"

    def run(self, progress: Progress) -> Log:
        """Train to the end; then the network holds the best weights.

        Raises:
            Stopped: SIGTERM or SIGINT came; the state after the last step is saved.
            DataError: the loss or its gradient is not finite.
            CheckpointError: the folder holds a checkpoint of another study.
        """
        keep_freed_memory()
        state = self.folder / STATE
        if state.is_file():
            facts = load_state(state, self.network, self.optimiser, belongs_to=self.study)
            self.log = Log(**facts["log"])
        lessons = ahead(self.lesson, range(self.log.step, self.steps))
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

    def _step(self, lesson: L) -> None:
        """Change the weights by the gradient of one lesson."""
        self._set_rate()
        self.network.train()
        torch.manual_seed((self.seed << 32) + self.log.step)  # of dropout
        loss = self.loss(lesson)
        self._check_finite("loss", loss)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self._check_finite("gradient", nn.utils.clip_grad_norm_(self.network.parameters(), CLIP))
        self.optimiser.step()
        settle(self.network)
        self.log.step += 1
        self.log.lost += float(loss.detach())

    def _check_finite(self, what: str, found: Tensor) -> None:
        if not torch.isfinite(found):
            raise DataError(f"training, step {self.log.step + 1}: the {what} is not finite. Lower practice.learning_rate.")

    def _set_rate(self) -> None:
        """Set the learning rates."""
        for group, pace in zip(self.optimiser.param_groups, self.paces, strict=True):
            group["lr"] = self.rate * pace.times * rate(self.log.step, self.steps, WARM_UP)

    def _examine(self) -> None:
        """Validate, note, and keep the best weights."""
        self.network.eval()
        with torch.inference_mode():
            found = [float(self.loss(lesson)) for lesson in self.exams()]
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
        save_state(self.folder / STATE, self.network, self.optimiser, {"study": self.study, "log": asdict(self.log)})
        self.saved = time.perf_counter()
