"""ConvLSTM (Shi et al., 2015) whose input goes through inception branches (paper 000, §2.3.1–2.3.2)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from airloom.nets.elements import tanh
from airloom.nets.inception import inception_2d, inception_lstm
from airloom.nets.levels import double, fold, pointwise, unfold
from airloom.nets.recompute import Recomputed


class ConvLSTM(Recomputed):
    """(batch, time, inputs, y, x), or with levels before y, → the hidden state of each step, (batch, hidden, …).

    All that depends on the input alone is computed for every time step at once, before the recurrence. The recurrence sees
    3 × 3 cells of its own level; levels meet in the branches that the input goes through. With `doubles` the state has twice
    the cells of the input.
    """

    def __init__(
        self, inputs: int, hidden: int, *, levels: bool = False, doubles: bool = False, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.doubles = doubles
        self.branches = inception_lstm(inputs, hidden, levels=levels, dropout=dropout)
        self.from_input = nn.Linear(hidden, 4 * hidden)
        self.from_hidden = nn.Conv2d(hidden, 4 * hidden, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Run over time from a state of zeros."""
        steps, levels = x.shape[1], x.shape[3] if x.dim() == 6 else None
        seen = fold(self.branches(x.transpose(0, 1).flatten(0, 1)))  # (time·batch·level, hidden, y, x)
        # all steps in one go, for the gradient of a slice fills a whole tensor with zeros
        first, *later = (double(s) if self.doubles else s for s in seen.chunk(steps))
        state, cell = _advance(pointwise(first, self.from_input.weight, self.from_input.bias), None)
        states = [state]
        for now in later:
            state, cell = _advance(self._gates(now, state), cell)
            states.append(state)
        return states if levels is None else [unfold(s, levels) for s in states]

    def _gates(self, seen: Tensor, state: Tensor) -> Tensor:
        """What input and last state say to the four gates; the one is added to the other within its matrix product."""
        hidden = functional.conv2d(state, self.from_hidden.weight, self.from_input.bias, padding=1).movedim(1, -1)
        rows = seen.movedim(1, -1).flatten(0, 2)  # (frame·y·x, hidden)
        return torch.addmm(hidden.flatten(0, 2), rows, self.from_input.weight.t()).view(hidden.shape).movedim(-1, 1)


def _advance(gates: Tensor, cell: Tensor | None) -> tuple[Tensor, Tensor]:
    """The next hidden and cell state, each (frame, hidden, y, x), from gates (frame, 4·hidden, y, x)."""
    # channels of one gate side by side: what follows is elementwise, and would crawl from strip to strip
    enter, forget, leave, new = (g.contiguous(memory_format=torch.channels_last) for g in gates.chunk(4, 1))
    fresh = torch.sigmoid(enter) * tanh(new)
    cell = fresh if cell is None else torch.sigmoid(forget) * cell + fresh
    return torch.sigmoid(leave) * tanh(cell), cell


class ClimbingConvLSTM(nn.Module):
    """ConvLSTM stages that double the cells and halve the steps: 24 → 12 → 6 → 3 (paper 000, §2.3.1).

    Takes (batch, time, inputs, y, x), or with `levels` (batch, time, inputs, level, y, x), on the coarsest cells; returns the
    last state of each stage, coarse to fine, each (batch, width, …). States double before the next stage's branches; with
    levels behind them, for branches over eight levels of doubled cells would cost four times as much and see nothing new.
    """

    def __init__(self, inputs: int, widths: list[int], *, levels: bool = False, dropout: float = 0.0) -> None:
        super().__init__()
        self.stages = nn.ModuleList(
            ConvLSTM(inputs if i == 0 else widths[i - 1], width, levels=levels, doubles=levels and i > 0, dropout=dropout)
            for i, width in enumerate(widths)
        )

    def forward(self, x: Tensor, stages: int | None = None) -> list[Tensor]:
        """Last states, coarse to fine; of the first `stages` alone where that is given."""
        states: list[Tensor] = []
        last: list[Tensor] = []
        for stage in list(self.stages)[:stages]:
            if states:
                kept = states[1::2]  # every second step, the last among them
                x = torch.cat(kept)
                x = (x if stage.doubles else double(x)).unflatten(0, (len(kept), -1)).transpose(0, 1)
            states = stage(x)
            last.append(states[-1])
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
