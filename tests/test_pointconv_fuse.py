"""Fields straight from tables of sensors."""

import os
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import xarray as xr
from torch import nn

from airloom.cli import app
from airloom.errors import CheckpointError, DataError, StudyError
from airloom.grid import Grid
from airloom.infer.cf import field_dataset
from airloom.infer.fields import write_netcdf
from airloom.ledger import Ledger
from airloom.methods.pointconv import live
from airloom.methods.pointconv.effect import KINDS, PlaceEffect
from airloom.methods.pointconv.fuse import Adapted
from airloom.methods.pointconv.live import fuse, new_tables
from airloom.methods.pointconv.method import network_of
from airloom.methods.pointconv.model import Model
from airloom.methods.pointconv.sensors import on_cells, read_sensors
from airloom.methods.pointconv.study import FusionStudy
from airloom.verify.intervals import Calibration
from tests.test_pointconv_run import STUDY

GRID = Grid.around(10.3, 51.2, cell=10000, shape=(32, 32))


def table(number: int = 12, **columns) -> pl.DataFrame:
    """Sensors of one day, one a cell along a diagonal, with values about 20."""
    lon, lat = (a[np.arange(number), np.arange(number)] for a in GRID.lonlat())
    plain = {"time": ["2023-01-20 13:00"] * number, "lon": lon, "lat": lat, "value": 20.0 + np.arange(number) % 3}
    return pl.DataFrame({**plain, "sensor": [f"S{n}" for n in range(number)], **columns})


def read(tmp_path, content: pl.DataFrame, variables=("pm10",)) -> tuple[pl.DataFrame, Ledger]:
    path, ledger = tmp_path / "sensors.csv", Ledger()
    content.write_csv(path)
    return read_sensors([path], GRID, dict.fromkeys(variables, (-1, 1000)), ledger), ledger


def values(number: int, **changed: float) -> np.ndarray:
    found = 20.0 + np.arange(number) % 3
    for at, value in changed.items():
        found[int(at[1:])] = value
    return found


def gridded(rows: pl.DataFrame, variables=("pm10",)) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Days, and values and weights on (variable, day, y, x)."""
    days, observed = on_cells(rows, variables)
    return days, *(np.stack(a) for a in zip(*(o.on_grid(np.arange(len(days)), GRID.shape) for o in observed), strict=True))


def test_sensors_find_their_cells(tmp_path):
    rows, ledger = read(tmp_path, table())
    days, found, weights = gridded(rows)
    assert days.tolist() == [np.datetime64("2023-01-20").item()]
    np.testing.assert_allclose(found[0, 0][np.arange(12), np.arange(12)], values(12))
    assert weights.sum() == 12
    assert not ledger.entries


def test_what_lies_outside_the_grid_or_is_no_number_is_named(tmp_path):
    content = table(value=values(12, _3=np.nan)).with_columns(
        lon=pl.when(pl.col("sensor") == "S5").then(90.0).otherwise("lon")
    )
    rows, ledger = read(tmp_path, content)
    assert len(rows) == 10
    assert {(e.what, e.why) for e in ledger.entries} == {("S3", "no finite number"), ("S5", "outside the grid")}


def test_none_on_the_grid_is_an_error_that_asks_after_the_order(tmp_path):
    content = table().rename({"lon": "lat", "lat": "lon"})
    with pytest.raises(DataError, match=r"none of its values lies on the model's grid.*Are lon and lat in degrees"):
        read(tmp_path, content)


def test_a_sensor_ten_times_too_high_is_left_out_and_named(tmp_path):
    rows, ledger = read(tmp_path, table(value=values(12, _4=210.0)))
    assert [e.what for e in ledger.entries] == ["S4"]
    assert "broken?" in ledger.entries[0].why
    assert "S4" not in rows["sensor"].to_list()


@pytest.mark.parametrize("hours", [2, 24])
def test_a_broken_sensor_is_found_among_hourly_rows_as_well(tmp_path, hours):
    day = [table(value=values(12, _4=210.0)).with_columns(time=pl.lit(f"2023-01-20 {hour:02}:00")) for hour in range(hours)]
    rows, ledger = read(tmp_path, pl.concat(day))
    assert [(e.what, e.count) for e in ledger.entries] == [("S4", hours)]
    assert len(rows) == 11 * hours


def test_hourly_rows_without_names_are_compared_by_cell(tmp_path):
    day = [
        table(value=values(12, _4=210.0)).drop("sensor").with_columns(time=pl.lit(f"2023-01-20 {h:02}:00")) for h in range(3)
    ]
    rows, ledger = read(tmp_path, pl.concat(day))
    assert [e.count for e in ledger.entries] == [3]
    assert 210.0 not in rows["value"]


def test_a_sensor_whose_name_is_blank_counts_as_nameless(tmp_path):
    names = [None, *(f"S{n}" for n in range(1, 12))]
    rows, ledger = read(tmp_path, table(sensor=names, network=names))
    assert len(rows) == 12
    assert not ledger.entries


def test_a_moving_sensor_is_no_neighbour_of_its_own(tmp_path):
    moving = table(sensor=["bus"] * 12, value=[210.0] * 12)
    still = table(20)[12:].with_columns(value=pl.lit(20.0))
    rows, ledger = read(tmp_path, pl.concat([moving, still]))
    assert [(e.what, e.count) for e in ledger.entries] == [("bus", 12)]
    assert len(rows) == 8


def test_what_cannot_be_is_left_out_and_named(tmp_path):
    rows, ledger = read(tmp_path, table(value=values(12, _3=-999.0, _5=9999.0)))
    assert {e.what: e.why for e in ledger.entries} == dict.fromkeys(("S3", "S5"), "not between -1 and 1000")
    assert len(rows) == 10


def test_a_row_that_does_not_say_its_variable_is_counted(tmp_path):
    rows, ledger = read(tmp_path, table(variable=["pm10"] * 11 + [None]), ("pm10", "wind"))
    assert [(e.what, e.why) for e in ledger.entries] == [("S11", "of a variable that the model does not know")]
    assert len(rows) == 11


def test_a_negative_error_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"sensors\.csv: an error of -2"):
        read(tmp_path, table(error=[-2.0] * 12))


def test_a_plume_that_several_sensors_see_stays(tmp_path):
    _, ledger = read(tmp_path, table(value=values(12, _4=210.0, _5=200.0)))
    assert not ledger.entries


def test_two_networks_with_different_units_are_refused(tmp_path):
    content = table(network=["city"] * 6 + ["lab"] * 6, value=np.r_[values(6), values(6) / 1000])
    with pytest.raises(DataError, match=r"pm10: network 'city' has 2.* where network 'lab' has 0\.02.*one unit"):
        read(tmp_path, content)


def test_files_without_networks_are_networks(tmp_path):
    for name, factor in (("city", 1.0), ("lab", 0.001)):
        table(value=factor * values(12)).write_csv(tmp_path / f"{name}.csv")
    with pytest.raises(DataError, match=r"network 'city\.csv' has 2.* where network 'lab\.csv' has 0\.02"):
        read_sensors([tmp_path / "city.csv", tmp_path / "lab.csv"], GRID, {"pm10": (-1, 1000)}, Ledger())


def test_a_poor_sensor_does_not_become_exact_by_many_rows(tmp_path):
    one = table(3, error=[2.0] * 3)
    rows, _ = read(tmp_path, one)
    many, _ = read(tmp_path, pl.concat([one.with_columns(time=pl.lit(f"2023-01-20 {hour:02}:00")) for hour in range(24)]))
    np.testing.assert_allclose(gridded(many)[2], gridded(rows)[2])


def test_sensors_of_a_cell_are_averaged_by_their_precision_and_err_with_less_weight(tmp_path):
    two = table(2, value=[10.0, 40.0], error=[1.0, 2.0]).with_columns(
        lon=pl.lit(table(1)["lon"][0]), lat=pl.lit(table(1)["lat"][0])
    )
    other = table(3)[2:].with_columns(error=pl.lit(0.0))
    rows, _ = read(tmp_path, pl.concat([two, other.select(two.columns)]))
    _, found, weights = gridded(rows)
    assert found[0, 0, 0, 0] == pytest.approx((10 / 1 + 40 / 4) / (1 / 1 + 1 / 4), rel=1e-4)  # 16
    spread = np.std([16, 22], ddof=1)
    assert weights[0, 0, 0, 0] == pytest.approx(1 / (1 + 0.8 / spread**2), rel=1e-3)  # error² = 1 / (1 + 1/4)
    assert weights[0, 0, 2, 2] == 1


def test_several_variables_need_a_column_that_tells_them_apart(tmp_path):
    with pytest.raises(DataError, match="variable"):
        read(tmp_path, table(), ("pm10", "wind"))
    rows, _ = read(tmp_path, table(variable=["pm10"] * 6 + ["wind"] * 6), ("pm10", "wind"))
    assert gridded(rows, ("pm10", "wind"))[2].sum((1, 2, 3)).tolist() == [6, 6]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """One that was never trained: the fields are those of its point convolution."""
    study = FusionStudy.model_validate({**STUDY, "practice": {"stations": [8, 20], "window": 32}})
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    calibration = Calibration((0.0, 0.5, -0.1), ((-0.5, 0.5), (-1.0, 1.0), (-2.0, 2.5)), 0.1)
    Model(study, network_of(study), np.zeros((2, 32, 32), np.float32), calibration=calibration).save(path)
    return path


def test_from_the_command_line_to_a_file_with_its_coverage(model, tmp_path, capsys):
    table().write_csv(tmp_path / "day.csv")
    call = ["fuse", str(model), str(tmp_path / "day.csv"), "--out", str(tmp_path / "fused.nc")]
    app(call, exit_on_error=False, result_action="return_value")
    assert capsys.readouterr().out.strip() == str(tmp_path / "fused.nc")
    with xr.open_dataset(tmp_path / "fused.nc") as found:
        assert found["pm10"].shape == found["coverage"].shape == (1, 32, 32)
        assert found["pm10"].values[0, 5, 5] == pytest.approx(21, abs=3)
        assert found["coverage"].values[0, 5, 5] > 0.4
        assert bool((found["pm10_low"] < found["pm10"]).all())
        assert bool((found["pm10_high"] > found["pm10"]).all())


def test_one_sensor_alone_makes_a_field(model, tmp_path):
    table(1).write_csv(tmp_path / "day.csv")
    fuse(Model.load(model), [tmp_path / "day.csv"], tmp_path / "fused.nc")
    with xr.open_dataset(tmp_path / "fused.nc") as found:
        np.testing.assert_allclose(found["pm10"].values, 20, rtol=0.2)


def test_no_day_is_an_error(model, tmp_path):
    from datetime import date

    table().write_csv(tmp_path / "day.csv")
    with pytest.raises(DataError, match="no value of pm10 between 2024-01-01"):
        fuse(Model.load(model), [tmp_path / "day.csv"], tmp_path / "fused.nc", first=date(2024, 1, 1))


def background(path, change: float | np.ndarray = 50.0, *, name: str = "pm10", grid: Grid = GRID):
    """A field on the model's grid."""
    days = np.array(["2023-01-20"], "datetime64[D]")
    field = np.full((1, *GRID.shape), change, np.float32)
    write_netcdf(
        field_dataset(field, grid=grid, days=days, pollutant=name, attrs={"title": "before", "source": "a test"}), path
    )
    return path


def test_a_departure_does_not_reach_beyond_its_sensors(model, tmp_path):
    table(1, value=[90.0]).write_csv(tmp_path / "day.csv")
    path = background(tmp_path / "before.nc")
    fuse(Model.load(model), [tmp_path / "day.csv"], tmp_path / "fused.nc", background=path)
    with xr.open_dataset(tmp_path / "fused.nc") as found:
        field, known = found["pm10"].values[0], found["coverage"].values[0]
        assert field[0, 0] == pytest.approx(90, rel=0.2)
        np.testing.assert_allclose(field[known < 0.01], 50, atol=1)
        assert "pm10_low" not in found  # nothing was calibrated with a background


def test_what_places_add_does_not_reach_beyond_sensors_either(model, tmp_path):
    table(1, value=[90.0]).write_csv(tmp_path / "day.csv")
    effect = PlaceEffect(np.zeros((1, 2 + len(KINDS)))).eval()
    nn.init.constant_(effect.layers[-1].bias, 2.0)  # two deviations more, everywhere
    adapted = replace(Model.load(model), adapted=Adapted(effect, np.zeros((2, *GRID.shape), np.float32)))
    fuse(adapted, [tmp_path / "day.csv"], tmp_path / "fused.nc", background=background(tmp_path / "before.nc"))
    with xr.open_dataset(tmp_path / "fused.nc") as found:
        far = found["coverage"].values[0] < 0.01
        np.testing.assert_allclose(found["pm10"].values[0][far], 50, atol=1)


def test_where_the_background_is_unknown_the_field_is_and_the_rest_stays(model, tmp_path):
    table(value=np.full(12, 60.0)).write_csv(tmp_path / "day.csv")
    holes = np.full(GRID.shape, 50.0)
    holes[3, 3] = np.nan
    path = background(tmp_path / "before.nc", holes)
    fuse(Model.load(model), [tmp_path / "day.csv"], tmp_path / "fused.nc", background=path)
    with xr.open_dataset(tmp_path / "fused.nc") as found:
        assert np.isnan(found["pm10"].values[0]).sum() == 1
        assert found["pm10"].values[0, 5, 5] == pytest.approx(60, rel=0.1)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"name": "no2"}, r"before\.nc: holds no2 and no pm10"),
        ({"grid": Grid.around(11.3, 51.2, cell=10000, shape=(32, 32))}, r"before\.nc: lies on other cells than the model"),
    ],
)
def test_a_background_of_another_kind_is_refused(model, tmp_path, wrong, message):
    table().write_csv(tmp_path / "day.csv")
    path = background(tmp_path / "before.nc", **wrong)
    with pytest.raises(DataError, match=message):
        fuse(Model.load(model), [tmp_path / "day.csv"], tmp_path / "fused.nc", background=path)


def test_a_file_that_is_no_model_is_refused(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"nothing of the kind")
    with pytest.raises(CheckpointError, match="no model that can be read"):
        Model.load(tmp_path)


def test_a_watched_folder_gives_each_table_once_and_again_when_it_changes(tmp_path, monkeypatch):
    import os

    naps = []
    monkeypatch.setattr(live.time, "sleep", naps.append)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.csv").write_text("x")
    (tmp_path / "in" / "notes.txt").write_text("x")
    os.utime(tmp_path / "in" / "a.csv", (1e9, 1e9))
    found = new_tables(tmp_path / "in", tmp_path / "out")
    assert next(found) == (tmp_path / "in" / "a.csv", tmp_path / "out" / "a.nc")
    (tmp_path / "in" / "b.parquet").write_text("x")
    os.utime(tmp_path / "in" / "b.parquet", (1e9, 1e9))
    assert next(found)[0].name == "b.parquet"
    os.utime(tmp_path / "in" / "a.csv", (1.1e9, 1.1e9))
    assert next(found)[0].name == "a.csv"
    assert naps


def test_what_is_watched_is_one_folder(model, tmp_path):
    table().write_csv(tmp_path / "day.csv")
    call = ["fuse", str(model), str(tmp_path / "day.csv"), "--watch"]
    with pytest.raises(StudyError, match="--watch: waits for tables in one folder"):
        app(call, exit_on_error=False, result_action="return_value")


def test_a_broken_table_does_not_end_the_watch(model, tmp_path, monkeypatch, capsys):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.csv").write_text("nothing of the kind")
    table().write_csv(tmp_path / "in" / "b.csv")
    for name in ("a.csv", "b.csv"):
        os.utime(tmp_path / "in" / name, (1e9, 1e9))

    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(live.time, "sleep", interrupt)
    call = ["fuse", str(model), str(tmp_path / "in"), "--watch", "--out", str(tmp_path / "out")]
    app(call, exit_on_error=False, result_action="return_value")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["b.nc"]


def test_days_are_chosen(model, tmp_path):
    days = [table().with_columns(time=pl.lit(f"2023-01-{day}")) for day in (19, 20, 21)]
    pl.concat(days).write_csv(tmp_path / "days.csv")
    words = ["--out", str(tmp_path / "fused.nc"), "--start", "2023-01-20", "--end", "2023-01-20"]
    app(["fuse", str(model), str(tmp_path / "days.csv"), *words], exit_on_error=False, result_action="return_value")
    with xr.open_dataset(tmp_path / "fused.nc") as found:
        assert found["time"].dt.day.values.tolist() == [20]


def test_a_moving_sensor_speaks_in_each_of_its_cells(tmp_path):
    rows, _ = read(tmp_path, table(sensor=["bus"] * 12))
    assert gridded(rows)[2].sum() == 12


def test_tables_of_one_day_and_other_towns_do_not_share_a_field(tmp_path):
    for name in ("rome.2023-01-20.csv", "rome.2023-01-21.csv.gz"):
        (tmp_path / name).write_text("")
        os.utime(tmp_path / name, (0, 0))
    found = new_tables(tmp_path, tmp_path / "out")
    assert [next(found)[1].name for _ in range(2)] == ["rome.2023-01-20.nc", "rome.2023-01-21.nc"]
