"""Benchmarks are found and run by their names."""

import json
import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

ROOT = Path(__file__).parents[1]


@pytest.fixture
def runner(tmp_path, monkeypatch) -> SimpleNamespace:
    """The runner, on a folder with a benchmark of its own."""
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "old.json").write_text("{}")
    text = '"""Add two numbers.\n\nMore words.\n"""\nimport json, sys\nfrom pathlib import Path\nprint("at work")\n'
    text += 'Path(sys.argv[0]).with_name("results").joinpath("adding.json").write_text(json.dumps(sum(map(int, sys.argv[1:]))))\n'
    (tmp_path / "adding.py").write_text(text)
    script = SimpleNamespace(**runpy.run_path(str(ROOT / "benchmarks" / "__main__.py")))
    monkeypatch.setitem(script.main.__globals__, "HERE", tmp_path)
    monkeypatch.setitem(script.main.__globals__, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(sys, "argv", ["benchmarks"])
    monkeypatch.setattr(sys, "path", [*sys.path])
    return script


def test_every_benchmark_says_in_one_line_what_it_measures():
    script = SimpleNamespace(**runpy.run_path(str(ROOT / "benchmarks" / "__main__.py")))
    assert {"network", "madrid", "skill"} <= set(script.names())
    assert all(20 < len(line) < 140 for line in script.names().values())


def test_a_benchmark_runs_with_its_options_and_tells_json_alone(runner, capsys):
    runner.main(["adding", "3", "--json", "4"])
    told = capsys.readouterr()
    assert json.loads(told.out) == 7
    assert told.err == "at work\n"


def test_a_name_that_is_none_lists_those_that_are(runner, capsys):
    with pytest.raises(SystemExit, match="2"):
        runner.main(["subtracting"])
    told = capsys.readouterr()
    assert told.err == "subtracting: there is no such benchmark.\n"
    assert told.out.split() == ["adding", "Add", "two", "numbers."]


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks").glob("[a-z]*.py")), ids=lambda p: p.stem)
def test_every_benchmark_finds_what_it_imports(path, monkeypatch):
    monkeypatch.setattr(sys, "path", [str(path.parent), *sys.path])
    assert callable(runpy.run_path(str(path), run_name="looked at")["main"])


def test_traffic_is_what_each_operation_reads_and_writes():
    from speed import Traffic

    a, b = torch.ones(4, 5), torch.ones(5)
    with Traffic() as moved:
        (a + b).t().sum()
    assert moved.numbers == (20 + 5 + 20) + (20 + 1)  # the sum, written; its transpose is a view; and summed up


@pytest.mark.slow
@pytest.mark.parametrize("name", ["speed", "network", "reading", "growth", "training", "cube"])
def test_a_benchmark_runs_in_small_and_writes_where_it_is_told(name, tmp_path):
    out = tmp_path / "found.json"
    subprocess.run([sys.executable, ROOT / "benchmarks" / f"{name}.py", "--small", "--out", out], check=True, timeout=600)
    found = json.loads(out.read_text())
    assert {"date", "machine", "versions"} < found.keys()
    assert sorted(p.name for p in tmp_path.iterdir()) == [out.name]


@pytest.mark.slow
def test_estimates_of_time_and_memory_stand_beside_what_was_measured(small, tmp_path):
    words = [small.path, tmp_path / "run", "--data", small.data, "--measure", "--out", tmp_path / "found.json"]
    subprocess.run([sys.executable, ROOT / "benchmarks" / "estimates.py", *words], check=True, timeout=600)
    found = json.loads((tmp_path / "found.json").read_text())["small"]
    assert set(found["stages"]) == {"prepare", "train", "predict", "all"}
    memory = found["memory"]
    assert memory["measured_gb"] == max(memory["peaks_gb"].values())
    assert memory["ratio"] == memory["estimated_gb"] / memory["measured_gb"]
