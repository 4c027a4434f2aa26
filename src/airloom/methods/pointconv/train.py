"""How a fusion learns: what is wrong with a field, by what lessons, and at what pace."""

from pathlib import Path

from torch import Tensor

from airloom.learn.steps import Pace, Trainer
from airloom.methods.pointconv.lessons import Lesson, Teacher
from airloom.methods.pointconv.network import PointConvFusion, of_stations

CHECKS = 12  # batches that validate, always the same
EXAMS = 10**9  # their number is that of no step
KERNELS = 5.0  # how much faster kernels learn, which are logarithms and begin alike


def trainer(
    network: PointConvFusion,
    teacher: Teacher,
    examiner: Teacher,
    *,
    steps: int,
    learning_rate: float,
    study: str,
    seed: int,
    folder: Path,
) -> Trainer[Lesson]:
    """Trains a network on the worlds of `teacher`, and validates it on that of `examiner`; the rest as `Trainer`."""
    return Trainer(
        network,
        lambda step: teacher.lesson([seed, step], turn=True),
        lambda: (examiner.lesson([seed, EXAMS + n], turn=False) for n in range(CHECKS)),
        lambda lesson: loss(network, lesson),
        paces=(Pace(list(network.points.parameters()), KERNELS, 0.0), Pace(list(network.blend.parameters()))),
        steps=steps,
        learning_rate=learning_rate,
        study=study,
        seed=seed,
        folder=folder,
    )


def loss(network: PointConvFusion, lesson: Lesson) -> Tensor:
    """Mean absolute error over land, in deviations of the day's stations (paper 001, Eq. 5)."""
    found, _ = network(lesson.values, lesson.weights, lesson.maps)
    _, spread = of_stations(lesson.values[:, :1], lesson.weights[:, :1])
    apart = (found - lesson.field).abs() / spread[:, 0]
    return (apart * lesson.scored).sum() / (lesson.scored.sum() * len(apart))
