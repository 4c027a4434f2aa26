import numpy as np
import pytest
import xarray as xr

from airloom.errors import DataError
from airloom.grid import Grid
from airloom.sources.cams_glob_ant import GROUPS, CAMSGlobAnt
from airloom.sources.overlap import degree_areas
from airloom.twin.writers.inventory import on_tenths, write_inventory

GRID = Grid.around(4.9, 52.4, cell=10_000, shape=(6, 5))
SECTORS = ("tro", "tnr", "ene", "ind", "res", "shp")


def inventory(values=None, sectors=SECTORS, units="kg m-2 s-1"):
    """Fluxes on 0.1° around the grid; by default sector number k emits (k + 1)e-10 everywhere."""
    lat, lon = np.arange(51.05, 54, 0.1).round(2), np.arange(3.05, 7, 0.1).round(2)
    shape = len(lat), len(lon)
    maps = {s: np.full(shape, (k + 1) * 1e-10) if values is None else values[k] for k, s in enumerate(sectors)}
    return xr.Dataset({s: (("lat", "lon"), m, {"units": units}) for s, m in maps.items()}, {"lat": lat, "lon": lon})


def test_areas_add_up_to_the_earth():
    # the ellipsoid WGS 84 has 510 065 622 km²
    latitude = np.arange(-89.95, 90, 0.1)
    assert degree_areas(latitude, 0.1).sum() * 3600 == pytest.approx(510_065_622e6, rel=1e-8)


def test_an_even_flux_stays_even(tmp_path):
    found = CAMSGlobAnt([write_inventory(inventory(), tmp_path, year=2018)]).layers(GRID)
    assert list(found) == [f"nox_{g}" for g in GROUPS]
    for k, group in enumerate(GROUPS):
        assert found[f"nox_{group}"].values == pytest.approx(np.full(GRID.shape, (k + 1) * 1e-10), rel=2e-3)
        assert found[f"nox_{group}"].attrs["units"] == "kg m-2 s-1"


def test_the_mass_of_a_lone_pixel_is_kept(tmp_path):
    flux = np.zeros((30, 40))
    flux[13, 19] = 3e-9  # centred at 52.35°N, 4.95°E, within the grid
    path = write_inventory(inventory([flux] * 6), tmp_path, year=2018)
    found = CAMSGlobAnt([path]).layers(GRID)["nox_road"]
    assert found.values.sum() * GRID.cell**2 == pytest.approx(3e-9 * degree_areas(np.array([52.35]), 0.1)[0], rel=1e-5)
    row, column = np.unravel_index(found.values.argmax(), GRID.shape)
    lon, lat = GRID.lonlat()
    assert abs(lon[row, column] - 4.95) < 0.1
    assert abs(lat[row, column] - 52.35) < 0.1


def test_sectors_add_up_in_their_groups_and_split_ones_count_once(tmp_path):
    # energy: ene 1 + ref 2 + fef 3; fef_gas 4 is part of fef
    data = inventory([np.full((30, 40), v * 1e-10) for v in (1, 2, 3, 4)], ("ene", "ref", "fef", "fef_gas"))
    path = write_inventory(data, tmp_path, year=2018)
    found = CAMSGlobAnt([path], groups={"energy": GROUPS["energy"]}).layers(GRID)["nox_energy"]
    assert found.values.mean() == pytest.approx(6e-10, rel=2e-3)
    assert found.attrs["sectors"] == "ene ref fef"


def test_months_count_by_their_days_and_years_alike(tmp_path):
    # January 2018 emits 365/31, the rest of the year nothing: the mean is 1; 2019 emits 3 always: the mean of both is 2
    january = np.zeros((12, 30, 40))
    january[0] = 365 / 31 * 1e-10
    base = inventory(sectors=("tro",))
    peak = base.assign(tro=(("time", "lat", "lon"), january, {"units": "kg m-2 s-1"}))
    first = write_inventory(peak, tmp_path, year=2018)
    second = write_inventory(base.assign(tro=(base["tro"] * 3).assign_attrs(units="kg m-2 s-1")), tmp_path, year=2019)
    road = {"road": ["tro"]}
    assert CAMSGlobAnt([first], groups=road).layers(GRID)["nox_road"].values.mean() == pytest.approx(1e-10, rel=2e-3)
    both = CAMSGlobAnt([second, first], years=[2018, 2019], groups=road).layers(GRID)["nox_road"]
    assert both.values.mean() == pytest.approx(2e-10, rel=2e-3)


def test_from_a_grid_to_degrees_and_back_keeps_the_mass(tmp_path):
    flux = np.random.default_rng(0).uniform(0, 1e-9, GRID.shape)
    there = on_tenths(xr.Dataset({"tro": (("y", "x"), flux, {"units": "kg m-2 s-1"})}), GRID)
    mass = (there["tro"].values * degree_areas(there["lat"].values, 0.1)[:, None]).sum()
    assert mass == pytest.approx(flux.sum() * GRID.cell**2, rel=1e-6)
    wide = Grid(GRID.crs, GRID.left - 30_000, GRID.top + 30_000, GRID.cell, (12, 11))
    back = CAMSGlobAnt([write_inventory(there, tmp_path, year=2018)], groups={"road": ["tro"]}).layers(wide)["nox_road"]
    assert back.values.sum() * wide.cell**2 == pytest.approx(mass, rel=1e-5)


def test_bad_files_are_named(tmp_path):
    def layers(data, **settings):
        return CAMSGlobAnt([write_inventory(data, tmp_path, year=2018)], **settings).layers(GRID)

    with pytest.raises(DataError, match=r"sector 'xyz' is in no group, and its emissions would be lost"):
        layers(inventory(sectors=("tro", "xyz")))
    with pytest.raises(DataError, match=r"holds no sector of 'other_transport' \(tnr\); it holds tro, ene"):
        layers(inventory(sectors=("tro", "ene")))
    with pytest.raises(DataError, match="2019-01 is there 0 times, expected once"):
        layers(inventory(), years=[2019])
    with pytest.raises(DataError, match="tro is on"):
        layers(inventory(units="Tg"))
    path = write_inventory(inventory(), tmp_path, year=2018)
    with pytest.raises(DataError, match="2018-01 is there 2 times, expected once"):
        CAMSGlobAnt([path, path]).layers(GRID)
    with xr.open_dataset(path, engine="netcdf4") as file:
        months = file.load()
    months.isel(time=np.arange(12) != 4).to_netcdf(tmp_path / "gap.nc", engine="netcdf4")
    with pytest.raises(DataError, match=r"gap.nc, tro: 2018-05 is there 0 times"):
        CAMSGlobAnt([tmp_path / "gap.nc"]).layers(GRID)
    months.assign(tro=months["tro"].assign_attrs(units="Tg")).to_netcdf(tmp_path / "mass.nc", engine="netcdf4")
    with pytest.raises(DataError, match=r"mass.nc, tro: its unit is 'Tg', expected 'kg m-2 s-1'. Fetch fluxes"):
        CAMSGlobAnt([tmp_path / "mass.nc"]).layers(GRID)
    with pytest.raises(DataError, match=r"holds nothing at .* where the grid lies"):
        CAMSGlobAnt([path]).layers(Grid.around(-3, 40, cell=10_000, shape=(4, 4)))
    (tmp_path / "broken.nc").write_bytes(path.read_bytes()[:700])
    with pytest.raises(DataError, match=r"broken.nc cannot be read as NetCDF"):
        CAMSGlobAnt([tmp_path / "broken.nc"]).layers(GRID)
