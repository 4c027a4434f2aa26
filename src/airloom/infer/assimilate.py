"""The last step after the phases: each day's field is drawn to that day's training stations; not in paper 000.

Where a network can only learn what inputs tell, the stations of the day also know what they do not. The log ratio of
observed to predicted values is carried to the grid (regression kriging; the network is the regression) and multiplies the
field, most at the ground and less with height:

    field′ = (field + c) exp((trees + own + day + b) · exp(−height / depth)) − c,   not below 0

`trees` is what boosted trees, where they are asked for, add to the field at the ground (`airloom.infer.boosted`). The ratio
that is left is taken apart: `own` is what stands at a station from day to day, of which the maps tell their part
(`airloom.stats.standing`) and neighbours another, `day` the rest; both are kriged, each with its own variogram, the day's
blended with what the chemistry model tells of how errors go together (`airloom.infer.misses`). c = OFFSET; aloft it shrinks
as the concentrations do. exp(b) is the mean of exp(error) of `day` over the training stations, each left out in turn: a mean
of logarithms, turned back, is below the mean (Duan's smearing, 1983).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from airloom.cube.store import Cube
from airloom.grid import Grid
from airloom.infer.boosted import Boosted
from airloom.infer.fields import at_cells, create_zarr, write_day
from airloom.infer.misses import Likeness, Misses, Sites, likeness
from airloom.progress import Progress
from airloom.stats.kriging import by_rows, coefficients, distances, fit, from_others
from airloom.stats.standing import OFFSET, log_ratio, told_by_maps, two_way

DRAWN = "3"  # changes with how fields are drawn, so that those that were drawn otherwise are made anew
NEAR = 4000.0  # m over which what stands at a station differs from its neighbours by nothing but chance
BLOCK = 16  # days whose maps are kriged at once


def assimilate_field(
    field: xr.Dataset,
    cube: Cube,
    days: np.ndarray,
    seen: np.ndarray,
    misses: Callable[[], Misses | None],
    boosted: Callable[[np.ndarray, np.ndarray, np.ndarray], Boosted | None],
    path: Path,
    *,
    depth: float,
    scales: np.ndarray,
    levels: Sequence[float] | None,
    attrs: dict[str, str],
    progress: Progress,
    pollutant: str = "no2",
) -> None:
    """Write the field drawn to the stations; days that the store holds already are not made again.

    Arguments:
        field: a phase's, all of `days` [µg m⁻³].
        cube: whose stations are used.
        days: indices into the cube.
        seen: bool on (station,): the training stations; others are not read.
        misses: gives those of the network that made the field, if they are needed; None where no chemistry model taught it.
        boosted: trees of stations' rows, columns and values on (time, station) [µg m⁻³], if they are to speak.
        path: of the Zarr store.
        depth: height over which the correction fades by e [m].
        scales: on (level,), how much smaller concentrations are than at the ground; `Normaliser.levels`.
        levels: heights above ground [m]; None for a field of the ground alone.
        attrs: global attributes of the field.
        progress: told of days done.
        pollutant: a name of `airloom.infer.cf.POLLUTANTS`.

    A day without any training station's value stays as it was, but for what trees add.

    Raises:
        DataError: another field stands at `path`, or the disk is full.
    """
    done = create_zarr(path, cube.grid, cube.days[days], levels=levels, hours=cube.hours, pollutant=pollutant, attrs=attrs)
    if done.all():
        return
    correction = Correction.of(field, cube, days, seen, misses, boosted, pollutant)
    heights = np.asarray(levels or [0.0])[:, None, None]
    fade, offset = np.exp(-heights / depth), OFFSET / scales[:, None, None]
    for first in range(0, len(days), BLOCK):
        block = slice(first, first + BLOCK)
        if done[block].all():
            continue
        for index, by_stations in enumerate(correction.maps(block), start=first):
            if not done[index]:
                values = field[pollutant].isel(time=index).to_numpy().reshape(len(heights), *cube.grid.shape)
                added = by_stations + correction.by_trees(int(days[index]), values[0])
                drawn = np.maximum((values + offset) * np.exp(added * fade) - offset, 0)
                write_day(path, index, drawn if levels is not None else drawn[0], pollutant=pollutant)
            progress("assimilate stations", index + 1, len(days))


@dataclass(frozen=True)
class Correction:
    """What is added to the logarithm of a field at the ground.

    `sites`: stations, on `grid`. `alike`: how errors of a day go together; `weights`, `base`: the `coefficients` of each
    day's. `standing`: what stands from day to day, on (y, x). `trees`: if they speak.
    """

    sites: Sites
    grid: Grid
    alike: Likeness
    weights: np.ndarray
    base: np.ndarray
    standing: np.ndarray
    trees: Boosted | None

    @classmethod
    def of(
        cls,
        field: xr.Dataset,
        cube: Cube,
        days: np.ndarray,
        seen: np.ndarray,
        misses: Callable[[], Misses | None],
        boosted: Callable[[np.ndarray, np.ndarray, np.ndarray], Boosted | None],
        pollutant: str,
    ) -> "Correction":
        """Out of what the field lacks at training stations; arguments as of `assimilate_field`."""
        table = cube.stations.table.filter(seen)
        x, y = cube.grid.project(table["lon"].to_numpy(), table["lat"].to_numpy())
        sites = Sites(x, y, table["row"].to_numpy(), table["column"].to_numpy())
        cells = sites.row, sites.column
        observed = cube.stations.daily.to_numpy()[days][:, seen]
        predicted = at_cells(field, *cells, cube.days[days], pollutant)
        ratio, trees = log_ratio(observed, predicted), boosted(*cells, observed)
        if trees:
            ratio -= trees.at_stations(predicted)
        own, apart = two_way(ratio), distances(x, y)
        of_day = ratio - own
        alike = likeness(fit(of_day, apart), misses(), sites, of_day)
        gamma = alike.among(sites)
        told = told_by_maps(own, np.isfinite(ratio).sum(0), cube, *cells)
        rest = (own - told[cells])[None]
        around = Likeness(fit(rest, apart, least=NEAR))
        near = by_rows(coefficients(around.among(sites), rest), around.rows(sites, cube.grid))[0]
        standing = told + np.nan_to_num(near) + smearing(of_day - from_others(gamma, of_day))
        return cls(sites, cube.grid, alike, *coefficients(gamma, of_day), standing, trees)

    def maps(self, block: slice) -> np.ndarray:
        """By the stations of some days, on (time, y, x); 0 on a day without any."""
        found = by_rows((self.weights[block], self.base[block]), self.alike.rows(self.sites, self.grid))
        return np.nan_to_num(found + self.standing, nan=0.0)

    def by_trees(self, day: int, ground: np.ndarray) -> np.ndarray | float:
        """By trees, to a day's field at the ground [µg m⁻³]; nothing where they are not asked."""
        return self.trees.everywhere(day, ground) if self.trees else 0.0


def smearing(errors: np.ndarray) -> float:
    """Logarithm of the mean of exp(error), over those that are there; 0 without any.

    >>> round(smearing(np.array([-1.0, 1.0, np.nan])), 4)  # log cosh 1
    0.4338
    """
    known = errors[np.isfinite(errors)]
    return float(np.log(np.exp(known).mean())) if known.size else 0.0
