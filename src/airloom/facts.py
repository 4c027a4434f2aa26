"""What a run was made with, and how long it took."""

import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import torch

import airloom
from airloom.files import full_disk_named, read_json, write_json

TIMINGS = "timings.json"


def versions() -> dict[str, str]:
    """Of airloom, of what it stands on, and the machine."""
    return {
        "airloom": airloom.__version__,
        "torch": torch.__version__,
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
        "python": platform.python_version(),
        **{p: version(p) for p in ("numpy", "xarray", "zarr")},
    }


def timings(folder: Path) -> dict[str, str]:
    """How long each stage of the run in `folder` took."""
    found = read_json(folder / TIMINGS) if (folder / TIMINGS).is_file() else {}
    return {f"time: {stage}": f"{seconds:.0f} s" for stage, seconds in found.items()}


@contextmanager
def timed(folder: Path, what: str) -> Iterator[None]:
    """Note in `folder` how long a stage took, over all the times that it was taken up again; name a full disk."""
    started = time.perf_counter()
    with full_disk_named(folder):
        try:
            yield
        finally:
            path = folder / TIMINGS
            before = read_json(path) if path.is_file() else {}
            write_json(path, {**before, what: before.get(what, 0.0) + time.perf_counter() - started})
