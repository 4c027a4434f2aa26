"""Learnable nearest neighbours: what stations around a place say of it (paper 004; DESIGN §2.5 decides what it leaves open)."""

import math

import torch
from torch import Tensor, nn

OFFSET = 3  # numbers that tell where a neighbour stands from a place: east, north, and the logarithm of the distance


class NeuralNeighbours(nn.Module):
    """Attention of places over the k nearest stations that can be seen.

    The query is made of the place and of what is known there, keys and values of the neighbours' features and where they stand
    from the place, so that weights depend on features and not on distance alone. k may change at prediction. All stations are
    multiplied at once and those that are not among the k weigh nothing: to gather k features for each place takes several
    times as long.

    Arguments:
        features: width of a station's feature vector.
        query: width of what is known at the place.
        dim: width of queries, keys and values.
        heads: of the attention.
        length: distance that counts as one [m].
    """

    def __init__(self, features: int, query: int, dim: int, heads: int = 4, length: float = 20_000.0) -> None:
        super().__init__()
        self.heads, self.length = heads, length
        self.query = nn.Linear(query, dim)
        self.key = nn.Linear(features, dim)
        self.value = nn.Linear(features, dim)
        self.key_offset = nn.Linear(OFFSET, dim, bias=False)
        self.value_offset = nn.Linear(OFFSET, dim, bias=False)
        self.nearness = nn.Parameter(torch.linspace(0.5, 2.0, heads))  # how much each head begins by minding distance

    def forward(
        self, query: Tensor, features: Tensor, offsets: Tensor, chosen: Tensor, there: Tensor
    ) -> tuple[Tensor, Tensor]:
        """What neighbours say, and by what weights.

        Arguments:
            query: on (batch, place, query).
            features: of stations on (batch, station, features).
            offsets: from places to stations on (place, station, 2) [m].
            chosen: indices of the k nearest stations on (batch, place, k), as `nearest` gives them.
            there: which of them can be seen, bool on (batch, place, k).

        Returns:
            Values on (batch, place, dim), and weights on (batch, place, k, head), which add up to 1 where any neighbour is there
            and are zero where none is.
        """
        where = _described(offsets, self.length)
        allowed = there.new_zeros(len(chosen), *where.shape[:2]).scatter_(2, chosen, there)
        scores = self.scores(query, features, where).masked_fill(~allowed[..., None], -torch.inf)
        weights = torch.nan_to_num(torch.softmax(scores, 2))  # nobody there: NaN
        values = self.value(features).unflatten(-1, (self.heads, -1))
        met = torch.einsum("bpsh,pso->bpho", weights, where)
        said = torch.einsum("bpsh,bshd->bphd", weights, values) + torch.einsum(
            "bpho,hdo->bphd", met, self._by_head(self.value_offset)
        )
        return said.flatten(2), weights.gather(2, chosen[..., None].expand(-1, -1, -1, self.heads))

    def scores(self, query: Tensor, features: Tensor, where: Tensor) -> Tensor:
        """Logarithms of weights, but for a constant, on (batch, place, station, head); `where` stations stand from places on (place, station,
        OFFSET).
        """
        asked = self.query(query).unflatten(-1, (self.heads, -1))
        keys = self.key(features).unflatten(-1, (self.heads, -1))
        there = torch.einsum("bphd,hdo->bpho", asked, self._by_head(self.key_offset))
        found = torch.einsum("bphd,bshd->bpsh", asked, keys) + torch.einsum("bpho,pso->bpsh", there, where)
        return found / math.sqrt(asked.shape[-1]) - self.nearness * where[..., 2:]

    def _by_head(self, layer: nn.Linear) -> Tensor:
        """A layer's weights on (head, number, OFFSET)."""
        return layer.weight.view(self.heads, -1, OFFSET)


class DistanceNeighbours(NeuralNeighbours):
    """The same with weights by distance alone, how fast they fall learnt: to see what features are worth in them."""

    def scores(self, query: Tensor, features: Tensor, where: Tensor) -> Tensor:
        """As `NeuralNeighbours`."""
        return (-self.nearness * where[..., 2:]).expand(len(query), -1, -1, -1)


def nearest(offsets: Tensor, visible: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k nearest stations of each place that can be seen and are not the place itself.

    Arguments:
        offsets: from places to stations on (place, station, 2) [m]; a station at a place's own spot is the place itself.
        visible: bool on (batch, station).
        k: neighbours; fewer where there are fewer stations.

    Returns:
        Indices on (batch, place, k) and which of them are there at all, bool of the same shape.
    """
    distance = offsets.norm(dim=-1)
    hidden = ~visible[:, None, :] | (distance == 0)[None]
    far = distance[None].expand(len(visible), -1, -1).masked_fill(hidden, torch.inf)
    found, chosen = far.topk(min(k, distance.shape[1]), dim=-1, largest=False)
    return chosen, torch.isfinite(found)


def _described(offsets: Tensor, length: float) -> Tensor:
    """East and north, saturating, and the logarithm of the distance, on (place, station, OFFSET)."""
    scaled = offsets / length
    far = scaled.norm(dim=-1, keepdim=True)
    return torch.cat([torch.tanh(scaled / 2), torch.log1p(far)], -1)
