"""What stands at each training station and no map tells of, so that a network does not learn it; not in paper 000.

A station's street or instrument makes its values higher or lower than its cell's, on all days alike. With hundreds of days of a
hundred stations a network learns each by heart, and says the like wherever maps look alike. As in a mixed model that part is the
station's own: it is told by the model that the phase starts from, and taken from the station's values before they teach.
"""

from collections.abc import Sequence

import numpy as np
from torch import nn

from airloom.grid import Tile
from airloom.learn.batches import Reader
from airloom.learn.objective import told_by
from airloom.learn.sets import Sets
from airloom.progress import Progress
from airloom.stats.sample import evenly
from airloom.stats.standing import log_ratio, told_by_maps, two_way

SAMPLED = 48  # days of training, evenly drawn; a station's mean over them is known to a tenth of what a day brings


def own_shares(
    former: nn.Module, reader: Reader, tiles: Sequence[Tile], sets: Sets, name: str, progress: Progress
) -> np.ndarray:
    """Mean log ratio of observed to predicted at each training station, less what the maps tell of it, on (station,); 0 where a
    station has no value. The same however often it is asked for.

    Arguments:
        former: the model that the phase starts from.
        reader: reads its inputs.
        tiles: windows of the grid.
        sets: whose training values are looked at, no others.
        name: how messages call the phase.
        progress: told of tiles done.
    """
    days = evenly(np.flatnonzero(sets.train_days), SAMPLED)
    cube = reader.cube
    row, column = (cube.stations.table[n].to_numpy() for n in ("row", "column"))
    observed = np.where(sets.train[days], cube.stations.daily.to_numpy()[days], np.nan)
    taught = np.isfinite(observed).any(0)
    predicted = np.full(observed.shape, np.nan)
    cells = np.stack([row, column], 1)[taught]
    predicted[:, taught] = _at(former, reader, tiles, days, cells, f"stations' own shares for {name}, tile", progress)
    ratio = log_ratio(observed, predicted)
    own = two_way(ratio)
    return np.nan_to_num(own - told_by_maps(own, np.isfinite(ratio).sum(0), cube, row, column)[row, column])


def _at(
    former: nn.Module,
    reader: Reader,
    tiles: Sequence[Tile],
    days: np.ndarray,
    cells: np.ndarray,
    what: str,
    progress: Progress,
) -> np.ndarray:
    """The former model's ground level [µg m⁻³] in some cells, (cell, row and column), each from the tile that it is deepest in; on
    (day, cell).
    """
    within = np.stack([cells - (t.row, t.column) for t in tiles])  # (tile, cell, 2)
    beyond = np.array([t.size - 1 for t in tiles])[:, None, None] - within
    chosen = np.minimum(within, beyond).min(2).argmax(0)
    found = np.empty((len(days), len(cells)))
    wanted = [t for i, t in enumerate(tiles) if i in chosen]
    for tile, block, told in told_by(former, reader, wanted, days, what, progress):
        mine = np.flatnonzero(chosen == tiles.index(tile))
        row, column = (cells[mine] - (tile.row, tile.column)).T
        found[block, mine] = told[:, 0, row, column].float().cpu().numpy()
    return found * reader.normaliser.unit / reader.normaliser.levels[0]
