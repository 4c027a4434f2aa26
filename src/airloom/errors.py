"""Errors that say what was found, where, what was expected and the remedy."""

import difflib
from collections.abc import Iterable


class AirloomError(Exception):
    """Base of every error that airloom raises on purpose."""


class StudyError(AirloomError):
    """The study asks for something that cannot be done as written."""


class DataError(AirloomError):
    """A file or an observation is not what its product documents."""


class CheckpointError(AirloomError):
    """A checkpoint does not belong to what is being run."""


def nearest(word: str, valid: Iterable[str]) -> str:
    """A sentence that names the closest valid word, or the valid words where none is close.

    >>> nearest("blhh", ["blh", "t2m"])
    "nearest: 'blh'"
    >>> nearest("zzz", ["blh", "t2m"])
    'valid: blh, t2m'
    """
    names = sorted(valid)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    return f"nearest: {close[0]!r}" if close else "valid: " + ", ".join(names)
