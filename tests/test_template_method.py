"""The method to copy: by hand, and from files to scores once it is registered."""

import numpy as np
import pytest
import torch

from airloom.errors import StudyError
from airloom.infer.fields import read
from airloom.methods.registry import METHODS, method
from airloom.methods.template import LinearField, Template
from airloom.run import Run
from airloom.study import Study, changed


@pytest.fixture
def study(small, monkeypatch) -> Study:
    """The small study by this method, which one line registers; in its second phase the decoder alone is trained."""
    monkeypatch.setitem(METHODS, "template", Template)
    asked = {"method.name": "template", "verification.baselines": ["network-mean"], "phases.1.train": "decoder"}
    return changed(small.study, asked)


def test_a_cell_is_the_weighted_sum_of_its_inputs():
    network = LinearField({"calendar": 2, "weather": 1, "geography": 1}, factor=2, start=1.0)
    with torch.no_grad():
        network.offset.fill_(5.0)
        network.weights["calendar"].weight.copy_(torch.tensor([1.0, 2.0]).reshape(1, 2, 1, 1))
        network.weights["weather"].weight.fill_(10.0)
        network.weights["geography"].weight.fill_(0.5)
    weather = torch.zeros(3, 24, 1, 1, 2)
    weather[1, :12, 0, 0, 1] = 0.4  # half of the day, in the eastern of two weather cells: the day's mean is 0.2
    maps = torch.zeros(1, 1, 2, 4)
    maps[0, 0, 1, 3] = 4.0
    calendar = torch.tensor([[0.0, 0.0], [0.0, 0.0], [1.0, -1.0]])
    expected = torch.full((3, 1, 2, 4), 5.0)
    expected[1, 0, :, 2:] += 2.0  # 10 × 0.2
    expected[2] += -1.0  # 1 − 2
    expected[:, 0, 1, 3] += 2.0  # 0.5 × 4
    found = network({"calendar": calendar, "weather": weather, "geography": maps})
    torch.testing.assert_close(found, torch.log1p(torch.exp(expected)))


def test_it_gives_the_start_until_it_is_trained(study):
    network = method("template").network(study, {"weather": 3, "emissions": 1}, start=1.7)
    field = network({"weather": torch.randn(2, 24, 3, 4, 4), "emissions": torch.randn(1, 1, 32, 32)})
    assert field.shape == (2, 1, 32, 32)
    torch.testing.assert_close(field, torch.full_like(field, 1.7))


def test_an_unknown_preset_names_the_nearest(study):
    with pytest.raises(StudyError, match=r"template has no preset 'smal'\. nearest: 'small'"):
        method("template").network(changed(study, {"method.preset": "smal"}), {"weather": 3}, start=1.0)


def test_it_is_not_registered():
    with pytest.raises(StudyError, match="there is no method 'template'"):
        method("template")


def test_from_files_to_scores(study, small, tmp_path):
    run = Run(study, small.data, tmp_path / "run", workers=1)
    run.prepare()
    logs = run.train()
    assert [len(log) for log in logs.values()] == [2, 2]
    run.predict()
    field = read(tmp_path / "run" / "fields" / "phase-3.zarr")["no2"].to_numpy()
    assert field.shape[1:] == (32, 32)
    assert np.isfinite(field).all()
    assert (field > 0).all()
    rows = [r for r in run.evaluate()["rows"] if r["model"] == "template" and r["stratum"] == "all"]
    assert {r["phase"] for r in rows} == {2, 3}
    # 39 days of 2023, one of them without weather, at two withheld stations
    assert {r["n"] for r in rows if r["target"] == "withheld"} == {76}
