"""What a task's networks tell of the test's hours, in a NetCDF file that belongs to their weights."""

from pathlib import Path

import numpy as np
import xarray as xr

from airloom.files import whole
from airloom.methods.aqnet.networks import Networks
from airloom.methods.aqnet.study import Forecast, Reanalysis, Task
from airloom.methods.aqnet.tell import blended, forecast, gaps_of, members, reanalyse, told_of


def path_of(networks: Networks, task: Task) -> Path:
    """Where what is told of a task lies."""
    return networks.folder / f"told-{task.name}.nc"


def is_told(networks: Networks, task: Task) -> bool:
    """Whether what the task's networks tell is written."""
    path = path_of(networks, task)
    if not path.is_file():
        return False
    with xr.open_dataset(path, engine="netcdf4") as file:
        return file.attrs.get("weights") == networks.weights(task)


def write_told(networks: Networks, task: Task) -> None:
    """Write what the networks of a task tell of the test's hours, unless that is there already."""
    if is_told(networks, task):
        return
    found = _reanalysed(networks, task) if isinstance(task, Reanalysis) else _forecast(networks, task)
    title = f"{networks.study.title}: {task.name}"
    found = found.assign_attrs(title=title, Conventions="CF-1.11", weights=networks.weights(task))
    with whole(path_of(networks, task)) as aside:
        found.to_netcdf(aside, engine="netcdf4")


def _forecast(networks: Networks, task: Forecast) -> xr.Dataset:
    """Forecasts after each of the test's hours: `seen` stations, and those `hidden` in the folds, on (time, station, lead)."""
    study, series, trained = networks.study, networks.series, networks.trained_forecast(task)
    moments = trained.learning.parts.test
    alone = members(trained, moments)
    values = {
        "seen": told_of(trained, blended(trained, moments, alone), task.leads),
        "alone": told_of(trained, alone, task.leads),
    }
    if study.hidden:
        values["hidden"] = np.full_like(values["seen"], np.nan)
        for fold in range(study.hidden.folds):
            own = networks.folds == fold
            values["hidden"][:, own] = forecast(networks.trained_forecast(task, fold), moments, task.leads)[:, own]
    attrs = {"units": "ug m-3", "long_name": f"{study.target} that comes so many {task.means}s later"}
    return xr.Dataset(
        {n: (("time", "station", "lead"), v, attrs) for n, v in values.items()},
        {
            "time": ("time", series.hours[moments].astype("datetime64[ns]"), {"long_name": "last hour that was seen"}),
            "station": series.stations,
            "lead": ("lead", list(task.leads), {"units": "h" if task.means == "hour" else "d"}),
        },
    )


def _reanalysed(networks: Networks, task: Reanalysis) -> xr.Dataset:
    """The test's hours: blocks that were taken out, by share, and stations `hidden` in the folds, on (time, station)."""
    study, hours, trained = networks.study, networks.series.hours, networks.trained_reanalysis(task)
    begin = int(np.searchsorted(hours, np.datetime64(study.verification.test, "h")))
    span, shape = range(begin, len(hours)), (len(hours), len(networks.folds))
    values = {}
    for share in task.gaps:
        gaps = np.zeros(shape, bool)
        gaps[begin:] = gaps_of(len(span), shape[1], share, task.block, study.seed)
        values[f"gaps-{share:g}"] = np.where(gaps[begin:], reanalyse(trained, span, gaps), np.nan)
    if study.hidden:
        values["hidden"] = np.full((len(span), shape[1]), np.nan)
        for fold in range(study.hidden.folds):
            own = networks.folds == fold
            of_fold = networks.trained_reanalysis(task, fold)
            values["hidden"][:, own] = reanalyse(of_fold, span, np.zeros(shape, bool))[:, own]
    attrs = {"units": "ug m-3", "long_name": study.target}
    coords = {"time": hours[begin:].astype("datetime64[ns]"), "station": networks.series.stations}
    return xr.Dataset({n: (("time", "station"), v, attrs) for n, v in values.items()}, coords)
