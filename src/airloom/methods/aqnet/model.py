"""A task's trained networks with all that they need to tell new hours: one file that can be passed on."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from airloom import __version__
from airloom.errors import CheckpointError
from airloom.files import whole
from airloom.methods.aqnet.beside import VOICES, Beside
from airloom.methods.aqnet.hours import Hours, Scaler
from airloom.methods.aqnet.learn import Forecasting, Reanalysing
from airloom.methods.aqnet.split import Parts
from airloom.methods.aqnet.study import Reanalysis, SeriesStudy, Task
from airloom.methods.aqnet.tell import Trained
from airloom.methods.aqnet.windows import Forecasts, Reanalyses, even, recent_finest
from airloom.progress import Progress, quiet
from airloom.series import Series
from airloom.study import parse
from airloom.verify.intervals import Calibration

SHOWN = 0.8  # level of the intervals that are written and drawn
NOTHING = Parts(*(np.zeros(0, int),) * 3)  # nothing is learnt any more


@dataclass(frozen=True)
class Model:
    """`study` and its `task`; `scaler`; weights as they were saved; `calibrations` of intervals, one a step of a forecast, and those at
    places of which nothing is known, where the study hid stations.
    """

    study: SeriesStudy
    task: Task
    scaler: Scaler
    weights: dict[str, Tensor]
    calibrations: tuple[Calibration, ...]
    hidden: tuple[Calibration, ...] = ()

    @classmethod
    def load(cls, path: Path) -> "Model":
        """Read what `keep` wrote.

        Raises:
            CheckpointError: there is none, or it is broken.
        """
        try:
            with safe_open(path, framework="pt") as file:
                facts = file.metadata() or {}
                weights = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118  (no mapping)
            study = parse(json.loads(facts["study"]), where=str(path), model=SeriesStudy)
            task = next(t for t in study.tasks if t.name == facts["task"])
            scaler = Scaler.from_json(json.loads(facts["scaler"]))
            seen, hidden = (
                tuple(map(Calibration.from_json, json.loads(facts[k]))) for k in ("calibrations", "hidden_calibrations")
            )
        except (OSError, SafetensorError, KeyError, ValueError, StopIteration) as error:
            raise CheckpointError(
                f"{path}: is no model of series that can be read: {error}. Name the folder of a run that was evaluated."
            ) from error
        return cls(study, task, scaler, weights, seen, hidden)

    def over(
        self, series: Series, known: np.ndarray | None = None, progress: Progress = quiet
    ) -> Trained[Forecasting] | Trained[Reanalysing]:
        """The networks over new hours, whose stations may be others; `known` are those that can be seen, bool on (station,)."""
        hours = Hours.of(series, self.scaler, [self.study.target], cyclic=self.study.method.cyclic)
        known = np.ones(len(series.stations), bool) if known is None else known
        method, task = self.study.method, self.task
        if isinstance(task, Reanalysis):
            reanalysing = Reanalysing(task, Reanalyses(hours, task.window), NOTHING, known)
            members = [self._filled(reanalysing.network(method), n) for n in self._members]
            return Trained(reanalysing, members, self.scaler, method.neighbours, progress=progress)
        ours, its = (
            Forecasts.of(hours, shape, task.reach, task.length, task.given)
            for shape in (even(task.window, task.coarse), recent_finest(task.window))
        )
        forecasting = Forecasting(task, ours, NOTHING, known)
        members = [self._filled(forecasting.network(method), n) for n in self._members]
        voices = {}
        for name in VOICES:
            beside = Beside(task, its, NOTHING, known, name)
            voices[name] = Trained(beside, [self._filled(beside.network(method), name)], self.scaler, method.neighbours)
        return Trained(forecasting, members, self.scaler, method.neighbours, voices, progress)

    @property
    def _members(self) -> list[str]:
        return sorted({k.partition(".")[0] for k in self.weights if k.startswith("member")})

    def _filled(self, network: nn.Module, name: str) -> nn.Module:
        """A network with its weights."""
        if not any(k.startswith(f"{name}.") for k in self.weights):
            raise CheckpointError(
                f"{self.study.name}, {self.task.name}: the model holds no {name}; an earlier airloom made it. Train and evaluate the "
                "study anew, in another folder."
            )
        try:
            network.load_state_dict(
                {k.removeprefix(f"{name}."): v for k, v in self.weights.items() if k.startswith(f"{name}.")}
            )
        except RuntimeError as error:
            reason = str(error).splitlines()[-1].strip()
            raise CheckpointError(
                f"{self.study.name}, {self.task.name}: the networks do not fit: {reason}. Another airloom made them. Train and "
                "evaluate the study anew, in another folder."
            ) from error
        return network.eval()


def keep(
    study: SeriesStudy,
    task: Task,
    trained: Trained[Forecasting] | Trained[Reanalysing],
    calibrations: Sequence[Calibration],
    hidden: Sequence[Calibration],
    path: Path,
) -> None:
    """Write a task's networks, their scaler and the calibrations of their intervals; nothing in it can be run."""
    tensors = {f"member{i}.{k}": v for i, n in enumerate(trained.networks) for k, v in n.state_dict().items()}
    for name, voice in trained.voices.items():
        tensors |= {f"{name}.{k}": v for k, v in voice.networks[0].state_dict().items()}
    facts = {
        "study": study.model_dump_json(),
        "task": task.name,
        "scaler": json.dumps(trained.scaler.to_json()),
        "calibrations": json.dumps([c.to_json() for c in calibrations]),
        "hidden_calibrations": json.dumps([c.to_json() for c in hidden]),
        "airloom": __version__,
    }
    with whole(path) as aside:
        aside.write_bytes(save({k: v.contiguous() for k, v in tensors.items()}, facts))
