"""Modules that may be computed again in the backward pass, so that what they computed need not be kept until then."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

_again: ContextVar[bool] = ContextVar("again", default=False)


class Recomputed(nn.Module):
    """Where `recompute` is set, keeps its inputs alone while training, for one more forward pass (Chen et al., 2016)."""

    recompute = False

    def __call__(self, *args: Any) -> Any:
        """As any module."""
        if self.recompute and torch.is_grad_enabled():
            return checkpoint(
                super().__call__, *args, use_reentrant=False, context_fn=lambda: (nullcontext(), _computing_again())
            )
        return super().__call__(*args)


def computed_again() -> bool:
    """Whether this is the second time, of which nothing must be noted."""
    return _again.get()


@contextmanager
def _computing_again() -> Iterator[None]:
    token = _again.set(True)
    try:
        yield
    finally:
        _again.reset(token)
