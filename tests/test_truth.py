"""A twin's truth as it is read for scoring: daily means, or means of the hours that it keeps."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from airloom.errors import DataError
from airloom.grid import Grid
from airloom.verify.days import predicted, truth

GRID = Grid.around(4, 51, cell=2000, shape=(2, 2))
DAYS = np.array(["2019-01-01", "2019-01-02"], "datetime64[D]")


def written(folder: Path, *, hours: bool = True) -> list[Path]:
    """Two heights in 2 × 2 cells: the first day is 1 at the ground, its hours 11, 12 and 13 are 4, 6 and 11; above, a tenth."""
    fall = np.array([1, 0.1])[:, None, None] * np.ones((2, 2, 2))
    file = xr.Dataset(
        {"no2": (("time", "height", "y", "x"), fall[None])},
        {"time": DAYS[:1].astype("datetime64[ns]"), "height": [0.0, 50.0], "y": GRID.y, "x": GRID.x},
    )
    if hours:
        values = np.array([4, 6, 11])[:, None, None, None] * fall
        file = file.assign_coords(hour=[11, 12, 13]).assign(no2_hours=(("time", "hour", "height", "y", "x"), values[None]))
    file.to_netcdf(folder / "2019-01.nc", engine="netcdf4")
    return [folder / "2019-01.nc"]


def read(paths: list[Path], *hours: int) -> np.ndarray:
    """Both days on (time, level)."""
    day = truth(paths, GRID, (0, 50), DAYS, "no2", *([hours] if hours else []))
    return np.stack([day(i)[:, 0, 0] for i in range(2)])


@pytest.mark.parametrize("hours", [True, False], ids=["with hours", "of an earlier twin"])
def test_the_daily_mean(tmp_path, hours):
    np.testing.assert_allclose(read(written(tmp_path, hours=hours)), [[1, 0.1], [np.nan, np.nan]])


def test_means_of_hours_that_are_kept(tmp_path):
    # (4 + 6) / 2 and (4 + 6 + 11) / 3
    paths = written(tmp_path)
    np.testing.assert_allclose(read(paths, 11, 13)[0], [5, 0.5])
    np.testing.assert_allclose(read(paths, 11, 14)[0], [7, 0.7])


def test_hours_that_are_not_there_are_refused(tmp_path):
    with pytest.raises(
        DataError, match=r"2019-01.nc: holds the daily mean and the hours 11, 12, 13, and not the 10:00 to 13:00"
    ):
        read(written(tmp_path), 10, 13)
    with pytest.raises(
        DataError, match=r"holds the daily mean alone, and not the 11:00 to 13:00 UTC mean\. Make the twin anew"
    ):
        read(written(tmp_path, hours=False), 11, 13)


def test_a_predicted_mean_that_begins_within_the_day_is_found_by_the_day():
    times = DAYS.astype("datetime64[ns]") + np.timedelta64(11, "h")
    field = xr.Dataset({"no2": (("time", "y", "x"), np.arange(8.0).reshape(2, 2, 2))}, {"time": times})
    assert predicted(field, DAYS, "no2")(1).tolist() == [[[4, 5], [6, 7]]]
