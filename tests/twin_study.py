"""A study of everything that a twin's files hold: 38 data sets as 41 channels, eight levels, the reanalysis and its stations."""

from pathlib import Path
from typing import Any

from airloom.study import Study, parse
from airloom.twin.world import Plan

WEATHER = (
    "blh", "avg_ibld", "sp", "d2m", "t2m", "u10", "v10", "lai_lv", "lai_hv",
    "avg_ie", "avg_tsrwe", "avg_snswrf", "avg_snlwrf", "avg_tprate",
)  # fmt: skip


def twin_study(folder: Path, **changes: Any) -> Study:
    """The study of a twin's whole window and period, with some of its parts replaced."""
    plan = Plan.load(folder)
    cells = round(plan.size / plan.cell)
    content = {
        "name": "twin",
        "title": "A twin",
        "grid": {"centre": [plan.lon, plan.lat], "shape": [cells, cells], "cell": plan.cell},
        "period": {"start": plan.start, "end": plan.end},
        "levels": [0, 50, 250, 500, 1000, 2000, 3000, 5000],
        "weather": {"source": "era5-single", "files": ["era5/single-*"], "variables": WEATHER},
        "upper": {"files": ["era5/pressure-*"]},
        "chemistry": {"files": ["cams/cams.eaq.*.no2.*.nc"]},
        "daily": [{"source": "flights", "files": ["static/flights.csv"]}],
        "emissions": [
            {"source": "cams-glob-ant", "name": "nox", "files": ["static/CAMS-GLOB-ANT*.nc"]},
            {"source": "roads", "name": "roads", "files": ["static/roads.gpkg"], "log": True},
            {"source": "raster", "name": "lights", "files": ["static/lights.tif"]},
            {"source": "census", "name": "population", "files": ["static/population.gpkg"], "log": True},
        ],
        "geography": [
            {"source": "raster", "name": "elevation", "files": ["static/elevation.tif"], "units": "m"},
            {"source": "raster", "name": "land", "files": ["static/corine.tif"], "how": "classes"},
        ],
        "stations": {
            "source": "eea",
            "observations": ["eea/observations/*.parquet"],
            "metadata": "eea/sampling_points.parquet",
            "split": {"assimilated": "eea/assimilated.csv"},
        },
        "tiles": {"size": cells, "stride": cells},
        "phases": [
            {"number": 1, "years": [plan.start.year], "start_from": "scratch", "epochs": 1, "loss": {"chemistry_mse": 1}}
        ],
        "verification": {"years": [plan.start.year]},
    }
    return parse(content | changes, where="twin")
