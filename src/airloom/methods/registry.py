"""The methods by name: one line each."""

from airloom.errors import StudyError, nearest
from airloom.methods.base import Method
from airloom.methods.dacno2.method import DACNO2Method

METHODS: dict[str, type[Method]] = {m.name: m for m in (DACNO2Method,)}


def method(name: str) -> Method:
    """The method called `name`.

    Raises:
        StudyError: there is none of that name.
    """
    if name not in METHODS:
        raise StudyError(f"method.name: there is no method {name!r}. {nearest(name, METHODS)}")
    return METHODS[name]()
