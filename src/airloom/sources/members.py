"""Files as the stores deliver them: plain, or several in a zip archive."""

import errno
import glob
import os
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from airloom.errors import DataError


@dataclass(frozen=True)
class Member:
    """A file, or one file inside a zip archive (then `inner` is its name there)."""

    path: Path
    inner: str | None = None

    @property
    def label(self) -> str:
        """How messages name it."""
        return f"{self.path.name}/{self.inner}" if self.inner else self.path.name

    @property
    def suffix(self) -> str:
        """Lower-case suffix of the file itself, such as ".grib"."""
        return Path(self.inner or self.path).suffix.lower()

    def content(self) -> bytes:
        """The whole file in memory.

        Raises:
            DataError: the file cannot be read.
        """
        return self.beginning(-1)

    def beginning(self, count: int) -> bytes:
        """The first `count` bytes, or all where it is −1.

        Raises:
            DataError: the file cannot be read.
        """
        with self._reading():
            if self.inner is None:
                with open(self.path, "rb") as file:
                    return file.read(count)
            with zipfile.ZipFile(self.path) as archive, archive.open(self.inner) as file:
                return file.read(count)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """What goes wrong while the file is read, as a DataError."""
        try:
            yield
        except (OSError, EOFError, zipfile.BadZipFile, zlib.error, KeyError, RuntimeError) as error:
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise  # unpacking filled the disk: the archive is sound
            raise DataError(f"{self.label} cannot be read: {error}. Fetch it again.") from error

    @contextmanager
    def local(self) -> Iterator[Path]:
        """A path on disk for libraries that want one; a member of an archive is unpacked for as long as the block lasts."""
        if self.inner is None:
            yield self.path
            return
        with tempfile.TemporaryDirectory(prefix="airloom-") as folder:
            path = Path(folder) / Path(self.inner).name
            with (
                self._reading(),
                zipfile.ZipFile(self.path) as archive,
                archive.open(self.inner) as packed,
                open(path, "wb") as file,
            ):
                shutil.copyfileobj(packed, file, 2**20)  # a month of a model is larger than some memories
            yield path


def members(paths: Sequence[Path]) -> list[Member]:
    """Every file in `paths`, those inside zip archives one by one, in order.

    Raises:
        DataError: a path does not exist, is empty, or is an archive that is broken or holds nothing.
    """
    found: list[Member] = []
    for path in paths:
        if not path.is_file():
            raise DataError(f"{path} does not exist or is no file.")
        if path.stat().st_size == 0:
            raise DataError(f"{path.name} is empty (0 bytes); the download broke off. Fetch it again.")
        if path.suffix.lower() != ".zip":
            found.append(Member(path))
            continue
        try:
            with zipfile.ZipFile(path) as archive:
                inner = sorted(n for n in archive.namelist() if not n.endswith("/"))
        except zipfile.BadZipFile as error:
            raise DataError(f"{path.name} is no whole zip archive: {error}. Fetch it again.") from error
        if not inner:
            raise DataError(f"{path.name} is an archive that holds nothing. Fetch it again.")
        found += [Member(path, name) for name in inner]
    return found


def matching(root: Path, patterns: Sequence[str], where: str) -> list[Path]:
    """Files under `root` that match glob `patterns`, sorted, each once.

    Raises:
        DataError: patterns match nothing, or a file may not be read; `where` names the part of the study that asks.
    """
    found: set[Path] = set()
    absent = []
    for pattern in patterns:
        here = [root / p for p in glob.glob(pattern, root_dir=root, recursive=True) if (root / p).is_file()]
        if not here:
            absent.append(repr(pattern))
        if closed := [p for p in here if not os.access(p, os.R_OK)]:
            raise DataError(f"{where}: {closed[0]} may not be read. Ask its owner, or: chmod u+r {closed[0].name}")
        found.update(here)
    if absent:
        raise DataError(
            f"{where}: no file matches {', '.join(absent)} under {root}. Put the files there, or set AIRLOOM_DATA to their folder."
        )
    return sorted(found)
