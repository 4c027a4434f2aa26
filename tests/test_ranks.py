"""Ranks that train and predict together give what one process gives."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from airloom.errors import StudyError
from airloom.grid import Tile
from airloom.learn.ranks import ALONE, Ranks, joined, require_alone
from airloom.study import load
from tests.trainers import TILES, dacno2, linear, phase, quiet, same, trainer

ROOT = Path(__file__).parents[1]


def start(code: str, size: int, folder: Path) -> None:
    """Run a script as so many ranks, as torchrun would start them, and wait for all."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    path = os.pathsep.join([str(ROOT), *sys.path])  # the airloom of this process, wherever it is
    shared = {"WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(folder)],
            env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank), "PYTHONPATH": path},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(size)
    ]
    told = [rank.communicate(timeout=300)[1] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0] * size, told


TRAIN = """
import os, signal, sys
from pathlib import Path
import torch
from airloom.learn.ranks import joined
from airloom.learn.stop import Stopped
from tests.test_ranks import ASKED, NETWORKS, THREE, trained
from tests.trainers import dacno2, linear, trainer

def stop(what, done, total):
    if done == 4 and ranks.rank == 1:
        os.kill(os.getpid(), signal.SIGTERM)

def stop_in_validation(network, *_):
    if ranks.rank == 1 and not network.training:
        os.kill(os.getpid(), signal.SIGTERM)

with joined() as ranks:
    for name in NETWORKS:
        folder = Path(sys.argv[1]) / name
        torch.save(trained(folder, name, ranks), folder / f"taken-{ranks.rank}.pt")
    folder = Path(sys.argv[1]) / "stopped"
    try:
        trainer(folder, ASKED, ranks=ranks).run(stop)
    except Stopped as stopped:
        (folder / f"told-{ranks.rank}").write_text(str(stopped))
    trainer(folder, ASKED, ranks=ranks).run(lambda *_: None)
    trainer(Path(sys.argv[1]) / "three", ASKED, linear(), tiles=THREE, ranks=ranks).run(lambda *_: None)
    folder, network = Path(sys.argv[1]) / "checked", linear()
    network.register_forward_hook(stop_in_validation)
    try:
        trainer(folder, ASKED, network, tiles=THREE, ranks=ranks).run(lambda *_: None)
    except Stopped as stopped:
        (folder / f"told-{ranks.rank}").write_text(str(stopped))
    trainer(folder, ASKED, linear(), tiles=THREE, ranks=ranks).run(lambda *_: None)
"""
NETWORKS = {"linear": linear, "dacno2": dacno2}
ASKED = phase(epochs=2, batch=2, accumulate=2)
THREE = [*TILES, Tile(0, 4, 12)]  # one batch of each validates: two are the first rank's
STEPS = 8  # eight days of two tiles, two a micro-batch, two micro-batches a step, two epochs


def trained(folder: Path, name: str, ranks: Ranks) -> list[list[torch.Tensor]]:
    """The gradients of each step of a phase."""
    network, taken = NETWORKS[name](), []
    made = trainer(folder, ASKED, network, ranks=ranks)
    step = made.optimiser.step
    made.optimiser.step = lambda: (taken.append([p.grad.clone() for p in network.parameters()]), step())
    made.run(quiet)
    return taken


def near(found: Iterable[torch.Tensor], expected: Iterable[torch.Tensor]) -> None:
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> Path:
    """What two ranks leave behind."""
    folder = tmp_path_factory.mktemp("two")
    start(TRAIN, 2, folder)
    return folder


@pytest.mark.parametrize("name", NETWORKS)
def test_two_ranks_take_the_steps_of_one_process_that_accumulates(two, tmp_path, name):
    expected = trained(tmp_path, name, ALONE)
    assert len(expected) == STEPS
    taken = [torch.load(two / name / f"taken-{rank}.pt") for rank in range(2)]
    for first, second, alone in zip(*taken, expected, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
        near(first, alone)
    near(*(load_file(folder / "best.safetensors").values() for folder in (two / name, tmp_path)))


def test_where_one_rank_is_asked_to_stop_all_stop_after_the_same_step_and_go_on_to_the_bit(two):
    told = [(two / "stopped" / f"told-{rank}").read_text() for rank in range(2)]
    assert told == ["phase 2: stopped in epoch 1; the same command goes on."] * 2
    one, other = (load_file(two / name / "best.safetensors") for name in ("stopped", "dacno2"))
    assert same(one, other)


def test_where_the_rank_with_fewer_batches_to_validate_is_asked_to_stop_all_stop_there(two):
    told = [(two / "checked" / f"told-{rank}").read_text() for rank in range(2)]
    assert told == ["phase 2: stopped in epoch 1; the same command goes on."] * 2
    one, other = (load_file(two / name / "best.safetensors") for name in ("checked", "three"))
    assert same(one, other)


def test_micro_batches_that_cannot_be_shared_evenly_are_refused(tmp_path):
    with pytest.raises(StudyError, match="3 ranks cannot share 2 micro-batches a step evenly"):
        trainer(tmp_path, ASKED, ranks=Ranks(0, 3))


def test_the_scripts_of_the_documentation_share_the_published_step(tmp_path):
    page = (ROOT / "docs" / "many-machines.md").read_text(encoding="utf-8")
    batch, accumulate = (
        set(map(int, re.findall(rf"phases\.\$phase\.{key}=(\d+)", page))) for key in ("batch", "accumulate")
    )
    for published in load(ROOT / "studies" / "western-europe.yaml").phases:
        assert {b * a for b in batch for a in accumulate} == {published.batch * published.accumulate} == {56}
    for size in (4, 8):  # one node, and two, of four devices
        trainer(tmp_path, phase(accumulate=min(accumulate)), linear(), ranks=Ranks(0, size))


@given(items=st.integers(0, 40), size=st.integers(1, 9))
def test_every_item_is_one_ranks(items, size):
    shares = [Ranks(rank, size).share(range(items)) for rank in range(size)]
    assert sorted(i for share in shares for i in share) == list(range(items))


def test_a_verb_that_works_alone_refuses_to_be_started_twice(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(StudyError, match="2 processes were started for what one does alone"):
        require_alone()
    monkeypatch.delenv("WORLD_SIZE")
    require_alone()
    with joined() as ranks:
        assert ranks == ALONE
