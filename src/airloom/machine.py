"""What the machine has."""

import os
from pathlib import Path

CONTAINER = Path("/sys/fs/cgroup/memory.max")  # the limit of a container, or "max"
TYPICAL = 8 * 2**30  # where the system does not say


def memory(container: Path = CONTAINER) -> int:
    """Bytes of memory that this process can have: the machine's, or its container's if that is less."""
    try:
        installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not on Windows
        installed = TYPICAL
    limit = container.read_text().strip() if container.is_file() else "max"
    return min(installed, int(limit)) if limit.isdigit() else installed
