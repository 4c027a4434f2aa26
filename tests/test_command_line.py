"""The command line on the small study: what verbs take, tell and refuse."""

import re

import pytest

from tests.folders import files, lasting
from tests.small import STAGES

pytestmark = pytest.mark.filterwarnings("ignore:Cyclopts application invoked without tokens")


def test_check_tells_stations_dates_and_cost_and_writes_nothing(airloom, small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = files(small.data)
    code, out, _ = airloom("check", small.path, "--data", small.data)
    assert code == 0
    assert "weather: 3 files" in out
    assert "2022-12-01T00 … 2023-02-09T00" in out
    assert "stations: 6 cells, 2 withheld, 420 daily values" in out  # 70 days × 6
    assert "2022: 124 values to train on, 62 withheld" in out  # 31 days × 4 and × 2
    assert "type traffic is not used" in out
    assert re.search(r"estimate: \d+ min \(prepare .*; not counted: writing NetCDF, evaluate, report\), \d+ MB of disk", out)
    assert "of disk" in out
    assert files(small.data) == before
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("verb", ["check", "run", *STAGES])
def test_help_teaches(airloom, verb):
    code, out, _ = airloom(verb, "--help")
    assert code == 0
    assert "studies/madrid.yaml" in out
    assert "AIRLOOM_DATA" in out
    assert "--set seed=1" in out
    assert "--empty" not in out
    _, every, _ = airloom("--help")
    assert verb in every


def test_set_changes_the_study(airloom, small):
    words = ["--set", "stations.split.withheld=[works]", "--set", "stations.use=[background, industrial, traffic]"]
    code, out, _ = airloom("check", small.path, "--data", small.data, *words)
    assert code == 0
    assert "stations: 7 cells, 1 withheld" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--set", "sed=1"], "'sed' is not a key there. nearest: 'seed'"),
        (["--set", "phases.0.epoch=1"], "'epoch' is not a key there. nearest: 'epochs'"),
        (["--set", "phases.7.epochs=1"], "'7' is not a key there. valid: 0, 1"),
        (["--set", "seed"], "expected KEY=VALUE"),
        (["--set", "seed=winter"], "found 'winter'"),
        (["--set", "stations.split.withheld=[centr]"], "no station is called 'centr'; nearest: 'centre'"),
    ],
)
def test_set_refuses_what_does_not_fit(airloom, small, words, message):
    code, out, err = airloom("check", small.path, "--data", small.data, *words)
    assert code == 1
    assert message in err
    assert "Traceback" not in out + err


def test_without_a_data_folder_the_message_says_what_to_do(airloom, small, monkeypatch, tmp_path):
    monkeypatch.delenv("AIRLOOM_DATA", raising=False)
    code, _, err = airloom("prepare", small.path)
    assert code == 1
    for word in ("AIRLOOM_DATA", "--data", "weather/*.nc", "observed.csv"):
        assert word in err
    monkeypatch.setenv("AIRLOOM_DATA", str(tmp_path / "nowhere"))
    err = airloom("prepare", small.path)[2]  # a long path may break the line after it
    assert "nowhere" in err
    assert "there is no such folder" in err
    monkeypatch.setenv("AIRLOOM_DATA", str(small.data))
    assert airloom("check", small.path)[0] == 0


def test_the_verbs_one_by_one(airloom, copy, small):
    before = lasting(copy.folder.parent)
    for verb, told in zip(STAGES, ("small-", "small", "small.nc", "dacno2, phase 3", "report.html"), strict=True):
        code, out, err = airloom(verb, small.path, "--data", small.data, "--folder", copy.folder, "--workers", 1)
        assert code == 0, err
        assert told in out
    assert lasting(copy.folder.parent) == before


def test_errors_end_without_a_traceback(airloom, small, tmp_path):
    code, out, err = airloom("train", small.path, "--data", small.data, "--folder", tmp_path / "runs" / "small")
    assert (code, out) == (1, "")
    assert "StudyError" in err
    assert "Traceback" not in err
