"""What is known of a region's places: maps of its cells, and what stations say of their own."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

from airloom.cube.layers import source
from airloom.errors import DataError, StudyError
from airloom.grid import Grid
from airloom.methods.pointconv.effect import kinds_of
from airloom.methods.pointconv.study import FusionStudy, MapPart
from airloom.methods.pointconv.teach import scaled


def maps_of(study: FusionStudy, data: Path, taught: Callable[[], np.ndarray], parts: int = 1) -> np.ndarray:
    """The region's maps as the network sees them, on (map, y, x): each its own, else that of a world.

    Arguments:
        study: what is asked.
        data: folder that files are below.
        taught: maps of the first world on (map, y, x), asked for where one is needed.
        parts: of a cell's edge; with 4 maps lie on a grid four times as fine.

    Raises:
        StudyError: a world's map does not lie on the study's grid.
        DataError: a map has no value somewhere; as the source.
    """
    if not study.maps:
        return np.zeros((0, *(n * parts for n in study.grid.shape)), np.float32)
    return np.stack([_map(study, number, data, taught, parts) for number in range(len(study.maps))])


def _map(study: FusionStudy, number: int, data: Path, taught: Callable[[], np.ndarray], parts: int) -> np.ndarray:
    part, grid = study.maps[number], study.target_grid
    if part.layer is not None:
        return _own(part, grid.refine(parts), data)
    values = taught()[number]
    if values.shape != grid.shape:
        raise StudyError(
            f"maps: {part.name} of the worlds lies on {values.shape} cells, the study's grid on {grid.shape}. Name a "
            "layer of the region's own, or make grid and worlds one square window."
        )
    return values.repeat(parts, 0).repeat(parts, 1)


def _own(part: MapPart, grid: Grid, data: Path) -> np.ndarray:
    assert part.layer is not None
    (layer,) = source(part.layer, data).layers(grid).data_vars.values()
    values = scaled(part.name, layer.to_numpy())
    if not np.isfinite(values).all():
        raise DataError(
            f"maps: {part.name} has no value in {1 - np.isfinite(values).mean():.0%} of the cells. Set layer.fill."
        )
    return values


def with_heights(study: FusionStudy, maps: np.ndarray, stations: pl.DataFrame | None) -> np.ndarray:
    """Maps and, where the network was taught by stations above their cells, how far places stand above these: nowhere, but for the
    cells of `stations` that say their altitude.
    """
    if not study.practice.above:
        return maps
    height = np.zeros(maps.shape[1:], np.float32)
    if stations is not None:
        table = stations.filter(pl.col("altitude").cast(pl.Float64).is_finite())
        cells, altitude = (table["row"].to_numpy(), table["column"].to_numpy()), table["altitude"].to_numpy()
        ground = maps[[m.name for m in study.maps].index("elevation")]
        height[cells] = np.maximum(scaled("elevation", altitude) - ground[cells], 0)
    return np.concatenate([maps, height[None]])


def features_of(study: FusionStudy, maps: np.ndarray, grid: Grid, stations: pl.DataFrame) -> np.ndarray:
    """What is known of stations, on (station, feature): maps, as fine as these are on `grid`, their own altitude for the map's where
    they say it, and of which kind they are.
    """
    row, column = grid.locate(stations["lon"].to_numpy(), stations["lat"].to_numpy())
    found = maps[:, row, column].T.copy()
    for number, part in enumerate(study.maps):
        if part.name == "elevation":
            altitude = scaled("elevation", stations["altitude"].cast(pl.Float64).to_numpy())
            found[:, number] = np.where(np.isfinite(altitude), altitude, found[:, number])
    return np.concatenate([found, kinds_of(stations["type"].to_list())], 1)
