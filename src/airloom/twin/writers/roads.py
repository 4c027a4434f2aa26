"""Roads as a file like that of the Global Roads Inventory Project: lines in degrees with the class in `GP_RTP`."""

from pathlib import Path

import geopandas as gpd
import pyogrio

from airloom.errors import DataError
from airloom.files import whole
from airloom.sources.roads import CLASSES


def write_roads(lines: gpd.GeoDataFrame, path: Path) -> None:
    """Write lines with a column `class` (1 to 5) into a GeoPackage in EPSG:4326.

    Raises:
        DataError: the lines have no projection, or a class that GRIP does not have.
    """
    if lines.crs is None:
        raise DataError(f"{path.name}: the lines have no projection. Set it: lines.set_crs('EPSG:3035')")
    strange = sorted(set(lines["class"]) - set(CLASSES))
    if strange:
        raise DataError(f"{path.name}: roads of class {strange[0]}, expected {', '.join(map(str, CLASSES))}.")
    table = lines[["class", lines.geometry.name]].rename(columns={"class": "GP_RTP"}).to_crs(4326)
    with whole(path) as aside:
        pyogrio.write_dataframe(table, aside, driver="GPKG", layer=path.stem)
