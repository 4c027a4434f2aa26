"""`airloom series`: tables of stations to series without gaps, forecasts, and maps of single hours, with networks that are trained."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
import xarray as xr

from airloom.errors import CheckpointError, DataError, StudyError
from airloom.files import whole
from airloom.ledger import Ledger
from airloom.methods.aqnet import figures
from airloom.methods.aqnet.calibrate import known_of
from airloom.methods.aqnet.learn import Forecasting, Reanalysing
from airloom.methods.aqnet.model import Model
from airloom.methods.aqnet.study import Reanalysis
from airloom.methods.aqnet.tell import forecast, reanalyse
from airloom.progress import Progress, quiet
from airloom.series import Series, screen_series
from airloom.sources.base import METADATA, Column
from airloom.sources.clock import utc
from airloom.sources.registry import HOURLY
from airloom.study import changed

SHOWN = 0.8  # level of the intervals in tables
DRAWN = 4  # stations on a plot
STRETCH = 14 * 24  # hours of filled series on it
CELLS = 40  # of a map's longer edge
AT_ONCE = 200  # of them
RIM = 0.15  # share of the network's extent that a map shows around it


def tell_series(
    run: Path,
    observations: Sequence[Path],
    metadata: Path,
    out: Path,
    *,
    hour: datetime | None = None,
    neighbours: int | None = None,
    progress: Progress = quiet,
) -> Ledger:
    """What the networks of a run tell of tables of stations, which may be others than they learnt from.

    Writes to the folder `out`, as CSV and parquet: `filled-TASK`, every hour of every station with what was observed or told; for each
    forecast task `forecast-TASK`, what comes after the tables' last hour; plots of both; and with `hour` a map of that hour.

    Arguments:
        run: folder of an evaluated run of an `aqnet` study, whose `stations` part says how tables are read.
        observations: tables.
        metadata: where their stations stand.
        out: folder.
        hour: of a map; UTC where it carries no offset.
        neighbours: nearest stations that say something of another, where they are not as many as the study says; maps ask all.
        progress: as everywhere.

    Returns:
        What was left out and why.

    Raises:
        CheckpointError: the run holds no models.
        StudyError: a map is asked of a run without a reanalysis, or less than one neighbour.
        DataError: the tables are broken, have fewer hours than a window, or do not hold the hour.
    """
    models = [Model.load(p) for p in sorted(run.glob("model-*.safetensors"))]
    if not models:
        raise CheckpointError(f"{run}: holds no model-….safetensors. Name the folder of an `aqnet` run that was evaluated.")
    if neighbours is not None:
        models = [replace(m, study=changed(m.study, {"method.neighbours": neighbours})) for m in models]
    if hour is not None and not any(isinstance(m.task, Reanalysis) for m in models):
        names = ", ".join(m.task.name for m in models)
        raise StudyError(
            f"--map: {run} holds {names}, and no reanalysis, which maps need. Leave it out, or name another run."
        )
    series = _read(models[0], observations, metadata)
    longest = max(m.task.window for m in models)
    if len(series.hours) < longest:
        raise DataError(
            f"the tables hold {len(series.hours)} hours, the longest window needs {longest}. Give more of the past."
        )
    for model in models:
        if isinstance(model.task, Reanalysis):
            filled = _filled(model, series, progress)
            _write(filled, out / f"filled-{model.task.name}")
            _plot_filled(filled, series, out / f"filled-{model.task.name}.png")
            if hour is not None:
                _map(model, series, hour, out)
        elif model.task.ahead:
            weather = ", ".join(model.task.ahead)
            series.ledger.out(
                "value", model.task.name, f"not told: needs {weather} of the hours to come, which tables of the past lack", 0
            )
        else:
            last = series.data.isel(time=slice(-model.task.window, None))
            told = _forecast(model, Series(series.table, last, series.ledger), progress)
            _write(told, out / f"forecast-{model.task.name}")
            _plot(model, series, told, out / f"forecast-{model.task.name}.png")
    return series.ledger


def _read(model: Model, observations: Sequence[Path], metadata: Path) -> Series:
    """The tables as the study says, screened over the days that they speak of."""
    part, study = model.study.stations, model.study
    columns = {str(n): Column(v.column, v.units, v.direction) for n, v in part.variables.items()}
    source = HOURLY[part.source]()
    records = source.open(observations, metadata, columns, timezone=part.timezone, marks=part.marks)
    starts = records.hourly["start"].dt.replace_time_zone(None).to_numpy().astype("datetime64[h]")
    first, last = starts.min(), starts.max()
    series = screen_series(records, (first.item().date(), last.item().date()), needed=study.target)
    within = (series.hours >= first) & (series.hours <= last)
    return Series(series.table, series.data.isel(time=within), series.ledger)


def _filled(model: Model, series: Series, progress: Progress) -> pl.DataFrame:
    """Every hour of every station: station, time, value, low, high, and whether it was told."""
    trained = model.over(series, progress=progress)
    assert isinstance(trained.learning, Reanalysing)
    observed = series.data[model.study.target].to_numpy()
    told = reanalyse(trained, range(len(series.hours)), np.zeros(observed.shape, bool))
    low, high = model.calibrations[0].between(SHOWN, told, known_of(observed, trained.learning.known))
    missing = ~np.isfinite(observed)
    return pl.DataFrame(
        {
            "station": np.tile(series.stations, len(series.hours)),
            "time": np.repeat(series.hours.astype("datetime64[us]"), len(series.stations)),
            "value": np.where(missing, told, observed).ravel().astype(float),
            "low": np.where(missing, low, observed).ravel().astype(float),
            "high": np.where(missing, high, observed).ravel().astype(float),
            "told": missing.ravel(),
        }
    )


def _forecast(model: Model, series: Series, progress: Progress) -> pl.DataFrame:
    """What comes after the last hour: station, issued, lead, time (the start of what is told), value, low, high."""
    trained = model.over(series, progress=progress)
    assert isinstance(trained.learning, Forecasting)
    task = trained.learning.task
    last = len(series.hours) - 1
    leads = range(1, task.reach + 1)
    told = forecast(trained, np.array([last]), leads)[0]  # (station, lead)
    ends = [c.between(SHOWN, told[:, i], np.ones(len(told))) for i, c in enumerate(model.calibrations)]
    low, high = (np.stack([e[side] for e in ends], 1) for side in (0, 1))
    begins = series.hours[last] + 1 + (np.array(leads) - 1) * task.length
    return pl.DataFrame(
        {
            "station": np.repeat(series.stations, len(leads)),
            "issued": np.full(told.size, series.hours[last].astype("datetime64[us]")),
            "lead": np.tile(np.array(leads), len(told)),
            "time": np.tile(begins.astype("datetime64[us]"), len(told)),
            **{n: v.ravel().astype(float) for n, v in (("value", told), ("low", low), ("high", high))},
        }
    )


def _write(table: pl.DataFrame, path: Path) -> None:
    """As CSV, to two digits, and as parquet."""
    with whole(path.with_suffix(".parquet")) as aside:
        table.write_parquet(aside)
    with whole(path.with_suffix(".csv")) as aside:
        table.write_csv(aside, float_precision=2)


def _plot(model: Model, series: Series, told: pl.DataFrame, path: Path) -> None:
    """The last days of some stations, and what comes."""
    window = model.task.window
    observed = series.data[model.study.target].to_numpy()[-window:, :DRAWN]
    some = [told.filter(pl.col("station") == s) for s in series.stations[:DRAWN]]
    drawn = figures.what_comes(series.hours[-window:], observed, some, series.stations[:DRAWN], SHOWN)
    with whole(path) as aside:
        drawn.savefig(aside, dpi=160)


def _plot_filled(table: pl.DataFrame, series: Series, path: Path) -> None:
    """The two weeks in which most was told, of the stations that lacked most."""
    told = table["told"].to_numpy().reshape(len(series.hours), -1)
    part = fullest(told, STRETCH)
    some = np.sort(np.argsort(-told[part].sum(0), kind="stable")[:DRAWN])
    names = [series.stations[i] for i in some]
    count = len(series.stations)
    within = table[part.start * count : part.stop * count]
    drawn = figures.filled([within.filter(pl.col("station") == n) for n in names], names, SHOWN)
    with whole(path) as aside:
        drawn.savefig(aside, dpi=160)


def fullest(told: np.ndarray, most: int) -> slice:
    """The stretch of at most so many hours in which most is told, bool on (hour, station); of several the middle one."""
    length = min(most, len(told))
    total = np.concatenate([[0], told.sum(1).cumsum()])
    within = total[length:] - total[:-length]
    (best,) = np.nonzero(within == within.max())
    begin = int(best[len(best) // 2])
    return slice(begin, begin + length)


def _map(model: Model, series: Series, hour: datetime, out: Path) -> None:
    """Write and draw a map of one hour."""
    asked = np.datetime64(utc(hour))
    at = int(np.searchsorted(series.hours, asked))
    if at >= len(series.hours) or series.hours[at] != asked:
        raise DataError(
            f"--map {hour:%Y-%m-%dT%H:%M}: the tables hold {series.hours[0]} to {series.hours[-1]}. Name one of these hours."
        )
    lon, lat = _axes(series)
    places = np.stack(np.meshgrid(lon, lat), -1).reshape(-1, 2)
    parts = [_at_places(model, series, at, places[i : i + AT_ONCE]) for i in range(0, len(places), AT_ONCE)]
    told = np.concatenate(parts).reshape(len(lat), len(lon))
    values: dict[str, np.ndarray] = {model.study.target: told}
    if model.hidden:
        here = series.data[model.study.target].to_numpy()[at]
        ends = model.hidden[0].between(SHOWN, told, np.full_like(told, np.isfinite(here).mean()))
        values |= dict(zip(("low", "high"), ends, strict=True))
    field = xr.Dataset(
        {name: (("lat", "lon"), v, {"units": "ug m-3"}) for name, v in values.items()},
        {
            "lat": ("lat", lat, {"units": "degrees_north", "standard_name": "latitude"}),
            "lon": ("lon", lon, {"units": "degrees_east", "standard_name": "longitude"}),
            "time": ((), series.hours[at].astype("datetime64[ns]")),
        },
        {"Conventions": "CF-1.11", "title": f"{model.study.title}: {series.hours[at]} UTC"},
    )
    name = f"map-{model.task.name}-{str(series.hours[at]).replace(':', '')}"
    with whole(out / f"{name}.nc") as aside:
        field.to_netcdf(aside, engine="netcdf4")
    observed = series.data[model.study.target].to_numpy()[at]
    drawn = figures.map_of_hour(lon, lat, told, series.table, observed, f"{series.hours[at]} UTC")
    with whole(out / f"{name}.png") as aside:
        drawn.savefig(aside, dpi=160)


def _at_places(model: Model, series: Series, at: int, places: np.ndarray) -> np.ndarray:
    """The value of an hour at places, (place, [lon, lat]), as at stations of which nothing but the place is known."""
    window = model.task.window
    first = int(np.clip(at - window // 2, 0, len(series.hours) - window))
    around = series.data.isel(time=slice(first, first + window))
    names = [f"cell {i}" for i in range(len(places))]
    empty = xr.full_like(around.isel(station=[0] * len(places)), np.nan).assign_coords(station=names)
    cells = pl.DataFrame({"station": names, "name": names, "lon": places[:, 0], "lat": places[:, 1]})
    absent = [pl.lit(None).alias(c) for c in METADATA if c not in cells.columns]
    table = pl.concat([series.table, cells.with_columns(absent).select(pl.col(c).cast(t) for c, t in METADATA.items())])
    seen = np.arange(len(table)) < len(series.table)
    trained = model.over(Series(table, xr.concat([around, empty], "station"), Ledger()), seen)
    assert isinstance(trained.learning, Reanalysing)
    told = reanalyse(trained, range(window), np.zeros((window, len(table)), bool))
    return told[at - first, len(series.table) :]


def _axes(series: Series) -> tuple[np.ndarray, np.ndarray]:
    """Centres of a map's cells about as wide as high, ascending and descending [degrees]."""
    lon, lat = (series.table[c].to_numpy() for c in ("lon", "lat"))
    wide = np.cos(np.radians(lat.mean()))
    across, up = max(np.ptp(lon), 0.05) * (1 + 2 * RIM), max(np.ptp(lat), 0.05) * (1 + 2 * RIM)
    cell = max(across * wide, up) / CELLS
    columns, rows = max(2, round(across * wide / cell)), max(2, round(up / cell))
    middle = (lon.min() + lon.max()) / 2, (lat.min() + lat.max()) / 2
    return (
        middle[0] + (np.arange(columns) - (columns - 1) / 2) * cell / wide,
        middle[1] - (np.arange(rows) - (rows - 1) / 2) * cell,
    )
