"""A study that starts from a finished run."""

import numpy as np
import pytest

from airloom.errors import StudyError
from airloom.files import read_json
from airloom.infer.fields import read
from airloom.run import Run
from airloom.study import changed, parse
from airloom.tiled.base import Base, _inputs
from airloom.tiled.products import Products


def adaptive(finished, **changes):
    """Phase 3 alone, from the phase 2 of the finished run."""
    content = finished.study.model_dump(mode="json")
    third = {**content["phases"][1], "epochs": 1}
    return changed(parse({**content, "base": str(finished.folder), "phases": [third]}, where="adaptive"), changes)


def test_a_new_year_is_adapted_to_from_a_finished_run(finished, small, tmp_path):
    study = adaptive(finished)
    run = Run(study, small.data, tmp_path / "runs" / "again", workers=1)
    run.prepare()
    assert list(run.train()) == [3]
    run.predict()
    before, after = (read(run.folder / "fields" / f"phase-{n}.zarr").no2.to_numpy() for n in (2, 3))
    np.testing.assert_array_equal(before, read(finished.folder / "fields" / "phase-2.zarr").no2.to_numpy())
    assert not np.array_equal(before, after)
    ours, theirs = (read_json(r.folder / "normalisation.json") for r in (run, finished))
    assert ours.pop("marks") != theirs.pop("marks")
    assert ours == theirs
    assert {r["phase"] for r in run.evaluate()["rows"] if r["model"] == "dacno2"} == {2, 3}
    assert run.report().is_file()


@pytest.mark.parametrize(("asked", "drawn"), [(2, 2), (None, 3)])
def test_a_phase_of_the_base_may_be_drawn_to_the_stations(finished, tmp_path, asked, drawn):
    study = adaptive(finished, assimilation={"phase": asked})
    products = Products(study, tmp_path, [Base.of(study).phase, *study.phases])
    assert products.drawn.number == drawn
    assert products.models == [("dacno2", 2), ("dacno2", 3), ("dacno2-assimilated", drawn)]


def test_a_phase_that_nobody_predicts_cannot_be_drawn(finished, tmp_path):
    study = adaptive(finished, assimilation={"phase": 1})
    products = Products(study, tmp_path, [Base.of(study).phase, *study.phases])
    with pytest.raises(StudyError, match=r"assimilation.phase: 1 is not among the phases that are predicted \(2, 3\)"):
        _ = products.models


def test_a_base_of_other_inputs_is_named_with_both(finished):
    study = adaptive(finished, **{"weather.variables": ["t2m", "u10"]})
    with pytest.raises(StudyError, match=r"made for other weather \(.*'t2m', 'u10', 'tp'.* there, .*'t2m', 'u10'\]"):
        Base.of(study)


def test_a_gain_is_of_the_tiles_that_it_was_trained_on(finished):
    wide, narrow = (adaptive(finished, **{"method.gain": True, "tiles.size": size, "tiles.stride": 16}) for size in (32, 16))
    assert _inputs(wide)["tiles.size"] == 32
    assert [k for k, v in _inputs(wide).items() if _inputs(narrow)[k] != v] == ["tiles.size"]
    assert "tiles.size" not in _inputs(adaptive(finished))


def test_a_gain_that_the_base_lacks_is_named(finished):
    with pytest.raises(StudyError, match=r"made for other .*tiles\.size \(None there, 32 here\)"):
        Base.of(adaptive(finished, **{"method.gain": True}))


def test_what_a_base_s_own_base_has_learnt_from_is_known(finished, small, tmp_path, monkeypatch):
    monkeypatch.setattr(Base, "trained_on", property(lambda self: {"elsewhere"}))  # a station that this study does not have
    monkeypatch.setattr(Base, "trained_years", property(lambda self: [2019]))
    run = Run(adaptive(finished), small.data, tmp_path / "runs" / "again", workers=1)
    run.prepare()
    assert run._learnt.known == {"stations": ["elsewhere", "north", "south", "west", "works"], "years": [2019]}
    assert run._learnt.years == [2023]  # for baselines: the cube has no day of 2019


def test_other_files_are_no_other_inputs(finished):
    assert Base.of(adaptive(finished, **{"weather.files": ["next-year/*.nc"]})).phase.number == 2


def test_a_folder_without_a_run_is_no_base(finished, tmp_path):
    with pytest.raises(StudyError, match="holds no trained run"):
        Base.of(adaptive(finished, base=str(tmp_path)))


def test_a_base_with_fewer_members_is_refused(finished):
    with pytest.raises(StudyError, match="has 1 members, this study 2"):
        Base.of(adaptive(finished, members=2))


def test_a_first_phase_from_scratch_has_no_use_for_a_base(finished):
    with pytest.raises(StudyError, match="nothing is taken from base"):
        adaptive(finished, **{"phases.0.start_from": "scratch", "phases.0.loss.former_ssim": 0})


def test_a_base_whose_phases_all_come_later_is_refused(finished):
    content = adaptive(finished).model_dump(mode="json")
    content["phases"][0]["number"] = 2
    with pytest.raises(StudyError, match=r"has phases \[2, 3\], none below 2"):
        Base.of(parse(content, where="adaptive"))


def test_stations_that_the_base_has_learnt_from_are_not_scored(finished, small, tmp_path):
    study = adaptive(finished, **{"stations.split.withheld": ["centre", "north"]})  # north was learnt from, centre was not
    run = Run(study, small.data, tmp_path / "runs" / "again", workers=1)
    run.prepare()
    assert run._learnt.stations.filter("withheld")["station"].to_list() == ["centre"]
    assert [e.what for e in run.ledger.of("station", "kept") if "base run has learnt" in e.why] == ["north"]
    every = Run(changed(study, {"stations.split.withheld": ["north"]}), small.data, tmp_path / "runs" / "none", workers=1)
    every.prepare()
    with pytest.raises(StudyError, match="has learnt from all 1 stations that are withheld"):
        every.train()


def test_maps_are_divided_by_the_mean_that_the_base_divided_them_by(finished, small, tmp_path):
    study = adaptive(finished, **{"grid.centre": [-3.6, 40.4]})  # another window, whose mean is another
    run = Run(study, small.data, tmp_path / "runs" / "east", workers=1)
    run.prepare()
    ours, theirs = run.cube.logarithms("emissions")["population"], finished.cube.logarithms("emissions")["population"]
    assert abs(ours / theirs - 1) > 0.005
    people = run.cube.map("population")
    seen = run._reader.gridded["emissions"].array[0, 0].numpy()
    scale = run._normaliser.scales["emissions"]
    np.testing.assert_allclose(seen, (np.log1p(people / theirs) - scale.mean[0]) / scale.deviation[0], rtol=1e-4, atol=1e-5)


def test_baselines_learn_of_the_new_year_where_the_cube_holds_no_other(finished, small, tmp_path):
    run = Run(adaptive(finished), small.data, tmp_path / "again", workers=1)
    run.prepare()
    assert run._learnt.years == [2022]  # of the base, whose days this cube holds
    late = adaptive(finished, **{"period.start": "2023-01-01"})
    run = Run(late, small.data, tmp_path / "late", workers=1)
    run.prepare()
    assert run._learnt.years == [2023]
