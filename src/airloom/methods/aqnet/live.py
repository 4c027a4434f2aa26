"""`airloom series`: tables of stations to series without gaps, forecasts, and series of places without a station, with networks that are trained."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl

from airloom.errors import CheckpointError, DataError, StudyError
from airloom.files import whole
from airloom.ledger import Ledger
from airloom.methods.aqnet import figures
from airloom.methods.aqnet.calibrate import known_of
from airloom.methods.aqnet.learn import Forecasting, Reanalysing
from airloom.methods.aqnet.mapped import draw_map
from airloom.methods.aqnet.model import SHOWN, Model
from airloom.methods.aqnet.study import Reanalysis
from airloom.methods.aqnet.tell import forecast, reanalyse
from airloom.progress import Progress, quiet
from airloom.series import Series, screen_series
from airloom.sources.base import Column
from airloom.sources.places_of import places_of
from airloom.sources.registry import HOURLY
from airloom.study import changed

DRAWN = 4  # stations on a plot
STRETCH = 14 * 24  # hours of filled series on it


def tell_series(
    run: Path,
    observations: Sequence[Path],
    metadata: Path,
    out: Path,
    *,
    places: Path | None = None,
    hour: datetime | None = None,
    neighbours: int | None = None,
    progress: Progress = quiet,
) -> Ledger:
    """What the networks of a run tell of tables of stations, which may be others than they learnt from.

    Writes to the folder `out`, as CSV and parquet: `filled-TASK`, every hour of every station with what was observed or told; for each
    forecast task `forecast-TASK`, what comes after the tables' last hour; plots of both; with `places` the same of these,
    `places-TASK`; and with `hour` a map of that hour.

    Arguments:
        run: folder of an evaluated run of an `aqnet` study, whose `stations` part says how tables are read.
        observations: tables.
        metadata: where their stations stand.
        out: folder.
        places: table of where no station stands, with `station` (a name), `lon`, `lat`. Nothing of them is known but the place.
        hour: of a map; UTC where it carries no offset.
        neighbours: nearest stations that say something of another, where they are not as many as the study says; maps ask all.
        progress: as everywhere.

    Returns:
        What was left out and why.

    Raises:
        CheckpointError: the run holds no models.
        StudyError: a map is asked of a run without a reanalysis, or less than one neighbour.
        DataError: the tables are broken, have fewer hours than a window, or do not hold the hour; or a place has a station's name.
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
    asked = _without_station(places, series) if places else None
    longest = max(m.task.window for m in models)
    if len(series.hours) < longest:
        raise DataError(
            f"the tables hold {len(series.hours)} hours, the longest window needs {longest}. Give more of the past."
        )
    for model in models:
        if isinstance(model.task, Reanalysis):
            _tell_filled(model, series, asked, out, progress)
            if hour is not None:
                draw_map(model, series, hour, out)
        elif model.task.ahead:
            weather = ", ".join(model.task.ahead)
            series.ledger.out(
                "value", model.task.name, f"not told: needs {weather} of the hours to come, which tables of the past lack", 0
            )
        else:
            _tell_forecast(model, series, asked, out, progress)
    return series.ledger


def _without_station(path: Path, series: Series) -> pl.DataFrame:
    """Places as METADATA."""
    found = places_of(path)
    if twice := sorted(set(found["station"]) & set(series.stations)):
        raise DataError(
            f"{path}: {twice[0]} is a station of the tables as well. Give the place a name of its own, or leave it out."
        )
    return found


def _tell_filled(model: Model, series: Series, places: pl.DataFrame | None, out: Path, progress: Progress) -> None:
    """Write and draw every hour of all stations, and of places without one."""
    seen, every = _with(series, places)
    told = _filled(model, every, seen, progress)
    own = _parted(told, places, out / f"places-{model.task.name}")
    _write(own, out / f"filled-{model.task.name}")
    _plot_filled(own, series, out / f"filled-{model.task.name}.png")


def _tell_forecast(model: Model, series: Series, places: pl.DataFrame | None, out: Path, progress: Progress) -> None:
    """Write and draw what comes, at all stations and, where the networks have learnt to do without one, at places."""
    if places is not None and not model.study.practice.hidden:
        why = "not told at places: its networks never did without a station (practice.hidden: 0)"
        series.ledger.out("value", model.task.name, why, 0)
        places = None
    seen, every = _with(series, places)
    last = every.data.isel(time=slice(-model.task.window, None))
    told = _forecast(model, Series(every.table, last, every.ledger), seen, progress)
    own = _parted(told, places, out / f"places-{model.task.name}")
    _write(own, out / f"forecast-{model.task.name}")
    _plot(model, series, own, out / f"forecast-{model.task.name}.png")


def _with(series: Series, places: pl.DataFrame | None) -> tuple[np.ndarray, Series]:
    """Which of them are stations, bool, and stations and places."""
    every = series if places is None else series.with_places(places)
    return np.arange(len(every.stations)) < len(series.stations), every


def _parted(told: pl.DataFrame, places: pl.DataFrame | None, path: Path) -> pl.DataFrame:
    """Write what is told of places; the rest."""
    if places is None:
        return told
    at_places = pl.col("station").is_in(places["station"].implode())
    _write(told.filter(at_places).drop("told", strict=False), path)
    return told.filter(~at_places)


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


def _filled(model: Model, series: Series, seen: np.ndarray, progress: Progress) -> pl.DataFrame:
    """Every hour of every station, `seen` or not: station, time, value, low, high, and whether it was told."""
    trained = model.over(series, seen, progress)
    assert isinstance(trained.learning, Reanalysing)
    observed = series.data[model.study.target].to_numpy()
    told = reanalyse(trained, range(len(series.hours)), np.zeros(observed.shape, bool))
    low, high = _between(model, 0, told, known_of(observed, seen), seen)
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


def _forecast(model: Model, series: Series, seen: np.ndarray, progress: Progress) -> pl.DataFrame:
    """What comes after the last hour at stations, `seen` or not: station, issued, lead, time (the start of what is told), value, low, high."""
    trained = model.over(series, seen, progress)
    assert isinstance(trained.learning, Forecasting)
    task = trained.learning.task
    last = len(series.hours) - 1
    leads = range(1, task.reach + 1)
    told = forecast(trained, np.array([last]), leads)[0]  # (station, lead)
    ends = [_between(model, i, told[:, i], np.ones(len(told)), seen) for i in range(len(leads))]
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


def _between(
    model: Model, step: int, told: np.ndarray, known: np.ndarray, seen: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the intervals of a step's values on (…, station); NaN at places where the study hid no station."""
    at_stations = model.calibrations[step].between(SHOWN, told, known)
    at_places = model.hidden[step].between(SHOWN, told, known) if model.hidden else (np.full_like(told, np.nan),) * 2
    low, high = (np.where(seen, a, b) for a, b in zip(at_stations, at_places, strict=True))
    return low, high


def _write(table: pl.DataFrame, path: Path) -> None:
    """As CSV, to two digits, and as parquet; what is not known is blank."""
    table = table.with_columns(pl.col("low", "high").fill_nan(None))
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
