"""Build a study's cube: in parts, restartable, each part whole or absent."""

import glob
import json
import math
import platform
import shutil
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from importlib.metadata import version
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from zarr.codecs import BloscCodec

import airloom
from airloom.cube.chemistry import daily_means
from airloom.cube.decode import Asked, Decode, decode, products, read_parts
from airloom.cube.layers import Inputs, daily, group_channels, map_names, maps
from airloom.cube.normalise import Sums
from airloom.cube.stations import read_assimilated, read_stations
from airloom.cube.store import CALENDAR, Cube
from airloom.cube.weather import HOURS, whole_days
from airloom.cube.workers import Crew, Workers, crew
from airloom.errors import DataError
from airloom.files import full_disk_named, sha256
from airloom.ledger import Ledger
from airloom.parts import LayerPart
from airloom.progress import Progress, quiet
from airloom.sources.members import matching
from airloom.study import Study

BLOCK_BYTES = 2**27  # of hourly fields that a worker joins at once; joining takes several times as much
CHUNK_BYTES, CHUNK_DAYS, CHUNK_CELLS = 2**20, 32, 64  # a chunk is a day, or as many of them as make about a MB


def build(study: Study, data: Path, path: Path, *, workers: Workers = 2, progress: Progress = quiet) -> Cube:
    """The study's cube at `path`, built from the files under `data`, or as it stands there if it is complete.

    An interrupted build goes on: decoded files and finished blocks of days are kept beside the store. `workers`: processes that
    decode and join files, or the address of a dask scheduler whose workers see the same files under the same names.

    Raises:
        DataError: a file is missing or broken, or the disk is full; or the files changed since the cube was built.
        StudyError: the cube at `path` was made for another study; or as `airloom.cube.workers.crew`.
    """
    if path.exists():
        cube = Cube.open(path, study)
        _check_files(cube, study, data)
        return cube
    aside = path.absolute().with_name(f".{path.name}.building")  # a worker may have another working folder
    with full_disk_named(path), crew(workers) as hands:
        group = _begin(study, data, aside)
        for asked in products(study):
            _join(asked, data, group, aside, hands, progress)
        shutil.rmtree(aside / "parts", ignore_errors=True)
        group.attrs["complete"] = True
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Consolidated metadata", category=UserWarning)  # read by zarr-python
            zarr.consolidate_metadata(aside)
        aside.rename(path)
    return Cube.open(path, study)


def _check_files(cube: Cube, study: Study, data: Path) -> None:
    """Refuse a cube whose files are others under `data` now; they may also be gone altogether. A file is read again where its size is
    the same and its time another than when the cube was built.
    """
    made, modified = cube.group.attrs["made_of"]["files"], cube.group.attrs.get("modified", {})
    here = {name for pattern in study.patterns for name in glob.glob(pattern, root_dir=data, recursive=True)}
    if not here:
        return

    def change(name: str) -> str:
        if name not in made or name not in here:
            return "is new" if name not in made else "is gone"
        now, (size, digest) = (data / name).stat(), made[name]
        if now.st_size != size:
            return "has another size"
        return "" if now.st_mtime_ns == modified.get(name) or sha256(data / name) == digest else "holds something else"

    for name in sorted({*made, *here}):
        if found := change(name):
            raise DataError(
                f"{cube.path}: was built of other files than lie under {data} now: {name} {found}. "
                "Remove the cube and run again; runs keep what they learnt of years whose files are the same."
            )
    with suppress(OSError):  # a cube that may only be read has its files read again
        now = {name: (data / name).stat().st_mtime_ns for name in made}
        if now != modified:
            zarr.open_group(cube.path, mode="r+").attrs["modified"] = now


def input_files(study: Study, data: Path) -> dict[str, list[Path]]:
    """Every file that the study reads, by the part of the study that asks for it.

    Raises:
        DataError: patterns match nothing; all of them are named.
    """
    part = study.stations
    listed = [part.split.assimilated] if part.split.assimilated else []
    wanted = {asked.group: (f"{asked.group}.files", asked.files) for asked in products(study)}
    wanted |= {f"daily {day.source}": (f"daily {day.source}", day.files) for day in study.daily}
    wanted["stations"] = "stations", (*part.observations, part.metadata, *listed)
    wanted |= {p.name: (f"layer {p.name}", p.files) for p in (*study.emissions, *study.geography) if p.files}
    found, missing = {}, []
    for name, (where, patterns) in wanted.items():
        try:
            found[name] = matching(data, patterns, where)
        except DataError as error:
            missing.append(str(error))
    if missing:
        raise DataError("\n".join(missing))
    return found


def _begin(study: Study, data: Path, aside: Path) -> zarr.Group:
    """The store with all but the gridded fields in it; an earlier one of the same study and files is taken up again."""
    files = input_files(study, data)
    made_of = {
        "study": study.prepared(),
        # each once: the chemistry model's files serve its levels and its ground
        "files": {str(p.relative_to(data)): [p.stat().st_size, sha256(p)] for p in sorted(set(chain(*files.values())))},
    }
    if (aside / "zarr.json").is_file():
        group = zarr.open_group(aside, mode="r+")
        if group.attrs.get("begun") and group.attrs["made_of"] == json.loads(json.dumps(made_of)):
            return group
    for stale in aside.glob("*"):
        if stale.name != "parts":
            shutil.rmtree(stale) if stale.is_dir() else stale.unlink()
    stations = read_stations(study.stations, study.pollutant, study.target_grid, study.period, data, study.hours)
    group = zarr.open_group(aside, mode="a")
    group.attrs.update(
        made_of=made_of,
        modified={name: (data / name).stat().st_mtime_ns for name in made_of["files"]},
        versions=_versions(),
        sums={asked.group: {} for asked in products(study)},
        ledger={"stations": [asdict(e) for e in stations.ledger.entries]},
        stations=stations.table.to_dicts(),
        assimilated=read_assimilated(study.stations, data),
    )
    days = np.arange(np.datetime64(study.period.start), np.datetime64(study.period.end) + 1)
    _put(group, "time", days.astype("datetime64[D]").astype(np.int64), ("time",), units="days since 1970-01-01")
    if group_channels(study)[CALENDAR]:
        found = daily(study, days, data)
        _put(group, CALENDAR, found.values, ("time", "channel"), names=found.names, plain=found.plain)
    for kind, parts in (("emissions", study.emissions), ("geography", study.geography)):
        if parts:
            found = maps(parts, study, data)
            attributes = {"names": found.names, "plain": found.plain, "logarithms": found.logarithms}
            _put(group, kind, found.values, ("channel", "y", "x"), **attributes)
            _note_filled(found, parts, kind, group)
    _put(group, "observed", stations.daily.to_numpy(), ("time", "station"), units="ug m-3")
    for asked in products(study):
        _empty(group, asked, len(days))
    group.attrs["begun"] = True
    return group


def _empty(group: zarr.Group, asked: Asked, days: int) -> None:
    """An array of a product with nothing in it yet, and beside it which days are there.

    All of a day over CHUNK_CELLS² cells or less is one chunk, for batches are of days here and there.
    """
    levels = ("level",) * bool(asked.vertical)
    over = asked.shape[1:] if asked.daily else (HOURS, *asked.shape)
    dims = ("time", *levels, "y", "x") if asked.daily else ("time", "hour", "channel", *levels, "y", "x")
    cells = [math.ceil(n / math.ceil(n / CHUNK_CELLS)) for n in asked.grid.shape]
    day = (*over[:-2], *cells)
    chunk = min(max(CHUNK_BYTES // (4 * math.prod(day)), 1), CHUNK_DAYS)
    group.create_array(
        asked.group,
        shape=(days, *over),
        chunks=(chunk, *day),
        dtype="float32",
        fill_value=float("nan"),
        compressors=BloscCodec(
            cname="lz4", clevel=3, shuffle="shuffle"
        ),  # smaller than zarr's zstd, and read 1.5 times as fast
        dimension_names=dims,
        attributes={"names": list(asked.variables), "levels": list(asked.vertical)},
    )
    group.create_array(f"{asked.group}_days", shape=(days,), dtype="bool", dimension_names=("time",))


def _join(asked: Asked, data: Path, group: zarr.Group, aside: Path, hands: Crew, tell: Progress) -> None:
    """Decode all files of a product, then write it block by block with its sums."""
    plan = tuple(Decode.plan(asked, matching(data, asked.files, f"{asked.group}.files"), aside / "parts"))
    for done in decode(plan, hands):
        tell(f"decode {asked.group} files", done, len(plan))
    days = group["time"][:].astype("datetime64[D]")
    blocks = _blocks(days, asked, group[asked.group].chunks[0])
    left = [b for b in blocks if str(days[b.start]) not in group.attrs["sums"][asked.group]]
    work = [partial(_write_block, plan, asked, days, block, aside) for block in left]
    shared = group[asked.group].chunks[0] > 1  # two blocks may write into one chunk: then one after the other
    found = (Crew(None) if shared else hands).each(work, "blocks of days")
    tell(f"join {asked.group}", len(blocks) - len(left), len(blocks))
    for done, (index, written) in enumerate(found, start=len(blocks) - len(left) + 1):
        _mark(asked, days, left[index], written, group)
        tell(f"join {asked.group}", done, len(blocks))
    _note_outside(_opened(plan, asked), asked, group)
    _opened.cache_clear()


@dataclass(frozen=True)
class _Written:
    """What is to be kept of a block of days that was written: which days are there, on (time,), ledger and sums."""

    there: np.ndarray
    ledger: Ledger
    sums: Sums


@lru_cache(1)  # a worker writes many blocks of one product
def _opened(plan: tuple[Decode, ...], asked: Asked) -> list[xr.Dataset]:
    """As `read_parts`."""
    return read_parts(plan, asked)


def _write_block(plan: tuple[Decode, ...], asked: Asked, days: np.ndarray, block: slice, aside: Path) -> _Written:
    """Write the values of some days of a product into the store at `aside`."""
    parts, ledger = _opened(plan, asked), Ledger()
    if asked.daily:
        values = daily_means(parts, asked, days[block], ledger)
        sums = Sums.of(np.moveaxis(values, 1, 0))
    else:
        values = whole_days(parts, asked, days[block], ledger)
        leading = (2, 3) if asked.vertical else (2,)  # channel, level
        sums = Sums.of(np.moveaxis(values, leading, range(len(leading))), leading=len(leading))
    zarr.open_group(aside, mode="r+")[asked.group][block] = values
    return _Written(np.isfinite(values.reshape(len(values), -1)[:, 0]), ledger, sums)  # a day is there whole or not


def _mark(asked: Asked, days: np.ndarray, block: slice, written: _Written, group: zarr.Group) -> None:
    """Note that a block of days is done."""
    group[f"{asked.group}_days"][block] = written.there
    first = str(days[block.start])
    if asked.group != "ground":  # what it lacks, chemistry lacks too
        entries = [asdict(e) for e in written.ledger.entries]
        group.attrs["ledger"] = _with(group.attrs["ledger"], f"{asked.group} {first}", entries, beside=asked.group)
    done = _with(group.attrs["sums"][asked.group], first, written.sums.to_json())
    group.attrs["sums"] = {**group.attrs["sums"], asked.group: done}  # last: this marks the block as done


def _with(known: dict[str, Any], name: str, content: Any, beside: str = "") -> dict[str, Any]:
    """What is known and one more; names that begin with `beside` in order, whichever block of days was done first."""
    every = {**known, name: content}
    mine = sorted(n for n in every if n.startswith(beside))
    return {n: every[n] for n in every if n not in mine} | {n: every[n] for n in mine}


def _note_outside(parts: list[xr.Dataset], asked: Asked, group: zarr.Group) -> None:
    """Tell the ledger how many cells lie beyond a product's data."""
    outside = max(int(p.attrs["outside"]) for p in parts)
    if outside:
        ledger = Ledger()
        why = f"{outside} of {math.prod(asked.grid.shape)} cells lie beyond the data and take its edge"
        ledger.kept("value", asked.group, why, outside)
        group.attrs["ledger"] = {**group.attrs["ledger"], asked.group: [asdict(e) for e in ledger.entries]}


def _note_filled(found: Inputs, parts: Sequence[LayerPart], kind: str, group: zarr.Group) -> None:
    """Tell the ledger how many cells of maps have no value and take what the study says."""
    ledger, fills = Ledger(), {name: part.fill for part in parts for name in map_names(part)}
    for name, cells in found.filled.items():
        why = f"{cells} of {math.prod(found.values.shape[1:])} cells have no value and take {fills[name]:g}"
        ledger.kept("value", name, why, cells)
    group.attrs["ledger"] = {**group.attrs["ledger"], kind: [asdict(e) for e in ledger.entries]}


def _blocks(days: np.ndarray, asked: Asked, chunk: int) -> list[slice]:
    """Parts of years of at most BLOCK_BYTES; where one holds a whole `chunk` of days or more they begin where chunks do, for a chunk
    that two blocks share is read and written again by the second.
    """
    day = 4 * math.prod(asked.shape) * (1 if asked.daily else HOURS)
    most = max(BLOCK_BYTES // day, 1)
    most = max(most // chunk * chunk, min(most, chunk))
    index, years = np.arange(len(days)), days.astype("datetime64[Y]").astype(int)
    begins = np.flatnonzero((index % most == 0) | (np.diff(years, prepend=years[0]) > 0))
    return [slice(int(begin), int(end)) for begin, end in pairwise([*begins, len(days)])]


def _put(group: zarr.Group, name: str, values: np.ndarray, dims: tuple[str, ...], **attributes: Any) -> None:
    """Write an array whole."""
    array = group.create_array(
        name, shape=values.shape, dtype=values.dtype, dimension_names=dims, attributes=attributes, overwrite=True
    )
    array[:] = values


def _versions() -> dict[str, str]:
    """What the cube was made with."""
    return {
        "airloom": airloom.__version__,
        "python": platform.python_version(),
        **{p: version(p) for p in ("numpy", "xarray", "zarr")},
    }
