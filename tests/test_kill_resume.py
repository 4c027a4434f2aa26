"""The benchmark that kills runs, on the small study."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_a_run_that_is_killed_ends_as_if_nothing_had_happened(tmp_path):
    script = Path(__file__).parents[1] / "benchmarks" / "kill_resume.py"
    out = tmp_path / "found.json"
    subprocess.run([sys.executable, script, "--small", "--kills", "3", "--seed", "1", "--out", out], check=True)
    found = json.loads(out.read_text())
    assert found["kills"] == 3
    assert found["compared"] > 300
    assert found["different"] == found["broken_files"] == []
