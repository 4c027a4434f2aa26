"""When, where and with what a figure was measured."""

import os
import platform
from datetime import date
from importlib.metadata import version
from typing import Any

import airloom


def stamp(*packages: str, threads: int | None = None) -> dict[str, Any]:
    """Date, machine and versions of airloom, Python and `packages`, as results begin; `threads` where they were limited."""
    shared = f", {threads} threads" if threads else ""
    return {
        "date": str(date.today()),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores{shared}, {platform.system()} {platform.release()}",
        "versions": {
            "airloom": airloom.__version__,
            "python": platform.python_version(),
            **{p: version(p) for p in packages},
        },
    }
