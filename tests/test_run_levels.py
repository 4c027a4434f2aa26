"""All inputs, all levels, three phases: from a twin's files to a report, in little."""

from types import SimpleNamespace

import numpy as np
import pytest

from airloom.cube.layers import group_channels
from airloom.demo import plan, study
from airloom.infer.fields import read
from airloom.run import Run
from airloom.study import changed
from airloom.verify.collect import network_of
from airloom.verify.evaluation import Volumes
from tests.twin_study import twin_study

PHASES = [
    {"number": 1, "loss": {"station_mse": 0, "chemistry_mse": 1, "chemistry_ssim": 0.2}, "start_from": "scratch"},
    {"number": 2, "loss": {"station_mse": 1, "chemistry_mse": 1, "chemistry_ssim": 0.2}},
    {"number": 3, "loss": {"station_mse": 1, "former_ssim": 1}},
]


@pytest.fixture(scope="module")
def run(twin_files, tmp_path_factory) -> Run:
    """Two days of sixteen by sixteen cells: one to learn from, one to validate on; both are predicted."""
    each = {"years": [2019], "epochs": 1, "batch": 2, "validation": {"by": "days", "fraction": 0.5}}
    asked = twin_study(
        twin_files,
        phases=[p | each for p in PHASES],
        assimilation={"depth": 1000},
        verification={"years": [2019], "draws": 100, "truth": ["truth/*.nc"], "baselines": ["inverse-distance"]},
    )
    asked = changed(asked, {"emissions.3.name": "people"})  # any name will do
    found = Run(asked, twin_files, tmp_path_factory.mktemp("levels") / "twin", workers=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "_compared", np.arange(2))  # the days are too few, and predicted, to be compared otherwise
        for stage in ("prepare", "train", "predict", "evaluate", "report"):
            getattr(found, stage)()
    return found


def test_fields_have_all_levels(run):
    field = read(run.netcdf)
    assert field.no2.dims == ("time", "level", "y", "x")
    assert field.level.values.tolist() == [0, 50, 250, 500, 1000, 2000, 3000, 5000]
    assert np.isfinite(field.no2).all()
    # the network gives numbers of one size on all levels; in µg m⁻³ they fall as the reanalysis does
    means = field.no2.mean(("time", "y", "x")).values
    chemistry = run.cube.chemistry_means([2019])
    np.testing.assert_allclose(means / means[0], chemistry / chemistry[0], rtol=0.7)


def test_scores_hold_stations_the_chemistry_model_and_the_truth(run):
    scores = run.evaluate()
    told = {(r["model"], r["phase"], r["target"]) for r in scores["rows"]}
    ours = [*(("dacno2", n) for n in (1, 2, 3)), ("dacno2-assimilated", 3)]
    assert {(*m, t) for m in ours for t in ("withheld", "training", "cams", "truth")} <= told
    assert {("cams-2km", None, t) for t in ("withheld", "training", "truth")} <= told
    levels = {r["level"] for r in scores["rows"] if r["target"] == "truth" and r["stratum"] == "all"}
    assert levels == {0, 50, 250, 500, 1000, 2000, 3000, 5000, None}


def test_the_phase_that_is_drawn_is_told_on_days_of_training_too(run):
    fields = run.folder / "fields"
    assert read(fields / "phase-3-training.zarr").sizes["time"] == 2
    assert not (fields / "phase-1-training.zarr").exists()


def test_what_the_network_misses_is_read_on_days_of_training_alone(run):
    period = {"period": {"start": "2018-01-01", "end": "2020-12-31"}}
    asked = changed(run.study, {**period, "phases.0.years": [2018, 2019], "phases.1.years": [2018, 2020]})
    other = Run(asked, run.data, run.folder.parent / "other")
    years = np.repeat([2018, 2019, 2020], 20)  # 2019 is predicted, and so left out though it taught
    there = np.ones(len(years), bool)
    gone = np.arange(60) != 3
    other.__dict__["cube"] = SimpleNamespace(usable=there, chemistry_days=gone, years=years)
    assert other._compared.tolist() == [0, 1, 2, *range(4, 20), *range(40, 60)]
    without = Run(changed(asked, {"assimilation": None}), run.data, run.folder.parent / "other")
    without.__dict__["cube"] = other.cube
    assert not without._compared.size


def test_the_report_shows_levels(run):
    assert Volumes.read(run.folder / "volumes.npz").population.max() > 100  # people km⁻² of the census, called `people` here
    page = (run.folder / "report.html").read_text()
    assert "Levels" in page
    assert "Profiles" in page


def test_the_demos_twin_is_the_demos_study():
    asked = study()
    assert plan().grid == asked.target_grid
    assert (plan().start, plan().end) == (asked.period.start, asked.period.end)
    assert group_channels(asked) == {"calendar": 3, "weather": 14, "upper": 7, "emissions": 13, "geography": 6}


def test_baselines_see_all_that_the_network_sees(run):
    cube = run.cube
    network = network_of(
        cube,
        withheld=np.zeros(cube.stations.table.height, bool),
        factor=run.study.weather_factor,
        train_years=[2019],
        adapt_years=[],
        test=np.ones(len(cube.days), bool),
        seed=0,
    )
    counts = {g: len(cube.channels(g)) for g in ("calendar", "emissions", "geography", "weather", "upper")}
    assert len(network.feature_names) == sum(counts.values()) + counts["weather"] + 7 * counts["upper"]
    station = 2
    row, column = (cube.stations.table[n][station] // run.study.weather_factor for n in ("row", "column"))
    hours = cube.group["upper"][1, :, 3, 5, row, column]  # (time, hour, channel, level, y, x)
    at = network.feature_names.index(f"{cube.channels('upper')[3]}, level 5")
    assert network.features[1, station, at] == pytest.approx(hours.mean(), rel=1e-5)
