"""Regression UNet++ (paper 001, §2.3; the nested U-Net of Zhou et al., 2018): grids in, one grid out."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from airloom.nets.norm import BatchRenorm


class UNetPP(nn.Module):
    """(batch, inputs, y, x) → (batch, outputs, y, x), any number of rows and columns.

    Node (i, j) stands at scale i, 0 the finest, and sees all nodes (i, 0) … (i, j − 1) and node (i + 1, j − 1), enlarged: so
    every scale is refined by all coarser ones before the finest is read. Softmax is left out, for this is regression. The last
    layer begins at zero, so that the network first adds nothing.

    Arguments:
        inputs, outputs: channels.
        widths: channels of each scale, fine to coarse; cells double from one to the next.
    """

    def __init__(self, inputs: int, outputs: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.widths = tuple(widths)
        nodes = {}
        for j in range(len(widths)):
            for i in range(len(widths) - j):
                given = (widths[i - 1] if i else inputs) if j == 0 else j * widths[i] + widths[i + 1]
                nodes[f"{i}-{j}"] = Node(given, widths[i])
        self.nodes = nn.ModuleDict(nodes)
        self.head = nn.Conv2d(widths[0], outputs, 1)
        nn.init.zeros_(self.head.weight)
        assert self.head.bias is not None
        nn.init.zeros_(self.head.bias)

    @property
    def multiple(self) -> int:
        """Rows and columns are filled up to multiples of it."""
        return 2 ** (len(self.widths) - 1)

    def forward(self, x: Tensor) -> Tensor:
        """Fill up with the edge's values, run, and cut off again."""
        rows, columns = x.shape[-2:]
        short = [-length % self.multiple for length in (columns, rows)]
        x = functional.pad(x, (0, short[0], 0, short[1]), mode="replicate")
        x = x.contiguous(memory_format=torch.channels_last)
        last = len(self.widths) - 1
        row: list[list[Tensor]] = [[] for _ in self.widths]  # what the nodes of each scale gave so far
        for i in range(last + 1):
            row[i].append(self.nodes[f"{i}-0"](functional.avg_pool2d(row[i - 1][0], 2) if i else x))
        for j in range(1, last + 1):
            for i in range(last + 1 - j):
                size = row[i][0].shape[-2:]
                below = functional.interpolate(row[i + 1][j - 1], size=size, mode="bilinear")
                row[i].append(self.nodes[f"{i}-{j}"](torch.cat([*row[i][:j], below], 1)))
        return self.head(row[0][last])[..., :rows, :columns]


class Node(nn.Sequential):
    """Two convolutions of 3 × 3 cells, each with batch renormalisation and ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        layers: list[nn.Module] = []
        for given in (inputs, outputs):
            layers += [nn.Conv2d(given, outputs, 3, padding=1, bias=False), BatchRenorm(outputs), nn.ReLU(inplace=True)]
        super().__init__(*layers)
