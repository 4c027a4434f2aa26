"""When, where and with what a figure was measured."""

import os
import platform
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import airloom

CPUINFO = Path("/proc/cpuinfo")
SETS = "amx_bf16", "avx512_bf16", "avx512f", "avx2"  # instruction sets on which speed depends, the fastest first


def stamp(*packages: str, threads: int | None = None) -> dict[str, Any]:
    """Date, machine and versions of airloom, Python and `packages`, as results begin; `threads` where they were limited."""
    shared = f", {threads} threads" if threads else ""
    return {
        "date": str(date.today()),
        "machine": f"{platform.machine()}{_best_set()}, {os.cpu_count()} cores{shared}, {platform.system()} {platform.release()}",
        "versions": {
            "airloom": airloom.__version__,
            "python": platform.python_version(),
            **{p: version(p) for p in packages},
        },
    }


def _best_set() -> str:
    """The fastest of SETS that the processor has, where that can be read."""
    flags = CPUINFO.read_text(encoding="utf-8").split() if CPUINFO.is_file() else []
    return next((f" with {name}" for name in SETS if name in flags), "")
