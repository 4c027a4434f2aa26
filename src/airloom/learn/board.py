"""Epochs for TensorBoard, where it is installed: `tensorboard --logdir runs`."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path


class Board:
    """Writes an epoch's numbers to `folder`; a resumed run overwrites what came after the epoch it goes on from."""

    def __init__(self, folder: Path, epochs_done: int) -> None:
        self.writer = None
        if find_spec("tensorboard"):
            from torch.utils.tensorboard import SummaryWriter

            self.writer = SummaryWriter(str(folder), purge_step=epochs_done + 1)

    def epoch(self, number: int, values: Mapping[str, float]) -> None:
        """Note the values of an epoch."""
        if self.writer:
            for name, value in values.items():
                self.writer.add_scalar(name, value, number)

    def close(self) -> None:
        """Write what is held back."""
        if self.writer:
            self.writer.close()
