"""Kinds of studies: what `method.name` of a study file makes of it. One line a kind that is not DACNO₂'s."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

from airloom.errors import StudyError, nearest
from airloom.study import Study, parse, read_file
from airloom.study import keys as keys_of

if TYPE_CHECKING:
    from rich.table import Table

    from airloom.methods.aqnet.run import SeriesRun
    from airloom.methods.aqnet.study import SeriesStudy
    from airloom.methods.describe import Row
    from airloom.methods.pointconv.run import FusionRun
    from airloom.methods.pointconv.study import FusionStudy
    from airloom.run import Run

AnyStudy = Union[Study, "FusionStudy", "SeriesStudy"]
AnyRun = Union["Run", "FusionRun", "SeriesRun"]


@dataclass(frozen=True)
class Kind:
    """The schema of a study file, what carries such a study, what looks at it before, and its scores as tables; each as
    "module:name", imported when first asked for.
    """

    study: str
    run: str
    check: str
    describe: str
    tables: str = "airloom.verify.tables:tables"


GRIDDED = Kind("airloom.study:Study", "airloom.run:Run", "airloom.check:lines", "airloom.methods.describe:describe")
KINDS = {
    "pointconv": Kind(
        *(
            f"airloom.methods.pointconv.{name}"
            for name in ("study:FusionStudy", "run:FusionRun", "look:check", "look:describe")
        )
    ),
    "aqnet": Kind(
        *(
            f"airloom.methods.aqnet.{name}"
            for name in ("study:SeriesStudy", "run:SeriesRun", "look:check", "look:describe", "tables:tables")
        )
    ),
}


def kind_of(content: Mapping[str, Any]) -> Kind:
    """The kind of a study file's content, and of one that names no method.

    Raises:
        StudyError: it names a method that there is not.
    """
    method = content.get("method")
    name = method.get("name") if isinstance(method, dict) else None
    if name is not None and name not in KINDS:
        from airloom.methods.registry import METHODS

        if name not in METHODS:
            raise StudyError(f"method.name: there is no method {name!r}. {nearest(str(name), [*METHODS, *KINDS])}")
    return KINDS.get(str(name), GRIDDED)


def open_study(path: str | Path) -> AnyStudy:
    """Read a study file of any kind.

    Raises:
        StudyError: as `airloom.study.load`.
    """
    content = read_file(path)
    return parse(content, where=str(path), model=_named(kind_of(content).study))


def keys(method: str) -> Iterator[tuple[str, str, str]]:
    """Every key that a study of a method may have, as `airloom.study.keys`.

    Raises:
        StudyError: there is no such method.
    """
    return keys_of(_named(kind_of({"method": {"name": method}}).study))


def open_run(study: AnyStudy, data: str | Path, folder: str | Path, **options: Any) -> AnyRun:
    """What carries a study; options are those of `airloom.Run`."""
    return _named(_of(study).run)(study, data, folder, **options)


def check(study: AnyStudy, data: Path, folder: Path, *, workers: int) -> list[str]:
    """Lines about files, stations and what a study will cost.

    Raises:
        StudyError, DataError: what would stop the study later.
    """
    return _named(_of(study).check)(study, data, folder, workers=workers)


def describe(study: AnyStudy) -> "list[Row]":
    """The parts of a study's network.

    Raises:
        StudyError: the method refuses the study.
    """
    return _named(_of(study).describe)(study)


def tables(study: AnyStudy, scores: Mapping[str, Any]) -> "list[Table]":
    """A study's scores for a terminal."""
    return _named(_of(study).tables)(scores)


def _of(study: AnyStudy) -> Kind:
    return KINDS.get(study.method.name, GRIDDED)


def _named(name: str) -> Any:
    module, _, attribute = name.partition(":")
    return getattr(import_module(module), attribute)
