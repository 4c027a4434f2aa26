"""A phase's trainer on the cube in memory, and a reader that notes what it is asked for."""

import numpy as np
import torch

from airloom.grid import Tile
from airloom.learn.batches import Normaliser, Reader
from airloom.learn.mirror import AS_IT_IS
from airloom.learn.ranks import ALONE
from airloom.learn.sets import Sets
from airloom.learn.train import PhaseTrainer
from airloom.methods.dacno2.network import DACNO2, Widths
from airloom.methods.template import LinearField
from airloom.parts import Phase, Validation
from tests.memory_cube import FACTOR, memory_cube

CHANNELS = {"calendar": 2, "weather": 2, "emissions": 1, "geography": 2}
TILES = [Tile(0, 0, 16), Tile(4, 4, 12)]
IN_2020, WITHHELD = np.arange(20), 3
TRAINING = np.array([0, 1, 2, 4, 5])
TIMES, STATIONS = 40, 6  # of the cube in memory


def among(total, chosen) -> np.ndarray:
    """Bool on (total,), true at `chosen`."""
    return np.isin(np.arange(total), chosen)


DAYS = among(TIMES, range(8)), among(TIMES, range(8, 12))
FEW = Sets(*(np.outer(days, among(STATIONS, TRAINING)) for days in DAYS), *DAYS)


def quiet(what, done, total):
    pass


class Recorder:
    """Reads as a Reader does, and notes what was asked for."""

    def __init__(self, cube=None):
        clean = memory_cube()  # statistics of the whole values, whatever a test did to the cube
        self.normaliser = Normaliser.of(clean, [2020], np.arange(6) != WITHHELD)
        self.inner = Reader(cube or clean, self.normaliser, FACTOR)
        self.cube, self.factor, self.chemistry_factor, self.levels = self.inner.cube, FACTOR, 1, self.inner.levels
        self.asked, self.mirrors = [], []

    def read(self, days, tile, seen=None, *, chemistry=False, mirror=AS_IT_IS, own=None):
        self.asked.append((days.tolist(), tile, seen))
        self.mirrors.append(mirror)
        return self.inner.read(days, tile, seen, chemistry=chemistry, mirror=mirror, own=own)


def phase(**changes) -> Phase:
    return Phase(**({"number": 2, "years": (2020,), "start_from": "scratch", "epochs": 2, "batch": 4} | changes))


def dacno2(dropout=0.2) -> DACNO2:
    torch.manual_seed(0)
    widths = Widths(encoder=(5, 5), upper=(3, 3), decoder=(4, 4), embedding=2)
    return DACNO2(CHANNELS, levels=1, scales=2, widths=widths, dropout=dropout, start=3.0)


def linear() -> LinearField:
    return LinearField(CHANNELS, factor=FACTOR, start=3.0)


def trainer(
    folder, asked: Phase, network=None, *, former=None, reader=None, tiles=TILES, sets=FEW, study="abc", ranks=ALONE
):
    return PhaseTrainer(
        asked,
        network or dacno2(),
        former,
        reader or Recorder(),
        tiles,
        sets,
        study=study,
        seed=0,
        folder=folder,
        name="phase 2",
        ranks=ranks,
    )


def same(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def split(by, fraction, *, days=IN_2020, number=2, seed=0) -> Sets:
    asked = phase(number=number, validation=Validation(by=by, fraction=fraction))
    return Sets.of(asked, among(TIMES, days), among(STATIONS, TRAINING), seed)
