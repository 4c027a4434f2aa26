"""What folders hold, to be compared."""

import hashlib
from pathlib import Path

CLOCKED = ("timings.json", "report.html", "log.json", "state.safetensors", "board")  # they hold durations


def files(folder: Path) -> dict[str, str]:
    """Hashes of all files below a folder."""
    every = (p for p in sorted(folder.rglob("*")) if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in every}


def lasting(folder: Path, *, without: tuple[str, ...] = CLOCKED) -> dict[str, str]:
    """The same, without files that change from run to run though all that counts in them is equal."""
    return {name: digest for name, digest in files(folder).items() if not set(Path(name).parts) & set(without)}
