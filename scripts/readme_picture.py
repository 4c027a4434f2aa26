"""Draw the README's picture out of a finished run.

python scripts/readme_picture.py studies/madrid.yaml runs/madrid docs/madrid.png
"""

import sys
from pathlib import Path

import polars as pl

from airloom.infer.fields import read
from airloom.study import load
from airloom.verify.collect import means
from airloom.verify.figures import annual_map
from airloom.verify.tables import last_phase


def main(study_file: str, run: str, picture: str) -> None:
    """The mean of the last phase's fields with the stations' observed means."""
    study, folder = load(study_file), Path(run)
    mean, _ = means(read(folder / "fields" / f"{study.name}.nc"), study.pollutant)
    pairs = pl.read_parquet(folder / "pairs.parquet")
    model, phase = last_phase(pairs) or ("", 0)
    seen = pairs.filter((pl.col("model") == model) & (pl.col("phase") == phase))
    observed = seen.group_by("station").agg(pl.col("observed").mean())
    stations = pl.read_parquet(folder / "stations.parquet").join(observed, on="station")
    figure = annual_map(mean, study.target_grid, stations, title=study.title)
    figure.savefig(picture)


if __name__ == "__main__":
    main(*sys.argv[1:])
