"""The report of series: one HTML page with scores, intervals, series, what attention looks at, and what was left out."""

from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import xarray as xr
import yaml

from airloom.facts import timings, versions
from airloom.methods.aqnet import figures
from airloom.methods.aqnet.model import Model
from airloom.methods.aqnet.network import Forecaster
from airloom.methods.aqnet.score import OURS
from airloom.methods.aqnet.study import Forecast, Reanalysis
from airloom.methods.aqnet.tables import HEADS, WHAT, cells, groups, title
from airloom.methods.aqnet.tell import Trained
from airloom.methods.aqnet.told import path_of
from airloom.methods.aqnet.windows import to_come
from airloom.verify.html import cards, embed, link, section, table, write_page
from airloom.verify.report_ledger import ledger_section
from airloom.verify.tables import number, with_interval

if TYPE_CHECKING:
    from airloom.methods.aqnet.run import SeriesRun

SHOWN = 3  # stations whose weeks are drawn
STRETCH = 28 * 24  # hours of them
MOMENTS = 64  # of the test, whose attention is averaged


def write(run: "SeriesRun", scores: dict[str, Any], path: Path) -> None:
    """Write the report of a run and its scores, whole or not at all."""
    sections = {
        **dict(_scores(scores)),
        "Intervals": _intervals(scores["intervals"]),
        **dict(_series(run)),
        **dict(_attention(run)),
        "Hidden stations": _hidden(run),
        "Ledger": ledger_section(run.ledger),
        "Settings": f"<pre>{escape(yaml.safe_dump(run.study.model_dump(mode='json'), sort_keys=False, allow_unicode=True))}</pre>",
        "Provenance": table(("Fact", "Value"), [(k, str(v)) for k, v in _facts(run, scores).items()], text=True),
    }
    sections = {name: content for name, content in sections.items() if content}
    body = _head(run, scores, list(sections)) + "".join(section(n, c) for n, c in sections.items())
    write_page(path, run.study.title, body)


def _head(run: "SeriesRun", scores: Mapping[str, Any], titles: list[str]) -> str:
    """Title, what it is about, and ours in a few numbers."""
    study, series = run.study, run.series
    where = (
        f"{study.target} at {len(series.stations)} stations; scored from {study.verification.test:%Y-%m-%d %H:%M} UTC on; nothing of "
        "that time was learnt from."
    )
    boxes = []
    for task, what, rows in groups(scores):
        own = [r for r in rows if r["model"] == OURS]
        lead = "taken out" if what == "gaps" else "lead"
        boxes += [(number(r["r2"], digits=3), f"R², {task}, {what}", f"{lead} {r['lead']:g}, n {r['n']:,}") for r in own]
    links = " ".join(link(t) for t in titles)
    return f'<h1>{escape(study.title)}</h1><p class="where">{escape(where)}</p>{cards(boxes)}<nav>{links}</nav>'


def _scores(scores: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """A section a task and what was told."""
    for task, what, rows in groups(scores):
        lead = "share" if what == "gaps" else "lead"
        lines = [(f"{r['lead']:g}", title(r["model"]), f"{r['n']:,}", *cells(r)) for r in rows]
        ours = {i for i, r in enumerate(rows) if r["model"] == OURS}
        note = (
            f"{WHAT[what]}; RMSE, MAE and bias in µg m⁻³; 95 % intervals over {rows[0]['weeks']} weeks, which are resampled whole; all "
            "models at the same hours and stations; ΔRMSE: AQ-Net's less the model's, paired."
        )
        drawn = figures.skill_by_lead(rows, "share taken out" if what == "gaps" else "lead")
        picture = (
            embed(drawn, "Skill; the line of AQ-Net with its 95 % intervals.") if len({r["lead"] for r in rows}) > 1 else ""
        )
        content = table((lead, "Model", "n", *HEADS), lines, ours) + f'<p class="note">{escape(note)}</p>' + picture
        yield f"Scores of {task}: {what}", content


def _intervals(found: list[dict[str, Any]]) -> str:
    rows = [
        (
            f"{r['task']}, {r['what']}, {r['lead']:g}",
            f"{100 * r['nominal']:.0f}",
            with_interval(100 * r["coverage"], r["coverage_ci"] and [100 * c for c in r["coverage_ci"]], digits=1),
            number(r["width"]),
        )
        for r in found
    ]
    return table(("What", "Nominal [%]", "Found [%]", "Mean width [µg m⁻³]"), rows) + (
        '<p class="note">How many observations of the test lie within the intervals, which errors in weeks before it '
        "calibrate that were not learnt from; an error's size follows the predicted value, and in gaps how much of the network is known.</p>"
    )


def _series(run: "SeriesRun") -> Iterator[tuple[str, str]]:
    """Weeks of some stations as forecasts had them."""
    for task in run.study.tasks:
        if isinstance(task, Reanalysis):
            continue
        trained = run.networks.trained_forecast(task)
        lead = task.leads[-1]
        with xr.open_dataset(path_of(run.networks, task), engine="netcdf4") as found:
            told = found["seen"].sel(lead=lead).to_numpy()
        moments = trained.learning.parts.test
        wanted = to_come(run.series.data[run.study.target].to_numpy()[..., None], task.reach, task.length)
        observed = wanted[moments][:, :, 0, lead - 1]
        # the stretch that varies most, for it shows most
        spread = [np.nanstd(observed[i : i + STRETCH]) for i in range(0, len(observed) - STRETCH, STRETCH // 4)]
        begin = int(np.argmax(spread)) * (STRETCH // 4) if spread else 0
        part, shown = slice(begin, begin + STRETCH), slice(0, SHOWN)
        calibration = Model.load(run.model_path(task)).calibrations[lead - 1]
        between = calibration.between(0.95, told[part, shown], np.ones_like(told[part, shown]))
        hours = run.series.hours[moments][part] + lead * task.length
        unit = f"{lead} {task.means}s ahead"
        drawn = figures.weeks(hours, observed[part, shown], told[part, shown], between, run.series.stations[shown], unit)
        yield f"Series of {task.name}", embed(drawn, f"The four weeks of the test that vary most, told {unit}; UTC.")


def _attention(run: "SeriesRun") -> Iterator[tuple[str, str]]:
    """What heads attend to, and which days tell of which."""
    for task in run.study.tasks:
        if isinstance(task, Reanalysis):
            continue
        trained = run.networks.trained_forecast(task)
        moments = trained.learning.parts.test[:: max(1, len(trained.learning.parts.test) // MOMENTS)][:MOMENTS]
        drawn = figures.attention_of_heads(attended(trained, moments), task.coarse)
        steps = "hours" if task.coarse == 1 else f"means of {task.coarse} hours"
        caption = (
            f"What the {steps} of the window are attended to, the mean over all that ask, stations and moments of the test."
        )
        content = embed(drawn, caption)
        if task.means == "day" and task.window >= 24:
            caption = (
                "How far a forecast day follows each day that is seen: the mean size of its derivative with respect to that day's "
                "inputs, times these; rows add up to 1. Attention itself lies among the hours that are seen and knows no day to come."
            )
            content += embed(figures.days_of_days(followed(trained, moments[::4], task)), caption)
        yield f"Attention of {task.name}", content


def attended(trained: Trained, moments: np.ndarray) -> np.ndarray:
    """Mean attention to each step of the window, by head, on (head, step)."""
    windows, network = trained.learning.windows, trained.networks[0]
    lesson = windows.lesson(moments, trained.known)
    assert isinstance(network, Forecaster)
    with torch.inference_mode():
        weights = network.encoder.weights(lesson.seen.inputs)  # (moment, station, head, asking, asked)
    return weights.mean((0, 1, 3)).numpy()


def followed(trained: Trained, moments: np.ndarray, task: Forecast) -> np.ndarray:
    """Share of each day seen in what is told of each day to come: |∂told / ∂inputs · inputs|, on (day told, day seen)."""
    windows, network = trained.learning.windows, trained.networks[0]
    lesson = windows.lesson(moments, trained.known)
    inputs = lesson.seen.inputs.clone().requires_grad_()
    hours = windows.hours
    told = network(lesson.seen._replace(inputs=inputs), hours.places, hours.offsets, trained.k)
    days, steps = task.window // 24, 24 // task.coarse
    rows = []
    for step in range(task.reach):
        (slope,) = torch.autograd.grad(told[..., step].sum(), inputs, retain_graph=True)
        by_step = (slope * inputs).abs().sum((0, 2, 3)).detach().numpy()
        by_day = by_step[-steps * days :].reshape(days, steps).sum(1)
        rows.append(by_day / by_day.sum())
    return np.stack(rows)


def _hidden(run: "SeriesRun") -> str:
    """Where hidden stations are missed, by the reanalysis' error."""
    if not run.study.hidden:
        return ""
    found = ""
    series = run.series
    for task in run.study.tasks:
        if not isinstance(task, Reanalysis):
            continue
        with xr.open_dataset(path_of(run.networks, task), engine="netcdf4") as file:
            told = file["hidden"]
            known = series.data[run.study.target].sel(time=told["time"]).to_numpy()
            apart = told.to_numpy() - known
        with np.errstate(invalid="ignore"):
            errors = {"RMSE": np.sqrt(np.nanmean(apart**2, 0)), "MAE": np.nanmean(abs(apart), 0)}
        lon, lat = (series.table[c].to_numpy() for c in ("lon", "lat"))
        found += embed(figures.error_map(lon, lat, errors, series.stations), f"{task.name}: stations when they were hidden.")
    return found


def _facts(run: "SeriesRun", scores: Mapping[str, Any]) -> dict[str, Any]:
    """What it was made with."""
    sizes = {f"network of {t.name}": f"{run.networks.size(t):,} weights" for t in run.study.tasks}
    return {
        **versions(),
        **sizes,
        **timings(run.folder),
        "bootstrap": f"{scores['draws']} draws of weeks, seed {run.study.seed}",
    }
