"""Build a study's cube: in parts, restartable, each part whole or absent."""

import glob
import json
import platform
import shutil
import warnings
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr

import airloom
from airloom.cube.normalise import Sums
from airloom.cube.store import CALENDAR, CHUNK_DAYS, Cube
from airloom.cube.weather import HOURS, Decode, days_of_year, decode, read_parts
from airloom.errors import DataError
from airloom.files import full_disk_named, sha256
from airloom.ledger import Ledger
from airloom.parts import LayerPart
from airloom.progress import Progress, quiet
from airloom.screening import screen
from airloom.sources.calendar import calendar, season
from airloom.sources.eea import EEA
from airloom.sources.members import matching
from airloom.sources.places import Places
from airloom.sources.raster import Raster
from airloom.sources.registry import STATIONS
from airloom.sources.station_table import StationTable
from airloom.stations import Stations
from airloom.study import Study


def build(study: Study, data: Path, path: Path, *, workers: int = 2, progress: Progress = quiet) -> Cube:
    """The study's cube at `path`, built from the files under `data`, or as it stands there if it is complete.

    An interrupted build goes on: decoded files and finished years are kept beside the store.

    Raises:
        DataError: a file is missing or broken, or the disk is full; or the files changed since the cube was built.
        StudyError: the cube at `path` was made for another study.
    """
    if path.exists():
        cube = Cube.open(path, study)
        _check_files(cube, study, data)
        return cube
    aside = path.with_name(f".{path.name}.building")
    with full_disk_named(path):
        group = _begin(study, data, aside)
        if study.weather:
            _weather(study, data, group, aside, workers, progress)
        shutil.rmtree(aside / "parts", ignore_errors=True)
        group.attrs["complete"] = True
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Consolidated metadata", category=UserWarning)  # read by zarr-python
            zarr.consolidate_metadata(aside)
        aside.rename(path)
    return Cube.open(path, study)


def _check_files(cube: Cube, study: Study, data: Path) -> None:
    """Refuse a cube whose files are others under `data` now, or of other sizes; they may also be gone altogether."""
    made = {name: size for name, (size, _) in cube.group.attrs["made_of"]["files"].items()}
    names = {name for pattern in study.patterns for name in glob.glob(pattern, root_dir=data, recursive=True)}
    here = {name: (data / name).stat().st_size for name in names}
    if here and here != made:
        name = min(name for name, _ in here.items() ^ made.items())
        found = "is new" if name not in made else "is gone" if name not in here else "has another size"
        raise DataError(
            f"{cube.path}: was built of other files than lie under {data} now: {name} {found}. "
            "Remove the cube and the runs made of it, and run again."
        )


def input_files(study: Study, data: Path) -> dict[str, list[Path]]:
    """Every file that the study reads, by the part of the study that asks for it.

    Raises:
        DataError: a pattern matches nothing.
    """
    found = {}
    if study.weather:
        found["weather"] = matching(data, study.weather.files, "weather.files")
    found["stations"] = matching(data, [*study.stations.observations, study.stations.metadata], "stations")
    for part in (*study.emissions, *study.geography):
        if part.source == "raster":
            found[part.name] = matching(data, part.files, f"layer {part.name}")
    return found


def read_stations(study: Study, data: Path) -> Stations:
    """The study's stations, screened.

    Raises:
        DataError: as the source, or no station is left.
    """
    part = study.stations
    observations = matching(data, part.observations, "stations.observations")
    source = STATIONS[part.source]()
    if isinstance(source, EEA):
        records = source.open(observations, data / part.metadata)
    else:
        assert isinstance(source, StationTable)
        records = source.open(
            observations,
            data / part.metadata,
            columns=part.columns,
            units=part.units,
            timezone=part.timezone,
            marks=part.marks,
            types=part.types,
        )
    return screen(records, study.target_grid, part.rules(), (study.period.start, study.period.end))


def _begin(study: Study, data: Path, aside: Path) -> zarr.Group:
    """The store with all but the weather in it; an earlier one of the same study and files is taken up again."""
    files = input_files(study, data)
    made_of = {
        "study": study.prepared(),
        "files": {str(p.relative_to(data)): [p.stat().st_size, sha256(p)] for paths in files.values() for p in paths},
    }
    if (aside / "zarr.json").is_file():
        group = zarr.open_group(aside, mode="r+")
        if group.attrs.get("begun") and group.attrs["made_of"] == json.loads(json.dumps(made_of)):
            return group
    for stale in aside.glob("*"):
        if stale.name != "parts":
            shutil.rmtree(stale) if stale.is_dir() else stale.unlink()
    stations = read_stations(study, data)
    group = zarr.open_group(aside, mode="a")
    days = np.arange(np.datetime64(study.period.start), np.datetime64(study.period.end) + 1)
    group.attrs.update(
        made_of=made_of, versions=_versions(), years={}, ledger={"stations": [asdict(e) for e in stations.ledger.entries]}
    )
    _put(group, "time", days.astype("datetime64[D]").astype(np.int64), ("time",), units="days since 1970-01-01")
    inputs = [calendar(days)] * study.calendar + [season(days)] * study.season
    if inputs:
        values = xr.concat(inputs, "channel")
        _put(
            group,
            CALENDAR,
            values.transpose("time", "channel").to_numpy(),
            ("time", "channel"),
            names=values.channel.values.tolist(),
        )
    for kind, parts in (("emissions", study.emissions), ("geography", study.geography)):
        if parts:
            names, maps = _maps(parts, study, data)
            _put(group, kind, maps, ("channel", "y", "x"), names=names)
    _put(group, "observed", stations.daily.to_numpy(), ("time", "station"), units="ug m-3")
    group.attrs["stations"] = stations.table.to_dicts()
    if study.weather:
        coarse = study.target_grid.coarsen(study.weather_factor)
        channels = len(study.weather.variables)
        group.create_array(
            "weather",
            shape=(len(days), HOURS, channels, *coarse.shape),
            chunks=(CHUNK_DAYS, HOURS, channels, *(min(64, n) for n in coarse.shape)),
            dtype="float32",
            fill_value=float("nan"),
            dimension_names=("time", "hour", "channel", "y", "x"),
            attributes={"names": list(study.weather.variables)},
        )
    group.attrs["begun"] = True
    return group


def _maps(parts: tuple[LayerPart, ...], study: Study, data: Path) -> tuple[list[str], np.ndarray]:
    """Static maps on (channel, y, x), and their names."""
    maps = []
    for part in parts:
        if part.source == "places":
            source: Places | Raster = Places()
        else:
            source = Raster(matching(data, part.files, f"layer {part.name}"), name=part.name, how=part.how, units=part.units)
        (layer,) = source.layers(study.target_grid).data_vars.values()
        values = layer.to_numpy()
        if not np.isfinite(values).all():
            raise DataError(
                f"layer {part.name}: {np.isnan(values).mean():.0%} of the window's cells have no value. "
                "Add the files that cover them, or move the window."
            )
        maps.append(np.log1p(values) if part.log else values)
    return [part.name for part in parts], np.stack(maps).astype(np.float32)


def _weather(study: Study, data: Path, group: zarr.Group, aside: Path, workers: int, tell: Progress) -> None:
    """Decode all files, then write the weather year by year with its sums."""
    assert study.weather
    grid = study.target_grid.coarsen(study.weather_factor)
    plan = Decode.plan(study.weather, grid, matching(data, study.weather.files, "weather.files"), aside / "parts")
    for done in decode(plan, workers):
        tell("decode weather files", done, len(plan))
    parts = read_parts(plan)
    if not any(part.data_vars for part in parts):
        asked = ", ".join(study.weather.variables)
        raise DataError(f"weather.files: none of {len(plan)} files, {plan[0].member.label} the first, holds any of {asked}.")
    days = group["time"][:].astype("datetime64[D]")
    years = np.unique(days.astype("datetime64[Y]"))
    outside = max((int(p.attrs["outside"]) for p in parts), default=0)
    for done, year in enumerate(years):
        tell("join weather years", done, len(years))
        if str(year) in group.attrs["years"]:
            continue
        at = np.flatnonzero(days.astype("datetime64[Y]") == year)
        ledger = Ledger()
        values = days_of_year(parts, study.weather, grid, days[at], ledger)
        group["weather"][at[0] : at[-1] + 1] = values
        sums = Sums.of(np.moveaxis(values, 2, 0)).to_json()
        if outside:
            ledger.kept(
                "value",
                f"weather {year}",
                f"{outside} of {grid.shape[0] * grid.shape[1]} weather cells lie beyond the data and take its edge",
                outside,
            )
        group.attrs["ledger"] = {**group.attrs["ledger"], str(year): [asdict(e) for e in ledger.entries]}
        group.attrs["years"] = {**group.attrs["years"], str(year): sums}  # last: this marks the year as done
    tell("join weather years", len(years), len(years))


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
