"""Kriging as a layer: what stations tell of the places around them, by a covariance that is learnt."""

import torch
from torch import Tensor, nn

REACHES = 10_000.0, 60_000.0  # where those of the covariance's two parts begin [m]
SHARES = 0.4, 0.55, 0.05  # of the variance: of either part, and a station's own
LEAST = 1e-3  # of a station's own: no two stations of one place agree exactly, and the matrix can be inverted


class Kriged(nn.Module):
    """Ordinary kriging of square roots, whose covariance, two exponentials of a distance and a station's own share, is learnt.

    Distances are longer along one direction than along another, as valleys and winds have it. Weights know how stations shield one
    another and may be negative, which those of attention cannot; of square roots few high values do not outweigh all others.
    """

    bottom: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.reach = nn.Parameter(torch.tensor(REACHES).log())
        self.share = nn.Parameter(torch.tensor(SHARES).log())
        self.stretch = nn.Parameter(torch.eye(2))  # of offsets, before their length is taken
        self.register_buffer("bottom", torch.zeros(()))  # from which roots are taken

    def forward(self, values: Tensor, offsets: Tensor) -> Tensor:
        """What a place shares with others, on (batch, place); 0 where no station has a value.

        Arguments:
            values: of stations on (batch, station), NaN where there is none; what a place has itself counts like the others' values.
            offsets: from places, which are the stations, to stations on (place, station, 2) [m].
        """
        roots = self.linear((values - self.bottom).clamp(min=0).sqrt(), offsets)
        told = roots.clamp(min=0).square() + self.bottom
        return torch.where(torch.isfinite(values).any(1, keepdim=True), told, 0)

    def linear(self, values: Tensor, offsets: Tensor) -> Tensor:
        """The best linear unbiased guess; as `forward`, but of the values themselves."""
        known = torch.isfinite(values)
        some = known.any(0).nonzero()[:, 0]  # of a map's places none is
        shared, own = self.covariance(offsets[:, some])
        there = known[:, some].to(values.dtype)
        matrix = shared[some] * there[:, :, None] * there[:, None]
        matrix = matrix + torch.diag_embed(torch.where(known[:, some], own, 1.0))  # without a value: apart from all others
        asked = torch.stack([torch.nan_to_num(values[:, some]), there], -1)
        solved = torch.cholesky_solve(asked, torch.linalg.cholesky(matrix)) * there[..., None]
        sums = solved.sum(1)
        mean = sums[:, :1] / sums[:, 1:].clamp(min=1e-9)
        return mean + (solved[..., 0] - mean * solved[..., 1]) @ shared.T

    def covariance(self, offsets: Tensor) -> tuple[Tensor, Tensor]:
        """What places at offsets [m] share, of a variance of 1, and a station's own."""
        share = LEAST + (1 - 3 * LEAST) * self.share.softmax(0)
        distance = (offsets @ self.stretch).norm(dim=-1)
        return torch.exp(-distance[..., None] / self.reach.exp()) @ share[:2], share[2]
