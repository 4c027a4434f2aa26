"""ConvLSTM (Shi et al., 2015) whose input goes through inception branches (paper 000, §2.3.1–2.3.2)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from airloom.nets.inception import inception_2d, inception_lstm


class ConvLSTM2d(nn.Module):
    """(batch, time, inputs, y, x) → hidden states (batch, time, hidden, y, x).

    All that depends on the input alone is computed for every time step at once, before the recurrence.
    """

    def __init__(self, inputs: int, hidden: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.branches = inception_lstm(inputs, hidden, dropout=dropout)
        self.from_input = nn.Conv2d(hidden, 4 * hidden, 1)
        self.from_hidden = nn.Conv2d(hidden, 4 * hidden, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Run over time from a state of zeros."""
        gates = self.from_input(self.branches(x.flatten(0, 1))).unflatten(0, x.shape[:2])
        state, cell, states = None, None, []
        for now in gates.unbind(1):  # unbind, for the gradient of a slice fills a whole tensor with zeros each step
            if state is not None:
                now = now + self.from_hidden(state)
            enter, forget, leave, new = now.chunk(4, 1)
            fresh = torch.sigmoid(enter) * torch.tanh(new)
            cell = fresh if cell is None else torch.sigmoid(forget) * cell + fresh
            state = torch.sigmoid(leave) * torch.tanh(cell)
            states.append(state)
        return torch.stack(states, 1)


class ClimbingConvLSTM(nn.Module):
    """ConvLSTM stages that double the cells and halve the steps: 24 → 12 → 6 → 3 (paper 000, §2.3.1).

    Takes (batch, time, inputs, y, x) on the coarsest cells; returns the last state of each stage, coarse to fine, each
    (batch, width, y, x).
    """

    def __init__(self, inputs: int, widths: list[int], *, dropout: float = 0.0) -> None:
        super().__init__()
        self.stages = nn.ModuleList(
            ConvLSTM2d(inputs if i == 0 else widths[i - 1], width, dropout=dropout) for i, width in enumerate(widths)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """Last states, coarse to fine."""
        last = []
        for i, stage in enumerate(self.stages):
            if i > 0:
                x = x[:, 1::2]  # every second step, the last among them
                x = functional.interpolate(x.flatten(0, 1), scale_factor=2, mode="nearest").unflatten(0, x.shape[:2])
            x = stage(x)
            last.append(x[:, -1])
        return last


class DescendingCNN(nn.Module):
    """2-D inception stages that halve the cells: (batch, inputs, y, x) → one tensor a scale, coarse to fine."""

    def __init__(self, inputs: int, widths: list[int], *, dropout: float = 0.0) -> None:
        super().__init__()
        fine_to_coarse = widths[::-1]
        self.stages = nn.ModuleList(
            inception_2d(inputs if i == 0 else fine_to_coarse[i - 1], width, dropout=dropout)
            for i, width in enumerate(fine_to_coarse)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """Features, coarse to fine."""
        found = []
        for i, stage in enumerate(self.stages):
            x = stage(functional.avg_pool2d(x, 2) if i else x)
            found.append(x)
        return found[::-1]
