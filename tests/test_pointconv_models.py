"""Chemistry models' files as teachers."""

import numpy as np
import pytest
import rasterio
import xarray as xr

from airloom.errors import DataError, StudyError
from airloom.kinds import check, open_run
from airloom.methods.pointconv.study import FusionStudy
from airloom.study import changed, parse
from airloom.twin.writers.cams import write_cams
from tests.test_pointconv_run import STUDY, write

CAMS = "cams/cams.eaq.*.pm10.*.nc"


def teach(folder, heights=(0.0,)) -> None:
    """Three days of January and two of February 2019 over the grid; at the ground a value is the day's number plus half the latitude,
    and half of that on other heights.
    """
    latitude, longitude = np.arange(53.5, 48.9, -0.1).round(1), np.arange(6.0, 14.6, 0.1).round(1)
    for first, number in (("2019-01-01", 3), ("2019-02-01", 2)):
        time = np.datetime64(first, "ns") + np.arange(24 * number) * np.timedelta64(1, "h")
        day = (time.astype("datetime64[D]") - np.datetime64("2019-01-01")).astype(float)
        ground = day[:, None, None] + latitude[:, None] / 2 + np.zeros(len(longitude))
        values = np.stack([ground / (1 + (h > 0)) for h in heights], 1)
        coords = {"time": time, "height": list(heights), "latitude": latitude, "longitude": longitude}
        dims = ("time", "height", "latitude", "longitude")
        write_cams(xr.Dataset({"pm10": (dims, values, {"units": "ug m-3"})}, coords), folder / "cams")


@pytest.fixture
def study() -> FusionStudy:
    months = [("2019-01-01", "2019-01-31"), ("2019-02-01", "2019-02-28")]
    models = [{"files": [CAMS], "start": a, "end": b} for a, b in months]
    practice = {**STUDY["practice"], "above": 0, "steps": 4, "window": 32}
    content = {**STUDY, "worlds": {"number": 0}, "models": models, "maps": [], "practice": practice}
    return parse(content, where="study", model=FusionStudy)


def test_days_of_files_become_worlds_of_the_studys_cells(study, tmp_path):
    teach(tmp_path)
    write(tmp_path)
    run = open_run(study, tmp_path, tmp_path / "run")
    seen, unseen = run._worlds
    assert (len(seen), len(unseen)) == (3, 2)
    _, latitude = study.target_grid.lonlat()
    np.testing.assert_allclose(seen.day(1)[0], 1 + latitude / 2, rtol=1e-4)
    np.testing.assert_allclose(unseen.day(0)[0], 31 + latitude / 2, rtol=1e-4)
    assert unseen.allowed.all()
    read = []
    assert open_run(study, tmp_path, tmp_path / "again", progress=lambda what, *_: read.append(what))._worlds
    assert not read  # runs side by side share what was read


def test_models_alone_teach_from_files_to_scores(study, tmp_path):
    teach(tmp_path)
    write(tmp_path)
    assert "models.0: 2 files of cams-europe, 2019-01-01 … 2019-01-31" in check(study, tmp_path, tmp_path / "run", workers=1)
    run = open_run(study, tmp_path, tmp_path / "run")
    run.train()
    with xr.open_dataset(run.predict()) as found:
        assert found.attrs["source"].endswith("taught by 1 world of a chemistry model")
    assert run.evaluate()["worlds"]["days"] == 2


def test_the_air_above_is_kept_where_stations_stand_in_it(study, tmp_path):
    teach(tmp_path, (0.0, 50.0, 250.0, 500.0, 1000.0))
    write(tmp_path)
    elevation = np.full((60, 60), 200.0, np.float32)
    place = rasterio.transform.from_origin(4.0, 56.0, 0.25, 0.25)
    options = {"driver": "GTiff", "width": 60, "height": 60, "count": 1, "dtype": "float32", "crs": "EPSG:4326"}
    with rasterio.open(tmp_path / "dem.tif", "w", transform=place, **options) as file:
        file.write(elevation, 1)
    layer = {"source": "raster", "name": "elevation", "files": ["dem.tif"], "units": "m"}
    open_run(study, tmp_path, tmp_path / "flat").prepare()  # which reads the same files, and the ground alone
    high = changed(study, {"practice.above": 100, "maps": [{"name": "elevation", "layer": layer}]})
    world = open_run(high, tmp_path, tmp_path / "run")._worlds[0]
    profile = world.profile(2)
    assert profile.shape == (5, 32, 32)
    np.testing.assert_allclose(profile[1:], profile[:1].repeat(4, 0) / 2, rtol=1e-4)
    np.testing.assert_allclose(world.maps, 200 / 500)


def test_a_map_needs_a_layer_where_no_world_of_the_twin_has_it(study):
    with pytest.raises(StudyError, match="land needs a layer of the region's own"):
        changed(study, {"maps": [{"name": "land"}]})


def test_what_models_do_not_have_is_refused(study):
    networks = [STUDY["networks"][0], {**STUDY["networks"][0], "variable": "wind"}]
    with pytest.raises(StudyError, match="models: wind is in none of their files"):
        changed(study, {"networks": networks})


def test_a_day_that_is_not_whole_teaches_nothing_and_is_named(study, tmp_path):
    teach(tmp_path)
    write(tmp_path)
    run = open_run(study, tmp_path, tmp_path / "run")
    told = [e for e in run.ledger.entries if "no mean of 18 hours" in e.why]
    assert len(told) == 28 + 26  # of 31 and 28 days
    assert told[0].what == "2019-01-04"


def test_one_model_cannot_both_teach_and_validate(study):
    with pytest.raises(StudyError, match="0, and 1 models: one must teach and another validate"):
        changed(study, {"models": [study.models[0].model_dump(mode="json")]})


def test_days_that_no_file_has_are_named(study, tmp_path):
    teach(tmp_path)
    write(tmp_path)
    late = changed(study, {"models.0.start": "2020-01-01", "models.0.end": "2020-01-31"})
    with pytest.raises(DataError, match=r"models\.0.* holds any of pm10 from 2020-01-01"):
        open_run(late, tmp_path, tmp_path / "run").prepare()
    with pytest.raises(DataError, match=r"models\.0: no file matches"):
        open_run(changed(study, {"models.0.files": ["none/*.nc"]}), tmp_path, tmp_path / "other").prepare()
