"""Draw the README's pictures out of finished runs.

python scripts/readme_picture.py map studies/madrid.yaml runs/madrid docs/madrid.png
python scripts/readme_picture.py models src/airloom/demo.yaml demo/run docs/demo.png
"""

import sys
from pathlib import Path

import polars as pl
from matplotlib.figure import Figure

from airloom.infer.fields import read
from airloom.study import Study, load
from airloom.verify.collect import means
from airloom.verify.evaluation import Volumes
from airloom.verify.field_maps import surface_maps
from airloom.verify.figures import annual_map
from airloom.verify.tables import last_phase


def observed(folder: Path) -> pl.DataFrame:
    """The run's stations with their observed means."""
    pairs = pl.read_parquet(folder / "pairs.parquet")
    model, phase = last_phase(pairs) or ("", 0)
    seen = pairs.filter((pl.col("model") == model) & (pl.col("phase") == phase))
    mean = seen.group_by("station").agg(pl.col("observed").mean())
    return pl.read_parquet(folder / "stations.parquet").join(mean, on="station")


def one_map(study: Study, folder: Path) -> Figure:
    """The mean of the last phase's fields."""
    mean, _ = means(read(folder / "fields" / f"{study.name}.nc"), study.pollutant)
    return annual_map(mean, study.target_grid, observed(folder), title=study.title)


def models(study: Study, folder: Path) -> Figure:
    """The mean at the ground of every phase, of the chemistry model and of the truth."""
    ground = {m: f[0] for m, f in Volumes.read(folder / "volumes.npz").means.items()}
    return surface_maps(ground, study.target_grid, observed(folder), {})


if __name__ == "__main__":
    kind, study_file, run, picture = sys.argv[1:]
    figure = {"map": one_map, "models": models}[kind](load(study_file), Path(run))
    figure.savefig(picture, dpi=110)
