"""CAMS-GLOB-ANT, the anthropogenic emissions of the Copernicus service: monthly fluxes by sector on 0.1°.

Soulie et al. (2024), doi:10.5194/essd-16-2261-2024; from the Atmosphere Data Store or ECCAD, one file a species and year such
as `CAMS-GLOB-ANT_Glb_0.1x0.1_anthro_nox_v6.2_monthly_2018.nc`.

The layout was checked against programs that read the files (versions 4.2 to 6.2): one variable a sector on (time, lat, lon)
in kg m-2 s-1, time on the first of each month, latitudes ascending, and `sum` over the sectors. Sectors of version 6.2 are
agl, ags, awb, com, dep, ene, fef, fef_coal, fef_gas, fef_oil, ind, ref, res, shp, slv, swd, tnr, tro; a species has those
that emit it. Our reading where we found no word: `fef` is the sum of the three `fef_…`, so these count only where it is
absent; NOx is a mass of NO, as the users of version 5.3 take it, and is left as it is.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import xarray as xr
from affine import Affine
from pyproj import CRS, Transformer

from airloom.errors import DataError, nearest
from airloom.grid import Grid
from airloom.sources.base import LayerSource
from airloom.sources.members import Member, members
from airloom.sources.overlap import corners, degree_areas, spread

UNITS = ("kg m-2 s-1", "kg/m2/s", "kg m**-2 s**-1")
TOTAL = "sum"
PARTS = {"fef": ("fef_coal", "fef_gas", "fef_oil")}  # a sector, and what it is split into
GROUPS: dict[str, tuple[str, ...]] = {  # our reading: the paper on DACNO₂ names no sectors
    "road": ("tro",),
    "other_transport": ("tnr",),
    "energy": ("ene", "ref", "fef", *PARTS["fef"]),
    "industry": ("ind", "slv"),
    "residential_and_rest": ("res", "com", "swd", "awb", "agl", "ags", "dep"),
    "shipping": ("shp",),
}
MONTHS = 12
MARGIN = 2  # pixels around the grid


class CAMSGlobAnt(LayerSource):
    """Emissions [kg m-2 s-1] by groups of sectors, the mean over one or more years.

    Arguments:
        paths: files of one species, one or more years; zip archives are looked into.
        years: the years that count, all in the files; each month counts by its days.
        species: goes into the layers' names.
        groups: names of layers, and the sectors that each adds up.
    """

    name = "cams-glob-ant"
    title = "CAMS-GLOB-ANT emissions"

    def __init__(
        self,
        paths: Sequence[Path],
        *,
        years: Sequence[int] = (2018,),
        species: str = "nox",
        groups: Mapping[str, Sequence[str]] = GROUPS,
    ) -> None:
        self.paths, self.years, self.species, self.groups = list(paths), tuple(years), species, dict(groups)

    def layers(self, grid: Grid) -> xr.Dataset:
        """`nox_road`, … [kg m-2 s-1] on (y, x), float32. The mass is kept: what a pixel emits is shared out by area.

        Raises:
            DataError: a file is broken, has other dimensions or another unit, or lies beside the grid; a month is missing or
                there twice; a file has a sector of no group, or none of a group has any.
        """
        found = [self._read(member, grid) for member in members(self.paths)]
        for other in found[1:]:
            if not (other["lat"].equals(found[0]["lat"]) and other["lon"].equals(found[0]["lon"])):
                raise DataError(
                    f"{found[0].attrs['file']} and {other.attrs['file']} lie on different cells. Fetch one region."
                )
        sectors = self._sectors(found)
        latitude, longitude = (found[0][d].to_numpy() for d in ("lat", "lon"))
        step = _step(latitude, longitude, found[0].attrs["file"])
        corner = Affine(step, 0, longitude[0] - step / 2, 0, -step, latitude[0] + step / 2)
        area = degree_areas(latitude, step)[:, None]
        fluxes = [
            sum(self._mean([f[n] for f in found if n in f], n) for n in names if n in sectors)
            for names in self.groups.values()
        ]
        mass = spread(np.stack(fluxes) * area, corner, *corners(grid, CRS.from_epsg(4326)))  # kg s⁻¹ in a cell
        layers = {}
        for (group, names), values in zip(self.groups.items(), mass / grid.cell**2, strict=True):
            attrs = {"units": "kg m-2 s-1", "long_name": f"emission of {self.species}, {group.replace('_', ' ')}"}
            attrs["sectors"] = " ".join(n for n in names if n in sectors)
            layers[f"{self.species}_{group}"] = (("y", "x"), values.astype("float32"), attrs)
        source = f"{', '.join(p.name for p in self.paths)}; mean of {', '.join(map(str, self.years))}"
        return xr.Dataset(layers, {"y": grid.y, "x": grid.x}, {"source": source})

    def _read(self, member: Member, grid: Grid) -> xr.Dataset:
        """A file's sectors around the grid in the years that count, in memory; latitudes descend."""
        with member.local() as path:
            try:
                with xr.open_dataset(path, engine="netcdf4") as file:
                    return self._cut(file, grid, member.label).load()
            except (OSError, ValueError, RuntimeError) as error:
                raise DataError(f"{member.label} cannot be read as NetCDF: {error}. Fetch it again.") from error

    def _cut(self, file: xr.Dataset, grid: Grid, label: str) -> xr.Dataset:
        names = [str(n) for n, a in file.data_vars.items() if a.dims == ("time", "lat", "lon") and n != TOTAL]
        if not names:
            raise DataError(f"{label} holds no sector on (time, lat, lon); it holds {', '.join(map(str, file.data_vars))}.")
        for name in names:
            if file[name].attrs.get("units") not in UNITS:
                raise DataError(
                    f"{label}, {name}: its unit is {file[name].attrs.get('units')!r}, expected 'kg m-2 s-1'. Fetch fluxes, not "
                    "masses."
                )
        if file["time"].dtype.kind != "M":
            raise DataError(f"{label}: time has no units such as 'days since 2018-01-01'.")
        left, bottom, right, top = grid.bounds
        box = Transformer.from_crs(grid.crs, 4326, always_xy=True).transform_bounds(left, bottom, right, top, densify_pts=51)
        file = file.sortby("lat", ascending=False).sortby("lon")
        rows = _within(file["lat"].to_numpy(), box[1], box[3])
        columns = _within(file["lon"].to_numpy(), box[0], box[2])
        here = file["time"].dt.year.isin(self.years).to_numpy()
        cut = file[names].isel(time=here, lat=rows, lon=columns)
        if not (cut.sizes["lat"] and cut.sizes["lon"]):
            west, south, east, north = box
            raise DataError(
                f"{label} holds nothing at {west:.2f}…{east:.2f}°E, {south:.2f}…{north:.2f}°N, where the grid lies. Fetch that region."
            )
        return cut.assign_attrs(file=label)

    def _sectors(self, files: Sequence[xr.Dataset]) -> list[str]:
        """The sectors that count; each belongs to a group, and each group has one."""
        held = list(dict.fromkeys(str(n) for f in files for n in f.data_vars))
        known = [n for names in self.groups.values() for n in names]
        for name in held:
            if name not in known:
                raise DataError(
                    f"{files[0].attrs['file']}: sector {name!r} is in no group, and its emissions would be lost. "
                    f"{nearest(name, known)}. Add it to a group."
                )
        for group, names in self.groups.items():
            if not set(names) & set(held):
                raise DataError(
                    f"{files[0].attrs['file']} holds no sector of {group!r} ({', '.join(names)}); it holds {', '.join(held)}. "
                    "Fetch all sectors, or leave the group out."
                )
        split = [part for whole, parts in PARTS.items() if whole in held for part in parts]
        return [n for n in held if n not in split]

    def _mean(self, pieces: Sequence[xr.DataArray], sector: str) -> np.ndarray:
        """Mean over the years on (lat, lon), each month by its days."""
        array = xr.concat(pieces, "time")
        months = array["time"].dt.year * MONTHS + array["time"].dt.month - 1
        wanted = [year * MONTHS + month for year in self.years for month in range(MONTHS)]
        for month in wanted:
            count = int((months == month).sum())
            if count != 1:
                raise DataError(
                    f"{', '.join(p.name for p in self.paths)}, {sector}: {month // MONTHS}-{month % MONTHS + 1:02d} is there "
                    f"{count} times, expected once. Name one monthly file for each of the years {', '.join(map(str, self.years))}."
                )
        days = array["time"].dt.days_in_month
        return array.fillna(0).weighted(days).mean("time").to_numpy().astype(float)


def _within(axis: np.ndarray, low: float, high: float) -> slice:
    """The cells of a regular axis that touch a range, and a margin."""
    near = np.flatnonzero((axis >= low) & (axis <= high))
    return slice(max(near[0] - MARGIN, 0), near[-1] + MARGIN + 1) if near.size else slice(0, 0)


def _step(latitude: np.ndarray, longitude: np.ndarray, label: str) -> float:
    """Edge of a cell [degrees], the same both ways."""
    steps = np.concatenate([-np.diff(latitude), np.diff(longitude)])
    if not steps.size or np.ptp(steps) > 1e-3 * steps.mean():
        raise DataError(f"{label}: its latitudes and longitudes are no regular grid with one step. Fetch it again.")
    return float(steps.mean())
