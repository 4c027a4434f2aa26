"""`pointconv`: stations to complete fields, learnt from a model alone (paper 001)."""

import torch

from airloom.methods.pointconv.network import PRESETS, PointConvFusion
from airloom.methods.pointconv.study import FusionStudy


def network_of(study: FusionStudy) -> PointConvFusion:
    """A network of the study, with the random weights of its seed.

    Use it where stations are sparse and have never been learnt from: a new network, sensors, another pollutant. Not for places
    beyond every station's reach, which the coverage that comes with a field tells, nor to say what a single street has.
    """
    torch.manual_seed(study.seed)
    return PointConvFusion(len(study.variables), study.channels, PRESETS[study.method.preset])
