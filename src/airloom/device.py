"""Where networks work."""

import torch


def device() -> torch.device:
    """The first CUDA device that the process sees, else the processor."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def wait() -> None:
    """Until a CUDA device, which works on by itself, is done with all that it was given; a clock is read only then."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
