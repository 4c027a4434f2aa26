"""Batch renormalisation (Ioffe, 2017): batch norm that trains as it predicts, however small the micro-batch.

A micro-batch here is a few days of one tile. Batch norm would take away what these days and this tile have in common, most of
what there is to learn, and give it back only when the network predicts.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from airloom.nets.recompute import computed_again

MOST_SCALE, MOST_SHIFT = 3.0, 5.0  # by how much a micro-batch may differ: ratio of deviations, means apart in deviations
RAMP = 100  # steps over which these limits open, while running statistics are young
MOMENTUM = 0.05  # share of a step in the running statistics


class BatchRenorm(nn.Module):
    """Scales each channel of (batch, channel, y, x) by its running mean and deviation, then by a weight and a bias.

    While training the running statistics are put in as constants, so that gradients are those of batch norm; where the
    micro-batch differs from them by more than the limits it is treated as closer. `mean` and `square`, of the values and of
    their squares, are those of the last step until `settle` adds what its micro-batches had: all of them, and all ranks, are
    treated alike.
    """

    mean: Tensor
    square: Tensor
    steps: Tensor
    seen: Tensor
    batches: Tensor

    def __init__(self, channels: int, *, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("square", torch.ones(channels))
        self.register_buffer("steps", torch.zeros(()))
        self.register_buffer("seen", torch.zeros(2, channels), persistent=False)  # sums over the step's micro-batches
        self.register_buffer("batches", torch.zeros(()), persistent=False)  # how many there were

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        if not self.training:
            return functional.batch_norm(x, self.mean, self._variance, self.weight, self.bias, False, 0.0, self.eps)
        scale, shift = self._differs(x.detach())
        weight, bias = self.weight * scale, self.weight * shift + self.bias
        return functional.batch_norm(x, None, None, weight, bias, True, 0.0, self.eps)

    @property
    def _variance(self) -> Tensor:
        """Over all that was seen: within micro-batches and between them."""
        return (self.square - self.mean**2).clamp_min(0)

    @torch.no_grad()
    def _differs(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """By how much a micro-batch deviates more than what was seen before, and how far off its mean is, on (channel,)."""
        variance, mean = torch.var_mean(x.float(), (0, 2, 3), correction=0)
        if not computed_again():
            self.seen += torch.stack([mean, variance + mean**2])
            self.batches += 1
        open_by = (self.steps / RAMP).clamp_max(1)
        deviation = (self._variance + self.eps).sqrt()
        most, far = 1 + (MOST_SCALE - 1) * open_by, MOST_SHIFT * open_by
        scale = ((variance + self.eps).sqrt() / deviation).clamp(1 / most, most)
        return scale, ((mean - self.mean) / deviation).clamp(-far, far)

    @torch.no_grad()
    def settle(self) -> None:
        """Take what the micro-batches since the last call had into the running statistics; the first ones are their mean."""
        any_seen = (self.batches > 0).float()  # a part that is frozen, or has no use, saw none; asking would make a GPU wait
        share = any_seen * (1 / (self.steps + 1)).clamp_min(MOMENTUM)
        mean, square = self.seen / self.batches.clamp_min(1)
        self.mean += share * (mean - self.mean)
        self.square += share * (square - self.square)
        self.steps += any_seen
        self.seen.zero_()
        self.batches.zero_()


def settle(network: nn.Module) -> None:
    """Settle all of a network's renormalisations; after each step."""
    for part in network.modules():
        if isinstance(part, BatchRenorm):
            part.settle()
