"""The twin's weather: a function of place and time alone, in balance, and within what Europe sees."""

import datetime

import numpy as np
import pytest
import xarray as xr

from airloom.errors import DataError
from airloom.grid import Grid
from airloom.sources.era5_variables import PRESSURE, SINGLE
from airloom.twin.weather import Weather, eastward_northward, weather_grid

SHAPE = (14, 16)
DAYS = [datetime.date(2021, month, 4 + 2 * month) for month in range(1, 13)]


def ground(grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Sea in the west, a plain, and a ridge along x = 4,096 km that reaches 1,200 m; a function of place alone."""
    x = np.broadcast_to(grid.x, grid.shape)
    land = np.clip((x - 3.93e6) / 16e3, 0, 1)
    return land, land * (100 + 1100 * np.exp(-(((x - 4.096e6) / 30e3) ** 2)))


def weather(grid: Grid, seed: int = 3) -> Weather:
    return Weather(grid, *ground(grid), seed)


@pytest.fixture(scope="module")
def grid() -> Grid:
    return Grid("EPSG:3035", 3.84e6, 3.2e6, 16e3, SHAPE)  # round 4°E, 50°N


@pytest.fixture(scope="module")
def sample(grid) -> xr.Dataset:
    """A day of each month, and that of a summer and a winter more."""
    made = weather(grid)
    return xr.concat([made.day(d) for d in DAYS], "time", data_vars="minimal")


def test_weather_grid_surrounds_the_window():
    window = Grid("EPSG:3035", 3_845_000, 3_001_000, 2000, (256, 256))  # to 4,357 km east, from 2,489 km north
    cells = weather_grid(window)
    # 3,845 / 16 = 240.3 → 240 − 5; 4,357 / 16 = 272.3 → 273 + 5; 3,001 / 16 = 187.6 → 188 + 5; 2,489 / 16 → 155 − 5
    assert (cells.left, cells.top, cells.cell) == (235 * 16e3, 193 * 16e3, 16e3)
    assert cells.shape == (193 - 150, 278 - 235)


def test_a_day_is_the_same_whichever_was_made_before(grid):
    day, other = datetime.date(2020, 3, 1), datetime.date(2020, 2, 29)
    first = weather(grid).day(day)
    again = weather(grid)
    again.day(other)
    xr.testing.assert_identical(first, again.day(day))
    assert not first.t2m.equals(weather(grid, seed=4).day(day).t2m)


def test_midnight_is_an_hour_like_others(grid):
    made = weather(grid)
    for date in (datetime.date(2021, 1, 31), datetime.date(2021, 7, 15), datetime.date(2021, 12, 31)):
        two = xr.concat([made.day(date), made.day(date + datetime.timedelta(1))], "time", data_vars="minimal")
        for name in ("t2m", "d2m", "u10", "sp", "blh", "tcc", "z", "t", "w", "layer_u", "layer_r", "avg_snlwrf", "avg_ibld"):
            values = two[name].to_numpy().astype(float)
            change = np.sqrt(((values[1:] - values[:-1]) ** 2).mean(tuple(range(1, values.ndim))))
            assert change[23] <= change.max(), name
            assert change[23] < 2.5 * change[21:26].mean(), name


def test_the_same_place_has_the_same_weather_in_any_window(grid):
    wide = Grid(grid.crs, grid.left - 5 * 16e3, grid.top + 7 * 16e3, 16e3, (SHAPE[0] + 12, SHAPE[1] + 9))
    day = datetime.date(2021, 6, 9)
    small, large = weather(grid).day(day), weather(wide).day(day)
    inner = large.sel(x=small.x, y=small.y)
    xr.testing.assert_allclose(small.cossza, inner.cossza)
    middle = {"x": slice(5, -5), "y": slice(5, -5)}  # the terrain's reach ends at the window's edge
    for name, nearly in (
        ("t2m", 0.2),
        ("u10", 0.2),
        ("v", 0.3),
        ("sp", 20),
        ("blh", 20),
        ("tcc", 0.03),
        ("avg_snswrf", 10),
    ):
        assert float(abs(small[name] - inner[name]).isel(middle).max()) < nearly, name


def test_names_units_and_dimensions(sample):
    known = {n: p.variable for n, p in (SINGLE | PRESSURE).items()}
    for name, variable in known.items():
        if name in sample:
            assert (sample[name].units, sample[name].cell_methods) == (variable.units, variable.cell_method)
    assert {*SINGLE} - {*sample.data_vars} == {"tp", "ssr"}  # the sums of which avg_tprate and avg_snswrf are the rates
    assert {*PRESSURE} - {*sample.data_vars} == {"q"}
    assert all(a.dtype == np.float32 for a in sample.data_vars.values())
    assert sample.level.to_numpy().tolist() == [1000, 975, 950, 925, 900, 800, 700, 550]
    assert sample.layer_u.dims == ("time", "layer", "y", "x")
    assert sample.z.dims == ("time", "level", "y", "x")


@pytest.mark.parametrize(
    ("name", "lowest", "highest"),
    [
        ("t2m", 240, 315),
        ("d2m", 230, 300),
        ("sp", 80e3, 106e3),
        ("u10", -30, 30),
        ("v10", -30, 30),
        ("blh", 20, 3500),
        ("avg_ibld", 0, 100),
        ("lai_lv", 0, 7),
        ("lai_hv", 0, 7),
        ("avg_ie", -3e-4, 2e-5),
        ("avg_tprate", 0, 0.01),
        ("avg_snswrf", 0, 1000),
        ("avg_snlwrf", -200, 5),
        ("ustar", 0.03, 1.5),
        ("inverse_obukhov", -0.2, 0.2),
        ("tcc", 0, 1),
        ("cossza", 0, 0.95),
        ("r", 1, 100),
        ("t", 230, 315),
        ("vo", -1e-3, 1e-3),
        ("w", -10, 10),
        ("layer_t", 215, 315),
        ("layer_r", 1, 100),
    ],
)
def test_ranges(sample, name, lowest, highest):
    values = sample[name].to_numpy()
    assert np.isfinite(values).all()
    assert lowest <= values.min()
    assert values.max() <= highest


def magnus(celsius: np.ndarray) -> np.ndarray:
    return 6.112 * np.exp(17.62 * celsius / (243.12 + celsius))  # hPa


def test_geopotential_is_hydrostatic(sample):
    e = sample.r / 100 * magnus(sample.t - 273.15)
    tv = (sample.t / (1 - 0.378 * e / sample.level)).to_numpy().astype(float)
    p = sample.level.to_numpy().astype(float)
    expected = 287.05 * 0.5 * (tv[:, 1:] + tv[:, :-1]) * np.log(p[:-1] / p[1:])[:, None, None]
    np.testing.assert_allclose(np.diff(sample.z.to_numpy().astype(float), axis=1), expected, rtol=2e-3)


def test_surface_pressure_is_where_the_ground_meets_the_geopotential(sample, grid):
    # near sea level 1 m is 0.12 hPa, and z/g of 1000 hPa so many metres up: ps ≈ 1000 hPa · exp((z1000 − g·h) / (R·T))
    elevation = ground(grid)[1]
    low = elevation < 150
    expected = 1e5 * np.exp((sample.z[:, 0] - 9.80665 * elevation) / (287.05 * sample.t2m))
    np.testing.assert_allclose(sample.sp.to_numpy()[:, low], expected.to_numpy()[:, low], rtol=1e-3)


def test_dewpoint_temperature_and_humidity_agree(sample):
    assert (sample.d2m <= sample.t2m).all()
    humidity = 100 * magnus(sample.d2m - 273.15) / magnus(sample.t2m - 273.15)
    lowest = sample.layer_r.isel(layer=0)  # at 12.5 m
    assert float(abs(humidity - lowest).quantile(0.95)) < 8
    assert float(abs((humidity - lowest).mean())) < 2


def test_vorticity_is_that_of_the_wind(sample):
    inner = (..., slice(1, -1), slice(1, -1))
    u, v = (sample[n].to_numpy().astype(float) for n in "uv")
    dv_dx = (v[..., 1:-1, 2:] - v[..., 1:-1, :-2]) / 32e3
    du_dy = (u[..., :-2, 1:-1] - u[..., 2:, 1:-1]) / 32e3  # row 0 is the north
    np.testing.assert_allclose(sample.vo.to_numpy()[inner], dv_dx - du_dy, atol=2e-9)


def test_vertical_wind_continues_the_horizontal(sample):
    u, v, w = (sample[n].to_numpy().astype(float) for n in "uvw")
    spread = (u[..., 1:-1, 2:] - u[..., 1:-1, :-2] + v[..., :-2, 1:-1] - v[..., 2:, 1:-1]) / 32e3
    p = 100 * sample.level.to_numpy().astype(float)[:, None, None]
    gained = np.diff(w[..., 1:-1, 1:-1], axis=1)
    expected = 0.5 * (spread[:, 1:] + spread[:, :-1]) * (p[:-1] - p[1:])
    above = sample.sp.to_numpy()[:, None, 1:-1, 1:-1] > p[:-1]  # both levels of a step
    np.testing.assert_allclose(gained[above], expected[above], atol=2e-4)


def test_wind_is_geostrophic_aloft(sample, grid):
    z = sample.z.sel(level=700).to_numpy().astype(float)
    lat = grid.lonlat()[1][1:-1, 1:-1]
    f = 2 * 7.292e-5 * np.sin(np.radians(lat))
    v = (z[:, 1:-1, 2:] - z[:, 1:-1, :-2]) / 32e3 / f
    u = -(z[:, :-2, 1:-1] - z[:, 2:, 1:-1]) / 32e3 / f
    plain = ground(grid)[1][1:-1, 1:-1] < 150  # over the ridge local winds and heat have their part
    for geostrophic, wind in ((u, sample.u), (v, sample.v)):
        found = wind.sel(level=700).to_numpy()[:, 1:-1, 1:-1]
        assert np.corrcoef(geostrophic[:, plain].ravel(), found[:, plain].ravel())[0, 1] > 0.93


def test_friction_slows_the_wind_and_turns_it_towards_low_pressure(sample, grid):
    plain = (ground(grid)[1] > 90) & (ground(grid)[1] < 150)
    low = (sample.u10 + 1j * sample.v10).to_numpy()[:, plain]
    high = (sample.layer_u + 1j * sample.layer_v).isel(layer=7).to_numpy()[:, plain]  # at 2150 m
    strong = abs(high) > 8
    assert np.median(abs(low[strong]) / abs(high[strong])) < 0.6
    assert 5 < np.degrees(np.angle((low / high)[strong].mean())) < 45  # anticlockwise, where pressure is low


def test_seasons_and_hours_have_their_signs(sample, grid):
    land = xr.DataArray(ground(grid)[0] > 0.99, dims=("y", "x"))
    low = xr.DataArray(ground(grid)[1] < 150, dims=("y", "x"))
    plain, sea = sample.where(land & low), sample.where(xr.DataArray(ground(grid)[0] == 0, dims=("y", "x")))
    summer, winter = (s.time.dt.month.isin(m) for s, m in ((sample, (6, 7, 8)), (sample, (12, 1, 2))))
    noon, night = sample.time.dt.hour == 14, sample.time.dt.hour == 2

    def mean(field, *when):
        for w in when:
            field = field.where(w)
        return float(field.mean())

    assert mean(plain.t2m, summer) > mean(plain.t2m, winter) + 8
    assert mean(plain.t2m, summer, noon) > mean(plain.t2m, summer, night) + 4
    assert mean(sea.t2m, summer, noon) < mean(sea.t2m, summer, night) + 2
    assert 800 < mean(plain.blh, summer, noon) < 2200
    assert mean(plain.blh, winter, noon) < 0.8 * mean(plain.blh, summer, noon)
    assert 40 < mean(plain.blh, summer, night) < 500
    assert mean(plain.inverse_obukhov, summer, noon) < 0 < mean(plain.inverse_obukhov, summer, night)
    assert mean(plain.avg_ie, summer, noon) < mean(plain.avg_ie, winter, noon) < 0
    assert mean(plain.lai_lv, summer) > mean(plain.lai_lv, winter)
    assert mean(plain.avg_snlwrf) < 0


def test_sea_breeze_blows_inland_on_summer_afternoons(grid):
    made = weather(grid)
    days = [made.day(datetime.date(2021, 7, day)) for day in range(1, 31, 3)]
    coast = int(np.argmax(ground(grid)[0][0] > 0.5))
    at = xr.concat([d.u10.isel(x=slice(coast - 1, coast + 2)) for d in days], "time")
    hour = at.time.dt.hour
    assert float(at.where(hour == 15).mean() - at.where(hour == 4).mean()) > 1  # the land lies in the east


def test_wind_and_pressure_over_the_years(grid):
    tiny = Grid(grid.crs, grid.left, grid.top, 16e3, (4, 16))
    made = weather(tiny)
    start = datetime.date(2019, 1, 1)
    days = [made.day(start + datetime.timedelta(n))[["u10", "v10", "sp"]] for n in range(0, 1096, 9)]
    sample = xr.concat(days, "time").isel(time=slice(None, None, 3))
    speed = np.hypot(sample.u10, sample.v10)
    assert 3 < float(speed.isel(x=slice(8, 12)).mean()) < 5
    assert 5.5 < float(speed.isel(x=slice(0, 3)).mean()) < 8
    # Weibull with shape k has std/mean of 0.52 for k = 2 and 0.68 for k = 1.5
    assert 0.45 < float(speed.isel(x=1).std() / speed.isel(x=1).mean()) < 0.72
    cold = sample.sp.isel(x=0, y=0).where(sample.time.dt.month.isin((11, 12, 1, 2, 3)))
    assert 600 < float(cold.std()) < 1200
    assert float(sample.u10.isel(x=0).mean()) > 0.5  # westerlies


def test_winds_turn_to_true_east_and_north(grid):
    day = weather(grid).day(datetime.date(2021, 5, 5)).isel(time=12)
    east, north = eastward_northward(day.u10, day.v10, day.north)
    # at 4°E, west of the projection's meridian of 10°E, true north leans to the grid's right by about 6° · sin 51°
    middle = float(day.north.mean())
    assert middle == pytest.approx(np.radians(6 * np.sin(np.radians(51))), abs=0.02)
    np.testing.assert_allclose(np.hypot(east, north), np.hypot(day.u10, day.v10), rtol=1e-5)
    # a wind along the grid's y comes from the left of true south: it has a westward part
    still, up = xr.zeros_like(day.u10), xr.ones_like(day.u10)
    assert float(eastward_northward(still, up, day.north)[0].max()) < 0


def test_ground_off_the_grid_is_refused(grid):
    land, elevation = ground(grid)
    with pytest.raises(DataError, match=r"elevation is on \(14, 15\)"):
        Weather(grid, land, elevation[:, 1:], 1)
    with pytest.raises(DataError, match="land is not finite in 1 cells"):
        Weather(grid, np.where(np.arange(land.size).reshape(SHAPE) == 5, np.nan, land), elevation, 1)
