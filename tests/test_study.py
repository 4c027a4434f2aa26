import copy
from pathlib import Path

import numpy as np
import pytest
import yaml

from airloom.errors import StudyError
from airloom.kinds import open_study
from airloom.study import Study, load, parse
from tests.small import STUDY

STUDIES = sorted((Path(__file__).parents[1] / "studies").glob("*.yaml"))
MADRID = yaml.safe_load((Path(__file__).parents[1] / "studies" / "madrid.yaml").read_text(encoding="utf-8"))


def changed(**changes) -> dict:
    """Madrid's study with keys replaced; `a__0__b=1` sets content["a"][0]["b"], and None removes a key."""
    content = copy.deepcopy(MADRID)
    for path, value in changes.items():
        *parents, last = (int(k) if k.isdigit() else k for k in path.split("__"))
        part = content
        for key in parents:
            part = part[key]
        if value is None:
            del part[last]
        else:
            part[last] = value
    return content


@pytest.mark.parametrize("path", STUDIES, ids=lambda p: p.stem)
def test_shipped_studies_load(path):
    assert open_study(path).name == path.stem


@pytest.mark.parametrize("path", STUDIES, ids=lambda p: p.stem)
def test_a_study_written_and_read_again_is_itself(path, tmp_path):
    study = open_study(path)
    again = tmp_path / "again.yaml"
    again.write_text(yaml.safe_dump(study.model_dump(mode="json")), encoding="utf-8")
    assert open_study(again) == study


BAD = {
    "unknown key": (
        {"weather__variabels": ["t2m"]},
        "weather.variabels: 'variabels' is not a key here. nearest: 'variables'",
    ),
    "unknown key in a list": ({"phases__1__loss__ssim": 1}, "phases.1.loss.ssim: .* nearest: 'ssim_cell'"),
    "missing part": ({"stations": None}, "stations: missing"),
    "missing key": ({"phases__0__epochs": None}, "phases.0.epochs: missing. Passes over the days"),
    "half a centre": ({"grid__centre": [1.0]}, r"grid.centre.1: missing"),
    "half a type": ({"stations__types__Suburbana": ["background"]}, "stations.types.Suburbana.1: missing"),
    "no such type": (
        {"stations__types__Suburbana": ["rural", None]},
        "'background', 'industrial' or 'traffic'.*found 'rural'",
    ),
    "degrees": ({"grid__crs": "EPSG:4326"}, "'EPSG:4326' is not projected in metres"),
    "nowhere": ({"grid__centre": [40.43, -370]}, "does not exist in EPSG:3035"),
    "grid and weather": ({"grid__shape": [30, 32]}, r"grid.shape: \(30, 32\) must be multiples of 8 cells"),
    "weather cell": ({"weather__cell": 10000}, "weather.cell 10000 m must be 1, 2, 4, 8 … times grid.cell 2000 m"),
    "infinite": ({"weather__cell": float("inf")}, r"weather.cell: .*finite.*found inf"),
    "stride": ({"tiles__stride": 64}, "tiles.stride 64 exceeds tiles.size 32"),
    "year outside": ({"verification__years": [2030]}, r"years \[2030\] .* lie outside the period 2013-01-01 … 2024-11-30"),
    "backwards": ({"period__end": "2012-01-01"}, "ends on 2012-01-01, before it starts on 2013-01-01"),
    "no inputs": ({"weather": None, "emissions": None}, "the network needs at least one of them"),
    "nothing to start from": (
        {"phases__0__start_from": "former"},
        "the first phase has no former one; write start_from: scratch",
    ),
    "nothing to stay near": ({"phases__0__loss": {"former_ssim": 1}}, "phases.0.loss.former_ssim: .* no former model"),
    "phase twice": ({"phases__1__number": 2}, r"their numbers are \[2, 2\]; they must ascend"),
    "phases backwards": ({"phases__0__number": 3, "phases__1__number": 2}, r"their numbers are \[3, 2\]"),
    "no such phase to draw": ({"assimilation__phase": 1}, r"assimilation.phase: 1 is not among the phases \[2, 3\]"),
    "no years": ({"phases__0__years": []}, "phases.0.years: .*at least 1 item"),
    "nothing to score": ({"verification__years": []}, "verification.years: .*at least 1 item"),
    "no such baseline": ({"verification__baselines": ["krigin"]}, "'network-mean', .*'kriging'.*found 'krigin'"),
    "no such product": ({"weather__source": "era5-lnd"}, "'era5-land' or 'era5-single'.*found 'era5-lnd'"),
    "no variables": ({"weather__variables": []}, "weather.variables: .*at least 1 item"),
    "nothing to learn": ({"phases__0__loss": {"station_mse": 0}}, "phases.0.loss: all weights are 0"),
    "even window": ({"phases__1__loss__ssim_window": 6}, "ssim_window 6 is even"),
    "fine before coarse": (
        {"phases__0__coarse": [{"scales": 2, "epochs": 1}, {"scales": 1, "epochs": 1}]},
        "phases.0.coarse: scales 2, 1; list the coarsest, with fewest scales, first",
    ),
    "coarse without heads": (
        {"phases__0__coarse": [{"scales": 1, "epochs": 1}]},
        "phases.0.coarse: coarse scales have no heads to learn with; set method.pyramid: true",
    ),
    "hours backwards": ({"hours": [13, 11]}, r"hours: \[13, 11\] are no hours of a day; write first and one past the last"),
    "hours beyond the day": ({"hours": [11, 25]}, r"hours: \[11, 25\] are no hours of a day"),
    "more hours needed than there are": (
        {"hours": [11, 13]},
        r"18 valid hours are needed, and hours: \[11, 13\] are only 2; write stations.min_hours: 2, or fewer",
    ),
    "window beyond the tile": (
        {"phases__1__loss__ssim_cell": 8000, "phases__1__loss__ssim_window": 11},
        "11 cells of 8000 m exceed a tile, which has 8",
    ),
    "phase": ({"phases__0__number": 4}, r"Input should be 1, 2 or 3 \(found 4\)"),
    "no phase": ({"phases": []}, "phases: .*at least 1 item"),
    "raster without files": ({"emissions__0__source": "raster"}, "the raster layer 'population' needs patterns of files"),
    "places with files": ({"emissions__0__files": ["a.tif"]}, "places comes with airloom and reads no files"),
    "one name twice": ({"geography": [{"source": "places", "name": "population"}]}, "two layers are named 'population'"),
}


@pytest.mark.parametrize(("changes", "message"), BAD.values(), ids=BAD.keys())
def test_a_bad_study_says_what_is_wrong(changes, message):
    with pytest.raises(StudyError, match=message) as caught:
        parse(changed(**changes), where="bad.yaml")
    assert str(caught.value).startswith("bad.yaml, ")


def test_every_mistake_is_told_at_once():
    with pytest.raises(StudyError) as caught:
        parse(changed(seeed=1, weather__variabels=[]), where="bad.yaml")
    assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize(
    ("content", "message"), [(b"a: [", "not YAML"), (b"- a\n- b\n", "holds list, expected keys"), (b"\xff\xfea", "not YAML")]
)
def test_a_file_that_is_no_study(tmp_path, content, message):
    path = tmp_path / "bad.yaml"
    path.write_bytes(content)
    with pytest.raises(StudyError, match=message):
        load(path)


def test_a_study_that_is_not_there(tmp_path):
    with pytest.raises(StudyError, match="cannot be read: No such file"):
        load(tmp_path / "absent.yaml")


def test_madrid_in_numbers():
    study = Study.model_validate(MADRID)
    assert study.weather_factor == 8  # 16 km over 2 km
    assert study.target_grid.shape == (32, 32)
    row, column = study.target_grid.locate(np.array([-3.70]), np.array([40.43]))
    assert (row[0], column[0]) in {(15, 15), (15, 16), (16, 15), (16, 16)}  # the four cells that meet in the centre


def test_a_cube_is_shared_by_studies_that_differ_in_split_or_network():
    one, other = parse(changed(), where=""), parse(changed(stations__split={"seed": 5}, method={"preset": "base"}), where="")
    assert one.prepared() == other.prepared()
    assert parse(changed(stations__min_hours=20), where="").prepared() != one.prepared()
    assert parse(changed(hours=[0, 23]), where="").prepared() != one.prepared()


def test_coarse_epochs_have_a_rate_of_their_own_or_the_phases():
    coarse = [{"scales": 1, "epochs": 20, "learning_rate": 3e-3}, {"scales": 2, "epochs": 4}]
    content = changed(phases__0__coarse=coarse, phases__0__learning_rate=1e-3)
    content["method"] |= {"pyramid": True}
    stages = parse(content, where="").phases[0].stages
    assert [(scales, phase.epochs, phase.learning_rate) for phase, scales in stages][:2] == [(1, 20, 3e-3), (2, 4, 1e-3)]
    assert (stages[-1][1], stages[-1][0].learning_rate) == (None, 1e-3)


def test_phases_whose_years_hang_together_draw_validation_days_from_all_of_them():
    phases = [
        {"number": n, "years": y, "start_from": f, "epochs": 1}
        for n, y, f in ((1, [2019, 2021], "scratch"), (2, [2021, 2022], "former"))
    ]
    study = parse(
        {**STUDY, "period": {"start": "2019-01-01", "end": "2023-12-31"}, "phases": [*phases, STUDY["phases"][1]]}, where="s"
    )
    assert [study.years_beside(p) for p in study.phases] == [[2019, 2021, 2022], [2019, 2021, 2022], [2023]]
