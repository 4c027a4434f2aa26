"""What stands still, as files: inventory, roads, census, elevation, land cover, night lights; and daily flights."""

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import xarray as xr

from airloom.sources.flights import COUNTRIES
from airloom.twin.emissions import SECTORS, holiday
from airloom.twin.world import Plan, World
from airloom.twin.writers.census import write_census
from airloom.twin.writers.flights import write_flights
from airloom.twin.writers.inventory import on_tenths, write_inventory
from airloom.twin.writers.rasters import write_elevation, write_land_cover, write_lights
from airloom.twin.writers.roads import write_roads

INVENTORY_YEAR = 2018
CODES = dict(zip(SECTORS, ("tro", "tnr", "ene", "ind", "res", "shp"), strict=True))  # of CAMS-GLOB-ANT
AS_NO = 30.006 / 46.006  # the inventory's masses of NOx are those of NO


def write_static(world: World, folder: Path) -> None:
    """Write what is not there yet."""
    if not (folder / "flights.csv").is_file():  # the last one
        grid, ground = world.plan.grid, world.geography
        maps = xr.Dataset(
            {
                CODES[s]: (("y", "x"), m * AS_NO, {"units": "kg m-2 s-1"})
                for s, m in zip(SECTORS, world.known_emissions.maps, strict=True)
            },
            {"y": grid.y, "x": grid.x},
        )
        write_inventory(on_tenths(maps, grid), folder, year=INVENTORY_YEAR)
        write_roads(ground.roads, folder / "roads.gpkg")
        write_census(ground.population, grid, folder / "population.gpkg")
        write_elevation(ground.elevation, grid, folder / "elevation.tif")
        write_land_cover(ground.landcover, grid, folder / "corine.tif")
        write_lights(ground.lights, grid, folder / "lights.tif")
        write_flights(flights(world.plan), folder / "flights.csv")


def flights(plan: Plan) -> pl.DataFrame:
    """Daily flights of one airport a country: most in summer, fewest on Saturdays, few in spring and summer of 2020."""
    draw = np.random.default_rng([plan.seed, 61])
    days = [plan.start + timedelta(days=i) for i in range((plan.end - plan.start).days + 1)]
    rows = []
    for number, country in enumerate(COUNTRIES):
        size = 900 * np.exp(0.5 * draw.standard_normal())
        for day in days:
            rows.append(
                (day, f"TW{chr(65 + number // 26)}{chr(65 + number % 26)}", country, country, _flown(size, day, draw))
            )
    return pl.DataFrame(
        rows,
        {"day": pl.Date, "airport": pl.String, "name": pl.String, "country": pl.String, "flights": pl.Int64},
        orient="row",
    )


def _flown(size: float, day: date, draw: np.random.Generator) -> int:
    season = 1 - 0.15 * np.cos(2 * np.pi * (day.timetuple().tm_yday - 20) / 365.25)
    week = (1.05, 1.0, 1.0, 1.05, 1.08, 0.86, 0.96)[day.weekday()] * (0.9 if holiday(day) else 1)
    stopped = 0.12 if date(2020, 3, 20) <= day <= date(2020, 6, 15) else 0.5 if day.year == 2020 and day.month > 5 else 1.0
    return round(size * season * week * stopped * (1 + 0.03 * draw.standard_normal()))
