"""Files that are either whole or absent: write aside, then rename."""

import errno
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from airloom.errors import AirloomError, DataError

FULL = 2**16  # bytes; where fewer are free and a library fails to write, the disk is full


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Give a temporary name beside `path`; rename it to `path` when the block ends well, remove it when not.

    The temporary name keeps the suffix of `path`, for libraries that choose a format by it. A folder may be written too;
    a folder that stood at `path` is replaced.

    Raises:
        OSError: with the system's number for a full disk (ENOSPC) also where a library that wrote hides it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.stem}.{uuid.uuid4().hex[:8]}{path.suffix}")
    try:
        yield aside
        if aside.is_dir() and path.is_dir():
            old = path.with_name(f".{path.stem}.{uuid.uuid4().hex[:8]}.old")
            path.rename(old)
            aside.rename(path)
            shutil.rmtree(old)
        else:
            if aside.is_file():
                with open(aside, "rb") as handle:
                    os.fsync(handle.fileno())
            os.replace(aside, path)
    except Exception as error:
        if isinstance(error, OSError | AirloomError) or not _disk_is_full(error, path.parent):
            raise
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
    finally:
        if aside.is_dir():
            shutil.rmtree(aside, ignore_errors=True)
        else:
            aside.unlink(missing_ok=True)


def _disk_is_full(error: Exception, folder: Path) -> bool:
    """Whether an error means a full disk: safetensors and polars say so in words, the NetCDF library not at all."""
    return os.strerror(errno.ENOSPC) in str(error) or shutil.disk_usage(folder).free < FULL


@contextmanager
def full_disk_named(path: Path) -> Iterator[None]:
    """Turn the system's "no space left" into a message that names the place and the remedy."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise DataError(f"{path}: the disk is full. Free some space and run the same command again: it goes on.") from error


def write_json(path: Path, content: Any) -> None:
    """Write `content` as readable JSON, whole or not at all."""
    with whole(path) as aside:
        aside.write_text(json.dumps(content, indent=1, ensure_ascii=False, default=str) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def sha256(path: Path) -> str:
    """Hash of a file's content, hexadecimal."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def fingerprint(content: Any) -> str:
    """Short hash of anything that JSON can hold; equal content gives equal hashes.

    >>> fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    True
    """
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:16]
