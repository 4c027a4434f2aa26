"""Inputs that stand still or change from day to day alone: maps, calendar and daily numbers; and how many inputs there are."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import xarray as xr

from airloom.errors import DataError
from airloom.parts import LayerPart
from airloom.sources.base import LayerSource
from airloom.sources.calendar import calendar, season
from airloom.sources.cams_glob_ant import GROUPS, CAMSGlobAnt
from airloom.sources.census import Census
from airloom.sources.flights import COUNTRIES, Flights
from airloom.sources.members import matching
from airloom.sources.places import Places
from airloom.sources.raster import LAND_COVER, Raster
from airloom.sources.roads import CLASSES, Roads
from airloom.study import Study


@dataclass(frozen=True, eq=False)
class Inputs:
    """Some inputs of one group: their names, their values with one channel a name, the names of those that are not scaled, and the
    mean by which those are divided that enter as logarithms; `filled`: how many cells have none in the files, of those names where the
    study says what such cells hold.
    """

    names: list[str]
    values: np.ndarray
    plain: list[str]
    logarithms: dict[str, float] = field(default_factory=dict)
    filled: dict[str, int] = field(default_factory=dict)


def group_channels(study: Study) -> dict[str, int]:
    """How many channels each group of inputs has; 0 where the study has none. No file is opened.

    Those of `upper` are its variables; each is on all its levels.
    """
    return {
        "calendar": 2 * (study.calendar + study.season) + len(study.daily),
        "weather": len(study.weather.variables) if study.weather else 0,
        "upper": len(study.upper.variables) if study.upper else 0,
        "emissions": sum(len(map_names(part)) for part in study.emissions),
        "geography": sum(len(map_names(part)) for part in study.geography),
    }


def map_names(part: LayerPart) -> list[str]:
    """Names of a part's maps, in the order of its source: `name` where there is one, else `name_…`."""
    if part.source == "roads":
        return [f"{part.name}_{number}" for number in CLASSES]
    if part.source == "cams-glob-ant":
        return [f"{part.name}_{sector}" for sector in GROUPS]
    if part.how == "classes":
        return [f"{part.name}_{group}" for group in LAND_COVER]
    return [part.name]


def maps(parts: tuple[LayerPart, ...], study: Study, data: Path) -> Inputs:
    """Static maps on (channel, y, x), float32; maps of 0 and 1 stay plain.

    Raises:
        DataError: as the source; a layer changes with time; or a cell has no value, as where elevation or night light ends,
            and the study has no `fill`. Of roads, people and emissions a cell without any has 0, also at sea.
    """
    names, values, plain, logarithms, filled = [], [], [], {}, {}
    for part in parts:
        found = source(part, data).layers(study.target_grid)
        for name, layer in zip(map_names(part), found.data_vars.values(), strict=True):
            if set(layer.dims) != {"y", "x"}:  # emissions that change by the hour are what is to be found, not an input
                raise DataError(
                    f"layer {name}: is on {layer.dims}, and a map stands still, on ('y', 'x'). Average it over time."
                )
            names.append(name)
            values.append(_checked(layer.to_numpy(), name, part.log))
            if layer.attrs.get("filled"):
                filled[name] = layer.attrs["filled"]
            if part.log:
                logarithms[name] = float(values[-1].mean(dtype=np.float64)) or 1.0
                values[-1] = np.log1p(values[-1] / logarithms[name])
        if part.how == "classes":
            plain += map_names(part)
    return Inputs(names, np.stack(values).astype(np.float32), plain, logarithms, filled)


def daily(study: Study, days: np.ndarray, data: Path) -> Inputs:
    """Calendar and daily numbers of `days` (datetime64[D]) on (time, channel), float32; sines and cosines stay plain.

    Raises:
        DataError: as the source; days that it lacks are named.
    """
    circles = [calendar(days)] * study.calendar + [season(days)] * study.season
    numbers = []
    for part in study.daily:
        paths = matching(data, part.files, f"daily {part.source}")
        numbers.append(Flights(paths, countries=part.countries or COUNTRIES).daily(days))
    found = xr.concat([*circles, *numbers], "channel", coords="minimal", compat="override", combine_attrs="drop")
    plain = [str(n) for circle in circles for n in circle.channel.values]
    return Inputs(found.channel.values.tolist(), found.transpose("time", "channel").to_numpy(), plain)


def source(part: LayerPart, data: Path) -> LayerSource:
    """The source of a part's maps."""
    if part.source == "places":
        return Places()
    paths = matching(data, part.files, f"layer {part.name}")
    if part.source == "raster":
        return Raster(paths, name=part.name, how=part.how, units=part.units, fill=part.fill)
    if part.source == "cams-glob-ant":
        return CAMSGlobAnt(paths, years=part.years, species=part.name)
    if len(paths) > 1:
        raise DataError(
            f"layer {part.name}: {len(paths)} files match, {paths[0].name} and {paths[1].name} among them; {part.source} reads "
            "one. Name it."
        )
    return Roads(paths[0]) if part.source == "roads" else Census(paths[0])


def _checked(values: np.ndarray, name: str, log: bool) -> np.ndarray:
    """A map without gaps; of amounts, where its logarithm is asked for."""
    if not np.isfinite(values).all():
        raise DataError(
            f"layer {name}: {1 - np.isfinite(values).mean():.0%} of the window's cells have no value. "
            "Add the files that cover them, say with fill what such cells hold, as 0 for heights at sea, or move the window."
        )
    if log and values.min() < 0:
        raise DataError(
            f"layer {name}: holds {values.min():g}, and log(1 + value / mean) is of amounts. Leave out log: true."
        )
    return values
