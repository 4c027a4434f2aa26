"""Ship lanes: the main routes round Europe, drawn by hand, and the ways from its ports to them."""

from functools import cache

import geopandas as gpd
import numpy as np
import shapely

from airloom.grid import Grid
from airloom.twin.coast import from_degrees, wet_and_dry
from airloom.twin.roads import cut
from airloom.twin.sites import ports

# traffic relative to the Dover Strait, and a line of (longitude, latitude) at sea
LANES = (
    (1.0, ((3.4, 51.95), (2.6, 51.6), (1.6, 51.1), (1.3, 50.9), (0.3, 50.45), (-1.5, 50.05), (-3.5, 49.7),
     (-5.3, 49.0), (-5.9, 48.6))),
    (0.7, ((-5.9, 48.6), (-8.0, 45.8), (-9.7, 43.6), (-10.0, 42.0), (-9.9, 39.4), (-9.75, 38.3), (-9.4, 36.8),
     (-7.5, 36.1), (-6.0, 35.93), (-5.3, 36.0))),
    (0.8, ((-5.3, 36.0), (-4.0, 36.1), (-2.0, 36.3), (0.5, 36.75), (3.5, 37.2), (7.5, 37.5), (10.4, 37.6),
     (11.3, 37.2), (13.5, 36.3), (16.0, 35.8), (22.0, 34.6), (27.0, 33.3))),
    (0.8, ((3.4, 51.95), (3.6, 52.7), (4.2, 53.4), (5.3, 53.7), (7.0, 54.0), (8.0, 54.0), (8.5, 53.95))),
    (0.35, ((3.6, 52.7), (4.5, 54.2), (6.5, 56.2), (8.0, 57.4), (9.6, 57.85), (10.7, 57.95), (11.2, 57.5))),
    (0.35, ((11.2, 57.5), (11.6, 56.9), (12.2, 56.3), (12.55, 56.1))),
    (0.3, ((11.2, 57.5), (11.3, 56.6), (10.9, 56.0), (10.85, 55.5), (10.9, 55.2), (11.0, 54.65), (11.6, 54.4),
     (12.2, 54.55), (12.9, 54.85), (14.2, 55.15))),
    (0.4, ((8.85, 53.93), (9.15, 53.87), (9.4, 53.8))),
    (0.3, ((10.3, 54.45), (10.9, 54.55), (11.6, 54.4))),
    (0.5, ((14.2, 55.15), (14.5, 55.4), (15.6, 55.4), (17.2, 55.8), (19.0, 57.0), (20.3, 58.3), (21.3, 59.1),
     (23.0, 59.45), (25.0, 59.9), (27.0, 60.05), (28.8, 60.05))),
    (0.15, ((19.0, 57.0), (19.5, 58.6), (19.7, 59.6), (19.0, 60.3), (18.6, 61.5), (19.6, 63.0), (21.0, 63.6),
     (22.6, 64.8))),
    (0.2, ((17.2, 55.8), (18.9, 54.75), (19.3, 54.6))),
    (0.15, ((19.0, 57.0), (20.5, 57.0), (21.6, 57.85), (22.6, 57.75), (23.6, 57.35))),
    (0.15, ((10.7, 57.95), (10.6, 58.8), (10.55, 59.25))),
    (0.25, ((1.6, 51.1), (1.75, 51.9), (2.2, 52.8), (1.4, 53.4), (0.5, 53.6), (0.3, 54.2), (-0.9, 54.8), (-1.2, 55.6),
     (-1.7, 56.3), (-1.6, 57.6), (-2.0, 58.6), (-5.2, 58.85), (-6.0, 58.2))),
    (0.25, ((-5.9, 48.6), (-6.3, 50.2), (-5.9, 51.4), (-5.6, 52.3), (-5.2, 53.0), (-4.8, 53.6), (-3.6, 53.6))),
    (0.12, ((-5.2, 53.0), (-5.2, 54.3), (-5.5, 54.9), (-6.2, 55.5), (-8.0, 55.6), (-12.0, 55.6))),
    (0.25, ((-5.9, 48.6), (-9.0, 49.2), (-14.0, 49.7), (-22.0, 50.0))),
    (0.12, ((-5.9, 48.6), (-4.0, 47.0), (-2.6, 46.0), (-1.9, 45.2), (-2.0, 44.2), (-3.1, 43.55))),
    (0.12, ((-3.1, 43.55), (-5.7, 43.85), (-8.3, 43.95), (-9.7, 43.6))),
    (0.15, ((6.5, 56.2), (5.0, 58.0), (4.4, 59.5), (4.2, 61.2), (5.3, 62.5), (8.0, 64.0), (9.5, 66.0), (11.0, 67.5),
     (12.4, 68.6), (15.0, 69.7), (19.0, 70.7), (25.5, 71.6), (31.0, 71.0))),
    (0.1, ((0.0, 58.8), (4.4, 59.5))),
    (0.35, ((-2.0, 36.3), (-0.3, 37.6), (0.5, 38.6), (0.4, 39.4), (1.2, 40.5), (2.4, 41.2), (3.6, 42.0), (4.6, 43.1),
     (6.4, 42.8), (8.2, 43.6), (9.0, 44.2), (9.8, 43.8))),
    (0.15, ((4.6, 43.1), (4.5, 41.0), (4.6, 39.0), (3.5, 37.2))),
    (0.15, ((9.8, 43.8), (9.9, 42.7), (11.5, 41.6), (13.5, 40.5), (15.0, 39.3), (15.55, 38.5))),
    (0.2, ((15.65, 38.0), (15.6, 37.5), (16.0, 35.8))),
    (0.15, ((15.65, 38.0), (17.0, 37.5), (19.5, 36.6), (22.3, 36.2), (23.3, 36.35))),
    (0.1, ((8.2, 43.6), (8.1, 41.5), (7.8, 39.5), (8.5, 38.5), (10.4, 37.6))),
    (0.2, ((17.0, 37.5), (18.8, 39.6), (18.7, 40.6), (17.4, 41.8), (15.4, 43.1), (14.0, 44.2), (13.2, 45.1),
     (13.5, 45.5))),
    (0.25, ((22.0, 34.6), (23.2, 35.9), (23.35, 36.6), (23.6, 37.4), (24.0, 37.55), (24.6, 38.1), (25.2, 39.2),
     (25.8, 39.95), (26.1, 40.03))),
    (0.2, ((27.2, 40.55), (28.0, 40.75), (28.8, 40.93))),
    (0.25, ((29.2, 41.35), (29.2, 42.6), (29.2, 43.8), (30.7, 45.8))),
    (0.25, ((29.2, 41.35), (31.5, 42.5), (34.5, 43.6), (37.3, 44.4))),
    (0.1, ((27.0, 33.3), (29.0, 34.2), (32.6, 34.3), (34.5, 34.6), (34.9, 35.4), (34.6, 36.2))),
    (0.1, ((23.6, 37.4), (24.15, 37.45), (25.4, 38.0), (25.7, 38.7), (26.5, 38.82), (26.75, 38.6))),
    (0.1, ((24.6, 38.1), (23.6, 39.4), (22.9, 40.2))),
)  # fmt: skip
PIECE = 5000.0  # m at most between vertices; also how finely a port looks for its place on a lane
CHOICES, EACH = 50, 4  # nearest points of lanes that a port tries, one of so many
LONGEST = 400_000.0  # m from a port to its lane
DRY = 6000.0  # m of land at most on the way from a port to its lane


def ship_lanes(grid: Grid) -> gpd.GeoDataFrame:
    """Lines at sea in the grid's projection with a column `traffic`, 1 in the Dover Strait; cut at the grid's edges."""
    lines, traffic = _europe()
    return cut(lines, grid, {"traffic": traffic})


@cache
def _europe() -> tuple[np.ndarray, np.ndarray]:
    """All lanes in EUROPE's projection, and their traffic."""
    main = np.array([_line(points) for _, points in LANES])
    ways, busy = _from_ports(main)
    wet, _ = wet_and_dry(np.concatenate([main, ways]))
    traffic = np.concatenate([[lane[0] for lane in LANES], busy])
    return wet, traffic


def _line(points: tuple[tuple[float, float], ...]) -> shapely.LineString:
    bent = shapely.segmentize(shapely.LineString(np.column_stack(from_degrees().transform(*np.array(points).T))), PIECE)
    return shapely.LineString(bent)


def _from_ports(main: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Straight ways from the ports to the lanes: to the nearest point that hardly any land lies before; some find none."""
    table = ports()
    port = table.select("x", "y").to_numpy()
    lane = shapely.get_coordinates(main)
    distance = np.hypot(port[:, None, 0] - lane[None, :, 0], port[:, None, 1] - lane[None, :, 1])
    nearest = np.argsort(distance, axis=1, kind="stable")[:, : CHOICES * EACH : EACH]
    ways, found = np.full(len(port), shapely.LineString(), object), np.zeros(len(port), bool)
    for choice in nearest.T:
        rest = np.flatnonzero(~found)
        tried = shapely.linestrings(np.stack([port[rest], lane[choice[rest]]], axis=1))
        _, dry = wet_and_dry(tried)
        free = (shapely.length(dry) < DRY) & (shapely.length(tried) < LONGEST)
        ways[rest[free]], found[rest[free]] = tried[free], True
    return ways[found], 0.6 * table["size"].to_numpy()[found]
