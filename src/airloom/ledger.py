"""The ledger: why each station, day and file is in or out."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from airloom.files import read_json, write_json

Kind = Literal["station", "day", "file", "value"]
Verdict = Literal["out", "changed", "kept"]


@dataclass(frozen=True)
class Entry:
    """One decision: `what` (a station id, a date, a file name) and how many values it concerns."""

    kind: Kind
    what: str
    verdict: Verdict
    why: str
    count: int = 1


@dataclass
class Ledger:
    """A list of decisions that travels with the cube, the run and the report."""

    entries: list[Entry] = field(default_factory=list)

    def out(self, kind: Kind, what: str, why: str, count: int = 1) -> None:
        """Something was left out."""
        self.entries.append(Entry(kind, what, "out", why, count))

    def changed(self, kind: Kind, what: str, why: str, count: int = 1) -> None:
        """Something was kept, but not as it came."""
        self.entries.append(Entry(kind, what, "changed", why, count))

    def kept(self, kind: Kind, what: str, why: str, count: int = 1) -> None:
        """Something was kept that a reader may doubt."""
        self.entries.append(Entry(kind, what, "kept", why, count))

    def extend(self, entries: Iterable[Entry]) -> None:
        """Add the entries of another ledger."""
        self.entries.extend(entries)

    def of(self, kind: Kind, verdict: Verdict | None = None) -> list[Entry]:
        """Entries of one kind, in the order they were made."""
        return [e for e in self.entries if e.kind == kind and verdict in (None, e.verdict)]

    def write(self, path: Path) -> None:
        """Write as JSON, whole or not at all."""
        write_json(path, [asdict(e) for e in self.entries])

    @classmethod
    def read(cls, path: Path) -> "Ledger":
        """Read what `write` wrote."""
        return cls([Entry(**e) for e in read_json(path)])
