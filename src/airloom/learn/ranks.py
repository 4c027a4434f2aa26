"""Processes that train and predict together, as torchrun starts them: on one machine or on many, with a device each or none."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
from torch import Tensor, distributed

from airloom.errors import StudyError

PATIENCE = timedelta(hours=12)  # that ranks wait for one another; preparing a normaliser or a store takes the leader a while

T = TypeVar("T")


@dataclass(frozen=True)
class Ranks:
    """Where a process stands, `rank`, among `size` that do the same work in shares; by default it is alone."""

    rank: int = 0
    size: int = 1

    @property
    def lead(self) -> bool:
        """Whether this is the one that writes what all of them share."""
        return self.rank == 0

    def share(self, items: Sequence[T]) -> Sequence[T]:
        """The items of this rank: every one is some rank's, none is two ranks'.

        >>> Ranks(1, 3).share("abcdefg")
        'be'
        """
        return items[self.rank :: self.size]

    def add(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors of one type and device, of the same shapes on all ranks, by their sums over the ranks, at once."""
        if self.size == 1:
            return
        joined = torch.cat([t.detach().flatten() for t in tensors]).to(_device())
        distributed.all_reduce(joined)
        with torch.no_grad():
            for tensor, total in zip(tensors, joined.split([t.numel() for t in tensors]), strict=True):
                tensor.copy_(total.view_as(tensor))

    def any(self, found: bool) -> bool:
        """Whether something was found on one of the ranks."""
        told = torch.tensor([float(found)])
        self.add([told])
        return bool(told.item())

    def wait(self) -> None:
        """Go on when all have come here."""
        if self.size > 1:
            distributed.barrier()


ALONE = Ranks()


def _device() -> str:
    """Where tensors must lie that ranks exchange."""
    return "cuda" if distributed.get_backend() == "nccl" else "cpu"


@contextmanager
def joined() -> Iterator[Ranks]:
    """The ranks that torchrun started (by the environment's RANK, WORLD_SIZE, LOCAL_RANK), or this process alone.

    They talk over NCCL where there are CUDA devices, each rank taking that of its LOCAL_RANK, else over gloo.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield ALONE
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo", timeout=PATIENCE)
    try:
        yield Ranks(distributed.get_rank(), size)
    finally:
        distributed.destroy_process_group()


def require_alone() -> None:
    """Refuse to do in several processes what one does.

    Raises:
        StudyError: torchrun started more than one.
    """
    if (size := int(os.environ.get("WORLD_SIZE", "1"))) > 1:
        raise StudyError(
            f"{size} processes were started for what one does alone. Start it without torchrun; `airloom train` and "
            "`airloom predict` are what processes share."
        )
