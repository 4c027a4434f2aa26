"""Complete air-quality fields out of models, weather, emissions and stations, and how good they are."""

from typing import Any

from airloom.errors import AirloomError, CheckpointError, DataError, StudyError
from airloom.study import Study, load

__version__ = "0.1.0"
__all__ = ["AirloomError", "CheckpointError", "DataError", "Run", "Study", "StudyError", "__version__", "load"]


def __getattr__(name: str) -> Any:
    """`airloom.Run`, imported when first asked for: it brings torch, which decoding files and `--help` do without."""
    if name == "Run":
        from airloom.run import Run

        return Run
    raise AttributeError(f"module 'airloom' has no attribute {name!r}")
