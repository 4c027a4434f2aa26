"""Training counted in steps."""

import pytest
import torch
from torch import nn

from airloom.errors import DataError
from airloom.learn.steps import Trainer


def test_a_gradient_that_is_not_finite_stops_before_the_weights_are_lost(tmp_path):
    network = nn.Linear(1, 1)
    before = {k: v.clone() for k, v in network.state_dict().items()}

    def loss(_: int) -> torch.Tensor:
        return (0 * network.weight.sum()).sqrt()  # 0, and its slope 0 · ∞

    trainer = Trainer(
        network, lambda step: step, lambda: [0], loss, steps=4, learning_rate=1e-3, study="a", seed=0, folder=tmp_path
    )
    with pytest.raises(DataError, match=r"training, step 1: the gradient is not finite\. Lower practice"):
        trainer.run(lambda *_: None)
    assert all(torch.equal(before[k], v) for k, v in network.state_dict().items())
